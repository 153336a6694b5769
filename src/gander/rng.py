"""Randomness as a function of position.

No generator is ever advanced and saved. A number is ``f(key, stream, position)``: the run's seed, the
name of what it is for, and which image it belongs to. So a batch does not depend on how many came
before it in this process, resuming needs no random state, two processes that share a batch draw what
one would have drawn, and *seed 7* of a drawing is simply position 7 of the drawing streams.

The bits are Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), whose raw stream
numpy guarantees; everything above the raw bits is written out here so that a browser can repeat it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

WORDS_PER_BLOCK = 4  # Philox4x64 yields four 64-bit words per counter value
MASK64 = (1 << 64) - 1


def stream_key(stream: str) -> int:
    """A stable 64-bit name of a stream (``hash`` would differ between processes)."""
    return int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "little")


def raw(seed: int, stream: str, first: int, count: int, columns: int) -> np.ndarray:
    """64-bit words for positions ``first .. first + count - 1``, (count, columns) uint64."""
    blocks = -(-columns // WORDS_PER_BLOCK)
    words = blocks * WORDS_PER_BLOCK
    # An explicit type: numpy makes a list with words above and below 2^63 an array of floats, and rounds them.
    bits = np.random.Philox(key=np.array([seed & MASK64, stream_key(stream)], dtype=np.uint64))
    bits.advance(first * blocks)
    return bits.random_raw(count * words).reshape(count, words)[:, :columns]


def uniforms(seed: int, stream: str, first: int, count: int, columns: int) -> np.ndarray:
    """Numbers in [0, 1) with 53 bits, one row per position, (count, columns) float64."""
    return (raw(seed, stream, first, count, columns) >> np.uint64(11)) * 2.0**-53


def uniforms_at(seeds: Sequence[int], stream: str, columns: int) -> np.ndarray:
    """The rows of the drawing stream at the given seeds, (len(seeds), columns) float64."""
    rows, first = [np.empty((0, columns))], 0
    for end in range(1, len(seeds) + 1):
        # Seeds in a row are one block, which is hundreds of times faster than one by one.
        if end == len(seeds) or seeds[end] != seeds[end - 1] + 1:
            rows.append(uniforms(0, stream, seeds[first], end - first, columns))
            first = end
    return np.concatenate(rows)


def permutation(seed: int, stream: str, position: int, n: int) -> np.ndarray:
    """An order of ``n`` things as a function of (seed, stream, position), (n,) int64."""
    return np.argsort(raw(seed, f"{stream}/{position}", 0, 1, n)[0], kind="stable")


def seed_torch(seed: int, stream: str, position: int) -> None:
    """Puts torch's own generators (dropout, interpolation points) at a position."""
    mixed = hashlib.sha256(f"{seed}/{stream}/{position}".encode()).digest()
    torch.manual_seed(int.from_bytes(mixed[:8], "little") & (MASK64 >> 1))


def normals(u: np.ndarray) -> np.ndarray:
    """Box-Muller: (n, 2m) uniforms to (n, 2m) standard normals."""
    half = u.shape[1] // 2
    radius = np.sqrt(-2.0 * np.log1p(-u[:, :half]))
    angle = 2.0 * np.pi * u[:, half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def tensor(values: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
    """A numpy result as a tensor of the type the networks use."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(dtype)
