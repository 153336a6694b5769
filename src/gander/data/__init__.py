"""Images and the recorded facts about them, from a named source or from a path.

Every module directly in this package is a named source: the file name is the registry
(``stacked_mnist.py`` is ``stacked-mnist``), the first line of its docstring is its description,
and it defines ``load(split, size, limit) -> Data``. What reads paths, downloads and caches lives
in ``reading/``.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import pkgutil
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from gander.errors import DataError, choose

Sort = Literal["categorical", "continuous", "multilabel", "angle"]

SPLITS = ("train", "test", "all")
WRITTEN = re.compile(r"(.+):((train|test|all)(\[.*\])?)", re.DOTALL)
"""A source and a split of it, or some rows of one, as ``train[:50000]``."""
ELSEWHERE = re.compile(r"hf:|https?://")
ROWS = re.compile(r"\[(-?\d{1,15})?:(-?\d{1,15})?\]")
SMALLEST, LARGEST = 4, 512  # pixels a side that can be asked for
HASHED = (
    4096  # images hashed at once, so that those that stay in their file are never all in memory
)
MEASURED = 100_000
"""Images of a stream that a run is measured against: more would change no figure, and all of a hundred million would be read."""
LONGEST = 1000  # letters of a line of ``found``
CLASSES_NAMED = 12  # classes listed one by one in ``found``; beyond that only their number


@dataclass(frozen=True, eq=False)
class Column:
    """One recorded fact about every image.

    ``values`` is, by sort: categorical (N,) int64 with -1 for missing; continuous and angle
    (radians) (N,) float32 with NaN for missing; multilabel (N, M) float32 of 0 and 1, a row of NaN
    for missing. ``names`` are the class names of a categorical column, the label names of a
    multilabel one.
    """

    name: str
    sort: Sort
    values: Tensor
    names: tuple[str, ...] = ()

    @property
    def known(self) -> Tensor:
        """Which rows are recorded at all, (N,) bool."""
        if self.sort == "categorical":
            return self.values >= 0
        present = ~torch.isnan(self.values)
        return present.all(dim=1) if present.dim() == 2 else present


@dataclass(frozen=True, eq=False)
class Data:
    """A set of equally sized images, (N, C, H, W) uint8 with 1 to 4 channels, and their columns."""

    name: str
    """Short, for run names: ``mnist``, or the folder's name."""
    source: str
    """What :func:`load` was given, without the split."""
    split: str
    images: Tensor
    columns: dict[str, Column]
    label: str | None
    """The main label column: what ``given = "label"`` means; None when there is none."""
    found: tuple[str, ...]
    """Plain lines saying what was found, what was skipped and why, and what was held out."""
    factors: tuple[str, ...] = ()
    """Columns that are known causes of the image, for checking knobs against the truth."""

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.dim() != 4:
            raise ValueError(f"images must be (N, C, H, W) uint8, not {self.images.dtype}")
        for column in self.columns.values():
            if len(column.values) != len(self.images):
                raise ValueError(f"column {column.name!r} has {len(column.values)} rows")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width in pixels: (C, H, W)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over images, shape and columns: equal exactly when the data are."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        known = getattr(self.images, "fingerprint", None)
        if known is not None:  # of images that are streamed, and of their columns
            digest.update(repr((known, sorted(self.columns))).encode())
            return digest.hexdigest()
        for part in torch.split(self.images, HASHED):
            digest.update(part.contiguous().numpy().data)
        for name in sorted(self.columns):
            column = self.columns[name]
            described = (name, column.sort, column.names, tuple(column.values.shape))
            digest.update(repr(described).encode())
            digest.update(column.values.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def column(self, name: str) -> Column:
        """The column of that name; ``label`` also means the main label column."""
        if name in self.columns:
            return self.columns[name]
        if name == "label":
            if self.label is not None:
                return self.columns[self.label]
            raise DataError(
                f"{self.source!r} has no labels. Put the images of each class into a sub-folder "
                f"of its "
                f"own, or a labels.csv beside them; or train a preset that needs none (gan, "
                f"infogan)."
            )
        raise DataError(f"In {self.source!r}: {choose(name, self.columns, 'column')}")


def measured(data: Data) -> Data:
    """What a set is measured by: all of it, and of images that are read as they are needed at most so many, those of its first shards."""
    if len(data) <= MEASURED or not hasattr(data.images, "fingerprint"):
        return data
    line = f"measured by the first {MEASURED:,} of {len(data):,} images"
    return replace(taken(data, slice(MEASURED)), found=(*data.found, line))


def taken(data: Data, rows: Tensor | slice) -> Data:
    """The chosen rows of a set, images and columns alike."""
    columns = {n: replace(c, values=c.values[rows]) for n, c in data.columns.items()}
    return replace(data, images=data.images[rows], columns=columns)


def sources() -> dict[str, str]:
    """Every named source with its one-line description."""
    described = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.ispkg:
            text = (Path(__path__[0]) / f"{module.name}.py").read_text(encoding="utf-8")
            about = ast.get_docstring(ast.parse(text)) or ""
            described[module.name.replace("_", "-")] = about.partition("\n")[0]
    return dict(sorted(described.items()))


def load(
    spec: str,
    split: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    limit: int | None = None,
    links: bool = False,
) -> Data:
    """The images and columns of ``SRC`` or ``SRC:train``, ``SRC:test``, ``SRC:all``; of ``SRC:train[:50000]`` those rows.

    ``SRC`` is a named source, a path (folder, CSV, zip, npz, npy, IDX or tar file), an address or ``hf:NAME``; ``size`` is pixels a
    side and ``channels`` 1 to 4 (both detected when None), ``limit`` keeps the first so many
    images, ``links`` follows symbolic links that lead out of a folder. Raises :class:`DataError`.
    """
    source, written = parted(spec)
    split, bracket, inside = (split or written or "train").partition("[")
    if split not in SPLITS:
        raise DataError(choose(split, SPLITS, "split"))
    check_bounds(size=size, channels=channels, limit=limit)
    most = None if bracket else limit
    if is_named(source):
        module = importlib.import_module(f"gander.data.{source.replace('-', '_')}")
        data: Data = module.load(split, size, most)
    elif ELSEWHERE.match(source):
        data = _from_afar(source, split, size, channels)
    else:
        from gander.data.reading.path import read

        data = read(_existing(source), split, size, channels, most, links)
    if bracket:
        data = _rows(data, bracket + inside)
    return _finished(replace(data, source=source), size, channels, limit)


def _from_afar(source: str, split: str, size: int | None, channels: int | None) -> Data:
    """A set of the hub, or in shards on a server."""
    if source.startswith("hf:"):
        from gander.data.reading import hub

        return hub.read(source, split, size, channels)
    from gander.data.reading import fetching

    return fetching.read(source, split, size, channels)


def check_bounds(**asked: int | None) -> None:
    """Refuses a size, a number of channels or a limit that cannot be. Raises :class:`DataError`."""
    bounds = {"size": (SMALLEST, LARGEST), "channels": (1, 4), "limit": (1, None)}
    for what, number in asked.items():
        least, most = bounds[what]
        if number is not None and (number < least or (most is not None and number > most)):
            allowed = f"{least} to {most}" if most else f"{least} or more"
            raise DataError(f"{what} is {allowed} for data, given {number}; give it so.")


def _rows(data: Data, said: str) -> Data:
    """The rows that ``[FIRST:LAST]`` means, as Python counts them. Raises :class:`DataError` for those that are not there."""
    ends, count = ROWS.fullmatch(said), len(data)
    first, last = (int(end) if end else None for end in ends.groups()) if ends else (count, 0)
    chosen = slice(first, last).indices(count)
    there = all(end is None or -count <= end <= count for end in (first, last))
    if not ends or not there or chosen[0] >= chosen[1]:
        raise DataError(
            f"{data.split}{said} names no rows of the {count:,} there are; give for example {data.split}[:{max(1, count // 2)}] "
            f"for the first half, or {data.split}[-{max(1, count // 10)}:] for the last tenth."
        )
    line = f"images {chosen[0]:,} to {chosen[1] - 1:,} of {count:,} are used"
    part = taken(data, slice(*chosen[:2]))
    return replace(part, split=data.split + said, found=(*data.found, line))


def whole(spec: str) -> str:
    """The source of a specification, without the split it may name."""
    written = WRITTEN.fullmatch(spec)
    return written[1] if written else spec


def _finished(data: Data, size: int | None, channels: int | None, limit: int | None) -> Data:
    """The set as asked for, with its description in front of what the source had to say."""
    from gander.data.reading.pixels import converted, resized

    if limit is not None and len(data) > limit:
        data = replace(
            taken(data, slice(limit)), found=(*data.found, f"only the first {limit:,} are used")
        )
    images = data.images
    if size is not None and tuple(images.shape[2:]) != (size, size):
        images = resized(images, size)
    if channels is not None and images.shape[1] != channels:
        images = converted(images, channels)
    data = replace(data, images=images)
    # file names are foreign text: no line may break or steer a terminal
    lines = (_clipped(line) for line in (*_description(data), *data.found))
    return replace(data, found=tuple(lines))


def _clipped(line: str) -> str:
    """A line as it may be printed, not longer than a person reads."""
    whole = line if len(line) <= LONGEST else f"{line[: LONGEST - 4]} ..."
    return re.sub(r"[^ -~]", _printable, whole)


def _printable(character: re.Match[str]) -> str:
    return character[0] if character[0].isprintable() else "?"


def _description(data: Data) -> list[str]:
    """What the set holds, a line for the images and one for each column."""
    channels, height, width = data.shape
    meaning = {1: "gray", 2: "gray and alpha", 3: "colour", 4: "colour and alpha"}[channels]
    lines = [f"{len(data):,} images, {height} x {width} pixels, {channels} channels ({meaning})"]
    lines[0] = lines[0].replace("1 channels", "1 channel")
    for column in data.columns.values():
        role = ", the label" if column.name == data.label else ""
        line = f"{column.name} ({column.sort}{role}): {_values_in_words(column)}"
        missing = len(data) - int(column.known.sum())
        lines.append(line + (f"; missing in {missing:,}" if missing else ""))
    if data.label is None:
        lines.append("no label")
    return lines


def _values_in_words(column: Column) -> str:
    """The classes with their counts, or the range."""
    known = column.values[column.known]
    if column.sort == "categorical":
        counts = torch.bincount(known, minlength=len(column.names)).tolist()
        if len(column.names) > CLASSES_NAMED:
            return f"{len(column.names)} classes, {min(counts):,} to {max(counts):,} images each"
        listed = (f"{n} ({c:,})" for n, c in zip(column.names, counts, strict=True))
        return f"{len(column.names)} classes: {', '.join(listed)}"
    if column.sort == "multilabel":
        shares = known.mean(dim=0).tolist() if len(known) else [0.0] * len(column.names)
        listed = (f"{n} {p:.0%}" for n, p in zip(column.names, shares, strict=True))
        return f"{len(column.names)} labels: {', '.join(list(listed)[:CLASSES_NAMED])}"
    if not len(known):
        return "never recorded"
    return f"{known.min().item():.4g} to {known.max().item():.4g}"


def parted(spec: str) -> tuple[str, str | None]:
    """A specification as source and split (None when it names none). Raises :class:`DataError`."""
    if written := WRITTEN.fullmatch(spec):
        return written[1], written[2]
    source, colon, split = spec.rpartition(":")
    if not colon:
        return spec, None
    if (is_named(source) or _is_there(source)) and not _is_there(spec):
        raise DataError(f"In {spec!r}: {choose(split, SPLITS, 'split')}")
    return spec, None


def _is_there(path: str) -> bool:
    try:
        return bool(path) and Path(path).expanduser().exists()
    except OSError:  # a name too long, or a folder that nobody may look into
        return False


def is_named(source: str) -> bool:
    """Whether it is a named source, and no path."""
    return re.fullmatch(r"[a-z0-9-]+", source) is not None and source in sources()


def _existing(source: str) -> Path:
    """The path a source that is no name must be."""
    try:
        path = Path(source).expanduser()
        if source and path.exists():
            return path
    except RuntimeError:  # of a user who is not there
        pass
    except OSError as error:
        raise DataError(f"{source!r} cannot be looked at: {error.strerror}.") from None
    raise DataError(
        f"{choose(source, sources(), 'named data source')} There is no such file or folder either: give a folder of "
        f"images (one sub-folder for each class, or a labels.csv), a .csv, .zip, .npz, .npy or IDX file, tar shards, an "
        f"address (https://…/shards.json) or a set of the hub (hf:OWNER/NAME)."
    )
