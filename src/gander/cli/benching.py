"""The command that measures speed on this machine."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from gander.cli.options import app, whole
from gander.errors import TrainingFailed, UseError

if TYPE_CHECKING:
    from gander.bench import Request


@app.command
def bench(
    *,
    parts: str | None = None,
    json: str | None = None,
    presets: str | None = None,
    data: str = "glyphs",
    sizes: str | None = None,
    seeds: str | None = None,
    seconds: float | None = None,
    batch: float | None = None,
    images: float | None = None,
    device: str | None = None,
    precision: str = "auto",
    threads: float = 0,
) -> None:
    """Measure speed on this machine: against the plain-PyTorch tutorial recipe, by preset, and beside the bound.

    Parameters
    ----------
    parts
        Which, as against,bound; all is every one; without it those that do not take minutes.
    json
        Also write everything to this file: the figures with n and spread, the machine, versions, commit.
    presets
        Which, as infogan,cgan; without it each part's own.
    data
        The images, as for train.
    sizes
        Sides of the images in px, as 28,64; without it each part's own.
    seeds
        Of the parts that train to the end, as 0,1,2; the others use the first.
    seconds
        Of one measurement: of a chunk of throughput, of a seed's way to a quality.
    batch
        Images a step of gander; without it the preset's own.
    images
        Use at most so many images of the data.
    device
        cpu, cuda, cuda:1 or mps; without it the GPU where there is one.
    precision
        fp32, bf16 or auto.
    threads
        Processor threads; without it gander and PyTorch choose each for themselves.
    """
    from gander import bench as job

    request = job.Request(
        presets=_words(presets),
        data=data,
        seeds=job.Request.seeds if seeds is None else _seeds(seeds),
        seconds=seconds,
        device=device,
        precision=precision,
        threads=whole("--threads", threads, least=-math.inf),
        sizes=tuple(_size(word) for word in _words(sizes)),
        batch=whole("--batch", batch),
        images=whole("--images", images),
    )
    _run(None if parts is None else _words(parts), request, json)


def _run(names: tuple[str, ...] | None, request: Request, json: str | None) -> None:
    """Measures, shows and writes."""
    from rich.console import Console

    from gander import bench as job
    from gander.bench import showing
    from gander.evaluation import check_json

    if json is not None:
        check_json(json)
    with showing.spoken(Console(stderr=True)) as say:
        result = job.bench(names, request, say)
    showing.show(result)
    if json is not None:
        showing.write_json(result, json)
    if result["cut"]:
        raise KeyboardInterrupt
    if result["failed"]:
        raise TrainingFailed(f"not all was measured: {', '.join(result['failed'])}.")


def _seeds(text: str) -> tuple[int, ...]:
    """As 0,1,4-6."""
    from gander.sampling import parse_seeds

    return tuple(parse_seeds(text))


def _words(text: str | None) -> tuple[str, ...]:
    """``a, b`` as two words."""
    return tuple(word for part in (text or "").split(",") if (word := part.strip()))


def _size(word: str) -> int:
    """A side in px."""
    if not re.fullmatch(r"\d{1,6}", word):
        raise UseError(f"--sizes takes whole numbers of px, as 28,64; given {word!r}.")
    return int(word)
