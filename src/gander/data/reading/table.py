"""What a CSV says about image files: one row an image, one column a fact."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch

from gander.data import Column
from gander.data.reading.store import is_image, natural
from gander.errors import DataError

FILE_HEADERS = ("file", "filename", "file_name", "image", "path")
MISSING = ("", "nan")
MANY = 100  # distinct whole numbers above which a column is a quantity
SEPARATORS = ";|"
NAMED = 3


@dataclass(frozen=True)
class Table:
    """The header and the rows of a CSV; ``key`` is the header of the file names."""

    where: str
    key: str
    headers: tuple[str, ...]
    rows: list[dict[str, str]]


def parsed(content: bytes, where: str) -> Table:
    """A CSV in UTF-8 (with commas, semicolons or tabs) as a table. Raises :class:`DataError`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text ({error.reason}); save it as UTF-8.") from None
    first = text.partition("\n")[0]
    delimiter = next((mark for mark in ",\t;" if mark in first), ",")
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"{where} is not a well-formed CSV: {error}.") from None
    if not lines or not any(lines[0]):
        raise DataError(f"{where} is empty; its first line must name the columns.")
    headers = [cell.strip() or f"column_{i + 1}" for i, cell in enumerate(lines[0])]
    if any(is_image(header) for header in headers):
        raise DataError(
            f"{where} lacks a header: its first line must name the columns (file, class, ...)."
        )
    if len(set(headers)) < len(headers):
        raise DataError(f"{where} names a column twice: {', '.join(headers)}.")
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) > len(headers):
            raise DataError(
                f"{where}, line {number}: {len(cells)} cells under {len(headers)} headers; give every line as many as the first."
            )
        if any(cell.strip() for cell in cells):
            padded = [*cells, *[""] * (len(headers) - len(cells))]
            rows.append({h: cell.strip() for h, cell in zip(headers, padded, strict=True)})
    key = next((h for h in headers if h.lower() in FILE_HEADERS), headers[0])
    return Table(where, key, tuple(h for h in headers if h != key), rows)


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
        name = row[table.key].replace("\\", "/").removeprefix("./")
        image = next((level[name] for level in levels if name in level), None)
        if image is None:
            absent.append(name)
        elif found[image] is None:
            found[image] = number
        else:
            repeated += 1
    notes = []
    if absent:
        listed = ", ".join(absent[:NAMED])
        notes.append(f"{table.where}: {len(absent):,} rows name no image that is there ({listed})")
    if repeated:
        notes.append(f"{table.where}: {repeated:,} rows repeat an image; the first was used")
    lacking = sum(row is None for row in found)
    if lacking:
        notes.append(f"{table.where}: {lacking:,} images have no row; their values are missing")
    if table.rows and len(absent) == len(table.rows):
        raise DataError(
            f"{notes[0]}. Give the images' paths from the CSV's own folder in a column called file; it was looked for in {table.key!r}."
        )
    return found, notes


def _full(name: str, base: str) -> str:
    return name.removeprefix(f"{base}/") if base else name


def _bare(name: str, base: str) -> str:
    return PurePosixPath(name).name


def _stem(name: str, base: str) -> str:
    return PurePosixPath(name).stem


def columns(table: Table, found: Sequence[int | None]) -> tuple[dict[str, Column], list[str]]:
    """Every column of the table in the order of the images, and lines on those left out."""
    made, notes = {}, []
    for header in table.headers:
        cells = ["" if row is None else table.rows[row][header] for row in found]
        cells = ["" if cell.lower() in MISSING else cell for cell in cells]
        column = _column(header, cells)
        if column is None:
            notes.append(
                f"column {header!r} was left out: nearly every value differs, so it only names"
            )
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
    return cell.lstrip("+-").isdecimal()


def _multilabel(name: str, cells: list[str]) -> Column:
    """Cells like ``red;round`` as one 0/1 column a label; a lone separator means none of them."""
    sets = [
        {p.strip() for p in c.replace("|", ";").split(";")} - {""} if c else None for c in cells
    ]
    names = tuple(sorted(set().union(*(one for one in sets if one)), key=natural))
    absent = [math.nan] * len(names)
    rows = [absent if one is None else [float(n in one) for n in names] for one in sets]
    return Column(name, "multilabel", torch.tensor(rows), names)
