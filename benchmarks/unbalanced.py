"""Writes MNIST with unequal classes, both splits alike, as a folder of the four canonical files.

    GANDER_DATA=... python benchmarks/unbalanced.py --to runs/mnist-unbalanced
    GANDER_DATA=... python benchmarks/presets.py infogan-selflabel --data runs/mnist-unbalanced --seeds 0 1 2 --out ...

Of digit d the first 1 - 0.06 d are kept: all zeros, of the nines 46 %. Of the images of a class those that come first stay, so the folder is
always the same.
"""

from __future__ import annotations

import argparse
import struct
from pathlib import Path

import numpy as np

from gander.data import load

LESS = 0.06  # of each digit than of the one before
FILES = {"train": "train", "test": "t10k"}


def kept(labels: np.ndarray) -> np.ndarray:
    """Which rows stay, in their order."""
    stay = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        rows = np.flatnonzero(labels == digit)
        stay[rows[: round(len(rows) * (1 - LESS * digit))]] = True
    return np.flatnonzero(stay)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", type=Path, required=True)
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    for split, name in FILES.items():
        data = load("mnist", split)
        labels = data.columns["digit"].values.numpy()
        rows = kept(labels)
        images = data.images.numpy()[rows, 0]
        head = struct.pack(">BBBB3I", 0, 0, 8, 3, *images.shape)
        (asked.to / f"{name}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        head = struct.pack(">BBBBI", 0, 0, 8, 1, len(rows))
        said = head + labels[rows].astype(np.uint8).tobytes()
        (asked.to / f"{name}-labels-idx1-ubyte").write_bytes(said)
        counts = np.bincount(labels[rows], minlength=10)
        print(f"{split}: {len(rows):,} images, of each digit {counts.tolist()}")


if __name__ == "__main__":
    main()
