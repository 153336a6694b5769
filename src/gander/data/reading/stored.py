"""Images that stay in their file: of a set larger than memory only the rows in hand are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gander.data.reading.elsewhere import CHUNK, Elsewhere
from gander.errors import DataError

STAYS = 256 << 20
"""Bytes of images from which on they stay in their file; fewer are held in memory, where a file that changes cannot reach them."""


class Bytes:
    """Records of one size in a file, beginning at byte ``start``; read by position, so memory holds what is asked for alone."""

    def __init__(self, path: Path, start: int, count: int, size: int) -> None:
        self.path, self.start, self.count, self.size = path, start, count, size
        self._number = os.open(path, os.O_RDONLY)
        if hasattr(
            os, "posix_fadvise"
        ):  # a shuffled batch has no use for what lies beside an image
            os.posix_fadvise(self._number, 0, 0, os.POSIX_FADV_RANDOM)
        if os.fstat(self._number).st_size < start + count * size:
            raise DataError(f"{path} is damaged: it ends before the last of its {count:,} images.")

    def __del__(self) -> None:
        if hasattr(self, "_number"):
            os.close(self._number)

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """The records of these numbers, (len(rows), size) uint8. Raises ``DataError`` where the file has become shorter."""
        if not len(rows):
            return np.empty((0, self.size), np.uint8)
        low, span = int(rows.min()), int(rows.max()) - int(rows.min()) + 1
        if span <= 2 * len(rows):  # close together: one reading serves all
            found = np.empty((span, self.size), np.uint8)
            self._read(memoryview(found.data).cast("B"), low)
            return found if span == len(rows) and _ascending(rows) else found[rows - low]
        found = np.empty((len(rows), self.size), np.uint8)
        view = memoryview(found.data).cast("B")
        for place, row in enumerate(rows.tolist()):
            self._read(view[place * self.size : (place + 1) * self.size], row)
        return found

    def _read(self, into: memoryview, row: int) -> None:
        done, first = 0, self.start + row * self.size
        while done < len(into):
            got = os.preadv(self._number, [into[done:]], first + done)
            if not got:
                raise DataError(f"{self.path} has become shorter while it was read; begin again.")
            done += got


def numbers(count: int) -> np.ndarray:
    """0 … count - 1, (count,), in four bytes each as long as that is enough."""
    return np.arange(count, dtype=np.uint32 if count < 2**32 else np.int64)


def kept(images: Tensor, rows: np.ndarray) -> Tensor:
    """The images at ascending rows (n,), still in their file if they were."""
    if len(rows) == len(images):
        return images
    return images.part(rows) if isinstance(images, Elsewhere) else images[torch.from_numpy(rows)]


def _ascending(rows: np.ndarray) -> bool:
    return bool((np.diff(rows) == 1).all())


class Stored(Elsewhere):
    """Images (N, C, H, W) uint8 in one file, found by their place in it."""

    _bytes: Bytes
    _chosen: np.ndarray
    _axes: tuple[int, int, int]
    _channels_last: bool

    def __new__(
        cls, source: Bytes, chosen: np.ndarray, axes: tuple[int, int, int], channels_last: bool
    ) -> Self:
        """``chosen`` are the numbers of its records (N,), ``axes`` a record's own shape: (H, W, C), or (C, H, W)."""
        shape = (axes[2], axes[0], axes[1]) if channels_last else axes
        made = cls.of_shape(len(chosen), shape)
        made._bytes, made._chosen, made._axes = source, chosen, axes
        made._channels_last = channels_last
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Stored(shape={tuple(self.shape)}, path={str(self._bytes.path)!r})"

    def part(self, rows: slice | np.ndarray) -> Stored:
        """Some of the images, still in the file."""
        return Stored(self._bytes, self._chosen[rows], self._axes, self._channels_last)

    def read(self, rows: np.ndarray | slice = slice(None)) -> Tensor:
        """The images at these positions, (n, C, H, W) uint8 in memory, contiguous."""
        chosen = self._chosen[rows].astype(np.int64)
        found = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        step = max(1, CHUNK // self._bytes.size)
        for first in range(0, len(chosen), step):
            part = self._bytes.rows(chosen[first : first + step]).reshape(-1, *self._axes)
            found[first : first + step] = (
                part.transpose(0, 3, 1, 2) if self._channels_last else part
            )
        return torch.from_numpy(found)
