"""The searching job: settings and their ranges in; many short runs and the best of them out.

Optuna chooses what to try and what to cut short; a trial is an ordinary run under DIR/trials, trained by the ordinary command in a
process of its own and measured while it trains. The values and figures of all trials are in DIR/study.journal, so the same
command goes on where another was killed: what was open is resumed, which is exact, and nothing is lost or counted twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from gander import appraisal, engine, history, outputs, runs
from gander import config as configuration
from gander import space as spaces
from gander.abreast import ON_A_GPU
from gander.attempts import Attempts, Tell
from gander.config import Config
from gander.errors import ConfigError, RunError, TrainingFailed, UnwritableFile, UseError
from gander.findings import RUNS, Findings
from gander.history import Better
from gander.plan import Plan, configured, make_plan
from gander.players import make_players
from gander.runs import Run
from gander.settings import ReportSettings
from gander.space import Searched

EVALUATIONS = 5
"""Of each trial, where the settings do not say how often."""
SHOWN = 8
"""Ways of a difference that are listed."""


@dataclass(frozen=True)
class Search:
    """What is asked for, checked, and what all trials have in common."""

    plan: Plan
    space: tuple[Searched, ...]
    by: str
    """The figure as it was given."""
    words: tuple[str, ...]
    """The training command of every trial, up to the values that are searched."""
    tried: Callable[[Sequence[str]], Config]
    """The configuration of a trial with those values."""
    device: str | None
    folder: Path

    @property
    def config(self) -> Config:
        return self.plan.config

    def check(self, settings: Sequence[str]) -> None:
        """Refuses values that the configuration, the data or the machine do not take. Raises ``GanderError``."""
        appraisal.check(make_plan(self.tried(settings), self.device, images=self.plan.images))


def search(
    preset: str | None = None,
    *,
    over: Sequence[str],
    by: str,
    trials: int,
    data: str | None = None,
    images: int | None = None,
    settings: Sequence[str] = (),
    out: str | None = None,
    seed: int | None = None,
    at_once: int | None = None,
    device: str | None = None,
    prune: bool = True,
    tell: Tell | None = None,
    show: Tell | None = None,
) -> Findings:
    """Trains ``trials`` runs with other values of the settings ``over``, and returns them with their figure ``by``.

    The same call again goes on with those that are lacking. ``over`` are the command line's, as ``["critic_rate=1e-4:1e-2:log",
    "batch=32,64"]``; ``settings`` as in ``gander.train``. Unless ``prune`` is false, a trial that is worse than the median of those
    before it is cut short. ``tell`` takes a line for each trial, ``show`` how it stands at the moment. Raises ``UseError``,
    ``TrainingFailed`` where no trial came to its end, and ``KeyboardInterrupt`` once all have saved.
    """
    library = _library()
    tell = tell or (lambda said: None)
    for option, number in (("--trials", trials), ("--at-once", at_once)):
        if number is not None and number < 1:
            raise ConfigError(
                f"{option} is 1 or more, given {number}; give so many, as {option} 2."
            )
    asked = _asked(preset, over, by, data, images, settings, out, seed, device, trials)
    known = library.asked(asked.folder / library.FILE)
    if known is None:
        known = _record(asked, *_measurable(asked, tell))
    _refuse_changes(asked, known)
    with library.held(asked.folder):
        found = _played(asked, known, trials, at_once, prune, tell, show or (lambda said: None))
    if found.best is None:
        why = next((one.why for one in reversed(found.tried) if one.why), "all were cut short.")
        raise TrainingFailed(
            f"no trial in {found.folder} came to its end; the last one: {why} Give other ranges and another --out."
        )
    return found


def _played(
    asked: Search,
    known: dict[str, Any],
    trials: int,
    at_once: int | None,
    prune: bool,
    tell: Tell,
    show: Tell,
) -> Findings:
    """The trials that are there and those that are lacking, all done."""
    library = _library()
    file, images = asked.folder / library.FILE, asked.config.training.images
    library.mend(file)
    warm_up = math.ceil(library.WARM_UP * images)
    better, seed = known["better"], asked.config.training.seed
    kept = library.Trials(file, known, better, asked.space, seed, warm_up)

    def findings() -> Findings:
        common = (asked.folder, known["figure"], better, asked.space, asked.words)
        return Findings(*common, tuple(kept.all()))

    Attempts(
        trials=kept,
        total=trials,
        findings=findings,
        check=asked.check,
        every=asked.config.report.evaluate_images,
        images=images,
        prune=prune,
        tell=tell,
        show=show,
    ).play(_at_once(asked, at_once))
    return findings()


def _library() -> ModuleType:
    """What keeps trials, where Optuna is installed."""
    try:
        from gander import trials
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "optuna":
            raise
        raise UseError("a search needs optuna; install it: pip install 'gander[search]'.") from None
    return trials


def _at_once(asked: Search, at_once: int | None) -> int:
    """As many as there are cores for, each with its threads; on a GPU a few."""
    if at_once is not None:
        return at_once
    if asked.plan.machine.device.type != "cpu":
        return ON_A_GPU
    return max(1, engine.cores() // max(1, asked.config.training.threads))


# ---------------------------------------------------------------------- what is asked for
def _asked(
    preset: str | None,
    over: Sequence[str],
    by: str,
    data: str | None,
    images: int | None,
    settings: Sequence[str],
    out: str | None,
    seed: int | None,
    device: str | None,
    trials: int,
) -> Search:
    """The request, with everything in it tried. Raises ``UseError``."""
    _check_direction(by)
    plain = configured(preset, settings, data=data, images=images, seed=seed)
    name = preset if preset is not None else plain.preset
    options = {"data__source": data, "training__images": images, "training__seed": seed}

    def tried(own: Sequence[str], more: Sequence[str]) -> Config:
        return configuration.load(name, [*own, *more], **options)

    space = spaces.read(over, settings, partial(tried, settings))
    count = math.prod(one.count for one in space)
    if trials > count:
        raise ConfigError(
            f"--trials {trials:,} are more than there are to make: {' '.join(map(str, space))} can be set in {count:,.0f} ways; give at "
            f"most so many, as --trials {count:.0f}."
        )
    own = (*_own(plain, by), *settings, *_measuring(plain, by))
    first = [f"{one.key}={one.ends[0]}" for one in space]
    plan = make_plan(tried(own, first), device)
    _check_measuring(plan, by)
    words = ["train", name]
    for option, value in (
        ("--data", data),
        ("--images", images),
        ("--seed", seed),
        ("--device", device),
    ):
        words += [] if value is None else [option, str(value)]
    label = (
        f"search-{plain.preset}-{plan.images.name}-{by.replace('/', '_')}-s{plain.training.seed}"
    )
    folder = Path(out) if out is not None else runs.ROOT / label
    search = Search(plan, space, by, (*words, "--set", *own), partial(tried, own), device, folder)
    for one in space:
        for value in one.ends:
            try:
                search.check([*first, f"{one.key}={value}"])
            except UseError as error:
                raise type(error)(f"--over {one.key}: with {one.key}={value} {error}") from None
    _check_place(folder)
    return search


def _check_direction(by: str) -> None:
    name = by.partition("/")[0]
    if name in history.DIRECTIONS and history.DIRECTIONS[name] is None:
        raise ConfigError(
            f"--by {by}: neither more of it nor less is better; search by another metric, as --by frechet."
        )


def _own(plain: Config, by: str) -> tuple[str, ...]:
    """What a trial is told unless the search says otherwise: one thread, so that the same values are the same run, and when to measure."""
    threads = () if plain.training.threads else ("threads=1",)
    if plain.report.evaluate_images:
        return threads
    return (*threads, f"evaluate_images={math.ceil(plain.training.images / EVALUATIONS)}")


def _measuring(plain: Config, by: str) -> tuple[str, ...]:
    """What is measured: the metric itself, and what else the settings name."""
    metric = appraisal.metric_of(by.partition("/")[0]) or by
    listed = appraisal.listed(plain.report.evaluate_metrics)
    if plain.report.evaluate_metrics == ReportSettings.evaluate_metrics:
        listed = []
    return (f"evaluate_metrics={','.join(dict.fromkeys([*listed, metric]))}",)


def _check_measuring(plan: Plan, by: str) -> None:
    """Refuses a figure that no metric states, or of a code that there is not."""
    report = replace(plan.config.report, best=by)
    try:
        appraisal.check(replace(plan, config=replace(plan.config, report=report)))
    except ConfigError as error:
        raise ConfigError(str(error).replace("report.best", f"--by {by}", 1)) from None


def _check_place(folder: Path) -> None:
    """Refuses a folder that is no place for a search."""
    from gander.trials import FILE

    if folder.exists() and not folder.is_dir():
        raise RunError(f"--out {folder} is a file; give a folder that is empty, new, or a search.")
    if not outputs.is_writable(folder.absolute()):
        raise UnwritableFile(
            f"--out {folder} cannot be written: what is above it is no folder, or none that is yours to write in; give another place."
        )
    if folder.is_dir() and not (folder / FILE).is_file() and any(folder.iterdir()):
        raise RunError(
            f"--out {str(folder)!r} holds other things and no search; give a folder that is empty, new, or a search."
        )


def _measurable(asked: Search, tell: Tell) -> tuple[str, Better]:
    """The figure's whole name and which way is better, measured once on players that have learned nothing. Raises ``ConfigError``."""
    watch = appraisal.prepare(asked.plan, Run(asked.folder / RUNS), lambda said: tell(said.strip()))
    assert watch is not None
    try:
        return appraisal.measurable(watch, make_players(asked.plan), asked.by)
    except ConfigError as error:
        raise ConfigError(
            f"--by {asked.by}: {error} Search by another figure, as --by frechet."
        ) from None


# ---------------------------------------------------------------------- the same search again
def _record(asked: Search, figure: str, better: Better) -> dict[str, Any]:
    """What makes a search this one, as it is kept with it."""
    return {
        "config": asked.tried(()).to_dict(),
        "fingerprint": asked.plan.images.fingerprint,
        "over": [str(one) for one in asked.space],
        "by": asked.by,
        "figure": figure,
        "better": better,
    }


def _refuse_changes(asked: Search, known: dict[str, Any]) -> None:
    """Refuses to go on with a search that was begun with another request, or on other images. Raises ``RunError``."""
    try:
        before = configuration.from_dict(known["config"])
        over, by, figure, better = (known[key] for key in ("over", "by", "figure", "better"))
        if better not in ("higher", "lower") or not all(
            isinstance(x, str) for x in (by, figure, *over)
        ):
            raise ValueError("it names no figure")
    except (KeyError, TypeError, ValueError, UseError) as error:
        raise RunError(
            f"{asked.folder} was not begun by this gander ({type(error).__name__}: {error}); give another --out."
        ) from None
    now = asked.tried(())
    changed = configuration.differences(before, now)
    for key in ("evaluate_images", "evaluate_n"):
        old, new = getattr(before.report, key), getattr(now.report, key)
        if old != new:
            changed.append(f"report.{key}: {old} -> {new}")
    if before.training.images != now.training.images and not any(
        "training.images" in x for x in changed
    ):
        changed.append(f"training.images: {before.training.images} -> {now.training.images}")
    mine = [str(one) for one in asked.space]
    if over != mine:
        changed.append(f"--over: {' '.join(over)} -> {' '.join(mine)}")
    if asked.by not in (by, figure):
        changed.append(f"--by: {figure} -> {asked.by}")
    if known.get("fingerprint") != asked.plan.images.fingerprint and not changed:
        changed.append(f"the images of {now.data.source} -> they have changed since")
    if changed:
        lines = "\n".join(f"    {line}" for line in changed[:SHOWN])
        raise RunError(
            f"{asked.folder} is another search:\n{lines}\nGive the same command to go on with it, or another --out to begin a new one."
        )
