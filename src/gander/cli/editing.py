"""The command that changes a real image."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gander.cli.options import Flag, Settings, Whole, app

if TYPE_CHECKING:
    from gander.editing import Edited


@app.command
def edit(
    run: str,
    image: str,
    /,
    *,
    set_: Settings = None,
    sweep: str | None = None,
    out: str = "edit.png",
    json: str | None = None,
    invert: Flag = False,
    quick: Flag = False,
    seed: Whole = 0,
    device: str = "cpu",
) -> None:
    """Find the codes and the noise of a real image, change some, draw it again.

    The sheet says whether it was found at all: its error among those of real test images, searched for in the same way.

    Parameters
    ----------
    run
        A run directory, its number under runs/, a folder of weights or a generator's .safetensors file.
    image
        An image file, or one image of a source, as mnist:test#17.
    set_
        code=value, as slant=1 or digit=3. May be repeated.
    sweep
        code or code=a:b or code=a:b:n: a strip that turns this code from end to end, the found value marked.
    out
        FILE.png.
    json
        FILE.json for the values found, the error and the verdict.
    invert
        Swap light and dark first, for ink on paper where the model knows light on dark.
    quick
        Search for this image alone; nothing says then what error a real image has.
    seed
        Where the search begins.
    device
        Where to draw.
    """
    from gander import editing as job
    from gander import model as models

    done = job.edit(
        models.load(run, device),
        image,
        out,
        run=run,
        settings=set_ or [],
        sweep=sweep,
        json_file=json,
        inverted=invert,
        quick=quick,
        seed=seed,
    )
    _tell(done)


def _tell(done: Edited) -> None:
    """What was found; what a user should be warned of goes beside the output."""
    for line in done.lines:
        print(line)
    print(done.edit.verdict, file=sys.stderr if done.edit.outside else sys.stdout)
    for note in done.notes:
        print(note, file=sys.stderr)
    print(done.path)
