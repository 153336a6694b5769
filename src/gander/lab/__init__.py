"""The laboratory of update schedules: the same model from the same seed under each, and the classic mistakes made on purpose.

It trains a short while under every schedule, and under the mistake that no training may choose, and writes what happened to one page.
"""

from __future__ import annotations

import json
import math
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from gander import __version__, evaluation, metrics, rng
from gander import data as sources
from gander.charts import short
from gander.comparison import checked
from gander.config import Config
from gander.data import Data
from gander.errors import ConfigError, GanderError
from gander.images import write
from gander.judge import judge_of
from gander.lab import trial as playing
from gander.lab.mistakes import Replay, replayed
from gander.lab.page import MAKER, degrees, page
from gander.lab.result import Laboratory, Outcome
from gander.lab.trial import Trial
from gander.plan import configured, make_plan
from gander.players import model_of
from gander.study import CannotMeasure, Figure, Study
from gander.study.features import JudgeFeatures

OUT = "schedules.html"
IMAGES = 20_480
SMALL = (
    "width=16",
    "batch=64",
    "critic_rate=1e-3",
    "generator_rate=2e-3",
    "decay=none",
    "threads=1",
)
"""A model that shows the difference within seconds on a processor. Two threads wait for each other where a neighbour is busy, and
make so small a network little faster."""
DRAWN = 2000  # images whose distance to real ones is measured
Tell = Callable[[str], None]


def schedules(
    data: str = "glyphs",
    out: str | Path = OUT,
    *,
    preset: str | None = None,
    images: int = IMAGES,
    seed: int = 0,
    device: str | None = "cpu",
    settings: Sequence[str] = (),
    json_file: str | Path | None = None,
    tell: Tell | None = None,
) -> Laboratory:
    """Trains ``images`` images under every schedule, writes the page ``out`` and returns what is on it. Raises ``UseError``.

    Without a preset it is ``cgan`` where images are labelled, else ``dcgan``. ``settings`` are laid over the laboratory's small model. A page that is there already is replaced only if it is such a page.
    """
    began, say = time.monotonic(), tell or (lambda words: None)
    target = checked(Path(out), MAKER, OUT)
    if json_file is not None:
        evaluation.check_json(str(json_file))
    config = configured(preset, [*SMALL, *settings], data=data, images=images, seed=seed)
    _check(config, settings)
    plan = make_plan(config, device)
    train, test = _real(config)
    tried = playing.trials(plan)
    playing.run(tried, images, say)
    distances = _distances(tried, train, test, say)
    outcomes = [Outcome(one, *far) for one, far in zip(tried, distances, strict=True)]
    say("the classic mistakes")
    replays: tuple[Replay, ...] = tuple(replayed())
    made = Laboratory(plan, tuple(outcomes), replays, _provenance(plan.machine.description))
    result = made.timed(time.monotonic() - began)
    write(target, page(result))
    if json_file is not None:
        write(Path(json_file), (json.dumps(to_dict(result), indent=2) + "\n").encode())
    return result


def _check(config: Config, settings: Sequence[str]) -> None:
    """Refuses what the laboratory decides itself."""
    for name in ("schedule", "critic_steps"):
        if any(word.partition("=")[0].strip() in (name, f"game.{name}") for word in settings):
            raise ConfigError(
                f"--set {name}: the laboratory tries every schedule, {', '.join(playing.PLAYED)}; leave it out."
            )
    if config.game.recogniser == "joint":
        raise ConfigError(
            "game.recogniser is joint, a third optimiser whose step belongs to no schedule; give a preset without it, or "
            "--set recogniser=critic."
        )


def _real(config: Config) -> tuple[Data, Data]:
    """The training and the test split, whichever of them is trained on."""
    asked, source = config.data, sources.whole(config.data.source)
    size, channels = asked.size or None, asked.channels or None
    load = partial(sources.load, source, size=size, channels=channels, links=asked.links)
    return load("train"), load("test")


def _distances(
    tried: Sequence[Trial], train: Data, test: Data, say: Tell
) -> list[tuple[Figure | None, str]]:
    """Of each trial the Fréchet distance of what it draws to real test images, or why there is none.

    The judge's features of a few thousand images do: those of a whole data set would take longer than a schedule.
    """
    say("the judge, which is made once for each data set")
    features = JudgeFeatures(judge_of(train), train.fingerprint)
    known, unseen = (
        sources.taken(split, torch.from_numpy(rng.permutation(0, "lab", 0, len(split))[:DRAWN]))
        for split in (train, test)
    )
    found: list[tuple[Figure | None, str]] = []
    for trial in tried:
        say(f"the distance to real images, {trial.name}")
        model = model_of(trial.plan, trial.players)
        try:
            figure = metrics.find("frechet")(Study(model, known, unseen, DRAWN, network=features))
            found.append((figure["frechet"], ""))
        except (CannotMeasure, GanderError) as why:
            found.append((None, str(why)))
        if trial.stopped is not None:
            found[-1] = (None, "it broke")
    return found


def _provenance(engine: str) -> dict[str, str]:
    return {
        "gander": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "engine": engine,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["gander", *sys.argv[1:]]),
    }


# ---------------------------------------------------------------------- what is written and shown
def to_dict(result: Laboratory) -> dict[str, Any]:
    """All that was measured, as plain tables; null where there is nothing."""
    config = result.plan.config
    return {
        "data": result.plan.images.name,
        "preset": config.preset,
        "images": result.images,
        "batch": config.training.batch,
        "seed": config.training.seed,
        "seconds": round(result.seconds, 1),
        "provenance": result.provenance,
        "schedules": {outcome.trial.name: _table(outcome, result) for outcome in result.outcomes},
        "mistakes": {
            replay.mistake.name: {"said": replay.said, "loud": replay.loud, "cured": replay.cured}
            for replay in result.replays
        },
    }


def _table(outcome: Outcome, result: Laboratory) -> dict[str, Any]:
    trial = outcome.trial
    ratio = playing.relative(trial, result.outcomes[0].trial)
    looks = [
        {
            "images_seen": look.images_seen,
            "critic": {"degrees": look.critic.degrees, "ratio": _finite(look.critic.ratio)},
            "generator": {
                "degrees": look.generator.degrees,
                "ratio": _finite(look.generator.ratio),
            },
            "told_apart": round(look.told_apart, 4),
            "terms": {name: round(value, 6) for name, value in look.terms.items()},
        }
        for look in trial.looks
    ]
    figure = outcome.frechet
    return {
        "critic_steps": trial.critic_steps,
        "images_seen": trial.players.images_seen,
        "stopped": trial.stopped,
        "images_per_second": _finite(playing.speed(trial)),
        "images_per_second_by_round": [round(speed, 1) for speed in trial.speeds],
        "relative_to_alternate": None if ratio is None else [round(r, 4) for r in ratio],
        "frechet": None if figure is None else figure.value,
        "frechet_floor": None if figure is None else figure.floor,
        "looks": looks,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def show(result: Laboratory, out: str | Path, console: Console | None = None) -> None:
    """Prints the figures side by side, and where the page is."""
    table = Grid(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("schedule")
    for name in ("images/s", "× alternate", "critic's angle", "length", "Fréchet", "floor"):
        table.add_column(name, justify="right")
    for outcome in result.outcomes:
        trial, figure = outcome.trial, outcome.frechet
        off = playing.typical([look.critic for look in trial.looks])
        ratio = playing.relative(trial, result.outcomes[0].trial)
        table.add_row(
            Text(trial.name, "bold red" if trial.is_mistake else ""),
            short(playing.speed(trial)),
            "–" if ratio is None else f"{ratio[1]:.2f}",
            "–" if off is None else degrees(off.degrees),
            "–" if off is None else f"{off.ratio:.2f}",
            short(figure.value if figure else None),
            short(figure.floor if figure else None),
        )
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 120)
    console.print(table)
    quiet = sum(not replay.loud for replay in result.replays)
    console.print(
        f"{len(result.replays)} classic mistakes made and cured; of {quiet} PyTorch said nothing. "
        f"{result.seconds:.0f} s in all.",
        soft_wrap=True,
    )
    console.print(Text(str(out)), soft_wrap=True)
