"""Photographs of ten classes (Krizhevsky, 2009), 32 x 32 colour, 60,000; 170 MB to download."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

import numpy as np
import torch

from gander.data import Column, Data
from gander.data.reading.download import fetch
from gander.data.reading.places import cache_folder, own_folder
from gander.errors import DataError

URLS = ("https://www.cs.toronto.edu/~kriz",)
ARCHIVE = "cifar-10-binary.tar.gz"
CHECKSUM = {ARCHIVE: "md5:c32a1d4ab5d03f1284b67883e8d87530"}
FOLDER = "cifar-10-batches-bin"
BATCHES = {
    "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("test_batch.bin",),
}
IMAGES_PER_BATCH = 10_000
SHAPE = (3, 32, 32)
BYTES_PER_IMAGE = 1 + 3 * 32 * 32  # the class, then the red, green and blue planes
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def load(split: str, size: int | None, limit: int | None) -> Data:
    """The binary archive, or the folder unpacked from it; label column ``class``."""
    own = own_folder("cifar10")
    folder = own or fetch("cifar10", (ARCHIVE,), URLS, CHECKSUM, cache_folder() / "cifar10")
    wanted = [name for part in (BATCHES if split == "all" else (split,)) for name in BATCHES[part]]
    unpacked = next((f for f in (folder / FOLDER, folder) if (f / wanted[0]).is_file()), None)
    contents = _from_folder(unpacked, wanted) if unpacked else _from_archive(folder, wanted)
    records = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, BYTES_PER_IMAGE)
    labels = torch.from_numpy(records[:, 0].astype(np.int64))
    if int(labels.max()) >= len(CLASSES):
        raise DataError(f"The CIFAR-10 files in {folder} are damaged: a class above 9.")
    return Data(
        name="cifar10",
        source="cifar10",
        split=split,
        images=torch.from_numpy(records[:, 1:].reshape(-1, *SHAPE).copy()),
        columns={"class": Column("class", "categorical", labels, CLASSES)},
        label="class",
        found=(f"read from {unpacked or folder / ARCHIVE}",),
    )


def _from_folder(folder: Path, wanted: list[str]) -> list[bytes]:
    """The batches of an unpacked archive."""
    contents = []
    for name in wanted:
        path = folder / name
        if not path.is_file():
            raise DataError(f"{folder} lacks {name}.")
        _check(name, path.stat().st_size, folder)
        contents.append(path.read_bytes())
    return contents


def _from_archive(folder: Path, wanted: list[str]) -> list[bytes]:
    """The batches read in memory by their exact names: nothing is ever unpacked."""
    path = folder / ARCHIVE
    if not path.is_file():
        raise DataError(f"{folder} holds neither {ARCHIVE} nor {FOLDER}/.")
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = member.name.removeprefix(f"{FOLDER}/")
                if name in wanted and member.isreg() and name not in found:
                    _check(name, member.size, path)
                    file = archive.extractfile(member)
                    found[name] = file.read() if file else b""
                    _check(name, len(found[name]), path)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}") from None
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}.")
    return [found[name] for name in wanted]


def _check(name: str, size: int, where: Path) -> None:
    expected = IMAGES_PER_BATCH * BYTES_PER_IMAGE
    if size != expected:
        raise DataError(f"{name} in {where} has {size:,} bytes; {expected:,} expected.")
