"""The laboratory: what an update schedule does to gradients, speed and samples, shown on one page."""

from __future__ import annotations

from cyclopts import App

from gander.cli.options import Settings, Whole, app, whole

lab = App(name="lab", help="Experiments that show what a choice does.")
app.command(lab)


@lab.command
def schedules(
    *,
    data: str = "glyphs",
    preset: str | None = None,
    images: float = 20_480,
    seed: Whole = 0,
    device: str = "cpu",
    settings: Settings = None,
    out: str = "schedules.html",
    json: str | None = None,
) -> None:
    """Train one model from one seed under each update schedule, make the classic mistakes, and write it all to a page.

    Parameters
    ----------
    data
        A named set or a path.
    preset
        The member of the family, of `gander list presets`; without one cgan where the images are labelled, else dcgan.
    images
        Real images the critic sees under each schedule.
    seed
        Everything random follows from it.
    device
        Where to train.
    settings
        Any setting but the schedule, as --set width=32 critic_rate=5e-4; unless told the model is small and one thread computes.
    out
        The page, which opens without a network.
    json
        Also write the figures to this file.
    """
    from rich.console import Console

    from gander import lab as job

    with Console(stderr=True).status("beginning") as status:
        result = job.schedules(
            data,
            out,
            preset=preset,
            images=whole("--images", images),
            seed=seed,
            device=device,
            settings=settings or (),
            json_file=json,
            tell=status.update,
        )
    job.show(result, out)
