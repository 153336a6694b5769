"""Commands that prepare images for training: sets that do not fit into memory, in shards."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from gander.cli.options import Flag, WholeOrNone, app

data = App(
    name="data",
    help="Prepare sets of images that do not fit into memory: pack them into shards, or list shards that are there.",
    help_format="plaintext",
)
app.command(data)


@data.command
def pack(
    source: str,
    /,
    *,
    out: str,
    size: WholeOrNone = None,
    channels: WholeOrNone = None,
    each: Annotated[WholeOrNone, Parameter(name="--each")] = None,
    links: Flag = False,
) -> None:
    """Write images as shards, tar files that are read as they are needed, with their checksums; then --data DIR trains on them.

    Parameters
    ----------
    source
        Any data source, as a folder of images; SRC:train packs one split, SRC all.
    out
        A new folder for the shards and their list, shards.json; it can be served as it is (https://…/shards.json).
    size
        Pixels a side; without it as training would detect it.
    channels
        1 gray, 2 gray and alpha, 3 RGB, 4 RGBA; without it the fewest that lose nothing.
    each
        Images of a shard (10,000).
    links
        Follow symbolic links that lead out of the folder.
    """
    import sys

    from gander import packing as job

    made = job.pack(
        source,
        out,
        size=size,
        channels=channels,
        each=each if each is not None else job.EACH,
        links=links,
        tell=lambda line: print(line, file=sys.stderr),
    )
    print(made)


@data.command
def index(folder: str, /) -> None:
    """Look through tar files that others have packed (WebDataset) and write their list, with checksums, so that they can be served.

    Parameters
    ----------
    folder
        The folder of the .tar files; shards.json and index/ are written into it.
    """
    from gander import packing as job

    print(job.index(folder))
