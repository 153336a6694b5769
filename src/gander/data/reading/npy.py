"""The header of an .npy array, read within limits: what it claims is held against what is there before memory is taken.

numpy's own reader evaluates the header as Python and believes it; a stranger's may nest ten thousand brackets, or claim an array larger
than any memory.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import IO

import numpy as np

MAGIC = b"\x93NUMPY"
LENGTHS = {1: "<H", 2: "<I", 3: "<I"}  # of the header, by the version of the format
LONGEST = 10_000  # bytes of a header
MOST_AXES = 32
SORT = re.compile(r"['\"]descr['\"]\s*:\s*['\"]([<>|=]?)([biufcSUVOmM?])(\d{0,9})[^'\"]*['\"]")
ORDER = re.compile(r"['\"]fortran_order['\"]\s*:\s*(True|False)")
SHAPE = re.compile(r"['\"]shape['\"]\s*:\s*\(([\dL,\s]*)\)")
LAST_LETTER = 0x10FFFF  # of Unicode


@dataclass(frozen=True)
class Header:
    """What an array says of itself."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[np.generic] | None
    """None for records, which are no column."""
    start: int
    """Bytes before the values."""

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * (self.dtype.itemsize if self.dtype is not None else 1)

    @property
    def is_pickled(self) -> bool:
        return self.dtype is not None and self.dtype.hasobject


def header(file: IO[bytes]) -> Header:
    """The header at the beginning of an array. Raises ``ValueError``."""
    begin = file.read(8)
    if len(begin) < 8 or begin[:6] != MAGIC or begin[6] not in LENGTHS:
        raise ValueError("it does not begin as an .npy array does")
    how = LENGTHS[begin[6]]
    told = file.read(struct.calcsize(how))
    if len(told) < struct.calcsize(how):
        raise ValueError("it ends within its header")
    length = struct.unpack(how, told)[0]
    if length > LONGEST:
        raise ValueError(f"its header claims {length:,} bytes, at most {LONGEST:,}")
    text = file.read(length).decode("latin-1")
    order, shape = ORDER.search(text), SHAPE.search(text)
    axes = [axis.strip().removesuffix("L") for axis in shape[1].split(",")] if shape else []
    axes = axes[:-1] if axes and not axes[-1] else axes
    if not order or not shape or len(axes) > MOST_AXES:
        raise ValueError("its header is not one of an .npy array")
    if any(not axis.isdecimal() or len(axis) > 18 for axis in axes):
        raise ValueError("its header claims a shape that no array can have")
    start = 8 + struct.calcsize(how) + length
    return Header(tuple(map(int, axes)), order[1] == "True", _dtype(text), start)


def _dtype(text: str) -> np.dtype[np.generic] | None:
    """The type of the values; None for records."""
    sort = SORT.search(text)
    if sort is None:
        if re.search(r"['\"]descr['\"]\s*:\s*[\[(]", text):
            return None
        raise ValueError("its header names no type of values")
    try:
        return np.dtype("".join(sort.groups()))
    except TypeError:
        raise ValueError(
            f"its header names a type of values that is none: {sort[0][:60]}"
        ) from None


def values(file: IO[bytes], found: Header) -> np.ndarray:
    """The values that follow a header. Raises ``ValueError`` where there are not so many."""
    content = file.read(found.size) if found.size else b""
    if found.dtype is None or len(content) != found.size:
        raise ValueError(f"it ends early: {len(content):,} of {found.size:,} bytes of values")
    if found.dtype.itemsize == 0:
        raise ValueError("its values have no size")
    array = np.frombuffer(content, found.dtype)
    if found.dtype.kind == "U" and len(content):
        letters = array.view(np.dtype(np.uint32).newbyteorder(found.dtype.byteorder))
        if letters.max() > LAST_LETTER:
            raise ValueError("it holds text of letters that do not exist")
    return array.reshape(found.shape, order="F" if found.is_fortran else "C").copy()
