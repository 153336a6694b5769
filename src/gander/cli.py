"""The command line: each command is a thin call of the Python face, and imports what it needs when it is called."""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, overload

from cyclopts import App, CycloptsError, Parameter

from gander import __version__
from gander.errors import GanderError

app = App(
    name="gander",
    version=__version__,
    help="Train GANs you can steer: GAN, CGAN, ACGAN, InfoGAN and their mixtures from one specification.",
    help_format="plaintext",
)
Settings = Annotated[list[str] | None, Parameter(name="--set", negative=())]
Flag = Annotated[bool, Parameter(negative=())]
OUT_OF_MEMORY = ("not enough memory", "out of memory", "can't allocate memory")


@app.command
def train(
    preset: str | None = None,
    /,
    *,
    data: str | None = None,
    out: str | None = None,
    images: float | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    device: str | None = None,
    set_: Settings = None,
    new: Flag = False,
    roll_back: Flag = False,
    dry_run: Flag = False,
    quiet: Flag = False,
) -> None:
    """Train a preset or FILE.toml; the same command again resumes, Ctrl-C saves.

    Parameters
    ----------
    preset
        A preset (`gander list presets`) or a file of your own, as my.toml; without one cgan where the images
        are labelled, else dcgan.
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
    roll_back
        Put the weights in RUN/best back (--set evaluate_images=50000 best=frechet); with other rates, go on from there.
    dry_run
        Print the resolved configuration, the data found, parameters, memory and time; train nothing.
    quiet
        Say nothing but errors.
    """
    from gander import forecast, training

    asked: dict[str, Any] = {"data": data, "out": out, "seed": seed, "device": device}
    asked |= {"settings": set_ or [], "images": _whole("--images", images)}
    asked |= {"new": new, "roll_back": roll_back}
    if dry_run:
        print(forecast.forecast(preset, **asked))
    else:
        print(training.train(preset, minutes=minutes, quiet=quiet, **asked))


@app.command
def sample(
    run: str,
    /,
    *,
    n: int | None = None,
    seed: int = 0,
    seeds: str | None = None,
    set_: Settings = None,
    sweep: Annotated[list[str] | None, Parameter(negative=())] = None,
    sheet: str | None = None,
    out: str = "sample.png",
    live: Flag = False,
    device: str = "cpu",
) -> None:
    """Draw what is ordered from a run, a folder of weights or one weight file.

    Parameters
    ----------
    run
        A run directory, its number under runs/, or a generator's .safetensors file.
    n
        How many images (64); with --sweep, how many rows.
    seed
        The first seed; one seed is one image.
    seeds
        Which seeds, as 0,1,4-6.
    set_
        code=value, as digit=3 or garment=Coat or slant=-0.5. May be repeated.
    sweep
        code or code=a:b or code=a:b:n: that code from end to end along the columns; twice for rows and columns; all for every slider on one sheet.
    sheet
        COLUMNSxROWS of a sheet, as 8x12; more images than fit make more sheets.
    out
        FILE.png, FILE.npz, or a folder for single PNGs (or for sheets, with --sheet).
    live
        Use the generator itself, not its moving average.
    device
        Where to draw.
    """
    from gander import model as models
    from gander import sampling as job

    loaded = models.load(run, device, averaged=not live)
    written = job.sample(
        loaded,
        out,
        n=n,
        seed=seed,
        seeds=seeds,
        settings=set_ or [],
        sweeps=sweep or [],
        sheet=sheet,
    )
    print(written[0] if len(written) == 1 else f"{len(written)} files in {written[0].parent}")


@app.command
def read(
    run: str,
    /,
    *files: str,
    data: str | None = None,
    out: str = "read.npz",
    device: str = "cpu",
) -> None:
    """Read the codes of real images with the recogniser, to .npz or .csv.

    Parameters
    ----------
    run
        A run directory with a recogniser (infogan, acgan, …), or its number under runs/.
    files
        Image files.
    data
        Or a whole source: a named set or a path, as mnist:test.
    out
        FILE.npz or FILE.csv.
    device
        Where to read.
    """
    from gander import model as models
    from gander import reading as job

    print(job.read(models.load(run, device), out, data=data, files=files))


@app.command
def evaluate(
    run: str,
    /,
    *,
    metrics: str | None = None,
    data: str | None = None,
    n: float = 10_000,
    seed: int = 0,
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

    if json is not None:
        job.check_json(json)
    names = None if metrics is None else [name.strip() for name in metrics.split(",")]
    with job.spoken(Console(stderr=True)) as tell:
        result = job.evaluate(
            run,
            metrics=names,
            data=data,
            n=_whole("--n", n, least=-math.inf),
            seed=seed,
            device=device,
            features=features,
            tell=tell,
        )
    job.table(result)
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


@app.command(name="list")
def list_(what: str = "", /) -> None:
    """What there is, with one line each: presets, data, metrics, objectives, backbones, kinds, schedules, settings.

    Parameters
    ----------
    what
        One of them; without it all but the settings.
    """
    from gander import listing

    print(listing.listing(what))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. Exit codes: 0 done, 1 a run that failed, 2 wrong use, 130 interrupted with the state saved."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """One command and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that has no ² shows a question mark
            stream.reconfigure(errors="replace")
    try:
        app(_spread(arguments), exit_on_error=False, print_error=False)
    except SystemExit as done:  # how cyclopts ends a command
        return _flushed(done.code if isinstance(done.code, int) else int(done.code is not None))
    except CycloptsError as error:
        _complain(_plain(error))
        return 2
    except GanderError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return _gone()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}.")
        return 2
    except MemoryError as error:
        _complain(f"there is not enough memory for this. {error}".rstrip())
        return 1
    except RuntimeError as error:  # how PyTorch says it
        if not any(word in str(error).lower() for word in OUT_OF_MEMORY):
            raise
        _complain(f"there is not enough memory for this: {str(error).strip().splitlines()[0]}")
        return 1
    return _flushed(0)


def _complain(text: str) -> None:
    """What went wrong; the names of strangers' files and classes may not steer the terminal."""
    plain = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    print(f"gander: {plain}", file=sys.stderr)


def _flushed(code: int) -> int:
    """The exit code once all that was printed has reached its reader."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _gone()
    return code


def _gone() -> int:
    """The reader of a pipe, as `| head`, has gone: what is left goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _spread(arguments: list[str]) -> list[str]:
    """``--set a=1 b=2`` as ``--set a=1 --set b=2``."""
    spread: list[str] = []
    in_set = False
    for word in arguments:
        if in_set and spread[-1] != "--set" and "=" in word and not word.startswith("-"):
            spread.append("--set")
        elif word.startswith("-") or (in_set and spread[-1] != "--set"):
            in_set = word == "--set" or word.startswith("--set=")
        spread.append(word)
    return spread


def _plain(error: CycloptsError) -> str:
    """One line of a command line that could not be understood, and where to look."""
    return f"{' '.join(str(error).split())} See gander --help."


@overload
def _whole(option: str, number: float, least: float = 1) -> int: ...
@overload
def _whole(option: str, number: float | None, least: float = 1) -> int | None: ...
def _whole(option: str, number: float | None, least: float = 1) -> int | None:
    """A count given as 600000 or 6e5."""
    if number is None:
        return None
    if not (math.isfinite(number) and number >= least and number == int(number)):
        from gander.errors import ConfigError

        raise ConfigError(f"{option} is a whole number of at least 1, given {number:g}.")
    return int(number)
