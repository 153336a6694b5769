"""Commands that draw what is ordered."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gander.cli.options import Flag, Settings, app


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
