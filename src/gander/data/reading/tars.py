"""Tar files that others have packed, WebDataset's layout, looked through once for where their images lie.

A sample is the files in a row that share a name up to its first dot: an image (``.png``, ``.jpg``, …), perhaps ``.cls``, the number of its class,
and ``.json``, a table of facts. What was found is kept as an index, so that the next look takes no time.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import torch

from gander import strangers
from gander.data import Column, Data
from gander.data.reading import pictures, shards
from gander.data.reading.members import Member, Torn, members
from gander.data.reading.places import cache_folder, writing
from gander.data.reading.shards import (
    MANIFEST,
    Here,
    Manifest,
    Split,
    check_name,
    described,
    write_index,
)
from gander.data.reading.store import IMAGE_ENDINGS, LARGEST_FILE, Few, natural
from gander.data.reading.tree import FEWEST_TO_SPLIT, SPLIT_FOLDERS, TESTED
from gander.errors import DataError
from gander.images import write

LARGEST_FACTS = 1 << 20  # bytes of a .json or .cls
MOST_TEXTS = 10_000  # different texts in a column; with more it only names
MANY = 100  # different whole numbers above which they are quantities
MOST_FACTS = 100  # columns
LONGEST_TEXT = 200  # letters of what may be a class; longer ones only name
NAMED = 5  # torn shards named one by one
PART = re.compile(r"([a-z]+)(?=[-_.\d])")


@dataclass
class Facts:
    """One column as it is gathered: numbers, or which of the texts that were met."""

    values: array[float]
    texts: dict[str, int] = field(default_factory=dict)
    numbers: bool = False
    whole: bool = True

    def add(self, value: Any) -> None:
        """The value of one more image; None and whatever is neither a number nor a text are missing."""
        if isinstance(value, bool | str):
            # cut, so that ten thousand captions take no room to speak of; a column of such is too varied to be kept
            text = str(value)[: LONGEST_TEXT + 1]
            if len(self.texts) <= MOST_TEXTS:
                self.values.append(self.texts.setdefault(text, len(self.texts)))
                return
        elif isinstance(value, int | float) and abs(value) < 1e30:
            self.numbers, self.whole = True, self.whole and value == int(value)
            self.values.append(value)
            return
        self.values.append(float("nan"))


@dataclass
class Found:
    """What was found in the shards, image by image."""

    offsets: array[int] = field(default_factory=lambda: array("Q"))
    sizes: array[int] = field(default_factory=lambda: array("Q"))
    facts: dict[str, Facts] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)
    without: int = 0
    """Samples that hold no image."""

    def add(self, sample: Sample) -> None:
        """One more image."""
        for name in sample.facts:
            if name not in self.facts and len(self.facts) < MOST_FACTS:
                self.facts[name] = Facts(array("d", [float("nan")]) * len(self.offsets))
        self.offsets.append(sample.offset)
        self.sizes.append(sample.size)
        for name, fact in self.facts.items():
            fact.add(sample.facts.get(name))


@dataclass
class Sample:
    """The files of one key."""

    key: str
    offset: int = 0
    size: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


def read(tars: Sequence[Path], split: str, size: int | None, channels: int | None) -> Data:
    """One split of the images in tar files. Raises ``DataError``."""
    root = tars[0].parent
    said = [(t.name, str(t.resolve()), t.stat().st_size, t.stat().st_mtime_ns) for t in tars]
    key = hashlib.sha256(repr(said).encode()).hexdigest()[:32]
    folder = cache_folder() / "shards" / key
    with writing(folder):
        if not (folder / MANIFEST).is_file():
            index(tars, folder, _name(tars))
    content = strangers.content(folder / MANIFEST, shards.LARGEST_MANIFEST)
    manifest = shards.parsed(content, str(folder / MANIFEST))
    return shards.read(Here(root, folder), manifest, split, size, channels)


def _name(tars: Sequence[Path]) -> str:
    whole = tars[0].resolve()
    found = whole.stem if len(tars) == 1 else whole.parent.name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", found).strip("-") or "shards"


def index(tars: Sequence[Path], folder: Path, name: str, hashed: bool = False) -> Manifest:
    """Looks through the shards and writes their list and index into a folder; with their checksums where they are ``hashed``.

    Raises ``DataError``.
    """
    found, torn = Found(), list[str]()
    for path in tars:
        check_name(path.name)
        before = len(found.offsets)
        for sample in _samples(path, torn):
            if sample.size:
                found.add(sample)
            else:
                found.without += 1
        found.counts.append(len(found.offsets) - before)
    if not found.offsets:
        raise DataError(
            f"{tars[0].parent}: the tar files hold no images; a sample is an image and, under the same name, perhaps .cls and .json."
        )
    columns = list(_columns(found))
    parts, notes = _parts(tars, found.counts)
    if found.without:
        notes.append(f"ignored {found.without:,} samples without an image")
    notes += torn[:NAMED] + ([f"{len(torn) - NAMED:,} more are torn"] if len(torn) > NAMED else [])
    splits = {}
    for split, rows in parts.items():
        chosen = np.concatenate([np.arange(low, high) for _, low, high in rows])
        files = write_index(
            folder,
            split,
            np.array(found.offsets, np.uint64)[chosen],
            np.array(found.sizes, np.uint64)[chosen],
            [(c.sort, c.values.numpy()[chosen]) for c in columns],
        )
        members = tuple(
            described(tars[number].parent, tars[number], high - low, hashed)
            for number, low, high in rows
        )
        splits[split] = Split(len(chosen), members, files)
    manifest = Manifest(
        name,
        _shape(tars, found),
        tuple(Column(c.name, c.sort, torch.empty(0), c.names) for c in columns),
        _label(columns),
        (),
        splits,
        tuple(notes),
    )
    write(folder / MANIFEST, manifest.to_json())
    return manifest


def _samples(path: Path, torn: list[str]) -> Iterator[Sample]:
    """The samples of one shard, in its order; ``torn`` is told where it cannot be read to its end. Raises ``DataError`` for what is no tar file."""
    sample, count = Sample(""), 0
    with strangers.opened(path) as file:
        try:
            for member in members(path, file):
                count += 1
                whole = PurePosixPath(member.name)
                base, _, ending = whole.name.partition(".")
                key = f"{whole.parent}/{base}"
                if key != sample.key:
                    if sample.key:
                        yield sample
                    sample = Sample(key)
                _take(file, member, f".{ending.lower()}", sample)
        except Torn as error:
            if not count:
                raise DataError(
                    f"{path} is not a tar file that can be read ({error}); shards are plain, packed by nothing "
                    f"(.tar, not .tar.gz), since images are read by their place in them."
                ) from None
            torn.append(
                f"{path.name} is torn after {count:,} files, and what comes then is not read: {error}"
            )
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    if sample.key:
        yield sample


def _take(file: IO[bytes], member: Member, ending: str, sample: Sample) -> None:
    """One file of a sample."""
    if f".{ending.rpartition('.')[2]}" in IMAGE_ENDINGS:
        if not sample.size and 0 < member.size <= LARGEST_FILE:
            sample.offset, sample.size = member.begin, member.size
        return
    if ending not in (".cls", ".json") or member.size > LARGEST_FACTS:
        return
    file.seek(member.begin)
    content = file.read(member.size)
    try:
        if ending == ".cls":
            sample.facts["class"] = int(content)
        else:
            said = strangers.from_json(content)
            if isinstance(said, dict):
                named = {k[:100]: v for k, v in said.items() if k and k[:100].isprintable()}
                sample.facts = named | sample.facts
    except ValueError:
        return  # what is said of it is missing


# ---------------------------------------------------------------------- what it means
def _columns(found: Found) -> Iterator[Column]:
    """The columns that steer something, as what they look like."""
    for name, fact in found.facts.items():
        values = np.array(fact.values)
        known = ~np.isnan(values)
        if (fact.numbers and fact.texts) or not known.any():
            continue  # neither numbers nor classes
        if fact.texts:
            longest = max(map(len, fact.texts))
            few = len(fact.texts) <= MOST_TEXTS and 2 * len(fact.texts) <= max(40, known.sum())
            if not few or longest > LONGEST_TEXT:
                continue  # it only names
            names = sorted(fact.texts, key=natural)
            place = np.empty(len(names), np.int64)
            place[[fact.texts[text] for text in names]] = np.arange(len(names))
            yield _classes(name, known, place[np.where(known, values, 0).astype(np.int64)], names)
            continue
        distinct = np.unique(values[known])
        if name == "class" and fact.whole and distinct.min() >= 0 and distinct.max() <= MOST_TEXTS:
            names = [str(i) for i in range(int(distinct.max()) + 1)]
            yield _classes(name, known, np.where(known, values, 0).astype(np.int64), names)
        elif fact.whole and len(distinct) <= MANY and 2 * len(distinct) <= known.sum():
            codes = np.searchsorted(distinct, np.where(known, values, distinct[0]))
            yield _classes(name, known, codes, [str(int(one)) for one in distinct])
        else:
            yield Column(name, "continuous", torch.from_numpy(values.astype(np.float32)))


def _classes(name: str, known: np.ndarray, codes: np.ndarray, names: Sequence[str]) -> Column:
    values = torch.from_numpy(np.where(known, codes, -1).astype(np.int64))
    return Column(name, "categorical", values, tuple(names))


def _label(columns: Sequence[Column]) -> str | None:
    """The class, or the first column that is one."""
    names = [column.name for column in columns if column.sort == "categorical"]
    return "class" if "class" in names else next(iter(names), None)


def _parts(
    tars: Sequence[Path], counts: Sequence[int]
) -> tuple[dict[str, list[tuple[int, int, int]]], list[str]]:
    """For each split its shards, as (number, first image, last image and one), and lines on how it came about."""
    ends = np.cumsum([0, *counts]).tolist()
    heads = [PART.match(path.name.lower()) for path in tars]
    own = [head[1] if head else "" for head in heads]
    sides = {side: [n for n, name in enumerate(own) if name in names and counts[n]]
             for side, names in SPLIT_FOLDERS.items()}  # fmt: skip
    if all(sides.values()):
        parts = {s: [(n, ends[n], ends[n + 1]) for n in held] for s, held in sides.items()}
        said = {side: sum(high - low for _, low, high in held) for side, held in parts.items()}
        left = len(tars) - sum(map(len, sides.values()))
        notes = [f"its own split: {said['train']:,} to train on, {said['test']:,} to test"]
        return parts, notes + ([f"{left:,} further shards are not read"] if left else [])
    whole = [(n, ends[n], ends[n + 1]) for n in range(len(tars)) if counts[n]]
    if ends[-1] < FEWEST_TO_SPLIT:
        return {"train": whole}, [f"nothing held out: fewer than {FEWEST_TO_SPLIT} images"]
    cuts = [(n, low, high - (high - low) // TESTED, high) for n, low, high in whole]
    parts = {
        "train": [(n, low, cut) for n, low, cut, _ in cuts],
        "test": [(n, cut, high) for n, _, cut, high in cuts if cut < high],
    }
    if not parts["test"]:
        return {"train": whole}, ["nothing held out: fewer than ten images in each shard"]
    out = sum(high - low for _, low, high in parts["test"])
    return parts, [f"held out as the test split: the last tenth of each shard, {out:,} images"]


def _shape(tars: Sequence[Path], found: Found) -> tuple[int, int, int]:
    """The size and channels of some images, as a folder of them would be given."""
    ends = np.cumsum([0, *found.counts])

    def content(row: int) -> bytes:
        with tars[int(np.searchsorted(ends, row, "right")) - 1].open("rb") as file:
            file.seek(found.offsets[row])
            return file.read(found.sizes[row])

    few = Few(str(tars[0].parent), len(found.offsets), content)
    return pictures.detected(few, few.names, None, None)
