"""Where a file may be written for somebody: not over a run's own files, and not over what it is made of."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from gander.errors import RunError

OWN = frozenset({"config.toml", "log.jsonl", "metrics.jsonl", "names.json", "report.html"})
OWN_FOLDERS = frozenset({"weights", "state", "best"})
HEAD = 1000  # bytes of a config.toml that hold what it begins with
DEPTH = 4  # folders from a run's deepest file up to the run, and one more


def is_writable(path: Path) -> bool:
    """Whether a directory at ``path`` could be written, without making it."""
    while not path.exists():
        path = path.parent
    return path.is_dir() and os.access(path, os.W_OK)


def check(file: Path, made_of: Iterable[str | Path] = ()) -> None:
    """Refuses a file that could not be written, or should not, before minutes are spent on its content. Raises ``RunError``.

    ``made_of`` are the files, folders and data sources that it will be made of: a folder may get a new file, but none of its own is replaced.
    """
    if file.is_dir() or not is_writable(file.absolute().parent):
        raise RunError(
            f"{file} cannot be written; give a file in a folder that is yours to write in."
        )
    spare(file, made_of)


def spare(file: Path, made_of: Iterable[str | Path] = ()) -> None:
    """Refuses a file that a run needs, or that the new one is made of. Raises ``RunError``."""
    run = owner(file)
    if run is not None:
        raise RunError(
            f"{file} is where the run {run} keeps what it needs; give another file, as {Path(file.name)}."
        )
    if not file.exists():
        return
    place = file.resolve()
    for given in made_of:
        source = _existing(str(given))
        if source is None:
            continue
        # In a folder of images only what could be one, or their labels, is a part of it.
        within = source in place.parents and place.suffix.lower() != ".npz"
        if place == source or within:
            raise RunError(
                f"{file} is (part of) what is read here, {given}, and would be replaced; give another file."
            )


def owner(file: Path) -> Path | None:
    """The run directory that a file is, or would be, one of the own files of."""
    place = file.resolve()
    for folder in list(place.parents)[:DEPTH]:
        inside = place.relative_to(folder).parts
        own = inside[0] in OWN_FOLDERS if len(inside) > 1 else inside[0] in OWN
        if own and _is_run(folder):
            return folder
    return None


def _is_run(folder: Path) -> bool:
    """Whether a ``config.toml`` in it says so; other programs have files of that name."""
    try:
        with (folder / "config.toml").open("rb") as file:
            start = file.read(HEAD)
    except OSError:
        return False
    return b"preset = " in start and b"schema = " in start


def _existing(source: str) -> Path | None:
    """The file or folder of a data source, ``digits.npz``, ``photos:test`` or ``photos:test[:100]#3``, if it is one."""
    for text in (source, source.partition("#")[0], source.partition(":")[0]):
        if text and Path(text).exists():
            return Path(text).resolve()
    return None
