"""The command that searches settings."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from gander.cli.options import Flag, Settings, Whole, WholeOrNone, app, whole


@app.command
def search(
    preset: str | None = None,
    /,
    *,
    over: Annotated[list[str], Parameter(negative=())],
    by: str,
    trials: Whole,
    data: str | None = None,
    images: float | None = None,
    set_: Settings = None,
    out: str | None = None,
    seed: WholeOrNone = None,
    at_once: WholeOrNone = None,
    device: str | None = None,
    no_prune: Flag = False,
) -> None:
    """Search settings: many short runs by Optuna, the worst cut short; the same command again goes on, Ctrl-C saves.

    Parameters
    ----------
    preset
        A preset (`gander list presets`) or a file as my.toml; without one cgan where the images are labelled, else dcgan.
    over
        A setting and its range, as critic_rate=1e-4:1e-2:log or batch=32:256, or its values, as batch=32,64,128. May be
        repeated.
    by
        The figure that says which is better: frechet, hungarian_accuracy/category, any that `gander evaluate` writes.
    trials
        How many runs there are to be in all.
    data
        A named set (`gander list data`) or a path: a folder of images, a CSV, zip, npz or IDX file.
    images
        Train each until so many real images were seen.
    set_
        key=value: any setting, for all trials; evaluate_images says how often each is measured, evaluate_n on how many images.
    out
        The folder of the search; without it runs/search-PRESET-DATA-FIGURE-sSEED.
    seed
        Of every trial, and of what is tried.
    at_once
        So many trials at a time; without it one for each core, or 4 on a GPU.
    device
        cpu, cuda, cuda:1 or mps; without it the GPU where there is one.
    no_prune
        Train every trial to its end.
    """
    asked: dict[str, Any] = {"over": over, "by": by, "trials": trials, "data": data, "out": out}
    asked |= {"images": whole("--images", images), "settings": set_ or (), "seed": seed}
    _searched(preset, **asked, at_once=at_once, device=device, prune=not no_prune)


def _searched(preset: str | None, **asked: Any) -> None:
    """Searches, says how it goes, and prints what was found."""
    from rich.console import Console
    from rich.markup import escape
    from rich.text import Text

    from gander import findings, headings, searching

    console = Console(stderr=True, highlight=False)
    with console.status("searching") as status:
        found = searching.search(
            preset,
            **asked,
            tell=lambda said: console.print(Text(headings.plain(said)), soft_wrap=True),
            show=lambda said: status.update(escape(headings.plain(said))),
        )
    findings.table(found)
