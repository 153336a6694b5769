"""Which real images come at which position of the endless shuffled sequence, and how they get there.

Those in memory, or on the device, are picked by number; those that are streamed are read ahead, from few shards at a time.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from gander import rng
from gander.code import Values
from gander.data.reading.streamed import Streamed
from gander.plan import Plan

BLOCK_IMAGES = 16_384
"""Real images dealt to the device at once; two blocks ahead are some megabytes."""
BLOCK_BYTES = 64 << 20
"""Of the images of a block, where they are dealt with it."""


def batch_at(plan: Plan, first: int) -> tuple[Tensor, Values]:
    """The images at positions ``first …`` of the endless shuffled sequence, and their given codes."""
    mine = own_rows(plan)
    images, place = plan.images.images, first + mine.start
    if isinstance(images, Streamed):
        training = plan.config.training
        found, rows = images.next_batch(training.seed, place, len(mine), training.batch)
    else:
        rows = ordered(plan, place, len(mine))
        found = images[rows]
    return plan.machine.images(found), plan.machine.values(known_of(plan, rows))


def own_rows(plan: Plan) -> range:
    """Which rows of every batch are this process'."""
    group = plan.machine.group
    each = plan.config.training.batch // group.size
    return range(group.rank * each, (group.rank + 1) * each)


def known_of(plan: Plan, rows: Tensor) -> Values:
    """The given codes' values of those rows of the data."""
    columns = {
        name: plan.images.columns[name].values[rows]
        for name in {code.given for code in plan.spec.given if code.given}
    }
    return plan.spec.known(columns)


def ordered(plan: Plan, first: int, count: int) -> Tensor:
    """Which images come at positions ``first …``, (count,) int64: every image once per epoch, and of a stream few shards at a time."""
    seed, images = plan.config.training.seed, plan.images.images
    if isinstance(images, Streamed):
        return torch.from_numpy(images.order(seed, first, count))
    return torch.from_numpy(order(seed, first, count, len(images)))


_ORDERS: dict[tuple[int, int, int], np.ndarray] = {}


def order(seed: int, first: int, count: int, size: int) -> np.ndarray:
    """Which images come at positions ``first … first + count - 1``: every image once per epoch, (count,) int64."""
    parts = []
    while count > 0:
        epoch, start = divmod(first, size)
        permutation = _ORDERS.get((seed, epoch, size))
        if permutation is None:
            permutation = rng.permutation(seed, "order", epoch, size)
            _ORDERS.clear()
            _ORDERS[seed, epoch, size] = permutation
        part = permutation[start : start + count]
        parts.append(part)
        first += len(part)
        count -= len(part)
    return np.concatenate(parts)


def held(plan: Plan) -> Tensor | None:
    """All images on the device; None where they do not fit there, or are read as they are needed."""
    images, machine = plan.images.images, plan.machine
    if isinstance(images, Streamed) or not machine.holds(images):
        return None
    return images.to(machine.device)


def images_of_a_block(plan: Plan, images: Tensor | None) -> int:
    """How many real images a block is for, at most; fewer where it holds them."""
    if images is not None:
        return BLOCK_IMAGES
    return min(BLOCK_IMAGES, BLOCK_BYTES // math.prod(plan.images.shape))


def images_at(plan: Plan, first: int, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The images of a block, (count, k, batch, C, H, W) uint8, and which they are: those at ``rows``, but for those that cannot be read."""
    images, config = plan.images.images, plan.config
    if not isinstance(images, Streamed):
        return images[rows.flatten()].view(*rows.shape, *images.shape[1:]), rows
    mine, batch = own_rows(plan), config.training.batch
    starts = range(first + mine.start, first + rows.shape[0] * rows.shape[1] * batch, batch)
    parts = [images.batch(config.training.seed, start, len(mine)) for start in starts]
    found = torch.stack([part.images for part in parts]).view(*rows.shape, *images.shape[1:])
    return found, torch.stack([part.rows for part in parts]).view(rows.shape)
