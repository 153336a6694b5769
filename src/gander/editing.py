"""The editing job: a picture from a file or a source is found in a model, changed, and laid beside the original on one sheet."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from gander import data as sources
from gander import headings, inversion, outputs, reading, rng, runs, sampling, sheets
from gander import images as pictures
from gander.code import Code, Values
from gander.errors import DataError, GanderError, UseError
from gander.headings import Axis
from gander.inversion import Edit
from gander.model import Model

REAL = 24  # real test images that are searched for beside the picture
AMPLIFIED = 2  # times, of the difference shown
PANEL, SMALL = 140, 56  # pixels a side of the large pictures and of those of a strip, at least
LETTER, MARGIN = 14, 8  # pixels
MARK = (230, 110, 0)  # of the found value in a strip
WARNING = (190, 30, 30)
MOST_SWEPT = 64  # images of a strip


@dataclass(frozen=True)
class Edited:
    """An edit, its sheet, and what to say of it."""

    edit: Edit
    path: Path
    lines: tuple[str, ...]
    """What the recogniser reads in the picture and what was found."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Strip:
    """One code from end to end in the picture that was found: values (n,), drawings (n, C, H, W), and where the found value is."""

    code: str
    points: Tensor
    images: Tensor
    found: int | None


def edit(
    model: Model,
    image: str,
    out: str | Path,
    *,
    run: str | Path | None = None,
    settings: Sequence[str] = (),
    sweep: str | None = None,
    json_file: str | Path | None = None,
    inverted: bool = False,
    quick: bool = False,
    seed: int = 0,
) -> Edited:
    """Finds the picture ``image`` (a file, or ``mnist:test#17``), sets and sweeps codes, and writes a sheet. Raises ``UseError``.

    ``run`` says where the real images to compare with are described: those of its data's test split. ``quick`` compares with nothing.
    """
    out = Path(out)
    for path, ending, option in ((out, ".png", "--out"), (json_file, ".json", "--json")):
        if path is not None and Path(path).suffix.lower() != ending:
            raise UseError(f"{option} {path}: give a file ending in {ending}.")
        if path is not None:
            outputs.check(Path(path), [image])
    fixed = sampling.parse_settings(model, settings)
    asked = sampling.parse_sweep(model, sweep) if sweep else None
    if asked is not None and len(asked.points) > MOST_SWEPT:
        raise UseError(
            f"a strip has at most {MOST_SWEPT} images, and --sweep {asked.code} asks for {len(asked.points):,}; give fewer, as --sweep {asked.code}=-1:1:9."
        )
    original, about = open_picture(model, image)
    if inverted:
        original = _inverted(original)
    real, notes = (None, []) if quick else real_images(model, run, original)
    own = 0 if quick else inversion.OWN
    found = model.edit(original, real=real, own=own, seed=seed, settings=fixed)
    if real is not None and found.outside and _looks_inverted(found.original, real):
        notes.append("Light and dark look swapped beside the real images: try --invert.")
    if not model.spec.knobs:
        notes.append(
            f"This {model.spec.family} has no knobs to turn, so the picture is only drawn as it was found."
        )
    strip = _strip(model, found, asked) if asked is not None else None
    heading = ", ".join(f"{sheets.label(model, n)} = {v}" for n, v in fixed.items())
    pictures.write_png(out, _sheet(model, found, heading, strip))
    if json_file is not None:
        told = (json.dumps(as_table(found, image), indent=1) + "\n").encode()
        pictures.write(Path(json_file), told)
    return Edited(found, out, (*about, *_described(model, found)), tuple(notes))


# ---------------------------------------------------------------------- pictures from outside
def open_picture(model: Model, image: str) -> tuple[Tensor, tuple[str, ...]]:
    """One picture as the model sees it, (C, H, W) uint8, and what is recorded about it."""
    place = re.fullmatch(r"(.+)#(\d{1,9})", image)
    if place and not Path(image).is_file():
        loaded = reading.load_fitting(model, place[1])
        row = int(place[2])
        if row >= len(loaded):
            raise UseError(
                f"{place[1]} has the images #0 to #{len(loaded) - 1:,}, given #{row:,}; give one of them."
            )
        label = loaded.columns.get(loaded.label or "")
        known = label is not None and label.sort == "categorical" and bool(label.known[row])
        said = (
            f"{image}: {label.name} {label.names[int(label.values[row])]}"
            if known and label
            else ""
        )
        return loaded.images[row], (said,) if said else ()
    if not Path(image).is_file():
        raise DataError(
            f"{image!r} is no file. Give an image file, or one image of a source by its place, as mnist:test#17."
        )
    if Path(image).suffix.lower() in reading.ARRAYS:
        raise DataError(f"{image!r} holds many images; say which one, as {image}#0.")
    return reading.load_fitting(model, image).images[0], ()


def real_images(
    model: Model, run: str | Path | None, picture: Tensor
) -> tuple[Tensor | None, list[str]]:
    """Some real test images of the data a model learned from, other than the picture; or None and why."""
    channels, height, width = model.card.shape
    try:
        source, links = _source(model, run)
        size = height if height == width else None
        test = sources.load(source, "test", size=size, channels=channels, links=links)
    except (GanderError, OSError) as error:
        return None, [f"Without real images to compare with: {error}"]
    if test.shape != model.card.shape or not len(test):
        return None, [f"Without real images to compare with: {source} has none of this shape."]
    order = rng.permutation(0, "edit/real", 0, len(test))[: REAL + 1]
    some = test.images[torch.from_numpy(order.copy())]
    other = (some != picture).flatten(1).any(1)
    return some[other][:REAL], []


def _source(model: Model, run: str | Path | None) -> tuple[str, bool]:
    """What the run was trained on, as its config.toml says, and whether links are followed there; else what the card names."""
    if run is not None and not Path(run).is_file():
        folder = runs.open_run(run)
        if folder.config_file.is_file():
            asked = folder.read_config().data
            return asked.source, asked.links
    if model.card.data in sources.sources():
        return model.card.data, False
    raise DataError("these weights do not say where their images are; give a run directory.")


def _inverted(image: Tensor) -> Tensor:
    """Light and dark swapped; what is see-through stays so."""
    channels = image.shape[0]
    colours = channels - (channels in (2, 4))
    return torch.cat([255 - image[:colours], image[colours:]])


def _looks_inverted(image: Tensor, real: Tensor) -> bool:
    """Whether a picture would be about as light as the real ones if it were inverted, and is not as it stands."""
    usual, mean = float(real.float().mean()), float(image.float().mean())
    return 2 * abs(255 - mean - usual) < abs(mean - usual)


# ---------------------------------------------------------------------- in words
def _described(model: Model, found: Edit) -> list[str]:
    """What is read in the picture, and what was found, code by code."""
    read = [f"{model.names.label(n)} {_read(model.spec.code(n), r)}" for n, r in found.read.items()]
    values = [
        f"{model.names.label(code.name)} {_value(code, found.values[code.name])}"
        for code in model.spec.knobs
    ]
    lines = [f"read:  {', '.join(read)}"] if read else []
    return [*lines, f"found: {', '.join(values)}"] if values else lines


def _read(code: Code, said: Tensor) -> str:
    if code.resolved.name == "categorical":
        return f"{_value(code, said.argmax())} ({float(said.max()):.0%})"
    if code.resolved.name == "binary":
        return _value(code, (said > 0.5).float())
    return _value(code, said)


def _value(code: Code, value: Tensor) -> str:
    """One value (*S) as a person would give it."""
    if code.resolved.name == "categorical":
        names = getattr(code.resolved, "names", ())
        return str(names[int(value)]) if names else str(int(value))
    numbers = value.flatten().tolist()
    if code.resolved.name == "binary":
        return " ".join("on" if number > 0.5 else "off" for number in numbers)
    return " ".join(f"{number + 0.0:.2f}" for number in numbers)


def as_table(found: Edit, image: str) -> dict[str, Any]:
    """An edit as JSON says it."""

    def plain(values: Values) -> dict[str, Any]:
        return {name: value.tolist() for name, value in values.items()}

    return {
        "image": image,
        "values": plain(found.values),
        "edited": plain(found.edited),
        "read": plain(found.read),
        "error": found.error,
        "unit": "gray levels of 255, root mean square",
        "references": {"real": list(found.real), "drawn": list(found.drawn)},
        "outside": found.outside,
        "verdict": found.verdict,
    }


# ---------------------------------------------------------------------- as a sheet
def _strip(model: Model, found: Edit, asked: sampling.Sweep) -> Strip:
    """The code swept over the picture, with the value found among the others."""
    code, points = model.find(asked.code), asked.points.double()
    _, dot, part = asked.code.partition(".")
    value = found.values[code.name].double().flatten()
    names = list(getattr(code.resolved, "names", ()))
    marked = None
    if dot or len(value) == 1:
        index = (names.index(part) if part in names else int(part)) if dot else 0
        here = value[index]
        falling = len(points) > 1 and bool(points[0] > points[-1])
        if not bool((points - here).abs().min() < 1e-6):
            points = torch.cat([points, here.view(1)]).sort(descending=falling).values
        marked = int((points - here).abs().argmin())
    rows = {n: v.expand(len(points), *v.shape).clone() for n, v in found.edited.items()}
    # The picture itself is drawn from the values as they are, not from what is left of them in another precision.
    changed = model.changed(rows, **{asked.code: points.float()})
    return Strip(asked.code, points.float(), model.render(changed), marked)


def _sheet(model: Model, found: Edit, heading: str, strip: Strip | None) -> Image.Image:
    """Original, drawing, difference and edit in a row; under them the strip and the verdict."""
    shown = [found.original, found.reconstruction]
    names = ["your picture", "as the model draws it", f"difference x{AMPLIFIED}"]
    panels = [*_coloured(torch.stack(shown)), _difference(*shown)]
    if heading:
        panels.append(_coloured(found.image.unsqueeze(0))[0])
        names.append(heading)
    side = max(model.card.shape[1:])
    scale = max(1, -(-PANEL // side))
    parts = [pictures.sheet(torch.stack(panels), len(panels), (), Axis(names), scale)]
    legend = "red: the picture is lighter there, blue: the drawing is"
    if strip is not None:
        parts.append(_drawn_strip(model, strip, max(1, -(-SMALL // side))))
        if strip.found is not None:
            legend += "; framed: as found"
    width = max(400, *(part.width for part in parts)) + 2 * MARGIN
    colour = WARNING if found.outside else (pictures.INK,) * 3
    words = [(line, colour) for line in wrapped(found.verdict, width - 2 * MARGIN)]
    words += [(line, (130, 130, 130)) for line in wrapped(legend, width - 2 * MARGIN)]
    line_height = round(1.4 * LETTER)
    height = sum(part.height + MARGIN for part in parts) + line_height * len(words) + 2 * MARGIN
    canvas = Image.new("RGB", (width, height), (pictures.PAPER,) * 3)
    top = MARGIN
    for part in parts:
        canvas.paste(part, (MARGIN, top))
        top += part.height + MARGIN
    pen = ImageDraw.Draw(canvas)
    for line, ink in words:
        pen.text((MARGIN, top), line, fill=ink, font=headings.font(LETTER))
        top += line_height
    return canvas


def _drawn_strip(model: Model, strip: Strip, scale: int) -> Image.Image:
    """The strip in one row, a frame round what was found."""
    axis = sheets.axis(model, strip.code, strip.points)
    images = torch.stack(_coloured(strip.images))
    drawn = pictures.sheet(images, len(images), (), axis, scale)
    if strip.found is not None:
        step = images.shape[3] * scale + pictures.GAP
        left = drawn.width - pictures.GAP - (len(images) - strip.found) * step
        top = drawn.height - pictures.GAP - images.shape[2] * scale
        frame = (left, top - 2, left + step + 1, drawn.height - 1)
        ImageDraw.Draw(drawn).rectangle(frame, outline=MARK, width=pictures.GAP)
    return drawn


def _coloured(images: Tensor) -> list[Tensor]:
    """Images (N, C, H, W) uint8 of 1 to 4 channels as (3, H, W) each; what is see-through shows paper."""
    colours = images.float()
    if images.shape[1] in (2, 4):
        share = colours[:, -1:] / 255
        colours = colours[:, :-1] * share + pictures.PAPER * (1 - share)
    wide = colours.expand(-1, 3, -1, -1).round().to(torch.uint8)
    return [*wide]


def _difference(image: Tensor, drawing: Tensor) -> Tensor:
    """Where a picture is lighter than its drawing (red) and where darker (blue), on white: (3, H, W) uint8."""
    signed = AMPLIFIED * (image.float() - drawing.float()).mean(0)
    more, less = signed.clamp(0, 255), (-signed).clamp(0, 255)
    return (255 - torch.stack([less, more + less, more])).clamp(0, 255).round().to(torch.uint8)


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines no wider than so many pixels."""
    face, lines = headings.font(LETTER), [""]
    for word in headings.plain(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if face.getlength(longer) <= width or not lines[-1]:
            lines[-1] = headings.fitted(longer, width, LETTER)
        else:
            lines.append(headings.fitted(word, width, LETTER))
    return lines
