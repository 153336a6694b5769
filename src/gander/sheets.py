"""Sheets of a model's images: classes as rows, one code swept along the columns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gander import images as pictures
from gander.code import Code
from gander.headings import Axis
from gander.model import Model

ROWS, COLUMNS = 10, 10
MOST_ROWS = 26


def class_code(model: Model) -> Code | None:
    """The code whose classes make the rows: the first given category, else the first discovered one."""
    classes = [c for c in model.spec.knobs if c.resolved.name == "categorical"]
    return next((c for c in classes if c.given), classes[0] if classes else None)


def swept(model: Model) -> list[Code]:
    """The knobs worth a sweep of their own: all that are not the rows."""
    rows = class_code(model)
    return [code for code in model.spec.knobs if rows is None or code.name != rows.name]


def row_settings(model: Model, rows: Code | None, fixed: dict[str, Any]) -> list[dict[str, Any]]:
    """What each row of a sheet is set to: a class each, or nothing."""
    if rows is None or rows.name in fixed:
        return [{}] * ROWS
    return [{rows.name: k} for k in range(min(MOST_ROWS, rows.resolved.width))]


def row_axis(model: Model, rows: Code | None, count: int) -> Axis:
    """The headings of rows that are classes."""
    if rows is None:
        return Axis()
    names = getattr(rows.resolved, "names", ()) or [str(k) for k in range(count)]
    return Axis(names[:count], label(model, rows.name))


def axis(model: Model, code: str, points: Tensor) -> Axis:
    """The headings of one code's values: what it is called, the values, and what its ends look like."""
    called = model.names.of(model.find(code).name)
    backwards = len(points) > 1 and bool(points[-1] < points[0])
    low, high = (called.high, called.low) if backwards else (called.low, called.high)
    return Axis(point_names(model, code, points), label(model, code), low, high)


def label(model: Model, name: str) -> str:
    """What to show for a code, or for a part of one: ``slant``, ``style.1``."""
    code, (_, dot, part) = model.find(name), name.partition(".")
    words = getattr(code.resolved, "names", ())
    if dot and words:
        return f"{model.names.label(code.name)}: {words[int(part)] if part.isdecimal() else part}"
    return model.names.label(code.name) + dot + part


def _classes(count: int, each: int) -> Tensor:
    """Each class ``each`` times in a row, (count * each,)."""
    return torch.arange(count).repeat_interleave(each)


def class_sheet(model: Model, columns: int = COLUMNS, seed: int = 0) -> Image.Image:
    """A row for each class, a column for each seed; without classes, seeds all over."""
    rows = class_code(model)
    settings = row_settings(model, rows, {})
    seeds = [
        seed + (k if rows is not None else row * columns + k)
        for row in range(len(settings))
        for k in range(columns)
    ]
    codes: dict[str, Any] = {}
    if rows is not None:
        codes[rows.name] = _classes(len(settings), columns)
    images = model.render(model.values(seeds, **codes))
    return pictures.sheet(images, columns, row_axis(model, rows, len(settings)))


def sweep_sheet(
    model: Model,
    code: str,
    points: Tensor,
    fixed: dict[str, Any],
    seeds: list[int],
) -> Image.Image:
    """One knob from end to end along the columns; the rows are classes, or seeds where there are none to show."""
    rows = class_code(model)
    if rows is not None and (rows.name == code.partition(".")[0] or rows.name in fixed):
        rows = None
    settings = row_settings(model, rows, fixed) if rows is not None else [{}] * len(seeds)
    chosen = seeds if rows is None else [seeds[k % len(seeds)] for k in range(len(settings))]
    codes: dict[str, Any] = dict(fixed) | {code: points.repeat(len(settings))}
    if rows is not None:
        codes[rows.name] = _classes(len(settings), len(points))
    images = model.render(model.values([s for s in chosen for _ in points], **codes))
    return pictures.sheet(
        images, len(points), row_axis(model, rows, len(settings)), axis(model, code, points)
    )


def two_way_sheet(
    model: Model,
    down: tuple[str, Tensor],
    across: tuple[str, Tensor],
    fixed: Mapping[str, Any],
    seed: int,
) -> Image.Image:
    """One code (its name and values) along the rows and another along the columns, everything else as ``seed`` has it."""
    rows, columns = len(down[1]), len(across[1])
    codes = dict(fixed) | {
        down[0]: down[1].repeat_interleave(columns),
        across[0]: across[1].repeat(rows),
    }
    images = model.render(model.values([seed] * (rows * columns), **codes))
    return pictures.sheet(images, columns, axis(model, *down), axis(model, *across))


def sliders(model: Model) -> list[str]:
    """The knobs that are one number each."""
    return [c.name for c in swept(model) if c.resolved.shape == (1,) and not c.resolved.discrete]


def knobs_sheet(
    model: Model,
    codes: list[str],
    points: int = 7,
    fixed: Mapping[str, Any] = MappingProxyType({}),
    seed: int = 0,
) -> Image.Image:
    """Every knob on one sheet: the rows are classes, each block of columns sweeps one knob."""
    rows = class_code(model)
    if rows is not None and rows.name in fixed:
        rows = None
    settings = row_settings(model, rows, dict(fixed))
    seeds = [seed + k for k in range(len(settings)) for _ in range(points)]
    blocks, heads = [], []
    for name in codes:
        values = model.points(name, points)
        ordered: dict[str, Any] = dict(fixed) | {name: values.repeat(len(settings))}
        if rows is not None:
            ordered[rows.name] = _classes(len(settings), len(values))
        images = model.render(model.values(seeds, **ordered))
        blocks.append(images.view(len(settings), points, *images.shape[1:]))
        whole = axis(model, name, values)
        ends = [n if i in (0, points - 1) else "" for i, n in enumerate(whole.names)]
        heads.append(replace(whole, names=ends))
    together = torch.cat(blocks, dim=1).flatten(0, 1)
    return pictures.sheet(
        together, points * len(codes), row_axis(model, rows, len(settings)), heads
    )


def point_names(model: Model, code: str, points: Tensor) -> list[str]:
    """Headings for the columns: class names, off and on, angles in degrees, or numbers."""
    kind = model.find(code).resolved
    names = getattr(kind, "names", ())
    if kind.name == "categorical":
        return [str(names[int(p)]) if names else str(int(p)) for p in points]
    if kind.name == "binary":
        return ["on" if p > 0.5 else "off" for p in points]
    if kind.name == "circular":
        return [f"{math.degrees(p) + 0.0:.0f}°" for p in points.tolist()]
    return [f"{round(p, 6) + 0.0:.3g}" for p in points.tolist()]  # adding 0 takes the sign off -0


def write_samples(model: Model, folder: Path) -> list[Path]:
    """The sheets a run keeps as it trains: the classes, and a sweep of every other knob."""
    stamp = f"{model.images_seen:09d}"
    written = [folder / f"images-{stamp}.png"]
    pictures.write_png(written[0], class_sheet(model))
    for code in swept(model):
        parts = code.resolved.shape[0] if code.resolved.shape else 1
        for part in range(min(parts, 8)):
            name = code.name if parts == 1 else f"{code.name}.{part}"
            path = folder / f"sweep-{name}-{stamp}.png"
            points = model.points(name)[:MOST_ROWS]
            pictures.write_png(path, sweep_sheet(model, name, points, {}, list(range(ROWS))))
            written.append(path)
    names = sliders(model)
    if len(names) > 1:
        path = folder / f"knobs-{stamp}.png"
        pictures.write_png(path, knobs_sheet(model, names))
        written.append(path)
    return written
