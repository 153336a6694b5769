"""An .npz: one array of images, and any arrays as long as it as columns; an .npy: the images alone."""

from __future__ import annotations

import lzma
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gander.data import Column, Data
from gander.data.reading import npy, store, stored
from gander.data.reading.store import natural
from gander.data.reading.stored import kept
from gander.data.reading.tree import held_out_rows
from gander.errors import DataError
from gander.strangers import check_plain

LABELS = ("label", "labels", "class", "target", "y")
MANY = 1000  # distinct whole numbers above which a column is a quantity
LARGEST = 16 << 30  # bytes in all arrays that are read into memory, together
NAME_AT = (
    26  # bytes into a member's own head, where the lengths of its name and of what follows stand
)
DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,
    RuntimeError,  # encrypted, or packed in a way that Python does not know
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What a damaged zip makes Python raise."""
PACKED_AT_MOST = 1100  # times: no honest deflate reaches it, and blank images come near


def read_npz(path: Path, split: str) -> Data:
    """``images`` (or the only image-like array), (N, H, W), (N, H, W, C) or (N, C, H, W) uint8."""
    arrays, notes = _arrays(path)
    return _read(path, arrays, notes, split)


def read_npy(path: Path, split: str) -> Data:
    """The images alone, of the same shapes."""
    try:
        check_plain(path)
        with path.open("rb") as file:
            found = npy.header(file)
            there = os.fstat(file.fileno()).st_size - found.start
            if found.size > there:
                raise ValueError(
                    f"its header claims {found.size:,} bytes of values, {there:,} are there"
                )
            if found.size > LARGEST and not _stays(found):
                raise DataError(
                    f"{path} holds {found.size:,} bytes, more than can be read at once."
                )
            array: np.ndarray = (
                np.memmap(path, np.uint8, "r", found.start, found.shape)
                if _stays(found)
                else npy.values(file, found)
            )
    except (OSError, ValueError, MemoryError):
        raise DataError(
            f"{path} cannot be read as an .npy: it is damaged, or of another kind. Write it again, as np.save({path.name!r}, images)."
        ) from None
    return _read(path, {"images": array}, [], split)


def _stays(found: npy.Header) -> bool:
    """Whether these are images, and so many that they stay in their file, where they lie as they do in memory."""
    plain = found.dtype == np.uint8 and not found.is_fortran
    return plain and len(found.shape) in (3, 4) and found.size >= stored.STAYS


def _read(path: Path, arrays: dict[str, np.ndarray], notes: list[str], split: str) -> Data:
    """A set of arrays of which one holds the images."""
    name = _images_name(path, arrays)
    images, line = _channels_first(path, arrays.pop(name))
    notes.append(line)
    rows, said = held_out_rows(len(images), split)
    chosen = torch.from_numpy(rows)
    columns: dict[str, Column] = {}
    for key, array in arrays.items():
        column = _column(key, array) if array.ndim and len(array) == len(images) else None
        if column is None:
            notes.append(f"array {key!r} {array.shape} was left out: not one fact an image")
        else:
            columns[key] = Column(key, column.sort, column.values[chosen], column.names)
    sorts = ("categorical", "continuous", "multilabel")
    label = next((k for k in LABELS if k in columns), None) or next(
        (c.name for sort in sorts for c in columns.values() if c.sort == sort), None
    )
    return Data(
        name="",
        source="",
        split=split,
        images=kept(images, rows),
        columns=columns,
        label=label,
        found=(*notes, said),
    )


def _arrays(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Every array in the file that needs no pickle, and lines on those that would."""
    arrays: dict[str, np.ndarray] = {}
    notes: list[str] = []
    try:
        archive, file = store.archive(path)
        with file, archive:
            staying = _staying(path, archive)
            members = [info for info in archive.infolist() if info.filename not in staying]
            sizes = [(info.file_size, info.compress_size) for info in members]
            swollen, packed = (sum(one) for one in zip(*sizes, strict=True)) if sizes else (0, 0)
            packed = min(packed, path.stat().st_size)  # what the list says of it is a claim too
            if swollen > LARGEST or swollen > PACKED_AT_MOST * max(packed, 1):
                raise DataError(f"{path} is refused: {packed:,} bytes would swell to {swollen:,}.")
            for info in archive.infolist():
                key = info.filename.removesuffix(".npy")
                if info.filename in staying:
                    arrays[key] = staying[info.filename]
                elif info.filename.endswith(".npy"):
                    _member(archive, info, key, arrays, notes)
    except DAMAGED:
        raise DataError(
            f"{path} cannot be read as an .npz: it is damaged, or of another kind. Write it again, as np.savez({path.name!r}, images=images)."
        ) from None
    return arrays, notes


def _member(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    key: str,
    arrays: dict[str, np.ndarray],
    notes: list[str],
) -> None:
    """Adds one array to those that were read, or a line on why it was not."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # others take as much memory as a few bytes of theirs ask for
        notes.append(f"array {key!r} is packed in a way numpy does not write and was left out")
        return
    with archive.open(info) as member:
        found = npy.header(member)
        if found.is_pickled:
            notes.append(f"array {key!r} holds pickled objects and was left out")
        elif found.dtype is None:
            notes.append(f"array {key!r} holds records and was left out")
        elif found.start + found.size > info.file_size:
            raise ValueError(f"array {key!r} claims {found.size:,} bytes, more than are there")
        else:
            arrays[key] = npy.values(member, found)


def _staying(path: Path, archive: zipfile.ZipFile) -> dict[str, np.memmap[Any, Any]]:
    """Member -> its images, not read: where they are many and lie in the file as they are in memory."""
    found = {}
    for info in archive.infolist():
        plain = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
        if not plain or info.file_size < stored.STAYS or not info.filename.endswith(".npy"):
            continue
        with archive.open(info) as member:
            header = npy.header(member)
        with path.open("rb") as file:
            file.seek(info.header_offset + NAME_AT)
            name, extra = struct.unpack("<HH", file.read(4))
        start = info.header_offset + NAME_AT + 4 + name + extra + header.start
        if _stays(header) and header.start + header.size == info.file_size:
            found[info.filename] = np.memmap(path, np.uint8, "r", start, header.shape)
    return found


def _images_name(path: Path, arrays: dict[str, np.ndarray]) -> str:
    """The name of the array that holds the images."""
    shaped = [k for k, a in arrays.items() if a.dtype == np.uint8 and a.ndim in (3, 4)]
    name = "images" if "images" in arrays else shaped[0] if len(shaped) == 1 else None
    if name is None:
        listed = ", ".join(f"{k} {a.dtype} {a.shape}" for k, a in arrays.items()) or "nothing"
        raise DataError(
            f"{path} must hold 'images', or just one uint8 array of (N, H, W), (N, H, W, C) or "
            f"(N, C, H, W); it holds {listed}."
        )
    images = arrays[name]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise DataError(
            f"{path}: {name!r} is {images.dtype} {images.shape}; it must be uint8 (0 to 255) of "
            f"(N, H, W), "
            f"(N, H, W, C) or (N, C, H, W), and not empty."
        )
    return name


def _channels_first(path: Path, images: np.ndarray) -> tuple[Tensor, str]:
    """Images as (N, C, H, W), and a line saying how they were understood."""
    last = False
    if images.ndim == 3:
        images, line = images[:, None], "images read as (N, H, W)"
    elif images.shape[3] <= 4:
        last, line = True, "images read as (N, H, W, C)"
    elif images.shape[1] <= 4:
        line = "images read as (N, C, H, W)"
    else:
        raise DataError(f"{path}: images of {images.shape} have no axis of 1 to 4 channels.")
    if isinstance(images, np.memmap):
        count, *axes = images.shape
        source = stored.Bytes(path, images.offset, count, math.prod(axes))
        one = (axes[0], axes[1], axes[2])
        return stored.Stored(source, stored.numbers(count), one, channels_last=last), line
    shown = images.transpose(0, 3, 1, 2) if last else images
    return torch.from_numpy(np.ascontiguousarray(shown)), line


def _column(name: str, array: np.ndarray) -> Column | None:
    """The column an array looks like: whole numbers and text are classes, 2-D 0/1 labels."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2:
        values = array.astype(np.float64) if array.dtype.kind in "biuf" else None
        if values is None or not np.isin(values[~np.isnan(values)], (0, 1)).all():
            return None
        values[np.isnan(values).any(axis=1)] = np.nan
        names = tuple(str(i) for i in range(array.shape[1]))
        return Column(name, "multilabel", torch.from_numpy(values).float(), names)
    if array.ndim != 1:
        return None
    if array.dtype.kind == "U":
        return _classes(name, array, natural_order=True)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # a number too large for 32 bits is as good as none
            values = array.astype(np.float32)
        values[~np.isfinite(values)] = np.nan
        return Column(name, "continuous", torch.from_numpy(values))
    if array.dtype.kind not in "biu":
        return None
    if len(np.unique(array)) > MANY:
        return Column(name, "continuous", torch.from_numpy(array.astype(np.float32)))
    return _classes(name, array.astype(np.int64), natural_order=False)


def _classes(name: str, array: np.ndarray, natural_order: bool) -> Column:
    """Distinct values as classes; empty text is missing, and so is -1 beside a class 0."""
    distinct = np.unique(array).tolist()
    missing = ("", -1) if 0 in distinct else ("",)
    kept = [value for value in distinct if value not in missing]
    if natural_order:
        kept.sort(key=natural)
    codes = {value: code for code, value in enumerate(kept)}
    meant = np.array([codes.get(value, -1) for value in distinct], np.int64)
    values = torch.from_numpy(meant[np.searchsorted(np.array(distinct), array)])
    return Column(name, "categorical", values, tuple(str(value) for value in kept))
