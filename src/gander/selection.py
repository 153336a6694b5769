"""The choosing job: several trained runs in, the one to use out, without a label by centrality or by a figure that was measured."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gander import engine, evaluation, groups, history, model
from gander import metrics as registry
from gander.centrality import FEWEST, Agreement, categories, numbers, of_categories, of_numbers
from gander.charts import short
from gander.codes import CodeSpec
from gander.errors import ConfigError, RunError, choose
from gander.groups import Entry
from gander.headings import plain
from gander.history import Better, Measured
from gander.images import write
from gander.model import Model

CENTRALITY = "centrality"
LISTED = "centrality, or one that `gander list metrics` shows, as factor_vae"
RULES = {
    "nmi": "normalised mutual information of the categories read in the same real images",
    "factor_vae": "FactorVAE score (InfoGAN-CR protocol) of each run's codes read by the others in images that it draws",
}
"""Ways to agree; where a specification has both sorts of codes the first decides, since it is about real images."""
PIPED = 160  # columns of a table that goes to a file
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Candidate:
    """One run and its figures: what the choice is by, and whatever else was measured with it."""

    run: str
    seed: int
    value: float
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """Runs in the order of the choice, the best first."""

    by: str
    about: str
    """What the choice is by, in words."""
    candidates: tuple[Candidate, ...]
    agreements: dict[str, Agreement] = field(default_factory=dict)
    """By rule, the runs in the order in which they were given."""
    given: tuple[str, ...] = ()
    n: int = evaluation.N

    @property
    def chosen(self) -> Path:
        return Path(self.candidates[0].run)


def select(
    candidates: Sequence[str | Path],
    *,
    by: str = CENTRALITY,
    n: int = evaluation.N,
    device: str = "cpu",
    tell: Tell | None = None,
) -> Selection:
    """Ranks runs ``by`` centrality, which needs no label, or by a metric, recorded or measured now. Raises ``UseError``.

    ``n`` images are drawn by each run. Runs to be compared by centrality are three or more of one specification, trained on the same images.
    """
    if by != CENTRALITY:
        name = by.partition("/")[0]
        if name not in registry.names():
            raise ConfigError(
                f"--by: {choose(by, (CENTRALITY, *registry.names()), 'way to choose', LISTED)}"
            )
    if not evaluation.LEAST <= n <= evaluation.MOST:
        raise ConfigError(
            f"--n is from {evaluation.LEAST} to {evaluation.MOST:,} images, given {n:,}; give so many, as --n 5000."
        )
    engine.find_device(device)
    entries: dict[Path, Entry] = {}
    for path in candidates:
        entry = groups.read(path)
        entries.setdefault(entry.run.path.resolve(), entry)
    found = list(entries.values())
    least = FEWEST if by == CENTRALITY else 2
    if len(found) < least:
        why = (
            "two runs agree with each other alike" if by == CENTRALITY else "one alone is no choice"
        )
        others = " or choose --by a metric, as --by factor_vae" if by == CENTRALITY else ""
        raise RunError(
            f"there {_runs(len(found))} to choose among, and by {by} it takes {least} or more, since {why}; give more runs{others}."
        )
    if by == CENTRALITY:
        return _central(found, n, device, tell or (lambda said: None))
    return _measured(found, by, n, device, tell or (lambda said: None))


def _runs(count: int) -> str:
    return "is 1 run" if count == 1 else f"are {count} runs"


# ---------------------------------------------------------------------- by centrality
def _central(entries: Sequence[Entry], n: int, device: str, tell: Tell) -> Selection:
    models = [model.load(entry.run.path, device) for entry in entries]
    _fitting(entries, models)
    spec = models[0].spec
    agreements: dict[str, Agreement] = {}
    if categories(spec):
        asked = entries[0].config.data
        size, channels = asked.size or None, asked.channels or None
        test = evaluation.real_splits(asked.source, size, channels, asked.links)[1]
        agreements["nmi"] = of_categories(models, test.images[:n], tell)
    if numbers(spec):
        agreements["factor_vae"] = of_numbers(models, n, tell)
    rule = next(name for name in RULES if name in agreements)
    ranked = sorted(
        (
            Candidate(
                str(entry.run.path),
                entry.seed,
                agreements[rule].centrality[i],
                {name: one.centrality[i] for name, one in agreements.items()},
            )
            for i, entry in enumerate(entries)
        ),
        key=lambda one: -one.value,
    )
    about = f"ModelCentrality by {rule}: {RULES[rule]}, mean over the others"
    given = tuple(str(entry.run.path) for entry in entries)
    return Selection(CENTRALITY, about, tuple(ranked), agreements, given, n)


def _fitting(entries: Sequence[Entry], models: Sequence[Model]) -> None:
    """Raises ``RunError`` where runs cannot read each other, or found something else by their very specification."""
    first, one = entries[0], models[0]
    if not (categories(one.spec) or numbers(one.spec)):
        raise RunError(
            f"{first.run.path} discovers nothing that runs could agree about ({one.spec}): no category, and not two other codes. Give "
            f"runs of infogan or infogan-cr, or choose --by a metric, as --by frechet."
        )
    for entry, other in zip(entries, models, strict=True):
        who, whose = entry.run.path, first.run.path
        if _discovers(other.spec) != _discovers(one.spec):
            raise RunError(
                f"{who} discovers {_discovers(other.spec)} and {whose} {_discovers(one.spec)}; give runs of one "
                f"specification, or choose --by a metric that both have."
            )
        if other.card.shape != one.card.shape:
            raise RunError(
                f"{who} draws images of {other.card.shape} and {whose} of {one.card.shape} (channels, height, width), so they "
                f"cannot read each other's; give runs of one size."
            )
        if other.critic is None:
            raise RunError(
                f"{who} holds no weights/critic.safetensors to read with; give a run that `gander train` made."
            )
        prints = {str(x.resolved.get("fingerprint") or "") for x in (first, entry)} - {""}
        if len(prints) > 1:
            raise RunError(
                f"{who} was trained on other images ({entry.data}) than {whose} ({first.data}); give runs of the same images."
            )


def _discovers(spec: CodeSpec) -> str:
    """What it discovers, in words that are the same for the same specification."""
    codes = [c for c in spec.codes if c.is_discovered]
    words = []
    for code in codes:
        said = code.resolved.to_dict()
        size = said.get("size", 1)
        words.append(
            f"{code.name}:{said['kind']}({size})" if size != 1 else f"{code.name}:{said['kind']}"
        )
    return ", ".join(words) or "nothing"


# ---------------------------------------------------------------------- by a metric
def _measured(entries: Sequence[Entry], by: str, n: int, device: str, tell: Tell) -> Selection:
    figures = []
    for k, entry in enumerate(entries):
        figure = _recorded(entry, by, n)
        if figure is None:
            tell(f"measuring {by} of {k + 1} of {len(entries)}")
            result = evaluation.evaluate(
                entry.run.path, metrics=[by.partition("/")[0]], n=n, device=device
            )
            renewed = groups.read(entry.run.path)
            figure = _recorded(renewed, by, n)
            if figure is None:
                why = "; ".join(result.missing.values()) or f"it has {', '.join(result.figures)}"
                raise RunError(
                    f"{entry.run.path} has no figure {by!r}: {why}. Choose --by another metric."
                )
        figures.append(figure)
    odd = next((k for k, one in enumerate(figures) if not one.alike(figures[0])), None)
    if odd is not None:
        raise RunError(
            f"{by} of {entries[odd].run.path} was measured otherwise ({figures[odd].how}) than of {entries[0].run.path} "
            f"({figures[0].how}); give runs of the same images, or measure both anew: gander evaluate RUN --metrics {by.partition('/')[0]}."
        )
    way = history.better(by, figures[0])
    if way is None:
        raise ConfigError(
            f"--by {by}: neither more of it nor less is better; choose by another metric, as --by frechet."
        )
    return _ranked(entries, figures, by, way, n)


def _ranked(
    entries: Sequence[Entry], figures: Sequence[Measured], by: str, way: Better, n: int
) -> Selection:
    sign = -1 if way == "higher" else 1
    ranked = sorted(
        (
            Candidate(str(entry.run.path), entry.seed, figure.value, {by: figure.value})
            for entry, figure in zip(entries, figures, strict=True)
        ),
        key=lambda one: sign * one.value,
    )
    given = tuple(str(entry.run.path) for entry in entries)
    return Selection(by, f"{by}, the {way} the better", tuple(ranked), {}, given, n)


def _recorded(entry: Entry, by: str, n: int) -> Measured | None:
    """The run's own latest figure of that name, of the weights as they are and of so many images; None where it must be measured.

    Raises ``ConfigError`` where the name stands for several.
    """
    here = {name: x for name, x in entry.figures.items() if _is_of(name, by)}
    if len(here) > 1:
        raise ConfigError(
            f"--by {by}: {entry.run.path} has a figure for each code; give one of {', '.join(here)}."
        )
    now = [x for x in here.values() if x.images_seen == entry.images_seen and x.n == n]
    return now[0] if now else None


def _is_of(name: str, by: str) -> bool:
    """Whether a figure NAME or NAME/CODE is meant."""
    return name == by or ("/" not in by and name.partition("/")[0] == by)


# ---------------------------------------------------------------------- what is written and shown
def to_dict(result: Selection) -> dict[str, Any]:
    """All of a choice as plain tables."""
    return {
        "by": result.by,
        "about": result.about,
        "n": result.n,
        "chosen": str(result.chosen),
        "runs": [
            {"run": one.run, "seed": one.seed, "value": one.value, "figures": one.figures}
            for one in result.candidates
        ],
        "agreement": {
            name: {"runs": list(result.given), "scores": one.scores.tolist()}
            for name, one in result.agreements.items()
        },
    }


def write_json(result: Selection, path: str | Path) -> None:
    """What other people's scripts read."""
    write(Path(path), (json.dumps(to_dict(result), indent=2) + "\n").encode())


def table(result: Selection, console: Console | None = None) -> None:
    """Prints the ranking for a person, and last the chosen run on a line of its own; strangers' names may not steer the terminal."""
    if console is None:  # a file has no edge to fold at
        console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    grid.add_column("run", overflow="fold")
    grid.add_column("seed", justify="right", no_wrap=True)
    names = list(result.candidates[0].figures)
    for name in names:
        grid.add_column(
            Text(f"{CENTRALITY}, {name}" if result.agreements else name), justify="right"
        )
    for one in result.candidates:
        values = [Text(short(one.figures[name])) for name in names]
        grid.add_row(Text(plain(one.run)), str(one.seed), *values)
    console.print(Text(result.about))
    console.print(grid)
    console.print(Text(plain(str(result.chosen))), soft_wrap=True)
