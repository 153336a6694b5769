"""The packing job: any images to shards, tar files that are read as they are needed, however many there are.

The images are shuffled once, so that any few shards are a fair sample, and written as PNG at the size they are trained at. What is written
depends on the source alone: packed twice, a set has the same bytes. It counts once its list is written, which is last.
"""

from __future__ import annotations

import io
import json
import math
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from gander import data as sources
from gander import rng
from gander.data import Column, Data
from gander.data.reading import path as reading
from gander.data.reading import pictures, tars, tree
from gander.data.reading.places import write_whole
from gander.data.reading.shards import (
    INDEX,
    MANIFEST,
    UNFINISHED,
    Manifest,
    Split,
    described,
    write_index,
)
from gander.data.reading.store import natural
from gander.data.reading.streamed import Streamed
from gander.errors import DataError
from gander.images import picture, write

EACH = 10_000
"""Images of a shard, unless told."""
MOST = 1_000_000  # of one shard
TOGETHER = 1024  # images in hand
NAMED = 5  # unreadable files said one by one
HEAD = 512  # bytes before a file in a tar
LEFT = re.compile(
    r"(train|test|all)-(\d{6,}\.tar|(offset|size|column\d+)\.npy)"
    rf"|\.((train|test|all)-|{re.escape(MANIFEST)}|{re.escape(UNFINISHED)}).*\.part"
)
"""The files that a packing writes before it is done."""
Tell = Callable[[str], None]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Feed:
    """The images of one split before they are packed."""

    name: str
    split: str
    columns: dict[str, Column]
    label: str | None
    factors: tuple[str, ...]
    notes: tuple[str, ...]
    count: int
    images: Callable[[np.ndarray, Shape], Iterator[Tensor | str]]
    """Those at some rows, one after another, (C, H, W) uint8 of a shape; a text says why one cannot be read."""


def pack(
    source: str,
    out: str | Path,
    *,
    size: int | None = None,
    channels: int | None = None,
    each: int = EACH,
    links: bool = False,
    tell: Tell = print,
) -> Path:
    """Writes the images of ``source`` and what is known of them as shards into the folder ``out``, and returns their list.

    ``SRC:train`` packs one split, ``SRC`` all there are. ``size`` is pixels a side and ``channels`` 1 to 4, both detected unless told; ``each`` is
    images of a shard. What cannot be read is left out and said. Raises ``DataError``.
    """
    folder = _room(Path(out).expanduser(), each)
    feeds, shape = _feeds(source, size, channels, links)
    _clear(folder)
    write(folder / UNFINISHED, b"")
    splits = {feed.split: _write_split(folder, feed, shape, each, tell) for feed in feeds}
    first = feeds[0]
    columns = tuple(replace(c, values=torch.empty(0)) for c in first.columns.values())
    manifest = Manifest(first.name, shape, columns, first.label, first.factors, splits, first.notes)
    write(folder / MANIFEST, manifest.to_json())
    (folder / UNFINISHED).unlink()
    return folder / MANIFEST


def index(folder: str | Path) -> Path:
    """Writes the list of the tar files in a folder, with checksums, into it, and returns it. Raises ``DataError``."""
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise DataError(f"{folder} is no folder; give the one the .tar files are in.")
    found = sorted((p for p in place.glob("*.tar") if p.is_file()), key=lambda p: natural(p.name))
    if not found:
        raise DataError(
            f"{folder} holds no .tar files; `gander data pack` makes some of other images."
        )
    if (place / MANIFEST).exists():
        raise DataError(
            f"{folder} has its {MANIFEST} already; remove it to look through the shards again."
        )
    tars.index(found, place, reading.short(place), hashed=True)
    return place / MANIFEST


def _room(folder: Path, each: int) -> Path:
    """The folder, if nothing is in it but what an interrupted packing has left."""
    if not 1 <= each <= MOST:
        raise DataError(
            f"--each is from 1 to {MOST:,} images of a shard, given {each:,}; give so many, as --each {EACH}."
        )
    if (folder / MANIFEST).exists():
        raise DataError(
            f"{folder} holds a packed set already; give another --out, or remove it first."
        )
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; give a new folder, as --out shards.")
    names = [path.name for path in folder.glob("*")]
    strange = names if UNFINISHED not in names else []
    strange = [n for n in strange if not LEFT.fullmatch(n) or not n.startswith(f".{UNFINISHED}")]
    if strange:
        raise DataError(
            f"{folder} is not empty (there is {sorted(strange)[0]}); give a new folder, as --out shards."
        )
    return folder


def _clear(folder: Path) -> None:
    """Removes what a packing that was cut, or killed, has left, so that nothing of it is served with the new one."""
    for path in [*folder.glob("*"), *(folder / INDEX).glob("*")]:
        if LEFT.fullmatch(path.name):
            path.unlink()


# ---------------------------------------------------------------------- what is packed
def _feeds(
    source: str, size: int | None, channels: int | None, links: bool
) -> tuple[list[Feed], Shape]:
    """The splits of a source, and the shape that all images are given."""
    path, asked = sources.parted(source)
    if asked and "[" in asked:
        raise DataError(
            f"{source!r}: whole splits are packed; give {path}:{asked.partition('[')[0]}."
        )
    sources.check_bounds(size=size, channels=channels)
    if not sources.is_named(path) and (listing := reading.listing(path, links)) is not None:
        return _from_files(listing, reading.short(Path(path)), asked, size, channels)
    wanted = [asked] if asked else ["train", "test"]
    loaded = [
        sources.load(path, split, size=size, channels=channels, links=links) for split in wanted
    ]
    if len(loaded) == 2 and loaded[0].fingerprint == loaded[1].fingerprint:
        del loaded[1]  # too few to hold any out
    return [_from_tensor(data) for data in loaded], loaded[0].shape


def _from_files(
    listing: tree.Listing, name: str, asked: str | None, size: int | None, channels: int | None
) -> tuple[list[Feed], Shape]:
    """Image files, of which few are ever in memory: they are looked through for their size first, unless it is told."""
    names = [entry.name for entry in listing.entries]
    if size and channels:
        shape = (channels, size, size)
    else:
        shape = pictures.detected(listing.store, names, size, channels)
    feeds: list[Feed] = []
    for split in [asked] if asked else ["train", "test"]:
        rows, line = listing.chosen(split)
        if feeds and len(rows) == feeds[0].count == len(names):
            break  # too few to hold any out
        order = torch.tensor(rows)
        feeds.append(
            Feed(
                name,
                split,
                {n: replace(c, values=c.values[order]) for n, c in listing.columns.items()},
                listing.label,
                (),
                (line,),
                len(rows),
                partial(_of_files, listing, names, np.array(rows)),
            )
        )
    return feeds, shape


def _of_files(
    listing: tree.Listing, names: list[str], own: np.ndarray, rows: np.ndarray, shape: Shape
) -> Iterator[Tensor | str]:
    chosen = [names[row] for row in own[rows]]
    for name, made in zip(chosen, pictures.each(listing.store, chosen, shape), strict=True):
        yield f"{name}: {made}" if isinstance(made, str) else made


def _from_tensor(data: Data) -> Feed:
    return Feed(
        data.name,
        data.split.partition("[")[0],
        data.columns,
        data.label,
        data.factors,
        (),
        len(data),
        partial(_of_tensor, data.images),
    )


def _of_tensor(images: Tensor, rows: np.ndarray, shape: Shape) -> Iterator[Tensor | str]:
    if isinstance(images, Streamed):
        yield from _of_stream(images, rows)
        return
    for first in range(0, len(rows), TOGETHER):
        yield from images[torch.from_numpy(rows[first : first + TOGETHER])]


def _of_stream(images: Streamed, rows: np.ndarray) -> Iterator[Tensor | str]:
    """What cannot be read of a stream is left out as well, and nothing taken in its place."""
    for row in rows.tolist():
        made = images.only(row)
        yield f"{images.named(row)}: {made}" if isinstance(made, str) else made


# ---------------------------------------------------------------------- what is written
def _write_split(folder: Path, feed: Feed, shape: Shape, each: int, tell: Tell) -> Split:
    """The shards and the index of one split."""
    order = rng.permutation(0, f"pack/{feed.split}", 0, feed.count)
    count = math.ceil(feed.count / each)
    shards, kept, skipped = [], [np.empty(0, np.int64)], []
    offsets, sizes = [np.empty(0, np.uint64)], [np.empty(0, np.uint32)]
    for number in range(count):
        # all of one length, so that each is as fair a sample as another
        rows = order[number * feed.count // count : (number + 1) * feed.count // count]
        written = Written(feed, rows, shape)
        path = folder / f"{feed.split}-{number:06d}.tar"
        write_whole(path, written.write)
        skipped += written.skipped
        if not written.rows:
            path.unlink()
            continue
        shards.append(described(folder, path, len(written.rows)))
        kept.append(np.array(written.rows))
        offsets.append(np.array(written.offsets, np.uint64))
        sizes.append(np.array(written.sizes, np.uint32))
        tell(f"{path}: {len(written.rows):,} images, {shards[-1].bytes:,} bytes")
    if skipped:
        more = f" and {len(skipped) - NAMED:,} more" if len(skipped) > NAMED else ""
        tell(f"left out {len(skipped):,} unreadable images: {'; '.join(skipped[:NAMED])}{more}")
    chosen = torch.from_numpy(np.concatenate(kept))
    if not len(chosen):
        raise DataError(f"the {feed.split} split of {feed.name} has no readable image.")
    columns = [(c.sort, c.values[chosen].numpy()) for c in feed.columns.values()]
    index = write_index(folder, feed.split, np.concatenate(offsets), np.concatenate(sizes), columns)
    return Split(len(chosen), tuple(shards), index)


@dataclass
class Written:
    """The images of one shard as they are written, and where each lies."""

    feed: Feed
    chosen: np.ndarray
    shape: Shape

    def __post_init__(self) -> None:
        self.rows: list[int] = []
        self.offsets: list[int] = []
        self.sizes: list[int] = []
        self.skipped: list[str] = []

    def write(self, file: IO[bytes]) -> None:
        """All of them into a file."""
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            feed = self.feed.images(self.chosen, self.shape)
            for row, image in zip(self.chosen.tolist(), feed, strict=True):
                if isinstance(image, str):
                    self.skipped.append(image)
                else:
                    self._add(archive, row, image)

    def _add(self, archive: tarfile.TarFile, row: int, image: Tensor) -> None:
        key, buffer = f"{len(self.rows):07d}", io.BytesIO()
        picture(image).save(buffer, "PNG", compress_level=4)
        content = buffer.getvalue()
        self.rows.append(row)
        self.offsets.append(archive.offset + HEAD)
        self.sizes.append(len(content))
        _member(archive, f"{key}.png", content)
        label = self.feed.columns[self.feed.label] if self.feed.label else None
        said = {name: _said(column, row) for name, column in self.feed.columns.items()}
        if label is not None and label.sort == "categorical" and label.values[row] >= 0:
            _member(archive, f"{key}.cls", str(int(label.values[row])).encode())
            said.pop(label.name)
        if said:
            _member(archive, f"{key}.json", json.dumps(said).encode())


def _member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    head = tarfile.TarInfo(name)
    head.size = len(content)
    archive.addfile(head, io.BytesIO(content))


def _said(column: Column, row: int) -> object:
    """One value as others read it: a class by its name, labels as a list, what is missing as null."""
    value = column.values[row]
    if bool((value < 0) if column.sort == "categorical" else value.isnan().any()):
        return None
    if column.sort == "categorical":
        return column.names[int(value)]
    if column.sort == "multilabel":
        return [name for name, has in zip(column.names, value.tolist(), strict=True) if has]
    return float(value)
