"""Commands that look at real images: read them, and name by them what a model has discovered."""

from __future__ import annotations

from gander.cli.options import Flag, Settings, Whole, app, whole


@app.command
def read(
    run: str,
    /,
    *files: str,
    data: str | None = None,
    out: str | None = None,
    sheets: str | None = None,
    device: str = "cpu",
) -> None:
    """Read the codes of real images with the recogniser: to .npz or .csv, and on contact sheets.

    Parameters
    ----------
    run
        A run directory with a recogniser (infogan, acgan, …), or its number under runs/.
    files
        Image files; what is read of each is also printed.
    data
        Or a whole source: a named set or a path, as mnist:test.
    out
        FILE.npz or FILE.csv (read.npz; without it files are only printed).
    sheets
        A folder for contact sheets: the real images that each class gathers, and those along each slider.
    device
        Where to read.
    """
    from gander import model as models
    from gander import reading as job

    print(job.read(models.load(run, device), out, data=data, files=files, sheets=sheets))


@app.command
def name(
    run: str,
    /,
    *,
    data: str | None = None,
    labels: float | None = None,
    column: str | None = None,
    code: str | None = None,
    least: float = 0.7,
    seed: Whole = 0,
    set_: Settings = None,
    clear: Flag = False,
    sheet: str | None = None,
    device: str = "cpu",
) -> None:
    """Name what was discovered, by a few labelled images or by hand: then --set category=7 draws sevens; alone, show the names.

    Parameters
    ----------
    run
        A run directory, or its number under runs/; names are kept in its names.json.
    data
        Labelled images, as mnist:test: each class of a discovered category gets the name of the label it gathers.
    labels
        How many labels may be looked at, equally many of each class (all); two a class are often enough.
    column
        Another column than the label to name classes by.
    code
        Which discovered category to name, where there are several; with --clear, which code.
    least
        How probable it must be that the label is the commonest in its class, for the class to have its name.
    seed
        Which images are chosen.
    set_
        By hand: c1=slant or c1=slant:left:right (what its ends look like), category.4=seven. May be repeated.
    clear
        Take all names away, or those of --code.
    sheet
        FILE.png: what each class draws, beside the labelled images.
    device
        Where to read.
    """
    from gander import model as models
    from gander import naming as job

    job.name(
        models.load(run, device),
        run,
        data=data,
        labels=whole("--labels", labels),
        column=column,
        code=code,
        least=least,
        seed=seed,
        settings=set_ or [],
        clear=clear,
        sheet=sheet,
    )
