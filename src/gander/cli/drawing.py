"""Commands that draw what is ordered."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gander.cli.options import Flag, Settings, Whole, WholeOrNone, app


@dataclass(frozen=True)
class Moving:
    """What is asked of a film.

    Parameters
    ----------
    film
        FILE.gif, .webp, .mp4 or .png (an animated PNG): from seed to seed and from setting to setting, and back.
    seconds
        Of a film, from one station to the next (1), from end to end of a sweep (2), for each grid of --progress (0.7).
    fps
        Frames a second of a film (25; 20 for a .gif).
    once
        A film that ends at its last station and does not come back to the first.
    labels
        A line under a film: what is turned and where it stands.
    progress
        With --film: how the run learned, from the grids it kept; --progress alone plays images, or name them: knobs, sweep-c1.
    """

    film: str | None = None
    seconds: float | None = None
    fps: float | None = None
    once: Flag = False
    labels: Flag = False
    progress: Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())] = None


@app.command
def sample(
    run: str,
    /,
    *,
    n: WholeOrNone = None,
    seed: Whole = 0,
    seeds: str | None = None,
    set_: Settings = None,
    sweep: Annotated[list[str] | None, Parameter(negative=())] = None,
    sheet: str | None = None,
    out: str | None = None,
    live: Flag = False,
    device: str = "cpu",
    moving: Annotated[Moving | None, Parameter(name="*")] = None,
) -> None:
    """Draw what is ordered from a run, a folder of weights or one weight file, or film it.

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
        code=value, as digit=3 or garment=Coat or slant=-0.5. May be repeated. A film takes several values, as digit=3,5,8.
    sweep
        code or code=a:b or code=a:b:n: that code from end to end along the columns; twice for rows and columns; all for every slider on one sheet. In a film, from end to end and back.
    sheet
        COLUMNSxROWS of a sheet, as 8x12; more images than fit make more sheets. In a film, so many side by side.
    out
        FILE.png (sample.png), FILE.npz, or a folder for single PNGs (or for sheets, with --sheet).
    live
        Use the generator itself, not its moving average.
    device
        Where to draw.
    """
    asked = moving or Moving()
    settings, sweeps = set_ or [], sweep or []
    if _is_film(asked, out, n, sweeps):
        if asked.progress is not None:
            return _chronicle(run, asked, any((seeds, settings, sweeps, sheet, live)))
        return _film(run, asked, seed, seeds, settings, sweeps, sheet, live, device)
    from gander import model as models
    from gander import sampling as job

    written = job.sample(
        models.load(run, device, averaged=not live),
        out or "sample.png",
        n=n,
        seed=seed,
        seeds=seeds,
        settings=settings,
        sweeps=sweeps,
        sheet=sheet,
    )
    _say(written)


def _say(written: list[Path]) -> None:
    print(written[0] if len(written) == 1 else f"{len(written)} files in {written[0].parent}")


def _is_film(asked: Moving, out: str | None, n: int | None, sweeps: list[str]) -> bool:
    """Whether a film is asked for; what belongs to a film or to a picture alone is refused for the other."""
    from gander.errors import UseError

    if asked.film is None:
        for option in fields(asked):
            if getattr(asked, option.name) != option.default:
                raise UseError(
                    f"--{option.name} is for films, and this is a picture; add --film FILE.gif, or drop it."
                )
        return False
    if out is not None:
        raise UseError("give --out for a picture or --film for a film, not both.")
    if n is not None:
        raise UseError(
            "--n is of a picture; a film takes --seeds 0,1,4-6, and --sheet 3x2 for several side by side."
        )
    if len(sweeps) > 1 or sweeps == ["all"]:
        raise UseError("a film sweeps one code, as --sweep slant; give --out FILE.png for more.")
    return True


def _film(
    run: str,
    asked: Moving,
    seed: int,
    seeds: str | None,
    settings: list[str],
    sweeps: list[str],
    sheet: str | None,
    live: bool,
    device: str,
) -> None:
    from gander import films
    from gander import model as models

    path = films.film(
        models.load(run, device, averaged=not live),
        asked.film or "",
        seed=seed,
        seeds=seeds,
        settings=settings,
        sweep=sweeps[0] if sweeps else None,
        sheet=sheet,
        seconds=asked.seconds,
        fps=asked.fps,
        once=asked.once,
        labels=asked.labels,
    )
    print(path)


def _chronicle(run: str, asked: Moving, ordered: bool) -> None:
    from gander import chronicle as job
    from gander.errors import UseError

    grids = asked.progress or ["images"]
    if ordered or asked.labels:
        raise UseError(
            "--progress plays grids that are there already; it takes --seconds, --fps and --once alone."
        )
    if len(grids) > 1:
        raise UseError(
            f"--progress plays grids of one name, given {', '.join(grids)}; give one of them."
        )
    path = job.chronicle(
        run,
        asked.film or "",
        grids=grids[0],
        seconds=asked.seconds,
        fps=asked.fps,
        once=asked.once,
    )
    print(path)
