"""Chunks of steps against the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

WARM_UP_STEPS = 3
"""Steps before the clock starts, at least: buffers are made and kernels chosen in them."""
WARM_UP_SHARE = 0.5
"""Of a chunk's seconds that the warm-up lasts, at least."""


class Chunk(NamedTuple):
    """Images that went through and the wall seconds it took; the last step is counted whole."""

    images: int
    seconds: float
    steps: int

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds


def chunk(
    step: Callable[[], int], seconds: float, device: torch.device, least_steps: int = 1
) -> Chunk:
    """Steps until so many seconds have passed. ``step`` returns its images; a GPU is waited for at both ends."""
    finish(device)
    images = steps = 0
    began = time.perf_counter()
    while steps < least_steps or time.perf_counter() - began < seconds:
        images += step()
        steps += 1
    finish(device)
    return Chunk(images, time.perf_counter() - began, steps)


def warm_up(step: Callable[[], int], seconds: float, device: torch.device) -> Chunk:
    """What comes before the first chunk and is not counted."""
    return chunk(step, WARM_UP_SHARE * seconds, device, WARM_UP_STEPS)


def finish(device: torch.device) -> None:
    """Waits until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
