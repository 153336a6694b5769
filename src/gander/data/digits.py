"""Real handwritten digits (scikit-learn's 1,797 of 8 x 8, enlarged); nothing to download."""

from __future__ import annotations

import numpy as np
import torch

from gander.data import Column, Data
from gander.data.reading.pixels import resized
from gander.errors import DataError

SIDE = 28  # pixels, unless told
FULL = 16  # the brightest value in the original
EVERY = 5  # every fifth image is held out


def load(split: str, size: int | None, limit: int | None) -> Data:
    """About 1,438 images to train on and 359 (every fifth) to test, label column ``digit``."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataError(
            "The source 'digits' comes with scikit-learn: pip install 'gander[metrics]'."
        ) from None
    bunch = load_digits()
    tested = np.arange(len(bunch.target)) % EVERY == EVERY - 1
    chosen = {"train": ~tested, "test": tested, "all": np.ones_like(tested)}[split]
    pixels = np.round(bunch.images[chosen] * (255 / FULL)).astype(np.uint8)
    labels = torch.from_numpy(bunch.target[chosen].astype(np.int64))
    return Data(
        name="digits",
        source="digits",
        split=split,
        images=resized(torch.from_numpy(pixels)[:, None], size or SIDE),
        columns={"digit": Column("digit", "categorical", labels, tuple("0123456789"))},
        label="digit",
        found=(f"enlarged from 8 x 8; {int(tested.sum())} of {len(tested):,} are the test split",),
    )
