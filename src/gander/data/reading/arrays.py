"""An .npz: one array of images, and any arrays as long as it as columns."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from gander.data import Column, Data
from gander.data.reading.store import natural
from gander.data.reading.tree import held_out
from gander.errors import DataError

LABELS = ("label", "labels", "class", "target", "y")
MANY = 1000  # distinct whole numbers above which a column is a quantity
LARGEST = 16 << 30  # bytes in all arrays together
PACKED_AT_MOST = 1100  # times: no honest deflate reaches it, and blank images come near


def read_npz(path: Path, split: str) -> Data:
    """``images`` (or the only image-like array), (N, H, W), (N, H, W, C) or (N, C, H, W) uint8."""
    arrays, notes = _arrays(path)
    name = _images_name(path, arrays)
    images, line = _channels_first(path, arrays.pop(name))
    notes.append(line)
    rows, said = held_out([str(row) for row in range(len(images))], split)
    columns: dict[str, Column] = {}
    for key, array in arrays.items():
        column = _column(key, array) if array.ndim and len(array) == len(images) else None
        if column is None:
            notes.append(f"array {key!r} {array.shape} was left out: not one fact an image")
        else:
            columns[key] = Column(key, column.sort, column.values[rows], column.names)
    sorts = ("categorical", "continuous", "multilabel")
    label = next((k for k in LABELS if k in columns), None) or next(
        (c.name for sort in sorts for c in columns.values() if c.sort == sort), None
    )
    chosen = images if len(rows) == len(images) else images[rows]
    return Data(
        name="",
        source="",
        split=split,
        images=torch.from_numpy(np.ascontiguousarray(chosen)),
        columns=columns,
        label=label,
        found=(*notes, said),
    )


def _arrays(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Every array in the file that needs no pickle, and lines on those that would."""
    arrays, notes = {}, []
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = [(info.file_size, info.compress_size) for info in archive.infolist()]
        swollen, packed = (sum(one) for one in zip(*sizes, strict=True)) if sizes else (0, 0)
        if swollen > LARGEST or swollen > PACKED_AT_MOST * max(packed, 1):
            raise DataError(f"{path} is refused: {packed:,} bytes would swell to {swollen:,}.")
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            for key in file.files:
                try:
                    arrays[key] = np.asarray(file[key])
                except ValueError as error:
                    if "pickle" not in str(error):
                        raise
                    notes.append(f"array {key!r} holds pickled objects and was left out")
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read as an .npz: {error}") from None
    return arrays, notes


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


def _channels_first(path: Path, images: np.ndarray) -> tuple[np.ndarray, str]:
    """Images as (N, C, H, W), and a line saying how they were understood."""
    if images.ndim == 3:
        return images[:, None], "images read as (N, H, W)"
    if images.shape[3] <= 4:
        return images.transpose(0, 3, 1, 2), "images read as (N, H, W, C)"
    if images.shape[1] <= 4:
        return images, "images read as (N, C, H, W)"
    raise DataError(f"{path}: images of {images.shape} have no axis of 1 to 4 channels.")


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
        values = np.where(np.isfinite(array), array, np.nan).astype(np.float32)
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
    values = torch.tensor([codes.get(value, -1) for value in array.tolist()])
    return Column(name, "categorical", values, tuple(str(value) for value in kept))
