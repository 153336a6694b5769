"""Folders that are replaced as a whole: filled beside the old one, and swapped in."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from gander.errors import UnwritableFile


def fresh(place: Path) -> Path:
    """An empty folder beside ``place``, to be filled and then swapped in by ``swap_in``."""
    settle(place)
    new, old = _around(place)
    for left in (old, new):  # of a process that was killed; in this order, see ``settle``
        shutil.rmtree(left, ignore_errors=True)
    try:
        new.mkdir(parents=True)
    except OSError as error:
        raise UnwritableFile(f"{new} cannot be written: {error.strerror}.") from None
    return new


def swap_in(place: Path) -> None:
    """Puts the finished fresh folder in the place of the old one.

    For a moment there is neither; a kill in that moment leaves NAME.old, by which ``settle`` knows that NAME.new is whole.
    """
    new, old = _around(place)
    if place.is_dir():
        os.rename(place, old)
    with suppress(FileNotFoundError):  # a reader has settled it already
        os.rename(new, place)
    shutil.rmtree(old, ignore_errors=True)


def settle(place: Path) -> None:
    """Finishes a swap that was cut off; otherwise does nothing."""
    new, old = _around(place)
    if not place.exists() and old.is_dir():
        with suppress(OSError):  # another process was first, or this one may only read
            os.rename(new if new.is_dir() else old, place)


def clear(place: Path) -> None:
    """Removes what a killed process left beside ``place``; for those who alone may write there."""
    settle(place)
    for left in _around(place):
        shutil.rmtree(left, ignore_errors=True)


def drop(place: Path) -> None:
    """Removes a folder that may have been swapped in; a kill in between leaves it whole or gone."""
    settle(place)
    new, old = _around(place)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(new, ignore_errors=True)
    if place.is_dir():
        os.rename(place, new)
        shutil.rmtree(new, ignore_errors=True)


def _around(place: Path) -> tuple[Path, Path]:
    return place.with_name(f"{place.name}.new"), place.with_name(f"{place.name}.old")
