"""Saved states of a run: the newest, and some before it, so that a damaged one costs minutes and not the run.

state/state.safetensors             the newest: it is put in place last, and with it a save counts
state/earlier/000128000.safetensors those before, by the images seen
state/damaged.safetensors           one that was found damaged, moved out of the way
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from gander import weights
from gander.errors import DamagedFile, RunError
from gander.images import write as write_bytes
from gander.runs import Run
from gander.weights import Facts

DAMAGED = "damaged.safetensors"
Say = Callable[[str], None]
State = tuple[dict[str, Tensor], Facts]


def write(run: Run, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], keep: int) -> None:
    """Puts a state in place, in one step; ``keep`` are kept in all, the newest among them.

    ``facts`` tell ``images_seen``. Raises ``UnwritableFile``, and then all is as it was.
    """
    if keep > 1:
        _set_aside(run)
    weights.write(run.state_file, tensors, facts)
    for old in earlier(run)[keep - 1 :]:
        with suppress(OSError):
            old.unlink()


def read(run: Run, say: Say) -> State | None:
    """The newest state that is sound; None where none was saved yet. ``say`` hears of damage.

    A damaged state is moved out of the way. Raises ``RunError`` where there are states and none of them is sound.
    """
    found = [p for p in (run.state_file, *earlier(run)) if p.is_file()]
    why = ""
    for path in found:
        try:
            state = weights.read(path)
        except DamagedFile as error:
            why = why or str(error)
            continue
        if path != found[0]:
            say(f"! {why}")
            say(f"! Going on from the state before, at {int(path.stem):,} images.")
            with suppress(OSError):
                os.replace(found[0], run.state_file.parent / DAMAGED)
            for damaged in found[1 : found.index(path)]:
                damaged.unlink(missing_ok=True)
        elif path != run.state_file:
            say(
                f"! {run.state_file} is missing. Going on from the state before, at {int(path.stem):,} images."
            )
        return state
    if found:
        others = (
            f"None of {len(found)} saved states is sound" if len(found) > 1 else "There is no other"
        )
        raise RunError(
            f"{why.rstrip('.')}. {others}; move {run.state_file.parent} away to begin again."
        )
    return None


def position(run: Run) -> int | None:
    """The images seen of the newest state that is sound; None where there is none. It only looks, so nobody need hold the run."""
    for path in (run.state_file, *earlier(run)):
        with suppress(RunError, KeyError, TypeError, ValueError, OverflowError):
            return int(weights.read(path)[1]["images_seen"])
    return None


def earlier(run: Run) -> list[Path]:
    """The states before the newest one, the latest first."""
    there = run.earlier_states.glob("*.safetensors") if run.earlier_states.is_dir() else []
    return sorted((p for p in there if p.stem.isdecimal()), key=lambda p: int(p.stem), reverse=True)


def forget_future(run: Run, images_seen: int) -> None:
    """Drops the states from a position on: that work is undone."""
    for path in earlier(run):
        if int(path.stem) >= images_seen:
            path.unlink(missing_ok=True)


def step_back(run: Run) -> bool:
    """Makes the state before the newest the newest; whether there was one."""
    before = earlier(run)
    if before:
        os.replace(before[0], run.state_file)
    return bool(before)


def _set_aside(run: Run) -> None:
    """A second name for the newest state, under which it stays when it is replaced."""
    if not run.state_file.is_file():
        return
    try:
        seen = int(weights.read_facts(run.state_file)["images_seen"])
    except (RunError, KeyError, TypeError, ValueError, OverflowError):  # not worth keeping
        return
    place = run.earlier_states / f"{seen:09d}.safetensors"
    with suppress(OSError):
        if place.exists() and os.path.samefile(place, run.state_file):
            return  # a save was cut off right here
    fresh = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        os.link(run.state_file, fresh)
        os.replace(fresh, place)
    except OSError:  # a file system without second names
        write_bytes(place, run.state_file.read_bytes())


def copy(source: Run, target: Run) -> None:
    """Makes the newest state of one run that of another. Raises ``RunError``."""
    if not source.state_file.is_file():
        raise RunError(f"{source.state_file} is missing; there is nothing to go back to.")
    weights.read(source.state_file)  # a damaged one may not replace a sound one
    write_bytes(target.state_file, source.state_file.read_bytes())
