"""What a page is drawn with: its frame, tables, curves and pictures, in one file that asks for nothing.

Names, commands and descriptions come from strangers' files, so every string goes through ``text`` before it enters a page.
What is passed on as a cell or a body is page text already.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any

from gander.history import Lines, Measured, Points

Guide = tuple[float, str] | None  # a dashed line and its meaning
SIZES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (0.0, ""))
WIDE, HIGH, LEFT, TOP, BOTTOM = 330, 170, 40, 10, 22  # of a chart, in its own units
COLOURS = 6  # after which curves are dashed
STRIP_WIDE, STRIP_STEP = 150, 12  # of a strip, in its own units
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def text(value: Any) -> str:
    """Anything a run says, as harmless text."""
    return escape(str(value), quote=True)


def short(value: float | None) -> str:
    """Three digits, 50k, 1.2M; a dash for what is not known."""
    if value is None:
        return "–"
    size, letter = next((s, c) for s, c in SIZES if abs(value) >= s)
    return f"{value / (size or 1):.3g}{letter}"


def frame(title: str, lead: str, body: str, maker: str) -> bytes:
    """A whole page under a heading, as a file; ``maker`` is the command that writes it."""
    style = (resources.files("gander") / "page.css").read_text("utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="{text(maker)}">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{text(title)}</h1>\n<p class="soft">{lead}</p>\n{body}</main>\n</body>\n</html>\n'
    ).encode("utf-8", "replace")


def grid(head: str | Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are page text already; a heading in one string is words, with ``_`` for a space."""
    words = [w.replace("_", " ") for w in head.split()] if isinstance(head, str) else head
    top = "".join(f"<th>{word}</th>" for word in words)
    body = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>\n" for row in rows)
    return f'<div class="scroll"><table><tr>{top}</tr>\n{body}</table></div>\n'


def listed(lines: Iterable[str]) -> str:
    """Page text in a list; nothing where there is nothing."""
    items = "".join(f"<li>{line}</li>\n" for line in lines)
    return f"<ul>\n{items}</ul>\n" if items else ""


def folded(summary: str, body: str) -> str:
    """What is shown when it is asked for."""
    return f"<details><summary>{text(summary)}</summary>\n{body}</details>\n"


def bar(value: float | None, floor: float | None, ceiling: float | None) -> str:
    """How far from the floor to the ceiling a figure is; a dash where a bound does not apply."""
    if value is None or floor is None or ceiling is None or floor == ceiling:
        return "–"
    share = 100 * min(1.0, max(0.0, (value - floor) / (ceiling - floor)))
    return f'<i class="bar" style="--v:{share:.0f}%"></i>'


def colour(place: int) -> str:
    """The style of the curve or group in that place."""
    return f'style="--c:var(--c{place % COLOURS})"'


def chip(place: int, name: str) -> str:
    """A group's name beside its colour."""
    return f'<i class="chip" {colour(place)}></i>{text(name)}'


def picture(content: bytes, name: str, title: str, said: str) -> str:
    """A PNG inside the page under the words ``said``; a line of text where it is none."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or len(content) < 24:
        return f"<p>{text(name)} is not a picture.</p>\n"
    width, height = struct.unpack(">II", content[16:24])
    return (
        f'<figure><img alt="{text(title)}: {text(said)}" width="{width}" height="{height}" '
        f'src="data:image/png;base64,{base64.b64encode(content).decode()}">\n'
        f"<figcaption>{text(said)}</figcaption></figure>\n"
    )


# ---------------------------------------------------------------------- curves
def ticks(low: float, high: float) -> list[float]:
    """Two to five round numbers between the ends."""
    step = float(10.0 ** math.floor(math.log10(high - low)))
    step *= next(f for f in (0.2, 0.5, 1.0, 2.0, 5.0) if (high - low) / (f * step) <= 5)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(math.ceil(low / step - 1e-9), last + 1)]


def span(ys: Iterable[float], guide: Guide, least: float | None) -> tuple[float, float]:
    """The ends of a chart's vertical axis: what is far outside the rest is left out, a guide is not."""
    ys = sorted(ys)
    low, high = ys[len(ys) // 50], ys[-1 - len(ys) // 50]
    low, high = (low, high) if ys[-1] - ys[0] > 4 * (high - low) > 0 else (ys[0], ys[-1])
    if guide:
        low, high = min(low, guide[0]), max(high, guide[0])
    low = low if least is None else least
    if guide and high - guide[0] < 0.08 * (high - low):  # its name stands above it
        high = guide[0] + 0.08 * (high - low)
    return low, max(high, low + 1e-3 * (abs(low) or 1))


@dataclass(frozen=True)
class Axes:
    """Where numbers lie on a chart."""

    low: float
    high: float
    end: float

    def across(self, x: float) -> float:
        return round(LEFT + (WIDE - LEFT - 6) * x / self.end, 1)

    def down(self, y: float) -> float:
        share = (min(self.high, max(self.low, y)) - self.low) / (self.high - self.low)
        down: float = HIGH - BOTTOM - (HIGH - BOTTOM - TOP) * share
        return round(down, 1)

    def level(self, y: float, style: str, at: float, dy: int, name: str) -> str:
        """A line across at ``y`` with its name."""
        place = self.down(y)
        line = f'<line class="{style}" x1="{LEFT}" x2="{WIDE}" y1="{place}" y2="{place}"/>'
        return (
            f'{line}<text x="{at}" y="{round(place + dy, 1)}" text-anchor="end">{text(name)}</text>'
        )

    def curve(self, points: Points, place: int, more: str = "") -> str:
        """One curve; a point alone is a dot."""
        dashed = " dashed" if place >= COLOURS else ""
        drawn = " ".join(f"{self.across(x)},{self.down(y)}" for x, y in points)
        line = f'<polyline class="curve{dashed}{more}" {colour(place)} points="{drawn}"/>'
        if more:
            return line
        x, y = points[-1]
        at = f'cx="{self.across(x)}" cy="{self.down(y)}"'
        return f'{line}<circle class="dot" {colour(place)} {at} r="2.2"/>'


def chart(
    title: str,
    lines: Lines,
    guide: Guide = None,
    least: float | None = None,
    *,
    faint: Mapping[str, Sequence[Points]] | None = None,
    places: Sequence[str] = (),
    over: str = "images seen",
) -> str:
    """Curves as SVG, with a dashed line where ``guide`` says; what is far outside the rest lies on the frame.

    ``faint`` are the single runs behind a curve that is their mean, ``places`` the names in the order of their colours.
    """
    thin = {name: list(points) for name, points in (faint or {}).items() if name in lines}
    every = [*lines.values(), *(points for several in thin.values() for points in several)]
    low, high = span((y for points in every for _, y in points), guide, least)
    axes = Axes(low, high, max(x for points in every for x, _ in points) or 1.0)
    parts = [axes.level(y, "axis", LEFT - 5, 3, short(y)) for y in ticks(low, high)]
    parts += [axes.level(guide[0], "guide", WIDE, -3, guide[1])] if guide else []
    for x in ticks(0.0, axes.end):
        place = f'x="{min(axes.across(x), WIDE - 12)}" y="{HIGH - 6}" text-anchor="middle"'
        parts.append(f"<text {place}>{short(x)}</text>")
    order = list(places) or list(lines)
    for name, several in thin.items():
        parts += [axes.curve(points, order.index(name), " faint") for points in several if points]
    keys = ""
    for name, points in lines.items():
        parts.append(axes.curve(points, order.index(name)))
        keys += f"<li><i {colour(order.index(name))}></i>{text(name)} {short(points[-1][1])}</li>"
    return (
        f'<figure class="chart"><figcaption>{text(title)}</figcaption>\n<svg viewBox="0 0 {WIDE} {HIGH}" role="img" '
        f'aria-label="{text(title)}, over {text(over)}">{"".join(parts)}</svg>\n<ul class="key">{keys}</ul></figure>\n'
    )


def guide_of(figure: Measured) -> Guide:
    """The dashed line in a metric's chart: real images, else the most there is."""
    if figure.real and figure.floor is not None:
        return figure.floor, f"real images {short(figure.floor)}"
    return None if figure.ceiling is None else (figure.ceiling, f"ceiling {short(figure.ceiling)}")


# ---------------------------------------------------------------------- figures beside each other
@dataclass(frozen=True)
class Mark:
    """One group on a strip: its seeds, their mean and where that mean lies."""

    place: int
    seeds: tuple[float, ...]
    range: tuple[float, float] | None


def strip(title: str, marks: Sequence[Mark], floor: float | None, ceiling: float | None) -> str:
    """Groups under each other on one scale: a dot for each seed, a bar for the mean, a line for its interval.

    Dashed: the floor and the ceiling, where they apply.
    """
    ends = [x for mark in marks for x in (*mark.seeds, *(mark.range or ()))]
    bounds = [x for x in (floor, ceiling) if x is not None]
    low, high = min(ends + bounds), max(ends + bounds)
    room = (high - low) or abs(high) or 1.0
    tall = STRIP_STEP * len(marks) + 4

    def across(x: float) -> float:
        place: float = 6 + (STRIP_WIDE - 12) * (x - low) / room
        return round(place, 1)

    parts = [
        f'<line class="guide" x1="{across(x)}" x2="{across(x)}" y1="0" y2="{tall}"/>'
        for x in bounds
    ]
    for row, mark in enumerate(marks):
        y = 8 + STRIP_STEP * row
        rule = f'<line class="axis" x1="6" x2="{STRIP_WIDE - 6}" y1="{y}" y2="{y}"/>'
        parts.append(f"<g {colour(mark.place)}>{rule}")
        if mark.range:
            left, right = map(across, mark.range)
            parts.append(f'<line class="range" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts += [f'<circle class="seed" cx="{across(x)}" cy="{y}" r="2.4"/>' for x in mark.seeds]
        if len(mark.seeds) > 1:
            x = across(sum(mark.seeds) / len(mark.seeds))
            parts.append(f'<line class="mean" x1="{x}" x2="{x}" y1="{y - 4.5}" y2="{y + 4.5}"/>')
        parts.append("</g>")
    return (
        f'<svg class="strip" viewBox="0 0 {STRIP_WIDE} {tall}" role="img" '
        f'aria-label="{text(title)}">{"".join(parts)}</svg>'
    )
