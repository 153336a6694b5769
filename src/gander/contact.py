"""Contact sheets: real images laid out by what the recogniser says of them, so that a person sees what a code means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gander import images as pictures
from gander.code import Code
from gander.data import Column, Data
from gander.headings import Axis, Heading
from gander.kinds import Circular
from gander.model import Model

COLUMNS = 12
PICKS = 5  # rows of a sheet along a number where there are no classes to make rows of
MOST_CLASSES = 10  # rows of such a sheet where there are
MOST_PARTS = 8  # sheets of one code
MOST_PIXELS = 1 << 26  # of one sheet
LETTERS = 16  # of a label's name in a heading


@dataclass(frozen=True)
class Row:
    """One row of a sheet: which images, -1 for an empty place, and what stands beside them."""

    heading: str
    places: list[int]


def label_of(loaded: Sequence[Data]) -> Column | None:
    """The label of all the images together, where every source has it and means the same classes."""
    labels = [data.columns[data.label] for data in loaded if data.label is not None]
    same = {(label.name, label.sort, label.names) for label in labels}
    if len(labels) < len(loaded) or len(same) != 1 or labels[0].sort != "categorical":
        return None
    return replace(labels[0], values=torch.cat([label.values for label in labels]))


def write_sheets(
    model: Model, images: Tensor, said: dict[str, Tensor], label: Column | None, folder: Path
) -> list[Path]:
    """A PNG for each recognised code, or for each part of a wide one, named as people call the code.

    ``images`` (N, C, H, W) uint8, ``said`` as ``Model.read`` gives it, ``label`` what is recorded of the images.
    """
    written = []
    for name, reading in said.items():
        code = model.spec.code(name)
        called = model.names.label(name)
        if code.resolved.name == "categorical":
            rows = class_rows(model, code, reading, label)
            path = folder / f"{called}.png"
            pictures.write_png(path, laid_out(images, rows, COLUMNS, Axis(title=called)))
            written.append(path)
            continue
        parts = reading.shape[1]
        for k in range(min(parts, MOST_PARTS)):
            title = called if parts == 1 else f"{called}.{k}"
            path = folder / f"{title}.png"
            rows, axis = along(model, code, k, said, title)
            pictures.write_png(path, laid_out(images, rows, max(1, len(rows[0].places)), axis))
            written.append(path)
    return written


def laid_out(images: Tensor, rows: list[Row], columns: int, above: Heading) -> Image.Image:
    """The rows as one picture, empty places left as paper."""
    side = max(max(images.shape[2:]), pictures.LEAST_SIDE)
    rows = rows[: max(1, MOST_PIXELS // (columns * side * side))]
    places = torch.tensor([(row.places + [-1] * columns)[:columns] for row in rows]).flatten()
    blank = torch.full((1, *images.shape[1:]), 255, dtype=torch.uint8)
    if images.shape[1] in (2, 4):
        blank[:, -1] = 0
    shown = torch.where((places >= 0).view(-1, 1, 1, 1), images[places.clamp_min(0)], blank)
    return pictures.sheet(shown, columns, [row.heading for row in rows], above)


# ---------------------------------------------------------------------- classes and switches
def class_rows(model: Model, code: Code, said: Tensor, label: Column | None) -> list[Row]:
    """A row for each class: the images it gathers, those it is surest of first; how many; and the commonest label among them."""
    sure, classes = said.max(1)
    names = getattr(code.resolved, "names", ())
    rows = []
    for k in range(code.resolved.width):
        own = (classes == k).nonzero().flatten()
        heading = f"{names[k] if names else f'#{k}'}: {len(own):,} images"
        most = commonest(label, own)
        if most:
            heading += f", {most[1]:.0%} are {most[0][:LETTERS]}"
        rows.append(Row(heading, _surest(own, sure)))
    return rows


def commonest(label: Column | None, rows: Tensor) -> tuple[str, float] | None:
    """The commonest label among the labelled of these rows, and its share of them."""
    known = label.values[rows][label.known[rows]] if label is not None else torch.empty(0)
    if label is None or not len(known):
        return None
    counts = torch.bincount(known, minlength=len(label.names))
    k = int(counts.argmax())
    return label.names[k] if k < len(label.names) else str(k), float(counts[k] / counts.sum())


def _surest(rows: Tensor, sure: Tensor) -> list[int]:
    order = sure[rows].argsort(descending=True, stable=True)
    places: list[int] = rows[order][:COLUMNS].tolist()
    return places


def _switch_rows(said: Tensor) -> list[Row]:
    """Two rows: the images in which a switch is thought off and those in which it is on; ``said`` (N,) are chances of on."""
    rows = []
    for word, chance in (("off", 1 - said), ("on", said)):
        own = (chance > 0.5).nonzero().flatten()
        rows.append(Row(f"{word}: {len(own):,} images", _surest(own, chance)))
    return rows


# ---------------------------------------------------------------------- numbers and angles
def along(
    model: Model, code: Code, part: int, said: dict[str, Tensor], title: str
) -> tuple[list[Row], Axis]:
    """Rows in which a code grows from left to right, and the heading above them.

    The columns stand for equally many images each (for an angle, for equal turns), their headings for the middle of these. The rows
    are classes, where the model recognises a category, each place its surest image, so that like stands beside like; else further images.
    """
    reading = said[code.name][:, part]
    called = model.names.of(code.name)
    if code.resolved.name == "binary":
        names = getattr(code.resolved, "names", ())
        return _switch_rows(reading), Axis(title=names[part] if names else title)
    turns = isinstance(code.resolved, Circular)
    columns = min(COLUMNS, max(1, len(reading)))
    if turns:
        edges = torch.linspace(-math.pi, math.pi, columns + 1)
        middles = (edges[:-1] + edges[1:]) / 2
        heads = [f"{math.degrees(m):.0f}°" for m in middles.tolist()]
    else:
        ranked = reading.double().sort().values
        at = torch.arange(2 * columns + 1) * (len(ranked) - 1) // (2 * columns)
        edges, middles = ranked[at[::2]], ranked[at[1::2]]
        heads = [f"{round(m, 2) + 0.0:.2f}" for m in middles.tolist()]
    column = torch.bucketize(reading.double(), edges[1:-1].double(), right=True)
    rows = [
        Row(heading, _first(column[own], -sure, own, columns))
        for heading, own, sure in _groups(model, said, len(reading))
    ]
    if len(rows) < 2:
        away = (reading.double() - middles.double()[column]).abs()
        everyone = torch.arange(len(reading))
        rows = [
            Row("", _first(column, away, everyone, columns, pick))
            for pick in range(min(PICKS, max(1, len(reading) // columns)))
        ]
    return rows, Axis(heads, title, called.low, called.high)


def _groups(model: Model, said: dict[str, Tensor], count: int) -> list[tuple[str, Tensor, Tensor]]:
    """The largest classes of the first category that is recognised: name, images, how sure these are of it; none for a few images."""
    codes = [c for c in model.spec.recognised if c.resolved.name == "categorical"]
    if not codes or count < 2 * COLUMNS:
        return []
    sure, classes = said[codes[0].name].max(1)
    counts = torch.bincount(classes, minlength=codes[0].resolved.width)
    largest = counts.argsort(descending=True, stable=True)[:MOST_CLASSES].sort().values.tolist()
    names = getattr(codes[0].resolved, "names", ()) or [f"#{k}" for k in range(len(counts))]
    groups = [(names[k], (classes == k).nonzero().flatten()) for k in largest if counts[k]]
    return [(name, own, sure[own]) for name, own in groups]


def _first(column: Tensor, rank: Tensor, own: Tensor, columns: int, pick: int = 0) -> list[int]:
    """Of each column the image of the lowest rank, or the ``pick``-th of those spread over it; -1 where there is none."""
    places = []
    for k in range(columns):
        inside = (column == k).nonzero().flatten()
        order = inside[rank[inside].argsort(stable=True)]
        at = pick * len(order) // PICKS
        places.append(int(own[order[at]]) if at < len(order) else -1)
    return places
