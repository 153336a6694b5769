"""A folder or a zip of image files: class = sub-folder, a CSV for anything else."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from gander.data import Column, Data
from gander.data.reading import table
from gander.data.reading.pictures import decoded
from gander.data.reading.store import Folder, Store, Zip, natural, sifted
from gander.data.reading.walking import TO_ALLOW, leads_out
from gander.errors import DataError

SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "val", "valid", "validation"),
}
FEWEST_TO_SPLIT = 200  # images below which nothing is held out
TESTED = 10  # one in so many is the test split of a set without its own


@dataclass(frozen=True)
class Entry:
    """One image file: its name in the store, the path that tells its class, its part."""

    name: str
    key: str
    part: str  # "train", "test", or "other" for a second held-out folder


def read_folder(
    path: Path,
    split: str,
    size: int | None,
    channels: int | None,
    limit: int | None,
    links: bool = False,
) -> Data:
    """A folder, with a CSV inside or beside it; links that lead out of it are followed where ``links``."""
    return _read(*folder(path, links), split, size, channels, limit)


def folder(path: Path, links: bool = False) -> tuple[Store, table.Table | None]:
    """A folder's files, and the table beside it."""
    whole = path.resolve()
    beside = whole.parent / f"{whole.name}.csv"
    store = Folder(path, links)
    given = None
    if beside.is_file() and (links or not leads_out(beside)):
        given = table.read(beside)
    elif beside.is_file():
        store.notes.append(f"did not follow {beside.name}, a link to another folder ({TO_ALLOW})")
    return store, given


def read_csv(
    path: Path,
    split: str,
    size: int | None,
    channels: int | None,
    limit: int | None,
    links: bool = False,
) -> Data:
    """A CSV given by itself: the images it lists, and no others."""
    return _read(*named_in(path, links), split, size, channels, limit)


def named_in(path: Path, links: bool = False) -> tuple[Store, table.Table | None]:
    """The files that a table names, and the table."""
    given = table.read(path)
    store = Folder(path.parent, links)
    images, _, _ = sifted(store.names)
    rows, _ = table.matched(given, images, "")
    store.names = [name for name, row in zip(images, rows, strict=True) if row is not None]
    return store, given


def read_zip(
    path: Path, split: str, size: int | None, channels: int | None, limit: int | None
) -> Data:
    """A zip of the same layout, never unpacked."""
    with Zip(path) as store:
        return _read(store, None, split, size, channels, limit)


def tested(key: str) -> bool:
    """Whether a file or a position of a set without its own split is held out."""
    return (
        int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()) % TESTED
        == 0
    )


def held_out(keys: Sequence[str], split: str) -> tuple[list[int], str]:
    """The rows of a split of a set without its own, and a line saying what was held out."""
    rows, said = _parted(len(keys), (tested(key) for key in keys), split)
    return rows.tolist(), said


def held_out_rows(count: int, split: str) -> tuple[np.ndarray, str]:
    """The same for images that have a number and no name, rows (n,) int64: in no more memory than that."""
    return _parted(count, (tested(str(row)) for row in range(count)), split)


def _parted(count: int, held: Iterator[bool], split: str) -> tuple[np.ndarray, str]:
    if count < FEWEST_TO_SPLIT:
        same = "train, test and all are the same"
        said = f"nothing held out: with fewer than {FEWEST_TO_SPLIT} images {same}"
        return np.arange(count), said
    test = np.fromiter(held, bool, count)
    out = int(test.sum())
    said = f"held out as the test split: {out:,} of {count:,} images, by a hash of each name"
    if split == "all":
        return np.arange(count), said + "; here they are included"
    return np.flatnonzero(test if split == "test" else ~test), said


@dataclass(frozen=True)
class Listing:
    """What a folder or a zip holds before any image is decoded."""

    store: Store
    entries: list[Entry]
    own_splits: bool
    columns: dict[str, Column]
    """In the order of the entries."""
    label: str | None
    notes: tuple[str, ...]

    def chosen(self, split: str) -> tuple[list[int], str]:
        """The entries of a split, and a line that says how it came about."""
        return _chosen(self.entries, self.own_splits, split)


def listed(store: Store, beside: table.Table | None = None) -> Listing:
    """The images of a store and their columns. Raises :class:`DataError`."""
    images, tables, notes = sifted(store.names)
    if not images:
        seen = f" ({'; '.join([*store.notes, *notes])})" if store.notes or notes else ""
        raise DataError(
            f"{store.where} holds no images{seen}. Give a folder of image files in one sub-folder for each class, or of image files "
            f"with a labels.csv, or train/ and test/ folders of those; or an .npz or IDX file."
        )
    entries, own_splits = _entries(images)
    columns, label, said = _columns(store, entries, tables, beside)
    return Listing(store, entries, own_splits, columns, label, (*store.notes, *notes, *said))


def _read(
    store: Store,
    beside: table.Table | None,
    split: str,
    size: int | None,
    channels: int | None,
    limit: int | None,
) -> Data:
    listing = listed(store, beside)
    entries = listing.entries
    rows, line = listing.chosen(split)
    # Size and channels are detected over every split, so that train and test always agree.
    wanted = rows if limit is not None or (size and channels) else list(range(len(entries)))
    result = decoded(store, [entries[row].name for row in wanted], size, channels, limit)
    readable = [wanted[row] for row in result.rows]
    in_split = set(rows)
    kept = [position for position, row in enumerate(readable) if row in in_split]
    if not kept:
        raise DataError(f"{store.where}: the {split} split has no readable image.")
    order = torch.tensor([readable[position] for position in kept])
    if len(readable) < len(wanted) and limit is None and split != "test":
        _check_classes(store, listing, torch.tensor(rows), order)
    return Data(
        name="",
        source="",
        split=split,
        images=result.images if len(kept) == len(readable) else result.images[kept],
        columns={n: replace(c, values=c.values[order]) for n, c in listing.columns.items()},
        label=listing.label,
        found=(*listing.notes, line, *result.notes),
    )


def _check_classes(store: Store, listing: Listing, rows: torch.Tensor, read: torch.Tensor) -> None:
    """Refuses a set in which no image of some class can be read: nobody could learn it. Raises :class:`DataError`."""
    column = listing.columns.get("class")
    if column is None or column.sort != "categorical":
        return
    lost = sorted(set(column.values[rows].tolist()) - set(column.values[read].tolist()) - {-1})
    if lost:
        names = ", ".join(column.names[k] if column.names else str(k) for k in lost)
        raise DataError(
            f"{store.where}: no image of class {names} can be read. Repair or remove these images, or the class."
        )


def _entries(images: list[str]) -> tuple[list[Entry], bool]:
    """The images as entries, and whether they have a split of their own."""
    keys = _unwrapped(images)
    tops = {PurePosixPath(key).parts[0] for key in keys if "/" in key}
    lower = {top.lower(): top for top in tops}
    train = next((lower[name] for name in SPLIT_FOLDERS["train"] if name in lower), None)
    others = [lower[name] for name in SPLIT_FOLDERS["test"] if name in lower]
    if train is None or not others:
        return [Entry(n, k, "train") for n, k in zip(images, keys, strict=True)], False
    parts = {train: "train", others[0]: "test", **dict.fromkeys(others[1:], "other")}
    inside = [(n, *k.split("/", 1)) for n, k in zip(images, keys, strict=True) if "/" in k]
    known = [(name, top, rest) for name, top, rest in inside if top in parts]
    rests = _unwrapped([rest for _, _, rest in known])
    return [
        Entry(name, rest, parts[top]) for (name, top, _), rest in zip(known, rests, strict=True)
    ], True


def _unwrapped(names: list[str]) -> list[str]:
    """Names without the folders that all of them share: they tell nothing apart."""
    folders = [str(PurePosixPath(name).parent) for name in names]
    shared = os.path.commonpath(folders) if folders else "."
    if shared in ("", "."):
        return names
    return [name[len(shared) + 1 :] for name in names]


def _chosen(entries: list[Entry], own_splits: bool, split: str) -> tuple[list[int], str]:
    if not own_splits:
        return held_out([entry.key for entry in entries], split)
    counts = {
        part: sum(entry.part == part for entry in entries) for part in ("train", "test", "other")
    }
    said = f"its own split: {counts['train']:,} to train on, {counts['test']:,} to test"
    if counts["other"]:
        said += f", {counts['other']:,} in a further held-out folder (only in :all)"
    return [row for row, e in enumerate(entries) if split == "all" or e.part == split], said


def _columns(
    store: Store, entries: list[Entry], tables: list[str], beside: table.Table | None
) -> tuple[dict[str, Column], str | None, list[str]]:
    """The class of the sub-folders and the columns of a CSV, in the order of the entries."""
    columns: dict[str, Column] = {}
    notes: list[str] = []
    given, base = beside, ""
    if given is None and tables:
        name = _main_table(tables)
        if name is None:
            notes.append("several CSV files and none is named labels.csv: none was read")
        else:
            given = _table(store, name)
            base = str(PurePosixPath(name).parent).removeprefix(".")
    if given is not None:
        found, said = table.matched(given, [entry.name for entry in entries], base)
        columns, left_out = table.columns(given, found)
        notes += [*said, *left_out]
    classes = _class_column(entries)
    if classes is not None and "class" not in columns:
        columns = {"class": classes, **columns}
        loose = int((classes.values < 0).sum())
        if loose:
            notes.append(f"{loose:,} images lie outside the class folders: their class is missing")
    sorts = ("categorical", "continuous", "multilabel")
    label = next((c.name for sort in sorts for c in columns.values() if c.sort == sort), None)
    return columns, label, notes


def _table(store: Store, name: str) -> table.Table:
    """A CSV among the images. Raises :class:`DataError`."""
    where = f"{store.where}/{name}"
    if store.size(name) > table.LARGEST:
        raise DataError(f"{where} is refused: larger than {table.LARGEST >> 20} MiB.")
    try:
        return table.parsed(store.read(name), where)
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}.") from None


def _main_table(tables: list[str]) -> str | None:
    """The CSV to read: labels.csv, or the only one on the highest level that has any."""
    depth = min(name.count("/") for name in tables)
    highest = [name for name in tables if name.count("/") == depth]
    named = [name for name in highest if PurePosixPath(name).name.lower() == "labels.csv"]
    if named:
        return named[0]
    return highest[0] if len(highest) == 1 else None


def _class_column(entries: list[Entry]) -> Column | None:
    """The sub-folder of every image; None when there are not at least two."""
    folders = [str(PurePosixPath(entry.key).parent) for entry in entries]
    found = sorted(sorted(set(folders) - {"."}), key=natural)
    if len(found) < 2:
        return None
    codes = {name: code for code, name in enumerate(found)}
    values = torch.tensor([codes.get(folder, -1) for folder in folders])
    return Column("class", "categorical", values, tuple(_said(name) for name in found))


def _said(name: str) -> str:
    """The name of a folder as a class; bytes that are no UTF-8 are spelled out, since no file of text could hold them."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
