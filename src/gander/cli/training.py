"""Commands that train, and that say what there is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from gander.cli import options
from gander.cli.options import Flag, Settings, WholeOrNone, app, whole


@Parameter(name="*")
@dataclass(frozen=True)
class Processes:
    """How many there are, and what each does."""

    devices: Annotated[
        WholeOrNone,
        Parameter(
            help="So many processes of this machine, each on its share of every batch, on GPUs one for each; started by torchrun "
            "or srun they find each other without it."
        ),
    ] = None
    seeds: Annotated[
        str | None,
        Parameter(help="A run for each of these seeds, as 0-9 or 0,1,4-6, side by side."),
    ] = None
    at_once: Annotated[
        WholeOrNone,
        Parameter(
            help="With --seeds, so many at a time; without it one for each core, or 4 on a GPU."
        ),
    ] = None

    def start(self, out: str | None, device: str | None, one: Mapping[str, object]) -> int | None:
        """Starts what is asked for and returns its exit code; None where this process is to train by itself.

        ``one`` are the options that make sense for one run alone, with their values.
        """
        from gander import launching
        from gander.errors import ConfigError

        if self.seeds is None and self.at_once is None:
            several = launching.wanted(self.devices) if not one["--dry-run"] else 0
            return launching.launch(several, _words()) if several else None
        given = [option for option, value in {**one, "--devices": self.devices}.items() if value]
        if self.seeds is None:
            raise ConfigError(
                "--at-once says how many seeds train at a time; give them, as --seeds 0-9."
            )
        if given:
            raise ConfigError(
                f"--seeds trains a run for each seed, and {given[0]} is of one run; drop one of the two."
            )
        return _each(self.seeds, self.at_once, out, device)


ALONE = Processes()


def _words() -> list[str]:
    """This command as it was written, for another process."""
    return [sys.executable, "-m", "gander", *options.given]


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
    set_: Settings = None,
    new: Flag = False,
    roll_back: RollBack = False,
    deterministic: Deterministic = False,
    dry_run: Flag = False,
    quiet: Flag = False,
    processes: Processes = ALONE,
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
    one = {"--seed": seed is not None, "--dry-run": dry_run}
    code = processes.start(out, device, one)
    if code is not None:
        raise SystemExit(code)
    from gander import forecast, training

    asked: dict[str, Any] = {"data": data, "out": out, "seed": seed, "device": device}
    settings = [*(set_ or []), *["training.deterministic=true"] * deterministic]
    asked |= {"settings": settings, "images": whole("--images", images)}
    asked |= {"new": new, "roll_back": roll_back}
    if dry_run:
        print(forecast.forecast(preset, **asked))
    else:
        print(training.train(preset, minutes=minutes, quiet=quiet, **asked))


def _each(seeds: str, at_once: int | None, out: str | None, device: str | None) -> int:
    """Trains a run for each seed; returns the exit code."""
    from gander import abreast, engine
    from gander.errors import ConfigError
    from gander.sampling import parse_seeds

    if at_once is not None and at_once < 1:
        raise ConfigError(f"--at-once is 1 or more, given {at_once}; give so many, as --at-once 2.")
    many = list(dict.fromkeys(parse_seeds(seeds)))
    usual = engine.cores() if engine.find_device(device).type == "cpu" else abreast.ON_A_GPU
    at_once = min(at_once or usual, len(many))
    commands = {s: abreast.own_command(_words(), s, out, at_once == 1) for s in many}
    return abreast.train_each(commands, at_once)


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
