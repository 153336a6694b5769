"""The plain files below a folder that a stranger may have packed: links, loops, pipes, and no end of entries."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gander.errors import DataError

MOST_ENTRIES = (
    5_000_000  # files, folders and links that are looked at; a set with more has no room in memory
)
MOST_VISITS = 16  # by links, to one folder
TO_ALLOW = "--set links=true follows them, in Python links=True"


@dataclass
class Walk:
    """What lies below a folder: ``names`` of plain files relative to it, and how many things were left alone, by sort."""

    names: list[str] = field(default_factory=list)
    outward: int = 0
    """Links that lead out of the folder."""
    looping: int = 0
    """Links to a folder that holds them."""
    repeated: int = 0
    """Links to a folder that many others have led to: a few folders with links to each other have paths without number."""
    dangling: int = 0
    special: int = 0
    """Pipes, sockets and devices: opening one could wait for ever."""
    closed: list[OSError] = field(default_factory=list)
    """What the system said of folders that could not be looked into."""
    visits: Counter[str] = field(default_factory=Counter)
    """How many links have led to a folder."""

    @property
    def notes(self) -> list[str]:
        """A line for each sort of thing that was left alone."""
        said = []
        if self.outward:
            said.append(
                f"did not follow {self.outward:,} links that lead out of the folder ({TO_ALLOW})"
            )
        for count, what in (
            (self.looping, "links to a folder that holds them"),
            (self.repeated, f"links to a folder that {MOST_VISITS} other links lead to"),
            (self.dangling, "links that lead nowhere"),
            (self.special, "pipes, sockets and devices"),
        ):
            if count:
                said.append(f"left out {count:,} {what}")
        if self.closed:
            why = self.closed[0].strerror or str(self.closed[0])
            said.append(f"could not look into {len(self.closed):,} folders: {why}")
        return said


@dataclass(frozen=True)
class Place:
    """A folder still to be looked into: its name from the root, where it really is, and the folders whose links led there."""

    name: str
    real: str
    crossed: tuple[str, ...] = ()


def walked(root: Path, links: bool) -> Walk:
    """All that lies below a folder, which may be a link itself; a link in it is followed where it stays inside, or ``links``.

    Raises ``DataError`` where there is no end of it.
    """
    real = os.path.realpath(root)
    walk, pending, seen = Walk(), [Place("", real)], 0
    while pending:
        place = pending.pop()
        try:
            for entry in _entries(place.real):
                seen += 1
                if seen > MOST_ENTRIES:
                    raise DataError(
                        f"{root} holds more than {MOST_ENTRIES:,} files and folders, more than a set of images can; "
                        f"give one of the folders in it."
                    )
                deeper = _sorted_in(walk, entry, place, real, links)
                if deeper is not None:
                    pending.append(deeper)
        except OSError as error:
            walk.closed.append(error)
    return walk


def _entries(place: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(place) as entries:
        yield from entries


def _sorted_in(
    walk: Walk, entry: os.DirEntry[str], place: Place, real: str, links: bool
) -> Place | None:
    """Counts or names one entry; a folder that is to be looked into is given back."""
    name = f"{place.name}{entry.name}"
    if not entry.is_symlink():
        if entry.is_dir(follow_symlinks=False):
            return Place(f"{name}/", os.path.join(place.real, entry.name), place.crossed)
        if entry.is_file(follow_symlinks=False):
            walk.names.append(name)
        else:
            walk.special += 1
        return None
    target = os.path.realpath(entry.path)
    if not (links or within(target, real)):
        walk.outward += 1
    elif os.path.isdir(target):
        crossed = (*place.crossed, place.real)
        if any(within(one, target) for one in crossed):
            walk.looping += 1
        elif walk.visits[target] >= MOST_VISITS:
            walk.repeated += 1
        else:
            walk.visits[target] += 1
            return Place(f"{name}/", target, crossed)
    elif os.path.isfile(target):
        walk.names.append(name)
    elif os.path.exists(target):
        walk.special += 1
    else:
        walk.dangling += 1
    return None


def within(path: str, folder: str) -> bool:
    """Whether a path without links in it is that of a folder or of something below it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def leads_out(path: Path) -> bool:
    """Whether a file is a link that leaves the folder it is found in."""
    return not within(os.path.realpath(path), os.path.realpath(path.parent))
