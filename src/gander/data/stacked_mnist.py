"""Three MNIST digits as the red, green and blue of one image: 1,000 classes, for counting modes."""

from __future__ import annotations

import numpy as np
import torch

from gander import rng
from gander.data import Column, Data, mnist

COUNTS = {"train": 60_000, "test": 10_000}
COLOURS = ("red", "green", "blue")


def load(split: str, size: int | None, limit: int | None) -> Data:
    """Label column ``class`` (``000`` to ``999``) and the digit of each colour."""
    images, classes = [], []
    notes: tuple[str, ...] = ()
    for part in COUNTS if split == "all" else (split,):
        digits = mnist.load(part, None, None)
        count = min(COUNTS[part], limit or COUNTS[part])
        u = rng.uniforms(0, f"stacked-mnist/{part}", 0, count, len(COLOURS))
        rows = torch.from_numpy((u * len(digits)).astype(np.int64))
        images.append(digits.images[rows, 0])
        classes.append(digits.column("digit").values[rows])
        notes = digits.found
    each = torch.cat(classes)
    named = tuple("0123456789")
    whole = each @ torch.tensor([100, 10, 1])
    columns = {
        "class": Column("class", "categorical", whole, tuple(f"{i:03}" for i in range(1000)))
    }
    for position, colour in enumerate(COLOURS):
        columns[colour] = Column(colour, "categorical", each[:, position].contiguous(), named)
    return Data(
        name="stacked-mnist",
        source="stacked-mnist",
        split=split,
        images=torch.cat(images),
        columns=columns,
        label="class",
        found=notes,
    )
