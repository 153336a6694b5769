"""Drawn squares, ellipses and hearts with the factors of dSprites; nothing to download."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from gander import rng
from gander.data import Column, Data, Sort
from gander.data.reading.drawing import Outline, looked_up, outline
from gander.errors import DataError

COUNTS = {"train": 60_000, "test": 10_000}
SIDE = 64  # pixels, unless told
SMALLEST, LARGEST = 32, 128  # pixels a side
SHAPES = ("square", "ellipse", "heart")
SYMMETRY = (4, 2, 1)  # turns of each shape that look the same
SCALES = np.linspace(0.5, 1.0, 6)
ORIENTATIONS = np.arange(40) * (2 * math.pi / 40)
STEPS = 32  # positions across and down
GRID = (len(SHAPES), len(SCALES), len(ORIENTATIONS), STEPS, STEPS)  # 737,280 images, as dSprites
RADIUS = 0.22  # of the side: the farthest a shape reaches from its centre at scale 1
EDGE = 1.25  # pixels that stay black all around, for a soft edge to end in
MASK = 256  # samples across the square that the shapes are measured on
AT_ONCE = 64  # images drawn together
TESTED = 10  # one in so many looks is kept for the test split


def load(split: str, size: int | None, limit: int | None) -> Data:
    """60,000 (train) or 10,000 (test) of the grid of factors, white on black."""
    side = size or SIDE
    if not SMALLEST <= side <= LARGEST:
        raise DataError(
            f"sprites can be drawn at {SMALLEST} to {LARGEST} pixels a side, not at {side}."
        )
    chosen = [
        positions(part)[: COUNTS[part] if limit is None else limit]
        for part in (COUNTS if split == "all" else (split,))
    ]
    shape, scale, turn, x, y = np.unravel_index(np.concatenate(chosen), GRID)
    reach = side / 2 - RADIUS * side - EDGE
    places = np.linspace(-reach, reach, STEPS)
    factors = np.stack([SCALES[scale], ORIENTATIONS[turn], places[x], places[y]], axis=1)
    values = torch.from_numpy(factors)
    columns = {"shape": Column("shape", "categorical", torch.from_numpy(shape), SHAPES)}
    for position, name in enumerate(("scale", "orientation", "x", "y")):
        sort: Sort = "angle" if name == "orientation" else "continuous"
        columns[name] = Column(name, sort, values[:, position].float())
    return Data(
        name="sprites",
        source="sprites",
        split=split,
        images=torch.from_numpy(_drawn(shape, values, side))[:, None],
        columns=columns,
        label="shape",
        found=("a random part of the full grid of 737,280",),
        factors=tuple(columns),
    )


@functools.cache
def positions(part: str) -> np.ndarray:
    """Places in the grid of one split, in its order, int64.

    Places that look the same (a square turned by a right angle) always fall into the same split.
    """
    order = rng.permutation(0, "sprites/order", 0, math.prod(GRID))
    shape, scale, turn, x, y = np.unravel_index(order, GRID)
    alike = turn % (len(ORIENTATIONS) // np.array(SYMMETRY)[shape])
    look = np.ravel_multi_index((shape, scale, alike, x, y), GRID)
    draws = rng.raw(0, "sprites/split", 0, math.prod(GRID), 1)[:, 0]
    tested = draws[look] % np.uint64(TESTED) == 0
    chosen: np.ndarray = order[tested if part == "test" else ~tested]
    return chosen[: COUNTS[part]]


def _shapes() -> list[Outline]:
    """The three outlines, each centred and reaching 1 from its centre, in a square 2 high."""
    axis = (np.arange(MASK) + 0.5) / MASK * 2 - 1
    x, y = np.meshgrid(axis, axis)
    square = np.maximum(abs(x), abs(y)) < math.sqrt(0.5)
    ellipse = x**2 + (2 * y) ** 2 < 1
    # the curve (x² + y² - 1)³ = x² y³ fits a circle of 1.25 about (0, 0.255), and no smaller one
    u, v = 1.25 * x, -1.25 * y + 0.255
    heart = (u**2 + v**2 - 1) ** 3 < u**2 * v**3
    return [outline(mask) for mask in (square, ellipse, heart)]


def _drawn(shape: np.ndarray, values: Tensor, side: int) -> np.ndarray:
    """Shapes (n,) at scale, orientation, x and y (n, 4), as (n, side, side) uint8."""
    images = np.empty((len(shape), side, side), np.uint8)
    for kind, one in enumerate(_shapes()):
        rows = np.flatnonzero(shape == kind)
        for start in range(0, len(rows), AT_ONCE):
            chosen = rows[start : start + AT_ONCE]
            scale, angle, x, y = values[torch.from_numpy(chosen)].unbind(dim=1)
            # an angle turns counter-clockwise, and the frame's y points down
            cos, sin = torch.cos(angle), torch.sin(angle)
            turn = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
            height = 2 * RADIUS * side * scale
            centre = torch.stack([x, y], dim=1)
            still = torch.zeros_like(scale)
            images[chosen] = looked_up(one, turn, height, still, centre, side, 1)
    return images
