"""Runs side by side: which are the same but for their seed, how their recipes differ, and each figure over the seeds."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from gander import config as configuration
from gander import history, runs
from gander.config import Config
from gander.history import Better, Measured, Table, number, table
from gander.runs import Run
from gander.study import times
from gander.study.bootstrap import mean_interval

SAYS_NOTHING_OF_IT = (
    *("preset", "report", "training.seed"),
    *("training.threads", "training.deterministic", "training.recorded"),
)
"""Settings that two runs of one recipe may differ in; the last three are how the machine went about it, not what."""
WHERE = ("gander", "torch", "python", "machine", "engine")
"""What of the provenance may explain a difference."""
IMAGES, ORDER = "images (SHA-256)", "order of the codes"
CODE = re.compile(r" (?=[A-Za-z][\w-]*:)")
OTHER_WAYS, OTHER_CODES = "measured in different ways", "of codes of another kind or size"
"""Why a figure cannot be compared."""
MOST_IN_NAME = 3
"""Settings in a group's name."""


@dataclass(frozen=True)
class Entry:
    """One run, as read from its directory."""

    run: Run
    config: Config
    resolved: Table
    provenance: Table
    log: list[Table]
    evaluations: list[Table]
    figures: dict[str, Measured]
    missing: dict[str, str]

    @property
    def seed(self) -> int:
        return self.config.training.seed

    @property
    def data(self) -> str:
        """The name of its images."""
        return str(self.resolved.get("data") or self.config.data.source)

    @property
    def images_seen(self) -> int:
        return int(number(self.log[-1].get("images_seen")) or 0) if self.log else 0

    @property
    def minutes(self) -> float | None:
        seconds = number(self.log[-1].get("seconds")) if self.log else None
        return None if seconds is None else seconds / 60

    @property
    def codes(self) -> dict[str, Table]:
        """Its codes as the data completed them."""
        return {name: table(code) for name, code in table(self.resolved.get("codes")).items()}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every setting that makes its recipe, by its whole name; a code's is the words of the one-line form."""
        said: dict[str, Any] = {}
        for section, settings in self.config.to_dict().items():
            if isinstance(settings, Mapping) and section != "codes":
                said |= {f"{section}.{name}": value for name, value in settings.items()}
        said = {k: v for k, v in said.items() if not _says_nothing(k)}
        line = str(self.resolved.get("line") or self.config.codes)
        codes = dict(part.partition(":")[::2] for part in CODE.split(line))
        found = str(self.resolved.get("fingerprint") or "")[:12]
        images = {IMAGES: found} if found else {}
        order = {ORDER: " ".join(codes)}
        return said | images | {f"code {name}": what for name, what in codes.items()} | order


def _says_nothing(key: str) -> bool:
    return key in SAYS_NOTHING_OF_IT or key.partition(".")[0] in SAYS_NOTHING_OF_IT


def read(path: str | Path) -> Entry:
    """A run as it stands on disk. Raises ``RunError``."""
    run = runs.open_run(path)
    tables, config = run.read_tables(), run.read_config()
    evaluations = history.evaluations(run)
    figures, missing = history.latest(evaluations)
    return Entry(
        run,
        config,
        table(tables.get("resolved")),
        table(tables.get("provenance")),
        history.placed(run.lines()),
        evaluations,
        figures,
        missing,
    )


# ---------------------------------------------------------------------- groups
@dataclass(frozen=True)
class Group:
    """Runs of one recipe that differ in their seed alone."""

    name: str
    entries: tuple[Entry, ...]
    """One for each seed, in the order of the seeds."""
    doubles: tuple[Entry, ...] = ()
    """Further runs of a seed that is there already: the same game again, so they are not counted."""

    @property
    def first(self) -> Entry:
        return self.entries[0]

    @property
    def settings(self) -> dict[str, Any]:
        return self.first.settings

    def sort(self, name: str) -> str:
        """Kind and size of the code that a figure NAME/CODE is of; empty for other figures."""
        code = self.first.codes.get(name.partition("/")[2].partition(".")[0], {})
        return " ".join(str(code.get(key, "")) for key in ("kind", "size")).strip()

    def where(self, key: str) -> list[str]:
        """One fact of the provenance, every value there is in the group."""
        return list(dict.fromkeys(str(e.provenance.get(key, "–")) for e in self.entries))


def grouped(entries: Sequence[Entry]) -> list[Group]:
    """The groups of some runs, in the order in which they were given, each named by what sets it apart."""
    together: list[list[Entry]] = []
    for entry in entries:
        home = next((own for own in together if same_recipe(own[0], entry)), None)
        if home is None:
            together.append([entry])
        else:
            home.append(entry)
    groups = []
    for own in together:
        seeds: dict[int, list[Entry]] = {}
        for entry in own:
            seeds.setdefault(entry.seed, []).append(entry)
        # Of two runs of a seed the one that says more counts.
        best = {s: max(e, key=lambda x: (len(x.figures), x.images_seen)) for s, e in seeds.items()}
        counted = tuple(best[seed] for seed in sorted(best))
        rest = tuple(entry for entry in own if all(entry is not one for one in counted))
        groups.append(Group("", counted, rest))
    return named(groups)


def same_recipe(one: Entry, other: Entry) -> bool:
    """Whether two runs are the same but for their seed, by ``config.differences``, and saw the same images."""
    prints = {str(entry.settings.get(IMAGES, "")) for entry in (one, other)}
    if len(prints - {""}) > 1:
        return False
    if one.config.training.images != other.config.training.images:
        return False
    ways = ((one.config, other.config), (other.config, one.config))
    return any(
        all(_says_nothing(line.partition(":")[0]) for line in configuration.differences(*way))
        for way in ways
    )


def differing(groups: Sequence[Group]) -> list[str]:
    """The settings in which groups differ."""
    keys = dict.fromkeys(key for group in groups for key in group.settings)
    apart = [key for key in keys if len({str(group.settings.get(key)) for group in groups}) > 1]
    # Another order of the same codes is worth a line; of other codes it says nothing more.
    codes = {tuple(sorted(str(group.settings.get(ORDER)).split())) for group in groups}
    return [key for key in apart if key != ORDER or len(codes) == 1]


def named(groups: Sequence[Group]) -> list[Group]:
    """The groups with names made of what differs: preset, data, then the settings."""
    names = []
    alone = len(groups) == 1
    presets = {group.first.config.preset for group in groups}
    sources = {group.first.data for group in groups}
    for group in groups:
        own = (group.first.config.preset, group.first.data)
        alike = [g for g in groups if (g.first.config.preset, g.first.data) == own]
        said = [word for key in differing(alike) if (word := _setting(group, key))]
        words = [own[0]] if alone or len(presets) > 1 else []
        words += [f"on {own[1]}"] if alone or len(sources) > 1 else []
        words += [*said[:MOST_IN_NAME], *(["…"] if said[MOST_IN_NAME:] else [])]
        names.append(" ".join(words) or own[0])
    counts: Counter[str] = Counter()
    unique = []
    for name in names:
        counts[name] += 1
        unique.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return [replace(group, name=name) for group, name in zip(groups, unique, strict=True)]


def _setting(group: Group, key: str) -> str:
    """A setting in a name: its last part and its value."""
    value = group.settings.get(key)
    if key.startswith("code "):
        name = key.removeprefix("code ")
        return f"no {name}" if value is None else f"{name}:{value}"
    if key == ORDER:
        return ""
    return f"{key.rpartition('.')[2]}={value}"


# ---------------------------------------------------------------------- figures
@dataclass(frozen=True)
class Spread:
    """One figure over the seeds of a group."""

    values: tuple[float, ...]
    measured: Measured
    """The last of them, for what they have in common."""
    floor: float | None
    ceiling: float | None
    left_out: int = 0
    """Runs that were measured in another way."""

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The standard deviation over seeds (n - 1 below); None for one seed."""
        return stdev(self.values) if self.n > 1 else None

    @property
    def error(self) -> float | None:
        """The figure's own standard error, where there is one seed."""
        return self.measured.error if self.n == 1 else None

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Where the mean over seeds lies, 95 %; None for one seed."""
        return mean_interval(self.values)

    @property
    def ratio(self) -> float | None:
        """How many times what real images score."""
        real = self.measured.real and self.measured.proportional
        return times(self.mean, self.floor) if real else None


@dataclass(frozen=True)
class Row:
    """One figure, group by group."""

    name: str
    cells: tuple[Spread | None, ...]
    way: Better | None
    """Which way is better."""
    why_not: str
    """Why the groups cannot be compared in it; empty where they can."""
    best: int | None
    """The group that is better than every other, by separate intervals; None where that cannot be said."""

    @property
    def there(self) -> list[Spread]:
        return [cell for cell in self.cells if cell is not None]

    def common(self, bound: str) -> float | None:
        """The floor or the ceiling, where all groups have the same."""
        found = {getattr(cell, bound) for cell in self.there}
        values = [x for x in found if x is not None]
        if len(values) != len(found) or not values:
            return None
        alike = all(math.isclose(x, values[0], rel_tol=1e-6, abs_tol=1e-9) for x in values)
        return float(values[0]) if alike else None


def rows(groups: Sequence[Group]) -> list[Row]:
    """Every figure that was measured in any run, in the order of the evaluations."""
    names = dict.fromkeys(n for group in groups for entry in group.entries for n in entry.figures)
    return [_row(name, groups) for name in names]


def _row(name: str, groups: Sequence[Group]) -> Row:
    cells = tuple(_spread(name, group) for group in groups)
    there = [cell for cell in cells if cell is not None]
    way = history.better(name, there[0].measured)
    why = ""
    if not all(cell.measured.alike(there[0].measured) for cell in there):
        why = OTHER_WAYS
    elif len({group.sort(name) for group, cell in zip(groups, cells, strict=True) if cell}) > 1:
        why = OTHER_CODES
    return Row(name, cells, way, why, None if why else _best(cells, way))


def _spread(name: str, group: Group) -> Spread | None:
    """A figure over the runs that were measured in the way that most of the group was, the latest of equals."""
    found = [entry.figures[name] for entry in group.entries if name in entry.figures]
    if not found:
        return None
    kinds = [[other for other in found if other.alike(one)] for one in found]
    kept = max(reversed(kinds), key=len)
    floors = [x.floor for x in kept if x.floor is not None]
    tops = [x.ceiling for x in kept if x.ceiling is not None]
    return Spread(
        tuple(x.value for x in kept),
        kept[-1],
        fmean(floors) if floors else None,
        fmean(tops) if tops else None,
        len(found) - len(kept),
    )


def _best(cells: Sequence[Spread | None], way: Better | None) -> int | None:
    """The group whose interval lies beyond those of all others; one seed has no interval, so nothing is said then."""
    ranges = {k: cell.interval for k, cell in enumerate(cells) if cell is not None}
    if way is None or len(ranges) < 2:
        return None
    known = {k: ends for k, ends in ranges.items() if ends is not None}
    if len(known) < len(ranges):
        return None
    sign = 1 if way == "higher" else -1
    # The worse end of each interval and its better one.
    ends = {k: sorted((sign * low, sign * high)) for k, (low, high) in known.items()}
    first = max(ends, key=lambda k: ends[k][0])
    beyond = all(ends[first][0] > high for k, (_, high) in ends.items() if k != first)
    return first if beyond else None


@dataclass(frozen=True)
class Comparison:
    """Some runs in groups, every figure over them, and what must be said with it."""

    groups: tuple[Group, ...]
    rows: tuple[Row, ...]
    cautions: tuple[str, ...]

    @property
    def entries(self) -> list[Entry]:
        return [entry for group in self.groups for entry in group.entries]

    @property
    def title(self) -> str:
        names = [group.name for group in self.groups]
        return " and ".join(names) if len(names) < 3 else f"{len(names)} groups of runs"

    @property
    def measured(self) -> list[Measured]:
        """One figure of each group and row."""
        return [cell.measured for row in self.rows for cell in row.there]
