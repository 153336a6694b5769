"""IDX files, the format of MNIST: a magic number, the sizes, then the values, perhaps gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from gander.errors import DataError

GZIP = b"\x1f\x8b"
UNSIGNED_BYTES = 8
LARGEST = 4 << 30  # bytes of values in one file; a header that claims more is not believed

CANONICAL = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def is_idx(path: Path) -> bool:
    """Whether a file is named as IDX files are."""
    return any(part in path.name for part in ("-idx1", "-idx3", ".idx1", ".idx3"))


def values(path: Path) -> np.ndarray:
    """The values in one IDX file of unsigned bytes, in its own shape, uint8."""
    try:
        with path.open("rb") as plain:
            zipped = plain.read(2) == GZIP
        with gzip.open(path) if zipped else path.open("rb") as file:
            zeros, sort, sizes = struct.unpack(">HBB", file.read(4))
            if zeros or sort != UNSIGNED_BYTES or not 1 <= sizes <= 3:
                raise DataError(f"{path} is not an IDX file of unsigned bytes.")
            shape = struct.unpack(f">{sizes}I", file.read(4 * sizes))
            count = math.prod(shape)
            if count > LARGEST:
                raise DataError(f"{path} claims {count:,} bytes of values, more than can be right.")
            content = file.read(count + 1)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"{path} cannot be read as an IDX file: {error}") from None
    if len(content) != count:
        cut = "ends early" if len(content) < count else "goes on after its last value"
        raise DataError(f"{path} is damaged: it {cut} ({count:,} bytes expected).")
    return np.frombuffer(content, np.uint8).reshape(shape).copy()


def pair(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W) and their labels (N,), uint8."""
    pictures, classes = values(images), values(labels)
    if pictures.ndim != 3 or classes.ndim != 1 or len(pictures) != len(classes):
        raise DataError(
            f"{images.name} {pictures.shape} and {labels.name} {classes.shape} do not belong "
            f"together."
        )
    return pictures, classes


def either(folder: Path, name: str) -> Path | None:
    """The file of that name in a folder, gzipped or not; None when neither is there."""
    for spelled in (name, name.replace("-idx", ".idx")):  # both are in circulation
        for path in (folder / f"{spelled}.gz", folder / spelled):
            if path.is_file():
                return path
    return None


def is_canonical(folder: Path) -> bool:
    """Whether a folder holds the four files that MNIST and its successors consist of."""
    names = (name for both in CANONICAL.values() for name in both)
    return all(either(folder, name) is not None for name in names)


def canonical(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """One split (``train``, ``test`` or ``all``) of the four files, images and labels."""
    parts = []
    for part in CANONICAL if split == "all" else (split,):
        files = []
        for name in CANONICAL[part]:
            path = either(folder, name)
            if path is None:
                raise DataError(f"{folder} lacks {name}.gz (unzipped would do as well).")
            files.append(path)
        parts.append(pair(files[0], files[1]))
    images, labels = (np.concatenate(one) for one in zip(*parts, strict=True))
    return images, labels
