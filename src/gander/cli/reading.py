"""Commands that look at real images."""

from __future__ import annotations

from gander.cli.options import app


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
