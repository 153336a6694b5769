"""A place that holds files under relative names: a folder, or a zip that is never unpacked."""

from __future__ import annotations

import io
import os
import posixpath
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Protocol, Self

from gander import strangers
from gander.data.reading.walking import walked, within
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
LARGEST_DIRECTORY = 512 << 20  # bytes of a zip's list of its members
MOST_MEMBERS = 2_000_000  # in a zip; each takes about half a kilobyte of memory
LISTED = b"PK\x01\x02"  # what each member in a zip's list begins with
HEAD = 30  # bytes before a member's name and content
NAMED = 100  # letters of a name that are said
MOST_OF_FEW = 1000
"""Images that are decoded to find the size and the channels of all."""


class Store(Protocol):
    """Files under relative names with forward slashes."""

    where: str
    names: list[str]
    notes: list[str]

    def size(self, name: str) -> int:
        """The bytes that reading a file would take; 0 where it would not be read."""
        ...

    def read(self, name: str) -> bytes:
        """The content of one file; raises OSError when it cannot be had."""
        ...


class Few:
    """Some images from all over a large set, by their numbers, as files that can be read."""

    def __init__(self, where: str, count: int, content: Callable[[int], bytes | str]) -> None:
        """``content`` is an image's file; a text says why it cannot be had."""
        self.where, self.notes = where, list[str]()
        self.names = [
            str(count * n // min(MOST_OF_FEW, count)) for n in range(min(MOST_OF_FEW, count))
        ]
        self._content = content

    def size(self, name: str) -> int:
        """Not known before it is read."""
        return 0

    def read(self, name: str) -> bytes:
        """Its content. Raises OSError."""
        content = self._content(int(name))
        if isinstance(content, str):
            raise OSError(content)
        return content


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts img2 before img10; of numbers without leading zeros the longer is the larger."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", text)
    whole = (p.lstrip("0") if p[0] in "0123456789" else None for p in pieces)
    return tuple(
        (1, 0, p) if n is None else (0, len(n), n) for p, n in zip(pieces, whole, strict=True)
    )


def is_image(name: str) -> bool:
    """Whether a name has the ending of an image."""
    return posixpath.splitext(name)[1].lower() in IMAGE_ENDINGS


def sifted(names: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Names as images and tables, both in natural order, and lines about what was ignored."""
    images, tables, ignored = [], [], Counter[str]()
    for name in sorted(names):  # 01 and 1 are one number, and two names
        parts = name.split("/")
        if any(part.startswith(".") or part.lower() in JUNK for part in parts):
            ignored["hidden or system"] += 1
        elif is_image(name):
            images.append(name)
        elif name.lower().endswith(".csv"):
            tables.append(name)
        else:
            ignored["not images by their ending"] += 1
    lines = [f"ignored {count:,} files: {why}" for why, count in ignored.items()]
    return sorted(images, key=natural), sorted(tables, key=natural), lines


def batches(store: Store, names: Sequence[str], files: int, most: int) -> Iterator[list[str]]:
    """The names in order, so many of them at a time that no more than ``most`` bytes are read at once (or one file)."""
    batch: list[str] = []
    size = 0
    for name in names:
        more = store.size(name)
        if batch and (len(batch) == files or size + more > most):
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += more
    if batch:
        yield batch


class Folder:
    """The plain files below a folder; links that lead out of it are followed only where that is allowed."""

    def __init__(self, root: Path, links: bool = False) -> None:
        self.root = root
        self.where = str(root)
        self.links = links
        self.real = os.path.realpath(root)
        walk = walked(root, links)
        self.names, self.notes = walk.names, walk.notes

    def size(self, name: str) -> int:
        """The bytes of one file."""
        try:
            size = os.stat(os.path.join(self.real, name)).st_size
        except OSError:
            return 0
        return size if size <= LARGEST_FILE else 0

    def read(self, name: str) -> bytes:
        """The content of one file, if it still lies where it may: the folder can change while it is read."""
        path = os.path.realpath(os.path.join(self.real, name))
        if not (self.links or within(path, self.real)):
            raise OSError("it has become a link out of the folder")
        return strangers.content(path, LARGEST_FILE, links=False)


class Listed(io.BufferedReader):
    """A zip as a file, which refuses to be read while its list of members is larger than any sound one."""

    directory = True  # until the list has been read

    def read(self, size: int | None = -1, /) -> bytes:
        """At most so many bytes. Raises ``BadZipFile`` before memory is taken for them or for what they list."""
        if not self.directory:
            return super().read(size)
        if size is not None and size > LARGEST_DIRECTORY:
            raise zipfile.BadZipFile(f"its list of members would take {size:,} bytes")
        found = super().read(size)
        if found.count(LISTED) > MOST_MEMBERS:
            raise zipfile.BadZipFile(f"it lists more than {MOST_MEMBERS:,} members")
        return found


def archive(path: Path) -> tuple[zipfile.ZipFile, Listed]:
    """A zip whose list of members is of sound size, and the file that it reads. Raises ``BadZipFile`` and OSError."""
    file = Listed(strangers.opened(path).detach())
    try:
        found = zipfile.ZipFile(file)
    except BaseException:
        file.close()
        raise
    file.directory = False
    return found, file


class Zip:
    """The files in a zip, read in memory one at a time."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self.notes: list[str] = []
        try:
            self.archive, self.file = archive(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError(f"{path} is not a readable zip: {error}") from None
        self.members: dict[str, zipfile.ZipInfo] = {}
        try:
            self._list()
            self._refuse_bomb()
        except BaseException:
            self.close()
            raise
        self.names = list(self.members)

    def _list(self) -> None:
        """Takes down the members that are files."""
        special = 0
        for info in self.archive.infolist():
            if info.filename.endswith("/"):
                continue
            if _is_special(info):
                special += 1
            else:
                self.members[self._safe(info)] = info
        if special:
            self.notes.append(f"left out {special:,} links and other things that are no files")

    def close(self) -> None:
        """Lets go of the file."""
        self.archive.close()
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        sort: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _refuse_bomb(self) -> None:
        """Few bytes that would become many: by packing, or because members share them."""
        infos = sorted(self.members.values(), key=lambda info: info.header_offset)
        end = 0
        for info in infos:
            if info.header_offset < end:
                name = info.filename[:NAMED]
                raise DataError(
                    f"{self.where} is refused: {name!r} in it overlaps another member, as in a zip bomb."
                )
            end = info.header_offset + HEAD + info.compress_size
        swollen = sum(info.file_size for info in infos)
        packed = sum(info.compress_size for info in infos)
        if swollen > LARGEST_SWOLLEN and swollen > PACKED_AT_MOST * max(packed, 1):
            raise DataError(
                f"{self.where} is refused: {packed:,} bytes would swell to {swollen:,}, as in a zip bomb."
            )

    def _safe(self, info: zipfile.ZipInfo) -> str:
        """The name of a member, refused when it is locked or points outside."""
        name = info.filename.replace("\\", "/")
        if info.flag_bits & 1:
            raise DataError(f"{self.where} is refused: {name[:NAMED]!r} in it is encrypted.")
        if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
            raise DataError(
                f"{self.where} is refused: the name {name[:NAMED]!r} in it leads outside."
            )
        return PurePosixPath(name).as_posix()

    def size(self, name: str) -> int:
        """The bytes one member says it holds."""
        size = self.members[name].file_size
        return size if size <= LARGEST_FILE else 0

    def read(self, name: str) -> bytes:
        """The content of one member, no more of it than it declares."""
        info = self.members[name]
        if info.file_size > LARGEST_FILE:
            raise OSError(f"larger than {LARGEST_FILE >> 20} MiB")
        # Of the other methods zipfile unpacks a whole piece at once, however much that becomes.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise OSError("packed by a method that is not read; pack it anew with deflate")
        try:
            with self.archive.open(info) as file:
                return file.read(info.file_size)
        except (
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            EOFError,
            RuntimeError,
            ValueError,
        ) as error:
            raise OSError(str(error)) from None


def _is_special(info: zipfile.ZipInfo) -> bool:
    """Whether a member is, on the machine that packed it, a link, a pipe or a device."""
    sort = stat.S_IFMT(info.external_attr >> 16)
    return info.create_system == 3 and sort not in (0, stat.S_IFREG)  # 3 is Unix
