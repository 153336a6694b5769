"""What a search has found: its trials from the best on, as DIR/study.json and as a table, and the command that repeats the best."""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gander import space as spaces
from gander.headings import plain
from gander.history import Better
from gander.images import write
from gander.space import Searched

FILE = "study.json"
RUNS = "trials"
SHOWN = 10
"""Trials in the table."""
PIPED = 160  # columns of a table that goes to a file
State = Literal["open", "complete", "pruned", "failed"]
WORDS: dict[State, str] = {
    "complete": "trained to the end",
    "pruned": "cut short",
    "failed": "failed",
    "open": "not done",
}


@dataclass(frozen=True)
class Tried:
    """One trial as it stands."""

    number: int
    state: State
    params: dict[str, Any]
    """By the whole name of the setting."""
    figures: dict[int, float] = field(default_factory=dict)
    """At each evaluation, by the images at which it was due."""
    value: float | None = None
    """The last of them, of a trial that is done."""
    why: str = ""
    """What went wrong."""


@dataclass(frozen=True)
class Findings:
    """All trials of a search, in the order in which they were begun."""

    folder: Path
    figure: str
    """What they are compared by, in full."""
    better: Better
    space: tuple[Searched, ...]
    base: tuple[str, ...]
    """The words of the command of every trial, as far as they are the same."""
    tried: tuple[Tried, ...]

    @property
    def ranked(self) -> list[Tried]:
        """Those that came to their end, the best first."""
        sign = -1 if self.better == "higher" else 1
        done = [one for one in self.tried if one.state == "complete" and one.value is not None]
        return sorted(done, key=lambda one: sign * (one.value or 0.0))

    @property
    def best(self) -> Tried | None:
        """None until one has come to its end."""
        return next(iter(self.ranked), None)

    def run(self, number: int) -> Path:
        """The run directory of a trial."""
        return self.folder / RUNS / f"{number:05d}"

    def settings(self, one: Tried) -> list[str]:
        """The values of a trial as ``--set`` takes them."""
        return spaces.written(self.space, one.params)

    def command(self, one: Tried) -> list[str]:
        """What trains the same again, under another name."""
        return ["gander", *self.base, *self.settings(one)]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain tables."""
        best = self.best
        return {
            "by": self.figure,
            "better": self.better,
            "over": [str(one) for one in self.space],
            "best": None
            if best is None
            else {
                "number": best.number,
                "value": best.value,
                "run": str(self.run(best.number)),
                "command": self.command(best),
            },
            "trials": [
                {
                    "number": one.number,
                    "state": one.state,
                    "value": one.value,
                    "settings": one.params,
                    "figures": {str(images): value for images, value in one.figures.items()},
                    "run": str(self.run(one.number)),
                    "command": self.command(one),
                    "why": one.why,
                }
                for one in self.tried
            ],
        }

    def write(self) -> None:
        """DIR/study.json, whole or not at all."""
        write(self.folder / FILE, (json.dumps(self.to_dict(), indent=2) + "\n").encode())


def counted(tried: Sequence[Tried]) -> str:
    """How many trials ended in which way, in words."""
    counts = Counter(one.state for one in tried)
    said = [f"{counts[state]} {words}" for state, words in WORDS.items() if counts[state]]
    return f"{len(tried)} trial{'s' * (len(tried) != 1)}: {', '.join(said)}"


def table(found: Findings, console: Console | None = None) -> None:
    """Prints the best trials, and last the command of the best; strangers' names may not steer the terminal."""
    if console is None:  # a file has no edge to fold at
        console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED)
    console.print(
        Text(plain(f"{found.figure}, the {found.better} the better; {counted(found.tried)}"))
    )
    best = found.best
    if best is None:
        return
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    grid.add_column("trial", justify="right")
    grid.add_column(Text(plain(found.figure)), justify="right")
    for one in found.space:
        grid.add_column(Text(plain(one.key)), justify="right", overflow="fold")
    grid.add_column("run", overflow="fold")
    for tried in found.ranked[:SHOWN]:
        values = [Text(plain(one.written(tried.params[one.name]))) for one in found.space]
        run = Text(plain(str(found.run(tried.number))))
        grid.add_row(str(tried.number), f"{tried.value:.4g}", *values, run)
    console.print(grid)
    console.print(Text("The best again:"))
    console.print(Text(plain(shlex.join(found.command(best)))), soft_wrap=True)
