"""The measuring job: a run, the images it was trained on and the metrics that apply, to a table and JSON."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from gander import data as sources
from gander import images as drawing
from gander import metrics as registry
from gander import model, outputs, report, runs
from gander.data import Data
from gander.errors import ConfigError, GanderError, RunError
from gander.images import write
from gander.study import CannotMeasure, Figure, Painter, Study
from gander.study.gallery import gallery
from gander.study.network import OwnNetwork, own_network

N = 10_000  # images drawn unless told, as in the published protocols
LEAST, MOST = 20, 1_000_000
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Evaluation:
    """The figures of one run, and why some are missing."""

    run: str
    data: str
    n: int
    figures: dict[str, Figure]
    missing: dict[str, str]
    judge: str = ""
    """What the judge is and how well it does on real test images."""
    features: str = ""
    """Which network the distribution metrics looked through."""
    pictures: dict[str, Tensor] = field(default_factory=dict)
    cut: bool = False
    """Whether it was interrupted: what came later is missing."""

    def __getitem__(self, name: str) -> Figure:
        """A figure by its name; where a metric has one code only, also by the metric's name alone."""
        return named(self.figures)[name]


def evaluate(
    run: str | Path,
    *,
    metrics: Sequence[str] | None = None,
    data: str | None = None,
    n: int = N,
    seed: int = 0,
    device: str = "cpu",
    features: str | Path | None = None,
    tell: Tell | None = None,
) -> Evaluation:
    """Measures a run on ``n`` drawn images, adds a line to its metrics.jsonl and renews its report. Raises ``UseError``.

    ``run`` may also be a source of images (``images.npz``, a folder, ``mnist:test``), drawn by whatever tool; then ``data`` says
    which real ones they are measured against, and nothing is written. ``features`` is an ONNX file that stands in for the judge in the
    distribution metrics. A metric that has nothing to measure says why and does not fail the others.
    """
    if not LEAST <= n <= MOST:
        raise ConfigError(
            f"--n is from {LEAST} to {MOST:,} images, given {n:,}; give so many, as --n 5000."
        )
    chosen(metrics)
    network = _network(features)
    if not is_run(run):
        train, test, painter, n = _gallery(run, data, n)
        result = measured(
            painter, train, test, metrics=metrics, n=n, seed=seed, network=network, tell=tell
        )
        return replace(result, run=str(run))
    place = runs.open_run(run)
    asked = place.read_config().data
    loaded = model.load(place.path, device)
    size, channels = asked.size or None, asked.channels or None
    train, test = real_splits(data or asked.source, size, channels, asked.links and data is None)
    if train.shape != loaded.card.shape:
        raise RunError(
            f"{train.source} has images of shape {train.shape} and the run draws {loaded.card.shape} (channels, height, "
            f"width); give --data of that size."
        )
    learnt = next((s for s in sources.SPLITS if asked.source.endswith(f":{s}")), "train")
    result = measured(
        loaded,
        train,
        test,
        metrics=metrics,
        n=n,
        seed=seed,
        network=network,
        tell=tell,
        learnt=learnt,
    )
    result = replace(result, run=str(place.path))
    place.append("metrics.jsonl", line(result, loaded.images_seen, seed))
    for name, picture in result.pictures.items():
        drawing.write_png(place.samples / f"evaluation-{name}.png", drawing.picture(picture))
    report.write_report(place)
    return result


def _gallery(images: str | Path, data: str | None, n: int) -> tuple[Data, Data, Painter, int]:
    """Images in the place of a model, the real ones they are measured against, and how many of them there are at most."""
    if data is None:
        raise ConfigError(
            f"{str(images)!r} is no run: it has no config.toml. Give a run that `gander train` made; to measure images instead, "
            f"say with --data SRC which real ones to measure them against."
        )
    train, test = real_splits(data, None, None)
    drawn = sources.load(str(images))
    return train, test, gallery(drawn, train), min(n, len(drawn))


def measured(
    painter: Painter,
    train: Data,
    test: Data,
    *,
    metrics: Sequence[str] | None,
    n: int,
    seed: int = 0,
    network: OwnNetwork | None = None,
    tell: Tell | None = None,
    learnt: str = "train",
) -> Evaluation:
    """The figures of anything that draws, against the real images of two splits; nothing is written but the cache.

    Raises ``UseError`` where nothing at all can be measured because of the request, never because one metric does not apply.
    """
    study = Study(painter, train, test, n, seed, network, learnt=learnt)
    figures: dict[str, Figure] = {}
    missing: dict[str, str] = {}
    cut = False
    for name, measure in chosen(metrics).items():
        if metrics is None and (cost := registry.costly(name)):
            missing[name] = f"it takes {cost}; ask for it: --metrics {name}"
            continue
        if tell:
            tell(name)
        try:
            found = {} if cut else measure(study)
        except CannotMeasure as why:
            missing[name] = str(why)
            continue
        except KeyboardInterrupt:  # what was measured already is kept
            cut = True
        if cut:
            missing[name] = "interrupted"
            continue
        for figure, value in found.items():
            if math.isfinite(value.value):
                figures[figure] = value
            else:
                missing[figure] = f"came out as {value.value}"
    about = study.features.about if "features" in vars(study) else ""
    return Evaluation(
        "", train.source, n, figures, missing, _judge(study), about, dict(study.pictures), cut
    )


def chosen(names: Sequence[str] | None) -> dict[str, registry.Measure]:
    """The metrics of those names, or all. Raises ``ConfigError``."""
    return {name: registry.find(name) for name in (registry.names() if names is None else names)}


def _network(path: str | Path | None) -> OwnNetwork | None:
    try:
        return own_network(path) if path is not None else None
    except CannotMeasure as why:
        raise ConfigError(f"--features {why}.") from None


def is_run(run: str | Path) -> bool:
    """Whether this means a run rather than images: a folder with a configuration, or what is no source either."""
    path = Path(run)
    if (path / "config.toml").is_file():
        return True
    named = sources.whole(str(run)) in sources.sources()
    return not (named or path.is_file() or (path.is_dir() and _has_images(path)))


def _has_images(folder: Path) -> bool:
    """Whether a folder is one of images rather than, say, of a run that is not there yet."""
    endings = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".csv"}
    return any(path.suffix.lower() in endings for path in folder.rglob("*"))


def real_splits(
    source: str, size: int | None, channels: int | None, links: bool = False
) -> tuple[Data, Data]:
    """The training and the test split of a source, whatever split its name has."""
    try:
        load = partial(
            sources.load, sources.whole(source), size=size, channels=channels, links=links
        )
        return sources.measured(load("train")), sources.measured(load("test"))
    except GanderError as error:
        raise type(error)(f"{error} Measuring needs the real images: --data SRC.") from None


def _judge(study: Study) -> str:
    """One sentence on the judge that was used, if one was."""
    if "judge" not in vars(study):
        return ""
    parts = [f"{name} {value}" for name, value in study.judge.tested(study.test).items()]
    whom = "real test images" if study.apart else "images it learned from, too few to be split"
    return f"judge on {len(study.test):,} {whom}: {', '.join(parts)}"


# ---------------------------------------------------------------------- what is written and shown
def line(result: Evaluation, images_seen: int, seed: int) -> dict[str, Any]:
    """A line of metrics.jsonl: all of an evaluation, null where a bound does not apply."""
    return {"images_seen": images_seen, "seed": seed, **to_dict(result)}


def to_dict(result: Evaluation) -> dict[str, Any]:
    """All of an evaluation but its pictures, as plain tables."""
    return {
        "metrics": {name: asdict(figure) for name, figure in result.figures.items()},
        "missing": result.missing,
        "run": result.run,
        "data": result.data,
        "n": result.n,
        "judge": result.judge,
        "features": result.features,
    }


def named(figures: dict[str, Figure]) -> dict[str, Figure]:
    """The figures under all of their names: NAME/CODE also as NAME where there is one such code."""
    alone: dict[str, list[Figure]] = {}
    for name, figure in figures.items():
        alone.setdefault(name.partition("/")[0], []).append(figure)
    return {name: found[0] for name, found in alone.items() if len(found) == 1} | figures


def write_json(result: Evaluation, path: str | Path) -> None:
    """What other people's scripts read: value, floor and ceiling of each figure, and of what."""
    figures = {
        name: {"value": figure.value, "floor": figure.floor, "ceiling": figure.ceiling}
        for name, figure in sorted(named(result.figures).items())
    }
    table = {"metrics": figures, "run": result.run, "data": result.data, "n": result.n}
    write(Path(path), (json.dumps(table, indent=2) + "\n").encode())


def check_json(path: str, made_of: Sequence[str | None] = ()) -> None:
    """Raises ``RunError`` where figures could not be written, or over a file they are ``made_of``, before they are measured."""
    place = Path(path)
    if not path or place.is_dir() or not outputs.is_writable(place.parent):
        raise RunError(
            f"--json {path} cannot be written; give a file in a folder that is yours to write in, as figures.json."
        )
    outputs.spare(place, [one for one in made_of if one and Path(one).is_file()])


def table(result: Evaluation, console: Console | None = None) -> None:
    """Prints the figures for a person: value, bounds and the ratio to what real images score, side by side."""
    if console is None:  # a file has no edge to fold at
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    grid.add_column("metric", no_wrap=True)
    for heading in ("value", "±", "floor", "×floor", "ceiling"):
        grid.add_column(heading, justify="right", no_wrap=True)
    grid.add_column("", style="dim", overflow="fold")
    for name, figure in result.figures.items():
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        mark = "r" if figure.floor_is == "real" else ""
        floor = _short(figure.floor) + (mark if figure.floor is not None else "")
        shown = (_short(figure.value), _short(figure.error), floor, ratio, _short(figure.ceiling))
        grid.add_row(Text(name), *map(Text, shown), Text(figure.about))
    console.print(Text(f"{result.run}: {result.n:,} images drawn, measured against {result.data}"))
    for sentence in (result.judge, result.features and f"features: {result.features}"):
        if sentence:
            console.print(Text(sentence, style="dim"))
    if result.figures:
        console.print(grid)
        console.print(
            Text(
                "floor: what knowing nothing scores; with r, what real training images score against real test images",
                style="dim",
            )
        )
    reasons: dict[str, list[str]] = {}
    for name, why in result.missing.items():
        reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        console.print(Text(f"{', '.join(names)}: not measured, {why}", style="dim"))


def _short(value: float | None) -> str:
    """Four digits that matter."""
    if value is None:
        return ""
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2e}"
    digits = max(0, 3 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{min(4, digits)}f}"


@contextlib.contextmanager
def spoken(console: Console) -> Any:
    """A function that says which metric is being measured, on a terminal."""
    if not console.is_terminal:
        yield None
        return
    with console.status("measuring") as status:
        yield lambda name: status.update(f"measuring {name}")
