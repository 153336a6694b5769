"""Images that are not in memory and are a tensor to everybody else: only the rows in hand are read."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gander.errors import DataError

CHUNK = 32 << 20
"""Bytes of images read at once where all of them are asked for."""
HELD = 8 << 30
"""Bytes of changed images, resized or in other channels, that are held in memory at most."""


class Elsewhere(Tensor):
    """Images (N, C, H, W) uint8 that lie in a file, in many or on a server.

    Indexed by rows it reads these rows, a slice of it is elsewhere again; asked for anything else it reads all of
    its images into memory first, and is from then on no more than that.
    """

    @classmethod
    def of_shape(cls, count: int, shape: tuple[int, ...]) -> Self:
        """So many images of a shape (C, H, W), without any content."""
        empty = torch.empty((count, *shape), dtype=torch.uint8, device="meta")
        made: Self = empty.as_subclass(cls)
        return made

    @abstractmethod
    def part(self, rows: slice | np.ndarray) -> Tensor:
        """Some of the images, still elsewhere if they can be."""

    @abstractmethod
    def read(self, rows: np.ndarray | slice = slice(None)) -> Tensor:
        """The images at these positions, (n, C, H, W) uint8 in memory, contiguous."""

    def changed(self, change: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Tensor:
        """What each image becomes, (N, *shape) uint8 in memory, made part by part. Raises ``DataError`` where it is too much."""
        size = len(self) * math.prod(shape)
        if size > HELD:
            raise DataError(
                f"{len(self):,} images of {' x '.join(map(str, shape))} would take {size:,} bytes of memory, at most "
                f"{HELD:,}; write the file at that size once, so that its images can stay where they are."
            )
        found = torch.empty((len(self), *shape), dtype=torch.uint8)
        step = max(1, CHUNK // math.prod(self.shape[1:]))
        for first in range(0, len(self), step):
            found[first : first + step] = change(self.read(slice(first, first + step)))
        return found

    def parts(self, count: int) -> Iterator[Tensor]:
        """So many images at a time, still elsewhere."""
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
        if isinstance(first, Elsewhere):
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


def _indexed(images: Elsewhere, index: Any) -> Tensor:
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
        if isinstance(value, Elsewhere):
            found.append(value.read())
        elif isinstance(value, list | tuple) and any(isinstance(one, Elsewhere) for one in value):
            found.append(type(value)(_in_memory(value)))
        else:
            found.append(value)
    return found
