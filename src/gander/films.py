"""Films: a model's images on their way through seeds and settings, and a run's sheets as it trained.

A film passes through *stations*, each a seed and a setting of every knob, and comes back to the first. On the way classes fade,
angles go the short way round and noise keeps its length (``Model.between``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gander import images as pictures
from gander import outputs, reels, sampling, sheets
from gander.code import Values
from gander.errors import CodeError, UseError
from gander.kinds import Kind
from gander.model import CHUNK, Model

SEEDS = 6  # stations where nothing says what to pass through
SECONDS = 1.0  # from one station to the next
SWEEP_SECONDS = 2.0  # from one end of a knob to the other
SIDE, SHEET_SIDE = (
    256,
    480,
)  # pixels along the longer side that a film of one cell, of several, has at least
MOST_FRAMES = 20_000
MOST_STATIONS = 1000
LONGEST = 3600.0  # seconds between stations
MEASURED = 24  # points of a way at which its pace is measured
CAPTION = 14  # pixels of its letters


@dataclass(frozen=True)
class Way:
    """What a film passes through: at each station the values of every cell, (cells, *S) a code."""

    stations: tuple[Values, ...]
    seeds: tuple[int, ...]
    """Of the first cell, at each station."""
    knobs: tuple[str, ...] = ()
    """Those that are turned, as they were asked for."""
    straight: frozenset[str] = frozenset()
    """Codes that go straight through their values, whatever way their kind would take."""
    steady: bool = False
    """Whether it moves at one speed, and does not rest at the stations."""
    even: bool = False
    """Whether knobs turn evenly; else they turn so that the picture changes evenly."""


@dataclass(frozen=True)
class Moment:
    """A frame: so much of the way from one station to another."""

    first: int
    last: int
    share: float


def film(
    model: Model,
    out: str | Path,
    *,
    seed: int = 0,
    seeds: str | Sequence[int] | None = None,
    settings: Sequence[str] | Mapping[str, Any] = MappingProxyType({}),
    sweep: str | None = None,
    sheet: str | None = None,
    seconds: float | None = None,
    fps: float | None = None,
    once: bool = False,
    labels: bool = False,
) -> Path:
    """Films the way through seeds and settings, and back to the first unless ``once``; returns the file.

    ``out`` ends in .gif, .webp, .png (an animated PNG) or .mp4. A setting of several values, ``digit=3,5,8`` or
    ``{"digit": [3, 5, 8]}``, has a station for each; the number of stations is that of the longest list, shorter ones begin
    again. ``sweep`` turns one knob from end to end and back. ``seconds`` is from one station to the next. ``sheet``
    (COLUMNSxROWS) films several seeds or classes side by side. Raises ``UseError``.
    """
    path = Path(out)
    ending = reels.check_ending(path)
    outputs.check(path)
    rate = reels.find_rate(fps, ending)
    columns, rows = sampling.parse_sheet(sheet) if sheet else (1, 1)
    chosen = sampling.parse_seeds(seeds) if isinstance(seeds, str) else seeds
    if chosen is not None and not chosen:
        raise UseError("--seeds: at least one seed is needed.")
    if not -sampling.LAST_SEED < seed < sampling.LAST_SEED:
        raise UseError(f"--seed is below 2^48, given {seed}.")
    each = _seconds(seconds, SECONDS if sweep is None else SWEEP_SECONDS)
    steps = round(each * rate)
    if steps < 1:
        raise UseError(
            f"--seconds {each:g} at {rate:g} frames a second is no frame from one station to the next; give more of either."
        )
    lists = stations_of(model, settings)
    if sweep is not None and sheet is None and chosen is not None:
        columns = len(chosen)
    layout = _Layout(columns, rows, _scale(model, columns, rows), labels)

    def check(stations: int) -> None:
        _check(model, path, layout, (stations - once) * steps + once)

    if sweep is None:
        way = _through(model, lists, chosen, seed, layout, check)
    else:
        way = _swept(model, sweep, lists, chosen, seed, layout, check, once)
    count = (len(way.stations) - once) * steps + once
    frames = _frames(model, way, layout, steps, once)
    reels.write_reel(path, frames, [1 / rate] * count, rate, loop=not once)
    return path


# ---------------------------------------------------------------------- what was asked
def _seconds(asked: float | None, usual: float) -> float:
    each = usual if asked is None else float(asked)
    if not 0 < each <= LONGEST:
        raise UseError(
            f"--seconds is above 0 and at most {LONGEST:,.0f}, given {each:g}; give it so, as --seconds 2."
        )
    return each


def stations_of(model: Model, settings: Sequence[str] | Mapping[str, Any]) -> dict[str, list[Any]]:
    """``code=value`` words, or codes and values, to the values of each station; every one is checked."""
    if isinstance(settings, Mapping):
        lists = {
            model.settled(str(name)): _several(model, str(name), said)
            for name, said in settings.items()
        }
    else:
        lists = {}
        for text in settings:
            name, said = sampling.parse_setting(model, text)
            lists[name] = _several(model, name, said)
    for name, values in lists.items():
        if not 1 <= len(values) <= MOST_STATIONS:
            raise UseError(f"{name}: from 1 to {MOST_STATIONS:,} stations, given {len(values):,}.")
        for value in values:
            model.values([0], **{name: value})
    return lists


def _several(model: Model, name: str, said: Any) -> list[Any]:
    """The values of one setting. Commas separate them, but for those within a class's own name."""
    if isinstance(said, Tensor):
        return [number.reshape(1) for number in said.flatten()]
    if not isinstance(said, str):
        return list(said) if isinstance(said, Sequence) else [said]
    kind = model.find(name).resolved
    parts, values = said.split(","), []
    longest = 1 + max((str(n).count(",") for n in getattr(kind, "names", ())), default=0)
    while parts:
        taken = next(
            (n for n in range(longest, 1, -1) if _is_value(kind, ",".join(parts[:n]).strip())), 1
        )
        values.append(",".join(parts[:taken]).strip())
        parts = parts[taken:]
    return values


def _is_value(kind: Kind, text: str) -> bool:
    try:
        kind.parse(text)
    except CodeError:
        return False
    return True


# ---------------------------------------------------------------------- the way
def _through(
    model: Model,
    lists: Mapping[str, list[Any]],
    seeds: Sequence[int] | None,
    seed: int,
    layout: _Layout,
    check: Callable[[int], None],
) -> Way:
    """The way through lists of settings and seeds. Where only knobs are listed, the seed stays."""
    longest = max((len(values) for values in lists.values()), default=1)
    moving = tuple(name for name, values in lists.items() if len(values) > 1)
    count = max(longest, len(seeds) if seeds is not None else 1 if moving else SEEDS)
    if count < 2:
        raise UseError(
            "a film needs two stations or more: give --seeds 0,1,2, or several values as --set "
            f"{sampling.example(model)},…, or a knob to turn with --sweep."
        )
    check(count)
    classes, own = _cells(model, layout, set(lists))
    stations, first = [], []
    for i in range(count):
        if seeds is not None:
            here = [seeds[(i + cell) % len(seeds)] for cell in own]
        else:
            here = [seed + cell * (1 if moving else count) + (0 if moving else i) for cell in own]
        ordered = {name: values[i % len(values)] for name, values in lists.items()}
        stations.append(model.values(here, **classes, **ordered))
        first.append(here[0])
    # A wide knob set to -1 and then to 1 goes through 0, where drawn noise would go round it.
    straight = {model.find(n).name for n in moving if model.find(n).resolved.name == "gaussian"}
    return Way(tuple(stations), tuple(first), moving, frozenset(straight))


def _cells(model: Model, layout: _Layout, taken: set[str]) -> tuple[dict[str, Tensor], list[int]]:
    """What tells the cells of a sheet apart: the class of each, where there are any, and which seed of several it has.

    A class for each cell and one seed, where there are enough classes; else a class for each row and a seed for each
    column; without classes, a seed for each cell.
    """
    columns, rows = layout.columns, layout.rows
    count = columns * rows
    code = sheets.class_code(model)
    if count == 1 or code is None or any(model.find(n).name == code.name for n in taken):
        return {}, list(range(count))
    size = code.resolved.width
    if count <= size:
        return {code.name: torch.arange(count)}, [0] * count
    return (
        {code.name: (torch.arange(rows) % size).repeat_interleave(columns)},
        list(range(columns)) * rows,
    )


def _swept(
    model: Model,
    text: str,
    lists: Mapping[str, list[Any]],
    seeds: Sequence[int] | None,
    seed: int,
    layout: _Layout,
    check: Callable[[int], None],
    once: bool,
) -> Way:
    """One knob from end to end and back: classes one after the other, an angle once round, the rest to and fro."""
    asked = sampling.parse_sweep(model, text)
    kind = model.find(asked.code).resolved
    fixed = {name: values[0] for name, values in lists.items()}
    if any(len(values) > 1 for values in lists.values()):
        raise UseError(
            "--sweep turns one knob and the others stand still: give each --set one value."
        )
    if any(sampling.overlap(asked.code, name) for name in fixed):
        raise UseError(f"{asked.code} is both set and swept; drop the --set or the --sweep.")
    points, straight = asked.points.tolist(), {model.find(asked.code).name}
    round_once = kind.name == "circular" and "=" not in text
    if round_once:
        points, straight = [math.pi * (2 * k / 3 - 1) for k in range(3 + once)], set()
    elif kind.name != "categorical":
        ends = text.partition("=")[2].count(":") < 2 and not kind.discrete
        points = [points[0], points[-1]] if ends else points
        points = points if once else points + points[-2:0:-1]
    if len(points) < 2:
        raise UseError(f"a film needs two stations or more, and --sweep {text} has {len(points)}.")
    check(len(points))
    classes, own = _cells(model, layout, {*fixed, asked.code})
    here = [seeds[c % len(seeds)] if seeds is not None else seed + c for c in own]
    stations = [
        model.values(here, **classes, **fixed, **{asked.code: torch.tensor([point])})
        for point in points
    ]
    drawn = frozenset(() if kind.discrete else straight)
    seen = (here[0],) * len(points)
    return Way(tuple(stations), seen, (asked.code,), drawn, steady=round_once, even=True)


# ---------------------------------------------------------------------- the frames
@dataclass(frozen=True)
class _Layout:
    """Where the cells stand, and whether a line of words is under them."""

    columns: int
    rows: int
    scale: int
    labels: bool

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """Width and height of a frame, in pixels."""
        across = self.columns * (shape[2] * self.scale + pictures.GAP) - pictures.GAP
        down = self.rows * (shape[1] * self.scale + pictures.GAP) - pictures.GAP
        return across, down + (2 * CAPTION if self.labels else 0)


def _scale(model: Model, columns: int, rows: int) -> int:
    """The whole factor that lets a person see."""
    _, height, width = model.card.shape
    side = SIDE if columns * rows == 1 else SHEET_SIDE
    whole = -(-side // max(columns * width, rows * height))
    return max(1, whole, -(-pictures.LEAST_SIDE // max(height, width)))


def _check(model: Model, path: Path, layout: _Layout, frames: int) -> None:
    """Refuses a film too long or too large before anything is drawn."""
    if frames > MOST_FRAMES:
        raise UseError(
            f"that would be {frames:,} frames; at most {MOST_FRAMES:,}: give fewer stations, --seconds or --fps."
        )
    cells = layout.columns * layout.rows
    if frames * cells > sampling.MOST:
        raise UseError(
            f"that would be {frames * cells:,} images; at most {sampling.MOST:,}: give a smaller --sheet."
        )
    size = layout.size(model.card.shape)
    reels.check_size(path, size, frames, "fewer stations, --seconds or --fps, or a smaller --sheet")


def _frames(
    model: Model, way: Way, layout: _Layout, steps: int, once: bool
) -> Iterator[Image.Image]:
    """Every frame, drawn some at a time."""
    moments = list(_moments(model, way, steps, once))
    cells = layout.columns * layout.rows
    few = max(1, CHUNK // math.gcd(CHUNK, cells) * -(-4 // cells))
    for first in range(0, len(moments), few):
        part = moments[first : first + few]
        drawn = _drawn(model, way, part)
        for moment, images in zip(part, drawn, strict=True):
            picture = _arranged(images, layout)
            words = _words(model, way, moment) if layout.labels else ""
            yield pictures.captioned(picture, words, CAPTION) if layout.labels else picture


def _moments(model: Model, way: Way, steps: int, once: bool) -> Iterator[Moment]:
    """From each station to the next, and from the last to the first unless ``once``."""
    count = len(way.stations)
    for first in range(count - once):
        last = (first + 1) % count
        pace = None if way.even else _pace(model, way, first, last)
        for step in range(steps):
            passed = step / steps
            eased = passed if way.steady else (1 - math.cos(math.pi * passed)) / 2
            yield Moment(first, last, eased if pace is None else _at(pace, eased))
    if once:
        yield Moment(count - 1, count - 1, 0.0)


def _pace(model: Model, way: Way, first: int, last: int) -> Tensor:
    """How much the pictures have changed by each of ``MEASURED`` + 1 points of a way, (MEASURED + 1,) from 0 to 1.

    Half of what is counted is the way itself, so that a film in which nothing seems to change moves on.
    """
    shares = [k / MEASURED for k in range(MEASURED + 1)]
    images = _drawn(model, way, [Moment(first, last, share) for share in shares]).float()
    change = (images[1:] - images[:-1]).abs().flatten(1).mean(1)
    even = torch.full_like(change, 1 / MEASURED)
    total = change.sum()
    change = (change / total + even) / 2 if total > 0 else even
    passed = torch.cat([torch.zeros(1), change.cumsum(0)])
    return passed / passed[-1]


def _at(pace: Tensor, wanted: float) -> float:
    """The share of a way at which the pictures have changed by ``wanted``."""
    k = min(MEASURED - 1, max(0, int(torch.searchsorted(pace, wanted, right=True)) - 1))
    low, high = float(pace[k]), float(pace[k + 1])
    return (k + (wanted - low) / max(high - low, 1e-9)) / MEASURED


def _drawn(model: Model, way: Way, moments: Sequence[Moment]) -> Tensor:
    """The images of some frames, (frames, cells, C, H, W) uint8."""
    cells = len(next(iter(way.stations[0].values())))
    first, last = (
        {name: torch.cat([way.stations[at][name] for at in places]) for name in way.stations[0]}
        for places in ([m.first for m in moments], [m.last for m in moments])
    )
    share = torch.tensor([m.share for m in moments]).repeat_interleave(cells)
    told = model.between(first, last, share)
    for name in way.straight:
        kind = model.find(name).resolved
        told[name] = kind.encode(torch.lerp(first[name], last[name], share.unsqueeze(1)))
    images = model.render_told(told)
    return images.view(len(moments), cells, *images.shape[1:])


def _arranged(images: Tensor, layout: _Layout) -> Image.Image:
    """The cells of one frame (cells, C, H, W), enlarged and side by side."""
    gap, scale = pictures.GAP, layout.scale
    large = images.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    count, channels, height, width = large.shape
    paper = torch.full(
        (count, channels, height + gap, width + gap), pictures.PAPER, dtype=torch.uint8
    )
    if channels in (2, 4):
        paper[:, -1] = 0
    paper[:, :, :height, :width] = large
    table = paper.view(layout.rows, layout.columns, *paper.shape[1:]).permute(2, 0, 3, 1, 4)
    joined = table.reshape(channels, layout.rows * (height + gap), layout.columns * (width + gap))
    return pictures.picture(joined[:, : joined.shape[1] - gap, : joined.shape[2] - gap])


# ---------------------------------------------------------------------- words
def _words(model: Model, way: Way, moment: Moment) -> str:
    """What a frame shows: each turned knob where it stands, and the nearest station's seed where seeds change."""
    said = []
    for name in way.knobs:
        code, part = model.find(name), name.partition(".")[2]
        ends = [way.stations[at][code.name][:1] for at in (moment.first, moment.last)]
        if ends[0].dim() == 2:
            words = list(getattr(code.resolved, "names", ()))
            column = words.index(part) if part in words else int(part or 0)
            ends = [end[:, column] for end in ends]
        value = _standing(code.resolved, ends[0], ends[1], moment.share, code.name in way.straight)
        axis = sheets.axis(model, name, value)
        ends_said = f" ({axis.low} to {axis.high})" if axis.low and axis.high else ""
        is_plain = code.resolved.name in ("gaussian", "uniform")
        said.append(
            f"{axis.title}{ends_said} {float(value):.2f}"
            if is_plain
            else f"{axis.title} {axis.names[0]}"
        )
    if len(set(way.seeds)) > 1:
        said.append(f"seed {way.seeds[moment.first if moment.share < 0.5 else moment.last]}")
    return "    ".join(said)


def _standing(kind: Kind, first: Tensor, last: Tensor, share: float, straight: bool) -> Tensor:
    """Where a knob stands between two values, (1,); of what has no between, the nearer one."""
    if kind.discrete:
        return first if share < 0.5 else last
    way = last - first
    if kind.name == "circular" and not straight:
        way = torch.remainder(way + math.pi, 2 * math.pi) - math.pi
    return torch.round((first + way * share) * 100) / 100 + 0.0  # adding 0 takes the sign off -0
