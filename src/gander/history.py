"""What a run says of itself in log.jsonl and metrics.jsonl: curves, and the latest figure of each metric.

The lines may come from a stranger or an older version, so nothing in them is taken for granted.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gander.runs import Run
from gander.study import times

Table = dict[str, Any]
Points = list[tuple[float, float]]  # (images seen, or seconds; value)
Lines = dict[str, Points]  # name -> a curve
Better = Literal["higher", "lower"]
MOST_POINTS = 240  # of a curve; longer ones are averaged
TAGS = {
    "": "The players",
    "real": "Reading real images (critic's step)",
    "fake": "Reading generated images (critic's step)",
    "draws": "Making codes readable (generator's step)",
}
"""What the terms are of whose names begin so."""
SIGNS: dict[str, tuple[str, tuple[float, str] | None]] = {
    "speed": ("Speed, images a second", None),
    "diversity": ("Diversity: spread of the samples", (1.0, "as real images")),
    "told_apart": ("Told apart: share of (real, generated) pairs", (0.5, "cannot tell")),
    "critic_gap": (
        "Critic gap: unseen real images, from training ones down to generated",
        (0.0, "alike"),
    ),
    "augment_probability": ("How probably each transformation is applied", None),
    "augment_sign": ("Mean sign of real images as the critic sees them", None),
}
"""Health in words, and the value that means something."""
DIRECTIONS: dict[str, Better | None] = {
    "frechet": "lower",
    "kernel": "lower",
    "intra_frechet": "lower",
    "intra_frechet_worst_class": "lower",
    "intra_kernel": "lower",
    "calibration_error": "lower",
    "mode_kl": "lower",
    "precision": "higher",
    "recall": "higher",
    "coverage": "higher",
    "intra_precision": "higher",
    "intra_recall": "higher",
    "intra_coverage": "higher",
    "modes": "higher",
    "parzen": "higher",
    "parzen_validation": "higher",
    "parzen_k_means": None,
    "density": None,
    "intra_density": None,
    "ms_ssim": None,
    "ms_ssim_worst_class": None,
    "calibration": None,
    "data_copying": None,
    "data_copying_share": None,
    "data_copying_pixels": None,
}
"""Which way is better, where the bounds of a figure do not say it; None where being like real images is what is right."""


def table(value: Any) -> Table:
    """A table, empty where there is none."""
    return dict(value) if isinstance(value, Mapping) else {}


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and abs(value) < 1e300 else None


def placed(lines: Iterable[Table]) -> list[Table]:
    """The lines that say when they were written, in images seen."""
    return [line for line in lines if (number(line.get("images_seen")) or -1) >= 0]


# ---------------------------------------------------------------------- curves
def series(lines: Iterable[Table], group: str, over: str = "images_seen") -> Lines:
    """Name -> (``over``, value) of one group of the log's lines, thinned to what a chart can show."""
    found: Lines = {}
    for line in lines:
        x = number(line.get(over))
        for name, value in table(line.get(group)).items():
            if x is not None and (y := number(value)) is not None:
                found.setdefault(name, []).append((x, y))
    return {name: thinned(points) for name, points in found.items()}


def signals(lines: Iterable[Table], over: str = "images_seen") -> Lines:
    """The curves of health, and of speed."""
    lines = list(lines)
    speed = [{**line, "speed": {"speed": line.get("images_per_second")}} for line in lines]
    return series(lines, "health", over) | series(speed, "speed", over)


def ceilings(lines: Iterable[Table]) -> dict[str, float]:
    """The most there is to read of each code."""
    return {name: points[-1][1] for name, points in series(lines, "ceilings").items()}


def unit(code: Any) -> str:
    """What the information of a code is counted in."""
    return "nats" if table(code).get("kind") in ("categorical", "binary") else "R²"


def thinned(points: Points) -> Points:
    """At most ``MOST_POINTS``, each the mean of its neighbours at the last one's place."""
    each = -(-len(points) // MOST_POINTS) or 1
    parts = [points[i : i + each] for i in range(0, len(points), each)]
    return [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]


def at(points: Points, x: float) -> float | None:
    """The curve at ``x``, straight between its points; None outside them."""
    if not points or not points[0][0] <= x <= points[-1][0]:
        return None
    k = bisect_left(points, (x, -math.inf))
    if points[k][0] == x:
        return points[k][1]
    (left, low), (right, high) = points[k - 1], points[k]
    return low + (high - low) * (x - left) / (right - left)


# ---------------------------------------------------------------------- figures
@dataclass(frozen=True)
class Measured:
    """One figure of one evaluation, and under what it was measured."""

    value: float
    floor: float | None
    ceiling: float | None
    error: float | None
    """One standard error of the value, from the images measured."""
    real: bool
    """Whether the floor is what real images score, not what knowing nothing scores."""
    about: str
    n: Any
    data: Any
    judge: str
    features: str
    images_seen: int
    proportional: bool = True
    """Whether a ratio to the floor means anything."""

    @property
    def ratio(self) -> float | None:
        """How many times what real images score."""
        return times(self.value, self.floor) if self.real and self.proportional else None

    def alike(self, other: Measured) -> bool:
        """Whether the two were measured in the same way; what one of them does not say is not held against them."""
        same = (self.n, self.data) == (other.n, other.data) and self.real == other.real
        same = same and _agree(self.judge, other.judge)
        return same and (not self.real or _agree(self.features, other.features))

    @property
    def how(self) -> str:
        """Under what, in words."""
        count = f"{self.n:,}" if isinstance(self.n, int) else self.n
        return f"{count} images against {self.data}"


def _agree(one: str, other: str) -> bool:
    return not one or not other or one == other


def evaluations(run: Run) -> list[Table]:
    """The lines of metrics.jsonl that can be placed, in the order they were measured."""
    return placed(run.lines("metrics.jsonl"))


def figures(line: Table) -> dict[str, Measured]:
    """What one evaluation measured; a figure without a value is left out."""
    found = {}
    for name, figure in table(line.get("metrics")).items():
        said = table(figure)
        value, floor, ceiling, error = (
            number(said.get(key)) for key in ("value", "floor", "ceiling", "error")
        )
        if value is None:
            continue
        found[name] = Measured(
            value,
            floor,
            ceiling,
            error,
            said.get("floor_is") == "real",
            str(said.get("about", "")),
            line.get("n", "?"),
            line.get("data", "?"),
            str(line.get("judge") or ""),
            str(line.get("features") or ""),
            int(number(line.get("images_seen")) or 0),
            said.get("proportional") is not False,
        )
    return found


def latest(lines: Iterable[Table]) -> tuple[dict[str, Measured], dict[str, str]]:
    """The last figure of each name, and why the last attempt at a metric gave none."""
    last: dict[str, Measured] = {}
    missing: dict[str, str] = {}
    for line in lines:
        why = {str(k): str(v) for k, v in table(line.get("missing")).items()}
        new = figures(line)
        for gone in why:
            last = {k: v for k, v in last.items() if gone not in (k, k.partition("/")[0])}
        missing = {k: v for k, v in missing.items() if k not in new and k not in families(new)}
        last |= new
        missing |= why
    return last, missing


def families(names: Iterable[str]) -> set[str]:
    """The metrics of figures: NAME of NAME/CODE."""
    return {name.partition("/")[0] for name in names}


def progress(lines: Iterable[Table]) -> Lines:
    """Name -> (images seen, value): each figure as it went, measured as it was the last time."""
    lines = list(lines)
    last, _ = latest(lines)
    found: dict[str, dict[float, float]] = {}
    for line in lines:
        for name, figure in figures(line).items():
            if name in last and figure.alike(last[name]):
                found.setdefault(name, {})[figure.images_seen] = figure.value
    return {name: sorted(points.items()) for name, points in found.items()}


def better(name: str, figure: Measured) -> Better | None:
    """Which way is better; None where neither is.

    A floor of real images without a ceiling is a distance; else better is from the floor towards the ceiling.
    """
    plain = name.partition("/")[0]
    if plain in DIRECTIONS:
        return DIRECTIONS[plain]
    if figure.real:
        return "lower" if figure.ceiling is None else "higher"
    if figure.floor is None or figure.ceiling is None or figure.floor == figure.ceiling:
        return None
    return "higher" if figure.ceiling > figure.floor else "lower"


def over_minutes(points: Points, log: Iterable[Table]) -> Points:
    """A curve over images seen as one over the log's minutes of training; what lies outside the log is left out."""
    clock = sorted(
        (x, s / 60)
        for line in log
        if (x := number(line.get("images_seen"))) is not None
        and (s := number(line.get("seconds"))) is not None
    )
    moved = [(at(clock, x), y) for x, y in points]
    return [(minutes, y) for minutes, y in moved if minutes is not None]
