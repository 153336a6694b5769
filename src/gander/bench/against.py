"""gander and the plain-PyTorch tutorial recipe in turns on one machine: A B A B.

Each of them lives in a process of its own, started the same way, and works only when it is told to: a chunk of A, a chunk of B,
and so on, so whatever else the machine does falls on both alike. The processes wait at a pipe in between, and take no core.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from gander.bench import Request, Row, Say, in_threads, spread
from gander.errors import TrainingFailed, UseError

ABOUT = "images/s of gander against the plain-PyTorch tutorial recipe, in turns"
SECONDS = 3.0
"""Of a chunk."""
ROUNDS = 5
"""Chunks of each; a ratio is of two chunks of one round."""
PRESETS = ("infogan", "infogan-lsgan")
PATIENCE = 1.0
"""Seconds a process has for ending by itself."""
RULES = (
    "Both read the same images, those of --data, and every player has a process of its own that works only in its turn; "
    "a round is a chunk of each, and the ratio is taken within a round. Images/s counts real images that went through the critic's "
    "step. Counted: reading and shuffling images, drawing codes, every player's step and, for gander, its moving average of the generator. Not counted, "
    "of either: starting, reading the data set, the first steps (warm-up), log lines, pictures and saved states. "
    "The tutorial runs as published, in fp32 with the threads PyTorch chooses, its information loss at every batch; gander as "
    "`gander train PRESET` runs it, with the precision and threads that it chooses. infogan is gander's own recipe for the same task; infogan-lsgan is the tutorial's networks and losses "
    "played by gander, with the information loss, like the generator, at every second batch."
)


class Turn(NamedTuple):
    """One chunk of one player: images a second, and the images and wall seconds it is made of."""

    rate: float
    images: int
    seconds: float


def measure(request: Request, say: Say) -> dict[str, Any]:
    """Both in turns; the ratio to each variant of the recipe in every round, with n and spread."""
    from gander.bench.tutorial import RECIPES

    seconds = request.seconds or SECONDS
    request = replace(request, seconds=seconds)
    presets = request.presets or PRESETS
    players: dict[str, Player] = {}
    rounds: list[dict[str, Turn]] = []
    try:
        for name in (*RECIPES, *presets):
            say(f"against: starting {name}")
            players[name] = start(name, request)
        for number in range(ROUNDS):
            turns = {}
            for name, player in players.items():
                say(f"against: round {number + 1} of {ROUNDS}, {name}")
                turns[name] = player.chunk(seconds)
            rounds.append(turns)
    finally:
        for player in players.values():
            player.release()
        for player in players.values():
            player.stop()
    rates = {name: [turns[name].rate for turns in rounds] for name in players}
    ratios = {
        preset: {
            recipe: spread(
                [one / other for one, other in zip(rates[preset], rates[recipe], strict=True)], 2
            )
            for recipe in RECIPES
        }
        for preset in presets
    }
    return {
        "rules": RULES,
        "order": " ".join(players),
        "rounds": ROUNDS,
        "seconds_of_a_chunk": seconds,
        "players": {
            name: player.about | {"images_per_second": spread(rates[name])}
            for name, player in players.items()
        },
        "ratio": ratios,
    }


def rows(measured: Mapping[str, Any]) -> Iterable[Row]:
    """The rates of all players, then the ratios."""
    for name, player in measured["players"].items():
        found = player["images_per_second"]
        yield Row(name, f"{found['median']:,.0f} images/s", _range(found, ",.0f"), _said(player))
    for preset, ratios in measured["ratio"].items():
        for recipe, found in ratios.items():
            yield Row(f"{preset} : {recipe}", f"{found['median']:.1f} x", _range(found, ".1f"))


def _range(found: Mapping[str, Any], form: str) -> str:
    return f"{found['min']:{form}} to {found['max']:{form}}, n {found['n']}"


def _said(player: Mapping[str, Any]) -> str:
    threads = f", {in_threads(player['threads'])}" if player["device"] == "cpu" else ""
    about = f"{player['about']}; " if player["about"] else ""
    return f"{about}{player['size']} px, batch {player['batch']}, {player['precision']}, {player['device']}{threads}"


# ---------------------------------------------------------------------- this side of the pipe
class Player:
    """A process that trains for so many seconds each time it is told to.

    ``about`` is what it says of itself once it is ready: batch, size, device, precision, threads, and what starting and
    warming up took.
    """

    def __init__(self, name: str, request: Request) -> None:
        told = json.dumps(asdict(request))
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gander.bench.playing", name, told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.about = self._answer()
        self.about["start_up_seconds"] = round(
            time.perf_counter() - began - self.about["warm_up"]["seconds"], 2
        )

    def chunk(self, seconds: float) -> Turn:
        """One chunk of at least so many seconds."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{seconds}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise TrainingFailed("a process of the benchmark ended before its turn.") from None
        answer = self._answer()
        return Turn(answer["images"] / answer["seconds"], answer["images"], answer["seconds"])

    def release(self) -> None:
        """Tells the process that it has no more turns."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def stop(self) -> None:
        """Ends the process, which has been released, and waits until it is gone."""
        assert self._process.stdout is not None
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise TrainingFailed("a process of the benchmark ended early; what it said is above.")
        answer: dict[str, Any] = json.loads(line)
        if "refused" in answer:
            raise UseError(answer["refused"])
        return answer


def start(name: str, request: Request) -> Player:
    """A player of that name, warmed up: a recipe of the tutorial, else a preset."""
    return Player(name, request)
