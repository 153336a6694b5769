"""Commands that train, and that say what there is."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import Parameter

from gander.cli import options
from gander.cli.options import Flag, Settings, WholeOrNone, app, whole

Devices = Annotated[
    WholeOrNone,
    Parameter(
        help="So many processes of this machine, each on its share of every batch, on GPUs one for each; started by torchrun or "
        "srun they find each other without it."
    ),
]
RollBack = Annotated[
    Flag,
    Parameter(
        help="Put the weights in RUN/best back (--set evaluate_images=50000 best=frechet); with other rates, go on from there."
    ),
]
Deterministic = Annotated[
    Flag,
    Parameter(
        help="The same bits each time on this machine: the number of threads is not chosen by measurement, a GPU sums in a fixed "
        "order."
    ),
]


@app.command
def train(
    preset: str | None = None,
    /,
    *,
    data: str | None = None,
    out: str | None = None,
    images: float | None = None,
    minutes: float | None = None,
    seed: WholeOrNone = None,
    device: str | None = None,
    devices: Devices = None,
    set_: Settings = None,
    new: Flag = False,
    roll_back: RollBack = False,
    deterministic: Deterministic = False,
    dry_run: Flag = False,
    quiet: Flag = False,
) -> None:
    """Train a preset or FILE.toml; the same command again resumes, Ctrl-C saves.

    Parameters
    ----------
    preset
        A preset (`gander list presets`) or a file as my.toml; without one cgan where the images are labelled, else dcgan.
    data
        A named set (`gander list data`) or a path: a folder of images, a CSV, zip, npz or IDX file.
    out
        The run directory; without it runs/NUMBER-PRESET-DATA-sSEED.
    images
        Train until so many real images were seen.
    minutes
        Stop after so many minutes at the latest.
    seed
        Everything random is a function of it.
    device
        cpu, cuda, cuda:1 or mps; without it the GPU where there is one.
    set_
        key=value: any setting (`gander list settings`), a code's as c1.recognised=0.5, all codes as
        codes="noise:gaussian(62) digit:given,shown". May be repeated.
    new
        Begin a new run even where one could be resumed.
    dry_run
        Print the resolved configuration, the data found, parameters, memory and time; train nothing.
    quiet
        Say nothing but errors.
    """
    from gander import forecast, launching, training

    if not dry_run and (several := launching.wanted(devices)):
        raise SystemExit(
            launching.launch(several, [sys.executable, "-m", "gander", *options.given])
        )
    asked: dict[str, Any] = {"data": data, "out": out, "seed": seed, "device": device}
    settings = [*(set_ or []), *["training.deterministic=true"] * deterministic]
    asked |= {"settings": settings, "images": whole("--images", images)}
    asked |= {"new": new, "roll_back": roll_back}
    if dry_run:
        print(forecast.forecast(preset, **asked))
    else:
        print(training.train(preset, minutes=minutes, quiet=quiet, **asked))


@app.command(name="list")
def list_(what: str = "", /) -> None:
    """What there is, with one line each: presets, data, metrics, objectives, backbones, kinds, schedules, augmentations, settings.

    Parameters
    ----------
    what
        One of them; without it all but the settings.
    """
    from gander import listing

    print(listing.listing(what))
