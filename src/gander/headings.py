"""Headings of a sheet: what stands beside the rows and above the columns, drawn as masks of ink.

A mask is a gray picture, 0 where the paper shows and 255 where there is ink, so that it suits gray, coloured and
see-through sheets alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

LONGEST = 20  # letters' heights that one heading may take
MOST_LINES = 3
LEAST_LETTER = 10  # pixels, of a name that would not fit its column otherwise
FAINT = 90  # ink of the line along an axis, out of 255
CUT = "…"


@dataclass(frozen=True)
class Axis:
    """What runs along one side of a sheet: a name for each column (or row), a title, and words for the two ends."""

    names: Sequence[str] = ()
    title: str = ""
    low: str = ""
    """What the first end looks like, as ``left``."""
    high: str = ""

    @property
    def is_titled(self) -> bool:
        return bool(self.title or self.low or self.high)


Heading = Sequence[str] | Axis | Sequence[Axis]
"""Names alone, one axis, or axes side by side that share the columns."""


def axes(heading: Heading, count: int) -> list[Axis]:
    """A heading as axes, each over as many columns as it has names; one without names is over all ``count``."""
    if isinstance(heading, Axis):
        said = [heading]
    elif all(isinstance(one, Axis) for one in heading):
        said = [one for one in heading if isinstance(one, Axis)] or [Axis()]
    else:
        said = [Axis([str(one) for one in heading])]
    if len(said) == 1:
        names = [*said[0].names, *[""] * count][:count]
        said = [Axis(names, said[0].title, said[0].low, said[0].high)]
    return [
        Axis([plain(n) for n in a.names], plain(a.title), plain(a.low), plain(a.high)) for a in said
    ]


def plain(text: str) -> str:
    """One line: what cannot be printed is a blank."""
    return "".join(c if c.isprintable() else " " for c in text)


def font(letter: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, ``letter`` pixels high."""
    return ImageFont.load_default(letter)


def fitted(text: str, width: float, letter: int) -> str:
    """The text, its end cut off where it would be wider than ``width`` pixels."""
    face = font(letter)
    if face.getlength(text) <= width:
        return text
    text = text[: int(width)]  # no letter is thinner than a pixel
    while text and face.getlength(text.rstrip() + CUT) > width:
        text = text[:-1]
    return text.rstrip() + CUT if text else ""


def row_names(axis: Axis, step: int, letter: int) -> Image.Image:
    """The names of the rows, each ``step`` pixels high, written towards the right edge."""
    names = [fitted(name, LONGEST * letter, letter) for name in axis.names]
    face = font(letter)
    width = max((round(face.getlength(name)) + 8 for name in names if name), default=0)
    mask = Image.new("L", (width, step * len(names)), 0)
    pen = ImageDraw.Draw(mask)
    for i, name in enumerate(names):
        if name:
            pen.text((width - 6, i * step + step // 2), name, fill=255, font=face, anchor="rm")
    return mask


def column_names(names: Sequence[str], step: int, letter: int) -> Image.Image:
    """The names above the columns, each ``step`` pixels wide: in up to three lines; upright where one needs more room."""
    if not any(names):
        return Image.new("L", (step * len(names), 0), 0)
    for size in range(letter, max(LEAST_LETTER, letter - 3) - 1, -1):
        lines = [_lines(name, step - 4, size) for name in names]
        written = [said for said in lines if said is not None]
        if len(written) == len(names):
            return _level(written, step, size)
    return _upright(names, step, letter)


def _level(names: Sequence[Sequence[str]], step: int, letter: int) -> Image.Image:
    """Names of one or more lines, each over the middle of its column."""
    most = max(map(len, names))
    line, face = round(letter * 1.2), font(letter)
    mask = Image.new("L", (step * len(names), most * line + round(letter * 0.4)), 0)
    pen = ImageDraw.Draw(mask)
    for i, lines in enumerate(names):
        for k, text in enumerate(lines):
            y = round((k + (most - len(lines)) / 2 + 0.5) * line) + round(letter * 0.2)
            pen.text((i * step + step // 2, y), text, fill=255, font=face, anchor="mm")
    return mask


def _lines(text: str, width: int, letter: int) -> list[str] | None:
    """The words of a name in lines no wider than ``width``; None where they do not fit."""
    face, lines = font(letter), [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if face.getlength(joined) <= width:
            lines[-1] = joined
        else:
            lines = [*lines, word] if lines[-1] else [word]
        if face.getlength(lines[-1]) > width:
            return None
    return lines if len(lines) <= MOST_LINES else None


def _upright(names: Sequence[str], step: int, letter: int) -> Image.Image:
    """Names written upwards, each ending at its column."""
    face = font(letter)
    cut = [fitted(name, LONGEST * letter, letter) for name in names]
    long = max(round(face.getlength(name)) for name in cut) + 8
    lying = Image.new("L", (long, step * len(names)), 0)
    pen = ImageDraw.Draw(lying)
    for i, name in enumerate(cut):
        if name:
            pen.text((4, i * step + step // 2), name, fill=255, font=face, anchor="lm")
    # A quarter turn puts the first line leftmost and the beginning of each name at the bottom.
    return lying.transpose(Image.Transpose.ROTATE_90)


def title(axis: Axis, length: int, letter: int) -> Image.Image:
    """An axis as a line of ``length`` pixels: the word of its low end, the title in the middle, the word of its high end."""
    face, pad = font(letter), letter // 2
    low, high = axis.low, axis.high
    middle = fitted(axis.title, length - 4, letter)
    sides = max(face.getlength(low), face.getlength(high))
    if 2 * (sides + pad) + face.getlength(middle) + 2 * pad > length:
        low = high = ""
    mask = Image.new("L", (length, round(letter * 1.7)), 0)
    pen, y = ImageDraw.Draw(mask), round(letter * 0.85)
    taken = [(0.0, face.getlength(low) + 2)] if low else []
    half = face.getlength(middle) / 2
    taken += [(length / 2 - half, length / 2 + half)] if middle else []
    taken += [(length - face.getlength(high) - 2, float(length))] if high else []
    edges = [2.0 - pad, *[edge for span in taken for edge in span], length - 2.0 + pad]
    for left, right in zip(edges[::2], edges[1::2], strict=True):
        if right - left > 3 * pad:
            pen.line((left + pad, y, right - pad, y), fill=FAINT)
    pen.text((2, y), low, fill=255, font=face, anchor="lm")
    pen.text((length / 2, y), middle, fill=255, font=face, anchor="mm")
    pen.text((length - 2, y), high, fill=255, font=face, anchor="rm")
    return mask


def above(heading: Heading, count: int, step: int, letter: int) -> Image.Image:
    """All that stands above ``count`` columns of ``step`` pixels: the titles, and the names under them."""
    parts = axes(heading, count)
    names = column_names([name for axis in parts for name in axis.names], step, letter)
    titled = round(letter * 1.7) if any(axis.is_titled for axis in parts) else 0
    mask = Image.new("L", (step * count, titled + names.height), 0)
    mask.paste(names, (0, titled))
    first = 0
    for axis in parts:
        if axis.is_titled:
            mask.paste(title(axis, len(axis.names) * step - 4, letter), (first * step + 2, 0))
        first += len(axis.names)
    return mask


def beside(heading: Heading, count: int, step: int, letter: int) -> Image.Image:
    """All that stands left of ``count`` rows of ``step`` pixels: the title written upwards, and the names."""
    axis = axes(heading, count)[0]
    names = row_names(axis, step, letter)
    if not axis.is_titled:
        return names
    # Written upwards, a line begins at the bottom, and the first row is at the top.
    turned = Axis(title=axis.title, low=axis.high, high=axis.low)
    line = title(turned, count * step - 4, letter).transpose(Image.Transpose.ROTATE_90)
    mask = Image.new("L", (line.width + names.width, step * count), 0)
    mask.paste(line, (0, 2))
    mask.paste(names, (line.width, 0))
    return mask
