"""A model that is watched while its run trains: read anew when its weights change, and what can be said of it meanwhile."""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gander import history, runs, uncertainty
from gander import model as models
from gander import names as naming
from gander.errors import GanderError, RunError
from gander.health import ALARMS
from gander.model import Model
from gander.runs import Run
from gander.uncertainty import Doubt

NETWORKS = ("averaged", "generator", "critic")
DRAWN = 512  # images from which the error of readings is learned; a person waits for it
SAMPLED = 64  # images from which the model's own brightness is learned
TAIL = 1 << 16  # bytes at the end of a log that hold its last line
LATELY = 60.0  # seconds since the last line of a run that trains on another machine
Stamp = tuple[tuple[str, int, int, int], ...]
"""Of every file the model is made of: its path, its time in nanoseconds, its size and its number on the disk."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model as it was read at one time, and what is learned from it when somebody first asks."""

    model: Model
    stamp: Stamp

    @cached_property
    def codes(self) -> str:
        """A short name for the codes and the shape: a page made for others cannot ask this model."""
        card = self.model.card
        said = json.dumps([card.shape, card.spec.to_dict()], sort_keys=True)
        return hashlib.blake2s(said.encode(), digest_size=8).hexdigest()

    @cached_property
    def doubt(self) -> Doubt:
        """How well numbers are read."""
        return uncertainty.calibrated(self.model, DRAWN)

    @cached_property
    def brightness(self) -> tuple[float, float]:
        """The mean gray levels of the model's own darkest and lightest image."""
        means = self.model.draw(SAMPLED).float().flatten(1).mean(1)
        return float(means.min()), float(means.max())


@dataclass(frozen=True)
class Status:
    """Where a run stands: the images its weights have seen, and one line for people."""

    images_seen: int
    text: str


class Live:
    """The model of a run as its files stand. One thread calls ``refresh``; ``loaded`` is replaced whole.

    ``place`` is what ``gander.load`` takes. Raises ``RunError`` where there are no weights.
    """

    def __init__(self, place: str | Path, device: str = "cpu") -> None:
        self.place = Path(place)
        self.device = device
        self.folder = None if self.place.is_file() else runs.open_run(place).path
        self.stopped = threading.Event()
        """Set when the server ends: whatever is being drawn gives up."""
        self._tried: Stamp = ()
        self._trouble = ""
        try:
            self.loaded = self._load(self.stamp())
        except RunError as error:
            if self.folder is not None and "no weights yet" in str(error) and _held(self.folder):
                raise RunError(
                    f"{self.folder} has just begun to train and has no weights yet; they are first saved after about a minute. "
                    f"Try again then."
                ) from None
            raise

    def stamp(self) -> Stamp:
        """What the files look like now."""
        found = []
        for path in self._files():
            try:
                facts = path.stat()
            except OSError:
                continue
            found.append((str(path), facts.st_mtime_ns, facts.st_size, facts.st_ino))
        return tuple(found)

    def _files(self) -> list[Path]:
        if self.folder is None:
            return [self.place]
        homes = (self.folder / "weights", self.folder)
        weights = [home / f"{name}.safetensors" for home in homes for name in NETWORKS]
        return [*weights, self.folder / naming.FILE]

    def _load(self, stamp: Stamp) -> Loaded:
        self._tried = stamp
        return Loaded(models.load(self.folder or self.place, self.device), stamp)

    def refresh(self) -> Loaded:
        """Reads the files again if they have changed; while that cannot be done, the old model stays."""
        try:
            stamp = self.stamp()
            if stamp not in (self.loaded.stamp, self._tried):
                self.loaded = self._load(stamp)
            if stamp == self.loaded.stamp:
                self._trouble = ""
        except (
            Exception
        ) as error:  # whatever a stranger's file makes fail, what was read before is sound
            self._trouble = f"The new weights cannot be read ({error}); the old ones draw."
        return self.loaded

    # ------------------------------------------------------------------ in words
    def status(self) -> Status:
        """Where the run stands; see ``refresh`` for the model."""
        model = self.loaded.model
        seen = model.images_seen
        line = _last(self.folder) if self.folder is not None else {}
        if self.folder is not None and _trains(self.folder, line, seen):
            text = _training(model, line, self._goal)
        else:
            text = f"Trained on {seen:,} images."
        return Status(seen, " ".join(filter(None, [text, self._trouble])))

    @cached_property
    def _goal(self) -> int | None:
        """How many images the run is to see."""
        try:
            return Run(self.folder).read_config().training.images if self.folder else None
        except GanderError:
            return None


def _held(folder: Path) -> bool:
    return (folder / ".lock").is_file() and Run(folder).is_held  # opening a pipe would wait


def _last(folder: Path) -> dict[str, Any]:
    """The last whole line of a run's log; empty where there is none."""
    try:
        if not Run(folder).log_file.is_file():
            return {}
        with Run(folder).log_file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read().splitlines()
    except OSError:
        return {}
    for text in reversed(lines):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict):
            return line
    return {}


def _trains(folder: Path, line: dict[str, Any], seen: int) -> bool:
    """Whether a trainer is at work here, or on another machine that shares the folder: then the log runs ahead of the weights."""
    if _held(folder):
        return True
    try:
        fresh = time.time() - Run(folder).log_file.stat().st_mtime < LATELY
    except OSError:
        return False
    return fresh and (history.number(line.get("images_seen")) or 0) > seen


def _training(model: Model, line: dict[str, Any], goal: int | None) -> str:
    """One line: how far, how fast, what is known of each code, what looks wrong, and how old the weights are that draw."""
    seen = history.number(line.get("images_seen"))
    if seen is None:
        return f"Training: drawn by the weights at {model.images_seen:,} images."
    of = f" of {goal:,}" if goal else ""
    parts = [f"Training: {seen:,.0f}{of} images seen"]
    speed = history.number(line.get("images_per_second"))
    parts += [f"{speed:,.0f} images/s"] if speed is not None else []
    known, most = history.table(line.get("information")), history.table(line.get("ceilings"))
    for code in model.spec.recognised:
        value = history.number(known.get(code.name))
        if value is None:
            continue
        label = model.names.label(code.name)
        if code.resolved.discrete:
            ceiling = history.number(most.get(code.name)) or code.resolved.ceiling
            parts.append(f"{label} {value:.2f} of {ceiling:.2f} nats")
        else:
            parts.append(f"{label} R² {value:.2f}")
    text = ", ".join(parts) + "."
    if not math.isclose(seen, model.images_seen):
        text += f" Drawn by the weights at {model.images_seen:,}."
    alarms = line.get("alarms")
    for name in alarms if isinstance(alarms, list) else []:
        about, _, code_name = str(name).partition("/")
        if about in ALARMS:
            wrong = ALARMS[about][0].replace("{code}", model.names.label(code_name))
            text += f" Alarm: {wrong}."
    return text
