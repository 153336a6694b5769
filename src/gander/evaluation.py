"""The measuring job: a run, the images it was trained on and the metrics that apply, to a table and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gander import data as sources
from gander import metrics, model, report, runs
from gander.errors import ConfigError, RunError
from gander.images import write
from gander.metrics import CannotMeasure, Figure, Study


@dataclass(frozen=True)
class Evaluation:
    """The figures of one run, and why some are missing."""

    run: str
    data: str
    n: int
    figures: dict[str, Figure]
    missing: dict[str, str]


def evaluate(
    run: str | Path,
    *,
    metrics: Sequence[str] | None = None,
    data: str | None = None,
    n: int = 2000,
    seed: int = 0,
    device: str = "cpu",
) -> Evaluation:
    """Measures a run on ``n`` drawn images and adds a line to its metrics.jsonl. Raises ``UseError``.

    A metric that has nothing to measure says why and does not fail the others.
    """
    if not 20 <= n <= 1_000_000:
        raise ConfigError(f"--n is from 20 to 1,000,000 images, given {n}.")
    place = runs.open_run(run)
    config = place.read_config()
    chosen = _chosen(metrics)
    source = data or config.data.source
    size, channels = config.data.size or None, config.data.channels or None
    plain = source.removesuffix(":train").removesuffix(":test").removesuffix(":all")
    loaded = model.load(place.path, device)
    study = Study(
        model=loaded,
        train=sources.load(plain, "train", size=size, channels=channels),
        test=sources.load(plain, "test", size=size, channels=channels),
        n=n,
        seed=seed,
    )
    if study.train.shape != loaded.card.shape:
        raise RunError(
            f"{source} has images of shape {study.train.shape} and the run draws {loaded.card.shape}."
        )
    figures: dict[str, Figure] = {}
    missing: dict[str, str] = {}
    for name, measure in chosen.items():
        try:
            figures |= measure(study)
        except CannotMeasure as why:
            missing[name] = str(why)
    result = Evaluation(str(place.path), source, n, figures, missing)
    place.append(
        "metrics.jsonl", {"images_seen": loaded.images_seen, "seed": seed, **to_dict(result)}
    )
    report.write_report(place)
    return result


def _chosen(names: Sequence[str] | None) -> dict[str, metrics.Measure]:
    return {name: metrics.find(name) for name in names or metrics.names()}


def to_dict(result: Evaluation) -> dict[str, Any]:
    """All of an evaluation, as a line of metrics.jsonl keeps it; null where a bound does not apply."""
    return {
        "metrics": {name: asdict(figure) for name, figure in result.figures.items()},
        "missing": result.missing,
        "run": result.run,
        "data": result.data,
        "n": result.n,
    }


def write_json(result: Evaluation, path: str | Path) -> None:
    """What other people's scripts read: value, floor and ceiling of each figure, and of what."""
    figures = {
        name: {"value": figure.value, "floor": figure.floor, "ceiling": figure.ceiling}
        for name, figure in result.figures.items()
    }
    table = {"metrics": figures, "run": result.run, "data": result.data, "n": result.n}
    write(Path(path), (json.dumps(table, indent=2) + "\n").encode())


def table(result: Evaluation) -> str:
    """The figures for a person: value, floor and ceiling side by side."""
    rows = [("metric", "value", "floor", "ceiling", "")]
    for name, figure in result.figures.items():
        rows.append(
            (name, _short(figure.value), _short(figure.floor), _short(figure.ceiling), figure.about)
        )
    wide = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [f"{result.run}: {result.n:,} images drawn, judged against {result.data}"]
    for row in rows:
        numbers = "  ".join(f"{row[i]:>{wide[i]}}" for i in (1, 2, 3))
        lines.append(f"  {row[0]:<{wide[0]}}  {numbers}  {row[4]}".rstrip())
    lines += [f"  {name}: not measured, {why}" for name, why in result.missing.items()]
    return "\n".join(lines)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
