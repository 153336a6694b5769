"""The best weights of a run: its state at the best evaluation so far, kept as the small run directory RUN/best.

best/
  config.toml  log.jsonl  metrics.jsonl     of the run, up to there
  weights/  state/                          as every run has them, so that it draws, reads, is measured and goes on
  best.json                                 by which figure, how good, and after how many images

It is written beside the old one and swapped in whole, so a kill at any moment leaves one or the other.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gander import config as configuration
from gander import folders, states, strangers
from gander.config import Config
from gander.errors import RunError
from gander.history import Better
from gander.images import write
from gander.plan import Plan
from gander.players import Players, save
from gander.runs import Run

FILE = "best.json"
STAMP = re.compile(r".+-(\d{9,})\.png", re.DOTALL)


@dataclass(frozen=True)
class Best:
    """By which figure a state is the best, how good it is and where it was."""

    figure: str
    """As frechet or r2/c1."""
    value: float
    better: Better
    images_seen: int
    n: int
    """Images drawn for the evaluation."""
    judge: str = ""
    """Who judged, and how well on real images, as the evaluation's line says it."""

    def __str__(self) -> str:
        return f"{self.figure} {self.value:.4g} at {self.images_seen:,} images"

    def comparable(self, other: Best) -> bool:
        """Whether the two values are of the same figure, measured in the same way."""
        same = self.figure == other.figure and self.better == other.better
        return same and self.n == other.n and self.judge == other.judge

    def beats(self, other: Best) -> bool:
        """Whether this is strictly better; of two equals the earlier one stays."""
        return self.value < other.value if self.better == "lower" else self.value > other.value


def read(run: Run) -> Best | None:
    """What is kept in RUN/best; None where nothing is. Raises ``RunError`` for what this gander did not write."""
    folders.settle(run.best)
    file = run.best / FILE
    if not run.best.is_dir():
        return None
    try:
        said = strangers.from_json(strangers.content(file))
        better: Better = "lower" if said["better"] == "lower" else "higher"
        numbers = float(said["value"]), better, int(said["images_seen"]), int(said["n"])
        return Best(str(said["figure"]), *numbers, str(said["judge"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise RunError(
            f"{file} cannot be read ({type(error).__name__}: {error}); move {run.best} away to go on without it."
        ) from None


def keep(plan: Plan, players: Players, run: Run, best: Best, line: dict[str, Any]) -> None:
    """Makes the players as they are now RUN/best. ``line`` is the evaluation's own, for metrics.jsonl."""
    fresh = Run(folders.fresh(run.best))
    fresh.write_config(plan.config, run.origin())
    save(plan, players, fresh)
    seen = players.images_seen
    fresh.write_lines("log.jsonl", run.lines_until(seen))
    fresh.write_lines("metrics.jsonl", [*run.lines_until(seen, "metrics.jsonl"), line])
    write(fresh.path / FILE, (json.dumps(asdict(best), indent=2) + "\n").encode())
    folders.swap_in(run.best)


def forget_future(run: Run, images_seen: int) -> None:
    """Drops a best from beyond a restored position: that work will be done again, and its best found again.

    With it goes what was left of one that was being written.
    """
    folders.clear(run.best)
    kept = read(run)
    if kept is not None and kept.images_seen > images_seen:
        folders.drop(run.best)


# ---------------------------------------------------------------------- rolling back
@dataclass(frozen=True)
class Target:
    """Where a run goes when it is rolled back: its best, or the last state that was saved."""

    images_seen: int
    best: Best | None

    def __str__(self) -> str:
        if self.best is None:
            return f"the last saved state, at {self.images_seen:,} images"
        return f"the best: {self.best}"


def to_roll_back(run: Run, resumed: bool) -> Target:
    """What a run can be rolled back to. Raises ``RunError`` where there is nothing."""
    if not resumed:
        raise RunError(
            f"there is nothing to roll back: {run.path} is not there yet. Train it first, with --set evaluate_images=50000 best=frechet."
        )
    kept = read(run)
    if kept is not None:
        return Target(kept.images_seen, kept)
    saved = states.position(run)
    if saved is None:
        raise RunError(
            f"{run.path} has no sound saved state, so there is nothing to roll back to; give the command without --roll-back."
        )
    return Target(saved, None)


def roll_back(run: Run, config: Config) -> list[str]:
    """Makes RUN/best the run's state again: weights, optimisers and position, and only the lines and sheets up to there.

    Where no best is kept it is the last saved state. ``config`` is what it goes on with. Where that differs from what the state was
    trained with, the differences are returned and written into the provenance, with the position they begin at.
    """
    kept = to_roll_back(run, True)
    source = Run(run.best) if kept.best is not None else run
    before, origin = source.read_config(), source.origin()
    if kept.best is not None:
        # The state goes first: a run killed right after it resumes from the best, with the settings it had.
        states.copy(source, run)
        for file in sorted((source.path / "weights").glob("*.safetensors")):
            write(run.path / "weights" / file.name, file.read_bytes())
    states.forget_future(run, kept.images_seen)
    changes = configuration.differences(before, config)
    if changes:
        at = f"from {kept.images_seen:,} images on: {'; '.join(changes)}"
        said = f"{at} ({shlex.join(['gander', *sys.argv[1:]])})"
        provenance = origin["provenance"]
        earlier = list(provenance.get("changes", []))
        origin["provenance"] = {**provenance, "changes": [*earlier, said]}
    run.write_config(config, origin)
    run.rewind(kept.images_seen)
    for sheet in _sheets_after(run.samples, kept.images_seen):
        sheet.unlink(missing_ok=True)
    return changes


def _sheets_after(folder: Path, images_seen: int) -> list[Path]:
    """The sheets of work that is undone."""
    there = sorted(folder.glob("*.png")) if folder.is_dir() else []
    return [p for p in there if (m := STAMP.fullmatch(p.name)) and int(m[1]) > images_seen]
