"""Commands that measure runs and lay them side by side."""

from __future__ import annotations

import math
import sys

from gander.cli.options import Whole, app, whole


@app.command
def evaluate(
    run: str,
    /,
    *,
    metrics: str | None = None,
    data: str | None = None,
    n: float = 10_000,
    seed: Whole = 0,
    features: str | None = None,
    json: str | None = None,
    device: str = "cpu",
) -> None:
    """Measure a run by a judge trained on real images alone; floors and ceilings beside each figure.

    Parameters
    ----------
    run
        A run directory, or its number under runs/; or images drawn by any tool (.npz, folder, zip), with --data.
    metrics
        Which, as frechet,label_accuracy; without it all (`gander list metrics`).
    data
        The real images to measure against; without it those the run was trained on.
    n
        How many images are drawn.
    seed
        The first drawing seed.
    features
        FILE.onnx: a feature network of your own, as Inception, for the distribution metrics.
    json
        Also write the figures to this file.
    device
        Where to draw.
    """
    from rich.console import Console

    from gander import evaluation as job
    from gander import pace

    if json is not None:
        job.check_json(json, [run, data, features])
    names = None if metrics is None else [name.strip() for name in metrics.split(",")]
    change = pace.suit(device)
    with job.spoken(Console(stderr=True)) as tell:
        result = job.evaluate(
            run,
            metrics=names,
            data=data,
            n=whole("--n", n, least=-math.inf),
            seed=seed,
            device=device,
            features=features,
            tell=tell,
        )
    job.table(result)
    _say(change)
    if json is not None:
        job.write_json(result, json)
    if result.cut:
        raise KeyboardInterrupt


@app.command
def compare(run: str, /, *more: str, out: str = "report.html", device: str = "cpu") -> None:
    """Runs side by side on one page: curves, samples at the same seeds, metrics as mean ± sd over seeds.

    Parameters
    ----------
    run
        A run directory, or its number under runs/.
    more
        Further runs; those that differ in their seed alone are one group.
    out
        The page, which opens without a network.
    device
        Where to draw the samples.
    """
    from rich.console import Console

    from gander import comparison as job

    with Console(stderr=True).status("comparing") as status:
        result = job.compare(
            [run, *more], out, device=device, tell=lambda who: status.update(f"drawing {who}")
        )
    job.show(result, out)


@app.command
def select(
    run: str,
    /,
    *more: str,
    by: str = "centrality",
    n: float = 10_000,
    json: str | None = None,
    device: str = "cpu",
) -> None:
    """Choose among runs: the one that agrees most with all others, without a label, or the best by a metric.

    Parameters
    ----------
    run
        A run directory, or its number under runs/.
    more
        Further runs of one specification, as of several seeds.
    by
        centrality, or a metric as factor_vae or r2/c1: recorded, else measured now.
    n
        How many images each run draws.
    json
        Also write the ranking to this file.
    device
        Where to draw and to read.
    """
    from rich.console import Console

    from gander import evaluation, pace, selection

    if json is not None:
        evaluation.check_json(json)
    count = whole("--n", n, least=-math.inf)
    change = pace.suit(device)
    with Console(stderr=True).status("choosing") as status:
        result = selection.select(
            [run, *more], by=by, n=count, device=device, tell=lambda said: status.update(said)
        )
    if json is not None:
        selection.write_json(result, json)
    selection.table(result)
    _say(change)


def _say(change: str | None) -> None:
    """Of the threads, below what was asked for."""
    if change is not None:
        print(change, file=sys.stderr)
