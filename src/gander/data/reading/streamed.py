"""Images that are read as they are needed: of a set of any size only a few batches are ever in memory."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from gander.data.reading.elsewhere import Elsewhere
from gander.data.reading.pictures import fitted
from gander.data.reading.shuffling import WINDOW, Shuffle
from gander.errors import DataError

Made = TypeVar("Made")
READERS = 2
"""Threads that read and decode ahead; decoding lets go of the interpreter."""
AHEAD = 6
"""Batches that are in the making."""
TOGETHER = 64
"""Images decoded by one thread at a time, of those that are not dealt in batches."""
PULSE = 0.25
"""Seconds after which who waits looks whether to wait on."""
IN_A_ROW = 100
"""Unreadable images one after another after which the set is given up."""
NOTED = 100_000
"""Unreadable images that are told apart, so that none is counted twice."""


class Samples(Protocol):
    """The files of the images, wherever they lie, numbered from the first of the first shard on."""

    where: str
    counts: tuple[int, ...]
    """Images of each shard."""
    fingerprint: str
    """A hash of all that is known of them: another set has another."""

    def contents(self, rows: np.ndarray) -> list[bytes | str]:
        """The files of these images; a text says why one cannot be had. Raises ``DataError`` where a shard cannot."""

    def coming(self, shards: Sequence[int]) -> None:
        """These shards are read now and next."""

    def named(self, row: int) -> str:
        """What to call an image so that a person finds it."""

    def leave(self) -> None:
        """Whoever waits for a server waits no longer, and nobody begins to until :meth:`close`."""

    def close(self) -> None:
        """The end of what is read now."""


class Batch(NamedTuple):
    """Images (n, C, H, W) uint8, and which they are, (n,) int64: another readable one in place of one that is not."""

    images: Tensor
    rows: Tensor


class Streamed(Elsewhere):
    """Images (N, C, H, W) uint8 of which each is a file in a shard."""

    _samples: Samples
    _first: int
    _shuffle: Shuffle
    _ahead: dict[tuple[int, int, int], Future[Batch]]
    _pool: ThreadPoolExecutor | None
    _unreadable: dict[int, str]
    _lock: Any
    hurry: Callable[[], bool]
    """Whether who waits for the next batch would rather not."""

    def __new__(
        cls, samples: Samples, shape: tuple[int, int, int], first: int = 0, count: int | None = None
    ) -> Self:
        """The images from ``first`` on, so many of them, decoded to ``shape`` (C, H, W)."""
        total = sum(samples.counts)
        count = total - first if count is None else count
        made = cls.of_shape(count, shape)
        made._samples, made._first = samples, first
        made._shuffle = Shuffle(_within(samples.counts, first, count), WINDOW)
        made._ahead, made._pool = {}, None
        made._unreadable, made._lock = {}, threading.Lock()
        made.hurry = bool
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Streamed(shape={tuple(self.shape)}, where={self._samples.where!r})"

    @property
    def fingerprint(self) -> str:
        """Of the whole set, and which of its images these are."""
        return f"{self._samples.fingerprint}:{self._first}:{len(self)}"

    @property
    def unreadable(self) -> dict[int, str]:
        """The images that could not be read so far, and why; as many as are told apart."""
        return self._unreadable

    def named(self, row: int) -> str:
        """What to call an image so that a person finds it."""
        return self._samples.named(self._first + row)

    def part(self, rows: slice | np.ndarray) -> Tensor:
        """Some of the images: still in their shards where they follow each other."""
        if isinstance(rows, slice):
            first, last, step = rows.indices(len(self))
            if step == 1:
                return Streamed(
                    self._samples, self._shape, self._first + first, max(0, last - first)
                )
            rows = np.arange(first, last, step)
        return self.read(rows)

    def read(self, rows: np.ndarray | slice = slice(None)) -> Tensor:
        """The images at these positions, (n, C, H, W) uint8 in memory; one that cannot be read is the next that can."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        rows = np.where(rows < 0, rows + len(self), rows)
        made = torch.empty((len(rows), *self._shape), dtype=torch.uint8)
        pieces = [rows[i : i + TOGETHER] for i in range(0, len(rows), TOGETHER)]
        if len(pieces) == 1:
            made[:] = self._decoded(rows).images
        else:
            for number, batch in enumerate(self._readers().map(self._decoded, pieces)):
                made[number * TOGETHER : number * TOGETHER + len(batch.rows)] = batch.images
        return made

    def only(self, row: int) -> Tensor | str:
        """The image at a position, (C, H, W) uint8; a text says why it cannot be read."""
        (content,) = self._samples.contents(np.array([row + self._first]))
        return fitted(content, self._shape)

    # ------------------------------------------------------------------ dealt in batches
    def order(self, seed: int, first: int, count: int) -> np.ndarray:
        """Which images come at positions ``first …`` of the endless shuffled sequence, (count,) int64."""
        return self._shuffle.rows(seed, first, count)

    def batch(self, seed: int, first: int, count: int) -> Batch:
        """The images at those positions, read now."""
        self._samples.coming(self._shuffle.shards(seed, first))
        return self._decoded(self.order(seed, first, count))

    def next_batch(self, seed: int, first: int, count: int, stride: int) -> Batch:
        """The same, while the batches that begin ``stride`` positions apart after it are being read. Raises ``DataError``."""
        wanted = (seed, first, count)
        ahead = [(seed, first + i * stride, count) for i in range(1, AHEAD + 1)]
        coming = self._ahead.pop(wanted, None)
        for key in [key for key in self._ahead if key not in ahead]:
            self._ahead.pop(key).cancel()
        pool = self._readers()
        if coming is None:
            coming = pool.submit(self.batch, *wanted)
        for key in ahead:
            if key not in self._ahead:
                self._ahead[key] = pool.submit(self.batch, *key)
        return self.waited(coming)

    def waited(self, coming: Future[Made]) -> Made:
        """What a thread that reads has made. Raises ``DataError`` where nobody wishes to wait for it any longer."""
        while True:
            done, _ = wait([coming], PULSE)
            if done:
                return coming.result()
            if self.hurry():
                raise DataError(f"{self._samples.where} is not waited for any longer.")

    def leave(self) -> None:
        """Waits for no server any longer; whoever reads in other threads ends soon."""
        self._samples.leave()

    def close(self) -> None:
        """Stops reading ahead."""
        self._samples.leave()
        for future in self._ahead.values():
            future.cancel()
        self._ahead.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        self._samples.close()

    # ------------------------------------------------------------------
    @property
    def _shape(self) -> tuple[int, int, int]:
        channels, height, width = self.shape[1:]
        return channels, height, width

    def _readers(self) -> ThreadPoolExecutor:
        if self._pool is None:
            # Pillow warns of odd metadata and of large images; the latter are refused
            warnings.filterwarnings("ignore", module=r"PIL\.")
            self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="stream")
        return self._pool

    def _decoded(self, rows: np.ndarray) -> Batch:
        """These images; each that cannot be read is the next one that can, by the set alone, whoever reads it."""
        contents = self._samples.contents(rows + self._first)
        images = torch.empty((len(rows), *self._shape), dtype=torch.uint8)
        taken = np.array(rows, np.int64)
        for place, content in enumerate(contents):
            made = fitted(content, self._shape)
            if isinstance(made, str):
                made, taken[place] = self._instead(int(rows[place]), made)
            images[place] = made
        return Batch(images, torch.from_numpy(taken))

    def _instead(self, row: int, why: str) -> tuple[Tensor, int]:
        for other in range(row + 1, row + 1 + min(IN_A_ROW, len(self))):
            self._note(row, why)
            row = other % len(self)
            (content,) = self._samples.contents(np.array([row + self._first]))
            made = fitted(content, self._shape)
            if not isinstance(made, str):
                return made, row
            why = made
        raise DataError(
            f"{self._samples.where}: {min(IN_A_ROW, len(self))} images one after another cannot be read, up to {self.named(row)} ({why}); "
            f"pack the set anew."
        )

    def _note(self, row: int, why: str) -> None:
        with self._lock:
            if len(self._unreadable) < NOTED:
                self._unreadable.setdefault(row, why)


def _within(counts: Sequence[int], first: int, count: int) -> tuple[int, ...]:
    """How many images of each shard are among ``count`` from ``first`` on."""
    ends = np.cumsum([0, *counts])
    low, high = np.clip(ends[:-1], first, first + count), np.clip(ends[1:], first, first + count)
    return tuple(int(n) for n in high - low)
