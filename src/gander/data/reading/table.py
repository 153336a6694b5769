"""What a CSV says about image files: one row an image, one column a fact."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from gander import strangers
from gander.data import Column
from gander.data.reading import store
from gander.data.reading.store import is_image, natural
from gander.errors import DataError

FILE_HEADERS = ("file", "filename", "file_name", "image", "path")
MISSING = ("", "nan")
MANY = 100  # distinct whole numbers above which a column is a quantity
SEPARATORS = ";|"
NAMED = 3
LARGEST = 128 << 20  # bytes of a CSV
MOST_CELLS = 20_000_000  # rows times headers; each takes some sixty bytes of memory
MOST_HEADERS = 10_000  # and labels of a multilabel column
DIGITS = 300  # of a whole number
MOST_MARKS = (
    100_000_000  # images times columns, or times the labels of one: four to eight bytes each
)


@dataclass(frozen=True)
class Table:
    """The header and the rows of a CSV; ``key`` is the header of the file names."""

    where: str
    key: str
    headers: tuple[str, ...]
    rows: list[dict[str, str]]
    """Header to cell, those that are not empty alone: a table of many headers and short rows stays small."""


def parsed(content: bytes, where: str) -> Table:
    """A CSV in UTF-8 (with commas, semicolons or tabs) as a table. Raises :class:`DataError`."""
    first = content.partition(b"\n")[0]
    delimiter = next((mark for mark in ",\t;" if mark.encode() in first), ",")
    # Decoded piece by piece: as a text in memory a large table would be four times as large.
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")
    lines = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        headers = _headers(next(lines, []), where)
        rows = _rows(lines, headers, where)
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text ({error.reason}); save it as UTF-8.") from None
    except csv.Error as error:
        raise DataError(f"{where} is not a well-formed CSV: {error}.") from None
    key = next((h for h in headers if h.lower() in FILE_HEADERS), headers[0])
    return Table(where, key, tuple(h for h in headers if h != key), rows)


def read(path: Path) -> Table:
    """A CSV file as a table. Raises :class:`DataError`, and OSError where it cannot be had."""
    try:
        return parsed(strangers.content(path, LARGEST), str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None


def _headers(cells: list[str], where: str) -> list[str]:
    """The names of the columns, as the first line gives them."""
    if not any(cells):
        raise DataError(f"{where} is empty; its first line must name the columns.")
    if len(cells) > MOST_HEADERS:
        raise DataError(f"{where} names {len(cells):,} columns; at most {MOST_HEADERS:,}.")
    headers = [cell.strip() or f"column_{i + 1}" for i, cell in enumerate(cells)]
    if any(is_image(header) for header in headers):
        raise DataError(
            f"{where} lacks a header: its first line must name the columns (file, class, ...)."
        )
    if len(set(headers)) < len(headers):
        twice = [header[: store.NAMED] for header, times in Counter(headers).items() if times > 1]
        raise DataError(f"{where} names a column twice: {', '.join(twice[:NAMED])}.")
    return headers


def _rows(lines: Iterable[list[str]], headers: list[str], where: str) -> list[dict[str, str]]:
    """The lines below the first as rows, no more of them than there is room for."""
    rows: list[dict[str, str]] = []
    for number, cells in enumerate(lines, start=2):
        if len(cells) > len(headers):
            raise DataError(
                f"{where}, line {number}: {len(cells)} cells under {len(headers)} headers; give every line as many as the first."
            )
        named = zip(headers, cells, strict=False)
        row = {header: text for header, cell in named if (text := cell.strip())}
        if row:
            rows.append(row)
        if len(rows) * len(headers) > MOST_CELLS:
            raise DataError(
                f"{where} has more than {MOST_CELLS:,} cells ({len(headers):,} columns); leave out the columns "
                f"that are not needed."
            )
    return rows


def matched(table: Table, names: Sequence[str], base: str) -> tuple[list[int | None], list[str]]:
    """For every image name the row that speaks of it (None: no row does), and lines on what failed.

    A row may give the path from ``base`` (the CSV's own folder), or, where that is unambiguous, the
    bare file name or the name without its ending.
    """
    levels: list[dict[str, int | None]] = []
    for alias in (_full, _bare, _stem):
        level: dict[str, int | None] = {}
        for position, name in enumerate(names):
            key = alias(name, base)
            level[key] = None if key in level else position
        levels.append(level)
    found: list[int | None] = [None] * len(names)
    absent, repeated = [], 0
    for number, row in enumerate(table.rows):
        name = row.get(table.key, "").replace("\\", "/").removeprefix("./")
        image = next((level[name] for level in levels if name in level), None)
        if image is None:
            absent.append(name)
        elif found[image] is None:
            found[image] = number
        else:
            repeated += 1
    notes = []
    if absent:
        listed = ", ".join(name[: store.NAMED] for name in absent[:NAMED])
        notes.append(f"{table.where}: {len(absent):,} rows name no image that is there ({listed})")
    if repeated:
        notes.append(f"{table.where}: {repeated:,} rows repeat an image; the first was used")
    lacking = sum(row is None for row in found)
    if lacking:
        notes.append(f"{table.where}: {lacking:,} images have no row; their values are missing")
    if table.rows and len(absent) == len(table.rows):
        raise DataError(
            f"{notes[0]}. Give the images' paths from the CSV's own folder in a column called file; it was looked for in {table.key[: store.NAMED]!r}."
        )
    return found, notes


def _full(name: str, base: str) -> str:
    return name.removeprefix(f"{base}/") if base else name


def _bare(name: str, base: str) -> str:
    return PurePosixPath(name).name


def _stem(name: str, base: str) -> str:
    return PurePosixPath(name).stem


def columns(table: Table, found: Sequence[int | None]) -> tuple[dict[str, Column], list[str]]:
    """Every column of the table in the order of the images, and lines on those left out. Raises :class:`DataError`."""
    if len(table.headers) * len(found) > MOST_MARKS:
        raise DataError(
            f"{table.where}: {len(table.headers):,} columns for {len(found):,} images are more than {MOST_MARKS:,} "
            f"values; leave out the columns that are not needed."
        )
    made, notes = {}, []
    for header in table.headers:
        cells = ["" if row is None else table.rows[row].get(header, "") for row in found]
        cells = ["" if cell.lower() in MISSING else cell for cell in cells]
        column = _column(header, cells)
        if column is None:
            why = "nearly every value differs, so it only names, or it has too many labels"
            notes.append(f"column {header[: store.NAMED]!r} was left out: {why}")
        else:
            made[header] = column
    return made, notes


def _column(name: str, cells: list[str]) -> Column | None:
    """Cells (empty for missing) as the column they look like; None for names and identifiers."""
    present = [cell for cell in cells if cell]
    distinct = set(present)
    if not present:
        return None
    numbers = {cell: value for cell in distinct if (value := _number(cell)) is not None}
    if len(numbers) == len(distinct):
        whole = all(_is_whole(cell) for cell in distinct)
        kinds = {int(cell) for cell in distinct} if whole else set()
        if whole and len(kinds) <= MANY and 2 * len(kinds) <= len(present):
            codes = {value: code for code, value in enumerate(sorted(kinds))}
            values = torch.tensor([codes[int(c)] if c else -1 for c in cells])
            return Column(name, "categorical", values, tuple(str(value) for value in codes))
        return Column(name, "continuous", torch.tensor([numbers.get(c, math.nan) for c in cells]))
    if any(mark in cell for cell in distinct for mark in SEPARATORS):
        return _multilabel(name, cells)
    if len(distinct) > 20 and 2 * len(distinct) > len(present):
        return None
    names = tuple(sorted(distinct, key=natural))
    index = {value: code for code, value in enumerate(names)}
    return Column(name, "categorical", torch.tensor([index.get(c, -1) for c in cells]), names)


def _number(cell: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _is_whole(cell: str) -> bool:
    """Whether a number is a whole one; one of thousands of zeros is a number too, but no class."""
    return len(cell) <= DIGITS and cell.lstrip("+-").isdecimal()


def _labels(cell: str) -> set[str]:
    return {part.strip() for part in cell.replace("|", ";").split(";")} - {""}


def _multilabel(name: str, cells: list[str]) -> Column | None:
    """Cells like ``red;round`` as one 0/1 column a label; a lone separator means none of them. None: too many labels."""
    found: set[str] = set()
    for cell in set(cells):
        found |= _labels(cell)
        if len(found) > MOST_HEADERS or len(found) * len(cells) > MOST_MARKS:
            return None
    names = tuple(sorted(found, key=natural))
    places = {label: place for place, label in enumerate(names)}
    values = np.zeros((len(cells), len(names)), np.float32)
    for row, cell in enumerate(cells):
        values[row, [places[label] for label in _labels(cell)]] = 1 if cell else 0
        if not cell:
            values[row] = math.nan
    return Column(name, "multilabel", torch.from_numpy(values), names)
