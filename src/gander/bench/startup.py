"""How long a user waits: `gander --help`, and the first image of a saved run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gander.bench import Request, Row, Say, growth, spread
from gander.errors import TrainingFailed

ABOUT = "seconds until `gander --help` has spoken and until the first image of a saved run is there"
REPEATS = 7
LIMITS = {"gander --help": 1.0, "gander sample RUN --n 1": 3.0}
"""Seconds."""
PRESET = "infogan"
SIDE = 28
RULES = (
    "Wall seconds of a whole process, {n} times each in turns, after one time that is not counted: the files it reads are then in the system's cache, "
    "as of anyone who uses it for the second time. The run is `{preset}` at {side} px with its networks at full size, two steps long: how long it was "
    "trained changes nothing. `python` and `import torch` are what no program that uses PyTorch can do without."
)


def measure(request: Request, say: Say) -> dict[str, Any]:
    """Both commands and what they cannot do without, in turns."""
    with tempfile.TemporaryDirectory(prefix="gander-bench-") as place:
        folder = Path(place)
        preset = next(iter(request.presets), PRESET)
        say(f"startup: a short run of {preset}")
        run, picture = _run(preset, folder), folder / "first.png"
        python = [sys.executable]
        asked = {
            "python": [*python, "-c", ""],
            "import torch": [*python, "-c", "import torch"],
            "gander --help": [*python, "-m", "gander", "--help"],
            "gander sample RUN --n 1": [
                *[*python, "-m", "gander", "sample", str(run), "--n", "1"],
                *["--out", str(picture)],
            ],
        }
        taken: dict[str, list[float]] = {name: [] for name in asked}
        for number in range(REPEATS + 1):
            say(f"startup: {number} of {REPEATS}")
            for name, command in asked.items():
                took = seconds(command, folder)
                if number:
                    taken[name].append(took)
        drawn = picture.is_file()
    if not drawn:
        raise TrainingFailed("gander sample wrote no picture.")
    found = {
        name: {"seconds": spread(times, 3), "limit": LIMITS.get(name)}
        for name, times in taken.items()
    }
    return {
        "rules": RULES.format(n=REPEATS, preset=preset, side=SIDE),
        "commands": found,
    }


def seconds(command: Sequence[str], folder: Path) -> float:
    """Wall seconds of a process from before its start to its end. Raises ``TrainingFailed``."""
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=os.environ
    )
    took = time.perf_counter() - began
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise TrainingFailed(f"a command of the benchmark ended early: {said[-1] if said else ''}")
    return took


def _run(preset: str, folder: Path) -> Path:
    """A run two steps long, of networks at full size."""
    source = growth.made_up(folder / "images", 400, SIDE)
    run, batch = folder / "run", 32
    words = ["train", preset, "--data", str(source), "--images", str(2 * batch), "--out", str(run)]
    words += ["--set", f"batch={batch}", "--set", "tensorboard=false", "--quiet"]
    seconds([sys.executable, "-m", "gander", *words], folder)
    return run


def rows(measured: Mapping[str, Any]) -> Iterable[Row]:
    """A line for each command, beside its limit."""
    for name, found in measured["commands"].items():
        said, limit = found["seconds"], found["limit"]
        remark = "" if limit is None else f"limit {limit:g} s"
        if limit is not None and said["median"] > limit:
            remark += ", exceeded"
        yield Row(
            name,
            f"{said['median']:.2f} s",
            f"{said['min']:.2f} to {said['max']:.2f}, n {said['n']}",
            remark,
        )
