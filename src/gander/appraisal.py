"""Evaluations of a run while it trains: when they fall due, what they measure, and which weights were the best.

An evaluation is a function of the position alone and looks at copies, so a run ends in the same bits with it and without it. It
is done once its state is saved: killed before its line is written, it is done when the run is resumed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch

from gander import best as keeping
from gander import data as sources
from gander import evaluation, history, metrics
from gander.best import Best
from gander.config import Config
from gander.data import Data
from gander.errors import ConfigError, GanderError, choose
from gander.evaluation import Evaluation
from gander.history import Better
from gander.model import Model
from gander.plan import Plan
from gander.players import Players, model_of
from gander.runs import Run
from gander.study import LEAST

SEED = 0  # the first drawing seed of every evaluation
FEW = 10_000
"""Training images up to which it is watched whether the critic learns them by heart; of more it takes long, and the rest is long to read."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Appraisal:
    """What every evaluation of a run needs: the real images of both splits, and the metrics."""

    plan: Plan
    run: Run
    train: Data
    test: Data
    say: Say

    @property
    def config(self) -> Config:
        return self.plan.config


def check(plan: Plan) -> None:
    """Refuses settings that ask for evaluations nobody can make, before anything is done. Raises ``ConfigError``."""
    report = plan.config.report
    for name in listed(report.evaluate_metrics):
        if name not in metrics.names():
            raise ConfigError(
                f"report.evaluate_metrics: {choose(name, metrics.names(), 'metric', metrics.LISTED)}"
            )
    if report.best:
        name, slash, code = report.best.partition("/")
        if metric_of(name) is None:
            raise ConfigError(
                f"report.best: {choose(name, metrics.names(), 'metric', metrics.LISTED)}"
            )
        known = [*dict.fromkeys([*(c.name for c in plan.spec.knobs), *plan.images.columns])]
        if slash and code not in known:
            raise ConfigError(f"report.best: {choose(code, known, 'code of this run')}")
        if not report.evaluate_images:
            raise ConfigError(
                f"report.best keeps the weights of the best evaluation by {report.best}, and none is asked for; "
                f"add --set evaluate_images=50000."
            )
    if report.evaluate_images and not _chosen(plan.config):
        raise ConfigError(
            "report.evaluate_metrics names no metric to evaluate; as frechet,label_accuracy."
        )


def prepare(plan: Plan, run: Run, say: Say) -> Appraisal | None:
    """The images to measure against; None where nothing is to be evaluated. Raises ``DataError``."""
    if not plan.config.report.evaluate_images:
        return None
    images, asked = plan.images, plan.config.data
    size, channels = asked.size or None, asked.channels or None
    load = partial(sources.load, images.source, size=size, channels=channels, links=asked.links)
    whole = images.split == "train"
    train = images if whole else load("train")
    return Appraisal(plan, run, sources.measured(train), sources.measured(load("test")), say)


def held_out(plan: Plan, watch: Appraisal | None) -> Data | None:
    """Real images that are not trained on, where the training images are few and others were kept apart; reading them fails nothing."""
    images, asked = plan.images, plan.config.data
    if images.split != "train" or len(images) > FEW:
        return None
    size, channels = asked.size or None, asked.channels or None
    try:
        test = (
            watch.test
            if watch is not None
            else sources.load(
                images.source, "test", size=size, channels=channels, links=asked.links
            )
        )
    except GanderError:
        return None
    same = test.fingerprint == images.fingerprint or test.shape != images.shape
    fits = all(name in test.columns for name in images.columns)
    return test if fits and not same and len(test) >= LEAST else None


def rehearse(appraisal: Appraisal, players: Players) -> None:
    """Makes sure, before anything is trained, that the figure by which the best is kept can be measured here.

    Raises ``ConfigError`` with the reason where it cannot. Nothing is kept; where a judge is needed, it is made here.
    """
    figure = appraisal.config.report.best
    lines = appraisal.run.lines("metrics.jsonl")
    if not figure or any(line.get("during") and _find(figure, line) for line in lines):
        return
    try:
        measurable(appraisal, players, figure)
    except ConfigError as error:
        raise ConfigError(f"report.best: {error}") from None


def measurable(appraisal: Appraisal, players: Players, figure: str) -> tuple[str, Better]:
    """The whole name of a figure that can be measured here, and which way is better. Raises ``ConfigError`` with the reason where it cannot."""
    appraisal.say(f"  looking whether {figure} can be measured here")
    metric = metric_of(figure.partition("/")[0])
    assert metric is not None
    result = measured(appraisal, model_of(appraisal.plan, players), [metric])
    if result.cut:
        raise KeyboardInterrupt
    line = evaluation.line(result, 0, SEED)
    found = _find(figure, line)
    if found is None:
        why = result.missing.get(figure) or result.missing.get(metric)
        there = f"measured here: {', '.join(result.figures) or 'nothing'}"
        raise ConfigError(f"{figure} cannot be measured in this run: {why or there}.")
    better = _better(found, line)
    if better is None:
        raise ConfigError(
            f"of {found} neither more nor less is better, so it cannot say which is best."
        )
    return found, better


def due(config: Config, images_seen: int) -> bool:
    """Whether there is an evaluation at this position: a multiple of ``evaluate_images`` was just passed, or the end."""
    every = config.report.evaluate_images
    images = config.training.batch * config.game.critic_steps
    if not every or images_seen <= 0:
        return False
    passed = images_seen // every > (images_seen - images) // every
    return passed or images_seen >= config.training.images


def missing(run: Run, images_seen: int) -> bool:
    """Whether the evaluation at this position has not been written yet."""
    lines = run.lines("metrics.jsonl")
    return not any(x.get("during") and x.get("images_seen") == images_seen for x in lines)


def appraise(appraisal: Appraisal, players: Players) -> float:
    """Evaluates the players as they are, keeps them where they are the best, writes a line. Returns the seconds it took."""
    began, seen, run = time.monotonic(), players.images_seen, appraisal.run
    try:
        model = model_of(appraisal.plan, players)
        result = measured(appraisal, model, _chosen(appraisal.config))
    except GanderError as error:  # the training is worth more than a figure of it
        appraisal.say(f"! not evaluated at {seen:,} images: {error}")
        return time.monotonic() - began
    if result.cut:
        raise KeyboardInterrupt
    line = {**evaluation.line(result, seen, SEED), "during": True}
    said = ""
    if figure := appraisal.config.report.best:
        said = _keep_if_best(appraisal, players, figure, line)
    # The line is last: where it is missing, all of this is done again.
    run.append("metrics.jsonl", line)
    appraisal.say(f"evaluated at {seen:,} images: {in_words(result)}{said}")
    return time.monotonic() - began


def measured(appraisal: Appraisal, model: Model, names: list[str]) -> Evaluation:
    """The figures of a model, with the process left as it was."""
    # Laid out in memory as a loaded model is, so that `gander evaluate RUN/best` computes the same bits.
    for network in (model.generator, model.critic):
        if network is not None:
            network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    n = appraisal.config.report.evaluate_n
    with undisturbed(appraisal.plan.machine.device):
        result = evaluation.measured(
            model,
            appraisal.train,
            appraisal.test,
            metrics=names,
            n=n,
            seed=SEED,
            learnt=appraisal.plan.images.split,
        )
    return replace(result, run=str(appraisal.run.path))


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Puts torch's generators and its number of threads back, whatever is done inside."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def in_words(result: Evaluation) -> str:
    """Every figure beside what real images score or the most there is, in one line."""
    parts = []
    for name, figure in result.figures.items():
        beside = ""
        if figure.ratio is not None:
            beside = f" ({figure.ratio:.2f} x real)"
        elif figure.ceiling is not None:
            beside = f" of {figure.ceiling:.3g}"
        parts.append(f"{name} {figure.value:.4g}{beside}")
    return ", ".join(parts) or "nothing could be measured"


# ---------------------------------------------------------------------- the best
def _keep_if_best(
    appraisal: Appraisal, players: Players, figure: str, line: dict[str, object]
) -> str:
    """Keeps the players where this evaluation is the best so far; what there is to say of it."""
    run, found = appraisal.run, _find(figure, line)
    better = _better(found, line) if found else None
    if found is None or better is None:
        return f"; {figure} is missing, so this is not compared with the best"
    value = history.figures(line)[found].value
    n = appraisal.config.report.evaluate_n
    judge = str(line.get("judge", ""))
    new, old = Best(found, value, better, players.images_seen, n, judge), keeping.read(run)
    if old is not None and new.comparable(old) and not new.beats(old):
        return f"; the best is still {old.value:.4g} at {old.images_seen:,}"
    keeping.keep(appraisal.plan, players, run, new, line)
    if old is not None and not new.comparable(old):
        return f"; kept as the best, instead of one that was measured in another way: {old}"
    return "; the best so far"


def _find(figure: str, line: dict[str, object]) -> str | None:
    """The whole name of a figure of a line; NAME alone is NAME/CODE where there is one such code."""
    there = history.figures(line)
    alone = [name for name in there if name.partition("/")[0] == figure]
    return figure if figure in there else alone[0] if len(alone) == 1 else None


def _better(figure: str, line: dict[str, object]) -> Better | None:
    return history.better(figure, history.figures(line)[figure])


def listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _chosen(config: Config) -> list[str]:
    """The metrics of an evaluation, the best's own among them."""
    asked = listed(config.report.evaluate_metrics)
    own = metric_of(config.report.best.partition("/")[0])
    return [*dict.fromkeys([*asked, *([own] if own else [])])]


def metric_of(figure: str) -> str | None:
    """The metric that states a figure: of its name, or of the beginning of its name, as intra_frechet_worst_class."""
    fits = [m for m in metrics.names() if figure == m or figure.startswith(f"{m}_")]
    return max(fits, key=len, default=None)
