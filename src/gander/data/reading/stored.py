"""Images that stay in their file: of a set larger than memory only the rows in hand are read."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gander.errors import DataError

STAYS = 256 << 20
"""Bytes of images from which on they stay in their file; fewer are held in memory, where a file that changes cannot reach them."""
CHUNK = 32 << 20
"""Bytes of images read at once where all of them are asked for."""
HELD = 8 << 30
"""Bytes of changed images, resized or in other channels, that are held in memory at most."""


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
    return images.part(rows) if isinstance(images, Stored) else images[torch.from_numpy(rows)]


def _ascending(rows: np.ndarray) -> bool:
    return bool((np.diff(rows) == 1).all())


class Stored(Tensor):
    """Images (N, C, H, W) uint8 that are a tensor to everybody else.

    Indexed by rows it reads these rows, a slice of it or a split is stored again; asked for anything else it reads all of
    its images into memory first, and is from then on no more than that.
    """

    _bytes: Bytes
    _chosen: np.ndarray
    _axes: tuple[int, int, int]
    _channels_last: bool

    def __new__(
        cls, source: Bytes, chosen: np.ndarray, axes: tuple[int, int, int], channels_last: bool
    ) -> Self:
        """``chosen`` are the numbers of its records (N,), ``axes`` a record's own shape: (H, W, C), or (C, H, W)."""
        shape = (axes[2], axes[0], axes[1]) if channels_last else axes
        made: Self = torch.empty(
            (len(chosen), *shape), dtype=torch.uint8, device="meta"
        ).as_subclass(cls)
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

    def changed(self, change: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Tensor:
        """What each image becomes, (N, *shape) uint8 in memory, made part by part. Raises ``DataError`` where it is too much."""
        size = len(self) * math.prod(shape)
        if size > HELD:
            raise DataError(
                f"{len(self):,} images of {' x '.join(map(str, shape))} would take {size:,} bytes of memory, at most "
                f"{HELD:,}; write the file at that size once, so that its images can stay where they are."
            )
        found = torch.empty((len(self), *shape), dtype=torch.uint8)
        step = max(1, CHUNK // self._bytes.size)
        for first in range(0, len(self), step):
            found[first : first + step] = change(self.read(slice(first, first + step)))
        return found

    def parts(self, count: int) -> Iterator[Stored]:
        """So many images at a time, still in the file."""
        return (self.part(slice(first, first + count)) for first in range(0, len(self), count))

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        first = args[0] if args else None
        if function in DESCRIBING:
            with torch._C.DisableTorchFunctionSubclass():
                return function(*args, **kwargs)
        if isinstance(first, Stored):
            if function == Tensor.device.__get__:
                return torch.device("cpu")
            if function == Tensor.__getitem__:
                return _indexed(first, args[1])
            if function in (torch.index_select, Tensor.index_select) and not kwargs and not args[1]:
                return first.read(args[2].cpu().numpy())
            whole = len(args) == 2 and isinstance(args[1], int) and not kwargs.get("dim")
            if function in (torch.split, Tensor.split) and whole:
                return tuple(first.parts(args[1]))
        return function(*_in_memory(args), **{k: _in_memory([v])[0] for k, v in kwargs.items()})


def _described(*names: str) -> frozenset[Callable[..., Any]]:
    """The functions behind attributes and methods that say what a tensor is without its content."""
    found = (getattr(Tensor, name) for name in names)
    return frozenset(one.__get__ if hasattr(type(one), "__set__") else one for one in found)


DESCRIBING = _described(
    "shape",
    "dtype",
    "ndim",
    "requires_grad",
    "dim",
    "size",
    "numel",
    "__len__",
    "element_size",
    "nbytes",
    "is_floating_point",
)


def _indexed(images: Stored, index: Any) -> Tensor:
    """What square brackets ask for: rows are read, a slice with step 1 or more stays in the file."""
    if isinstance(index, slice):
        return images.part(index)
    if isinstance(index, Tensor) and index.dim() == 1:
        if index.dtype == torch.bool:
            index = index.nonzero()[:, 0]
        return images.read(index.cpu().numpy())
    if isinstance(index, np.ndarray) and index.ndim == 1:
        return images.read(index)
    if isinstance(index, int):
        return images.read(np.array([index]))[0]
    if isinstance(index, list):
        return images.read(np.asarray(index))
    return images.read()[index]


def _in_memory(values: Sequence[Any]) -> list[Any]:
    """The same values with all stored images read."""
    found: list[Any] = []
    for value in values:
        if isinstance(value, Stored):
            found.append(value.read())
        elif isinstance(value, list | tuple) and any(isinstance(one, Stored) for one in value):
            found.append(type(value)(_in_memory(value)))
        else:
            found.append(value)
    return found
