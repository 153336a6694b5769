"""A place that holds files under relative names: a folder, or a zip that is never unpacked."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Protocol

from gander.errors import DataError

IMAGE_ENDINGS = frozenset(
    (
        ".png",
        ".apng",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".bmp",
        ".dib",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".ico",
        ".jp2",
        ".avif",
    )
)
JUNK = frozenset(("__macosx", "thumbs.db", "desktop.ini"))
LARGEST_FILE = 256 << 20  # bytes; nothing a small-image set needs is larger
PACKED_AT_MOST = 200  # times: images are packed already, so a zip that swells more is a bomb
LARGEST_SWOLLEN = 1 << 30  # bytes below which a zip may swell as it likes


class Store(Protocol):
    """Files under relative names with forward slashes."""

    where: str
    names: list[str]
    notes: list[str]

    def read(self, name: str) -> bytes:
        """The content of one file; raises OSError when it cannot be had."""
        ...


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts img2 before img10."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", text)
    return tuple((0, int(p), "") if p[0] in "0123456789" else (1, 0, p) for p in pieces)


def is_image(name: str) -> bool:
    """Whether a name has the ending of an image."""
    return PurePosixPath(name).suffix.lower() in IMAGE_ENDINGS


def sifted(names: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Names as images and tables, both in natural order, and lines about what was ignored."""
    images, tables, ignored = [], [], Counter[str]()
    for name in sorted(names, key=natural):
        parts = PurePosixPath(name).parts
        if any(part.startswith(".") or part.lower() in JUNK for part in parts):
            ignored["hidden or system"] += 1
        elif is_image(name):
            images.append(name)
        elif name.lower().endswith(".csv"):
            tables.append(name)
        else:
            ignored["not images by their ending"] += 1
    lines = [f"ignored {count:,} files: {why}" for why, count in ignored.items()]
    return images, tables, lines


class Folder:
    """The plain files below a folder; links that lead out of it are not followed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.where = str(root)
        self.names: list[str] = []
        self.notes: list[str] = []
        real, refused = root.resolve(), 0
        unreadable: list[OSError] = []
        for here, folders, files in os.walk(root, onerror=unreadable.append):
            linked = [one for one in folders if os.path.islink(os.path.join(here, one))]
            refused += len(linked)
            folders[:] = sorted(set(folders) - set(linked))
            for file in files:
                path = Path(here, file)
                if path.is_symlink() and not path.resolve().is_relative_to(real):
                    refused += 1
                elif path.is_file():
                    self.names.append(path.relative_to(root).as_posix())
        if refused:
            self.notes.append(f"did not follow {refused:,} links to folders or out of the folder")
        if unreadable:
            self.notes.append(f"could not look into {len(unreadable):,} folders: {unreadable[0]}")

    def read(self, name: str) -> bytes:
        """The content of one file."""
        path = self.root / name
        if path.stat().st_size > LARGEST_FILE:
            raise OSError(f"larger than {LARGEST_FILE >> 20} MiB")
        return path.read_bytes()


class Zip:
    """The files in a zip, read in memory one at a time."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self.notes: list[str] = []
        try:
            self.archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise DataError(f"{path} is not a readable zip: {error}") from None
        self.members = {}
        for info in self.archive.infolist():
            if not info.is_dir():
                self.members[self._safe(info)] = info
        swollen = sum(info.file_size for info in self.members.values())
        packed = sum(info.compress_size for info in self.members.values())
        if swollen > LARGEST_SWOLLEN and swollen > PACKED_AT_MOST * max(packed, 1):
            raise DataError(
                f"{path} is refused: {packed:,} bytes would swell to {swollen:,}, as in a zip bomb."
            )
        self.names = list(self.members)

    def _safe(self, info: zipfile.ZipInfo) -> str:
        """The name of a member, refused when it is locked or points outside."""
        name = info.filename.replace("\\", "/")
        if info.flag_bits & 1:
            raise DataError(f"{self.where} is refused: {name!r} in it is encrypted.")
        if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
            raise DataError(f"{self.where} is refused: the name {name!r} in it leads outside.")
        return PurePosixPath(name).as_posix()

    def read(self, name: str) -> bytes:
        """The content of one member, no more of it than it declares."""
        info = self.members[name]
        if info.file_size > LARGEST_FILE:
            raise OSError(f"larger than {LARGEST_FILE >> 20} MiB")
        try:
            with self.archive.open(info) as file:
                return file.read(info.file_size)
        except (
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            EOFError,
            RuntimeError,
        ) as error:
            raise OSError(str(error)) from None
