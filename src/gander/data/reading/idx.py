"""IDX files, the format of MNIST: a magic number, the sizes, then the values, perhaps gzipped."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from gander.data.reading.stored import STAYS, Bytes, Stored, numbers
from gander.errors import DataError
from gander.strangers import check_plain

GZIP = b"\x1f\x8b"
UNSIGNED_BYTES = 8
PACKED_AT_MOST = 1100  # times: no deflate reaches it
LARGEST = 4 << 30  # bytes of values read into memory; a header that claims more is not believed

CANONICAL = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def is_idx(path: Path) -> bool:
    """Whether a file is named as IDX files are."""
    return any(part in path.name for part in ("-idx1", "-idx3", ".idx1", ".idx3"))


def values(path: Path) -> np.ndarray:
    """The values in one IDX file of unsigned bytes, in its own shape, uint8."""
    try:
        check_plain(path)
        with path.open("rb") as plain:
            zipped = plain.read(2) == GZIP
            size = os.fstat(plain.fileno()).st_size
        with gzip.open(path) if zipped else path.open("rb") as file:
            shape = _shape(path, file)
            count = math.prod(shape)
            if count > LARGEST or count > size * (PACKED_AT_MOST if zipped else 1):
                raise DataError(
                    f"{path} claims {count:,} bytes of values, more than can be in a file of {size:,} bytes."
                )
            content = file.read(count + 1)
    except (OSError, EOFError, MemoryError, struct.error, zlib.error) as error:
        raise DataError(f"{path} cannot be read as an IDX file: {error}") from None
    if len(content) != count:
        cut = "ends early" if len(content) < count else "goes on after its last value"
        raise DataError(f"{path} is damaged: it {cut} ({count:,} bytes expected).")
    return np.frombuffer(content, np.uint8).reshape(shape).copy()


def _shape(path: Path, file: BinaryIO | gzip.GzipFile) -> tuple[int, ...]:
    """The sizes an IDX file of unsigned bytes begins with."""
    zeros, sort, sizes = struct.unpack(">HBB", file.read(4))
    if zeros or sort != UNSIGNED_BYTES or not 1 <= sizes <= 3:
        raise DataError(f"{path} is not an IDX file of unsigned bytes.")
    return struct.unpack(f">{sizes}I", file.read(4 * sizes))


def pictures(path: Path) -> Tensor:
    """The images in one IDX file, (N, 1, H, W) uint8; many that are not gzipped stay in the file."""
    stored = _stored(path)
    if stored is not None:
        return stored
    found = values(path)
    if found.ndim != 3:
        raise DataError(f"{path} holds values of {found.shape}, not images (N, H, W).")
    return torch.from_numpy(found)[:, None]


def _stored(path: Path) -> Stored | None:
    """The images of a file, not read; None where they are to be held in memory."""
    if not path.is_file() or path.stat().st_size < STAYS:
        return None
    with path.open("rb") as file:
        if file.read(2) == GZIP:
            return None
        file.seek(0)
        try:
            shape = _shape(path, file)
        except struct.error as error:
            raise DataError(f"{path} cannot be read as an IDX file: {error}") from None
        start = file.tell()
    if len(shape) != 3 or 0 in shape:
        return None
    if path.stat().st_size > start + math.prod(shape):
        raise DataError(f"{path} is damaged: it goes on after its last value.")
    source = Bytes(path, start, shape[0], shape[1] * shape[2])
    return Stored(source, numbers(shape[0]), (1, shape[1], shape[2]), channels_last=False)


def pair(images: Path, labels: Path) -> tuple[Tensor, np.ndarray]:
    """Images (N, 1, H, W) and their labels (N,), uint8."""
    shown, classes = pictures(images), values(labels)
    if classes.ndim != 1 or len(shown) != len(classes):
        raise DataError(
            f"{images.name} {tuple(shown.shape)} and {labels.name} {classes.shape} do not belong "
            f"together."
        )
    return shown, classes


def either(folder: Path, name: str) -> Path | None:
    """The file of that name in a folder, gzipped or not; None when neither is there."""
    for spelled in (name, name.replace("-idx", ".idx")):  # both are in circulation
        for path in (folder / f"{spelled}.gz", folder / spelled):
            if path.is_file():
                return path
    return None


def is_canonical(folder: Path) -> bool:
    """Whether a folder holds the four files that MNIST and its successors consist of."""
    names = (name for both in CANONICAL.values() for name in both)
    return all(either(folder, name) is not None for name in names)


def canonical(folder: Path, split: str) -> tuple[Tensor, np.ndarray]:
    """One split (``train``, ``test`` or ``all``) of the four files, images (N, 1, H, W) and labels (N,)."""
    parts = []
    for part in CANONICAL if split == "all" else (split,):
        files = []
        for name in CANONICAL[part]:
            path = either(folder, name)
            if path is None:
                raise DataError(f"{folder} lacks {name}.gz (unzipped would do as well).")
            files.append(path)
        parts.append(pair(files[0], files[1]))
    if len(parts) == 1:
        return parts[0]
    images, labels = zip(*parts, strict=True)
    return torch.cat(images), np.concatenate(labels)
