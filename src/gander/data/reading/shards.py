"""A set in shards: tar files of images, WebDataset's layout, with an index beside them that says where each image lies.

``shards.json`` names the shards of each split with their checksums, the columns and the size of the images. The index is arrays (``.npy``),
one entry an image: where its file begins in its shard, how long it is, and its columns. They are mapped, not read, so a set of any number of images
takes no memory to speak of.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, get_args

import numpy as np
import torch

from gander import strangers
from gander.data import LARGEST, SMALLEST, Column, Data, Sort
from gander.data.reading import npy
from gander.data.reading.places import write_whole
from gander.data.reading.store import LARGEST_FILE
from gander.data.reading.streamed import Streamed
from gander.errors import DataError

MANIFEST = "shards.json"
INDEX = "index"
"""The folder beside it."""
UNFINISHED = ".packing"
"""Lies beside shards that are still being packed."""
VERSION = 1
LARGEST_MANIFEST = 256 << 20  # bytes
OPEN = 64  # shards open at a time
AGAIN = 5
"""How often a shard is asked for that is gone before it is opened."""
LONGEST_NAME = 1000  # letters of a file or a column
TYPES: dict[Sort, str] = {
    "categorical": "<i8",
    "continuous": "<f4",
    "angle": "<f4",
    "multilabel": "<f4",
}
"""How the values of a column are written."""
HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class File:
    """One file of a set."""

    file: str
    bytes: int
    sha256: str
    """Empty for shards that gander did not pack and only looked through."""
    images: int = 0
    """Of a shard."""


@dataclass(frozen=True)
class Split:
    """The files of one split; ``index`` holds the places, the sizes and the columns, in this order."""

    images: int
    shards: tuple[File, ...]
    index: tuple[File, ...]


@dataclass(frozen=True)
class Manifest:
    """What ``shards.json`` says."""

    name: str
    shape: tuple[int, int, int]
    columns: tuple[Column, ...]
    """Without their values."""
    label: str | None
    factors: tuple[str, ...]
    splits: Mapping[str, Split]
    notes: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """As it is written."""
        said = {
            "gander_shards": VERSION,
            "name": self.name,
            "shape": list(self.shape),
            "label": self.label,
            "factors": list(self.factors),
            "columns": [
                {"name": c.name, "sort": c.sort, "names": list(c.names)} for c in self.columns
            ],
            "notes": list(self.notes),
            "splits": {
                name: {
                    "images": split.images,
                    "shards": [vars(file) for file in split.shards],
                    "index": [
                        {k: v for k, v in vars(file).items() if k != "images"}
                        for file in split.index
                    ],
                }
                for name, split in self.splits.items()
            },
        }
        return json.dumps(said, indent=1).encode()


def described(folder: Path, path: Path, images: int = 0, hashed: bool = True) -> File:
    """A file below a folder as its list names it; ``images`` of a shard."""
    digest = ""
    if hashed:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return File(path.relative_to(folder).as_posix(), path.stat().st_size, digest, images)


def write_index(
    folder: Path,
    split: str,
    offsets: np.ndarray,
    sizes: np.ndarray,
    columns: Iterable[tuple[Sort, np.ndarray]],
) -> tuple[File, ...]:
    """Writes where the images of a split lie, how long their files are and what is known of them, whole or not at all."""
    arrays = [("offset", offsets.astype("<u8")), ("size", sizes.astype("<u4"))]
    for number, (sort, values) in enumerate(columns):
        arrays.append((f"column{number}", values.astype(TYPES[sort])))
    return tuple(_write_array(folder, f"{split}-{name}.npy", made) for name, made in arrays)


def _write_array(folder: Path, name: str, made: np.ndarray) -> File:
    path = folder / INDEX / name
    write_whole(path, lambda file: np.lib.format.write_array(file, made, allow_pickle=False))
    return described(folder, path)


class Place(Protocol):
    """Where the files of a set are."""

    where: str

    def file(self, file: File) -> Path:
        """It on this machine, whole. Raises ``DataError``."""

    def coming(self, files: Sequence[File]) -> None:
        """These are needed now and soon."""

    def leave(self) -> None:
        """Whoever waits for a server waits no longer, and nobody begins to until :meth:`close`."""

    def close(self) -> None:
        """The end of what is needed now."""


class Here:
    """A set in a folder; the index may lie elsewhere."""

    def __init__(self, folder: Path, index: Path | None = None) -> None:
        self.where, self.folder, self.index = str(folder), folder, index or folder

    def file(self, file: File) -> Path:
        """Its path, once its size is what it should be."""
        path = (self.folder if file.images else self.index) / file.file
        try:
            size = path.stat().st_size
        except OSError as error:
            raise DataError(
                f"{path} cannot be read: {error.strerror}; pack the set anew."
            ) from None
        if size != file.bytes:
            raise DataError(
                f"{path} has {size:,} bytes and should have {file.bytes:,}: it is damaged or was exchanged; pack the set anew."
            )
        return path

    def coming(self, files: Sequence[File]) -> None:
        """They are here."""

    def leave(self) -> None:
        """Nobody waits."""

    def close(self) -> None:
        """Nobody waits."""


class Shards:
    """The image files of one split, or of several one after another, read where the index says they lie."""

    def __init__(self, place: Place, splits: Sequence[Split], fingerprint: str) -> None:
        self.place, self.where, self.fingerprint = place, place.where, fingerprint
        self.files = [file for split in splits for file in split.shards]
        self.counts = tuple(file.images for file in self.files)
        self._begins = np.cumsum([0, *self.counts])
        self._offsets = column(place, splits, 0, "<u8")
        self._sizes = column(place, splits, 1, "<u4")
        self._open: OrderedDict[int, int] = OrderedDict()
        self._lock = threading.Lock()

    def contents(self, rows: np.ndarray) -> list[bytes | str]:
        """The files of these images; a text says why one cannot be had. Raises ``DataError`` where a shard cannot."""
        shards = np.searchsorted(self._begins, rows, "right") - 1
        found: list[bytes | str] = []
        for row, shard in zip(rows.tolist(), shards.tolist(), strict=True):
            found.append(self._content(shard, int(self._offsets[row]), int(self._sizes[row])))
        return found

    def coming(self, shards: Sequence[int]) -> None:
        """These shards are read now and next."""
        self.place.coming([self.files[shard] for shard in shards])

    def named(self, row: int) -> str:
        """The shard of an image, and which of its images it is."""
        shard = int(np.searchsorted(self._begins, row, "right")) - 1
        return f"{self.files[shard].file}, image {row - int(self._begins[shard])}"

    def leave(self) -> None:
        """Waits for no server any longer."""
        self.place.leave()

    def close(self) -> None:
        """The end of what is read now."""
        self.place.close()

    def __del__(self) -> None:
        if os is not None:  # not at the very end
            for number in getattr(self, "_open", {}).values():
                os.close(number)

    def _content(self, shard: int, offset: int, size: int) -> bytes | str:
        if not 0 < size <= LARGEST_FILE:
            return f"{size:,} bytes"
        if offset + size > self.files[shard].bytes:
            return "its shard ends before it"
        try:
            with self._lock:  # so that nobody closes the file in between
                content = os.pread(self._number(shard), size, offset)
        except OSError as error:
            return error.strerror or str(error)
        return content if len(content) == size else "its shard ends before it"

    def _number(self, shard: int) -> int:
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        number = self._opened(self.files[shard])
        self._open[shard] = number
        if len(self._open) > OPEN:
            os.close(self._open.popitem(last=False)[1])
        return number

    def _opened(self, file: File) -> int:
        """A shard that is open. Raises ``DataError``: where a shard cannot be had its images are not passed over."""
        for left in reversed(range(AGAIN)):
            path = self.place.file(file)
            try:
                return os.open(path, os.O_RDONLY)
            except FileNotFoundError:  # another process made room just now
                if left:
                    continue
                raise DataError(f"{path} is gone again and again.") from None
            except OSError as error:
                raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
        raise AssertionError


def column(
    place: Place, splits: Sequence[Split], number: int, kind: str, wide: tuple[int, ...] = ()
) -> np.ndarray:
    """One array of the index, (images, *wide): mapped where it is one split's. Raises ``DataError``."""
    parts = [_mapped(place.file(s.index[number]), (s.images, *wide), kind) for s in splits]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _mapped(path: Path, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """An array in a file, read as it is looked at. Raises ``DataError`` for one that is not as it should be."""
    try:
        with strangers.opened(path) as file:
            said, size = npy.header(file), os.fstat(file.fileno()).st_size
            if said.shape != shape or said.dtype != np.dtype(kind) or said.is_fortran:
                raise ValueError(
                    f"it holds {said.shape} of {said.dtype} and should hold {shape} of {kind}"
                )
            if said.start + said.size > size:
                raise ValueError("it ends early")
            return np.memmap(file, said.dtype, "c", said.start, shape)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {str(error)[:160]}; pack the set anew.") from None


# ---------------------------------------------------------------------- reading a set
def read(
    place: Place, manifest: Manifest, split: str, size: int | None, channels: int | None
) -> Data:
    """One split of a set, decoded to ``size`` pixels a side and so many channels, its own unless told. Raises ``DataError``."""
    chosen, notes = _splits(place, manifest, split)
    own = manifest.shape
    shape = (channels or own[0], size or own[1], size or own[2])
    samples = Shards(place, chosen, hashlib.sha256(manifest.to_json() + split.encode()).hexdigest())
    if isinstance(place, Here):
        for shard in samples.files:  # all there, and as long as they should be
            place.file(shard)
    columns = {
        one.name: _column_of(place, chosen, number, one)
        for number, one in enumerate(manifest.columns, start=2)
    }
    counted = f"{len(samples.files):,} shards, read as they are needed"
    return Data(
        name=manifest.name,
        source=place.where,
        split=split,
        images=Streamed(samples, shape),
        columns=columns,
        label=manifest.label,
        found=(counted.replace("1 shards", "1 shard"), *manifest.notes, *notes),
        factors=manifest.factors,
    )


def _column_of(place: Place, splits: Sequence[Split], number: int, one: Column) -> Column:
    wide = (len(one.names),) if one.sort == "multilabel" else ()
    values = column(place, splits, number, TYPES[one.sort], wide)
    if one.sort == "categorical" and not (values.min() >= -1 and values.max() < len(one.names)):
        raise DataError(
            f"{place.where}: the column {one.name!r} holds classes that have no name; pack the set anew."
        )
    return Column(one.name, one.sort, torch.from_numpy(np.asarray(values)), one.names)


def _splits(place: Place, manifest: Manifest, split: str) -> tuple[list[Split], list[str]]:
    """The splits that are read for one that is asked for, and what there is to say of it."""
    have = manifest.splits
    if split in have:
        return [have[split]], []
    if split == "all":
        return list(have.values()), []
    if split == "test" and list(have) == ["train"]:
        return [have["train"]], ["nothing held out: train, test and all are the same"]
    raise DataError(
        f"{place.where} has the split {' and '.join(have)}, and {split} was asked for; give "
        f"{' or '.join(f'SRC:{name}' for name in have)}."
    )


# ---------------------------------------------------------------------- the manifest
def parsed(content: bytes, where: str) -> Manifest:
    """A manifest as it was written; whoever wrote it. Raises ``DataError``."""
    try:
        return _parsed(strangers.from_json(content))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{where} is no list of shards that can be read ({str(error)[:200]}); `gander data pack` and `gander data index` write one."
        ) from None


def _parsed(said: Any) -> Manifest:
    if said["gander_shards"] != VERSION:
        raise ValueError(f"its version is {str(said['gander_shards'])[:20]}, not {VERSION}")
    channels, height, width = (int(n) for n in said["shape"])
    if not (1 <= channels <= 4 and all(SMALLEST <= n <= LARGEST for n in (height, width))):
        raise ValueError(f"images of {channels} x {height} x {width} cannot be trained on")
    columns = tuple(_column(column) for column in said["columns"])
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        raise ValueError("two columns have one name")
    label = said["label"]
    if label is not None and label not in names:
        raise ValueError(f"its label {str(label)[:50]!r} is no column")
    splits = {str(n): _of_split(s, len(columns)) for n, s in said["splits"].items()}
    if not splits or not set(splits) <= {"train", "test", "all"}:
        raise ValueError("its splits are train, test or all, one at least")
    return Manifest(
        str(said["name"])[:100],
        (channels, height, width),
        columns,
        label,
        tuple(str(f) for f in said["factors"] if f in names),
        splits,
        tuple(str(note) for note in said["notes"]),
    )


def _column(said: Any) -> Column:
    sort = said["sort"]
    if sort not in get_args(Sort):
        raise ValueError(f"a column of sort {str(sort)[:50]!r}")
    # half a letter, as JSON may hold, could not be written down again
    names = tuple(str(name).encode("utf-8", "replace").decode() for name in said["names"])
    if not 0 < len(str(said["name"])) <= LONGEST_NAME or not str(said["name"]).isprintable():
        raise ValueError("a column without a name, or with one that cannot be printed")
    if (sort in ("categorical", "multilabel")) != bool(names):
        raise ValueError("classes and labels have names, numbers have none")
    return Column(str(said["name"]), sort, torch.empty(0), names)


def _of_split(said: Any, columns: int) -> Split:
    shards = tuple(_file(file, int(file["images"])) for file in said["shards"])
    index = tuple(_file(file, 0) for file in said["index"])
    images = sum(shard.images for shard in shards)
    if images != said["images"] or not images or any(shard.images < 1 for shard in shards):
        raise ValueError("its shards do not hold as many images as it says")
    if len(index) != 2 + columns:
        raise ValueError("its index does not fit its columns")
    return Split(images, shards, index)


def _file(said: Any, images: int) -> File:
    name, digest, size = str(said["file"]), str(said["sha256"]), int(said["bytes"])
    if not is_name(name):
        raise ValueError(f"a file named {name[:50]!r}")
    if digest and not HASH.fullmatch(digest):
        raise ValueError(f"a checksum {digest[:20]!r}")
    if size < 0:
        raise ValueError("a file of less than no bytes")
    return File(name, size, digest, images)


def is_name(name: str) -> bool:
    """Whether a file may be named so: it is inside its folder, on any system, and can be printed."""
    path = PurePosixPath(name)
    inside = bool(path.parts) and not path.is_absolute() and ".." not in path.parts
    return (
        inside and len(name) <= LONGEST_NAME and name.isprintable() and not set(":\\") & set(name)
    )


def check_name(name: str) -> None:
    """Refuses the name of a shard that no list may have. Raises ``DataError``."""
    if not is_name(name):
        raise DataError(f"a shard is named {name[:100]!r}; rename it to letters, digits, - and _.")


def is_packed(folder: Path) -> bool:
    """Whether a folder holds a set in shards with its list."""
    return (folder / MANIFEST).is_file()


def read_folder(folder: Path, split: str, size: int | None, channels: int | None) -> Data:
    """One split of a packed set in a folder. Raises ``DataError``."""
    path = folder / MANIFEST
    try:
        content = strangers.content(path, LARGEST_MANIFEST)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    return read(Here(folder), parsed(content, str(path)), split, size, channels)
