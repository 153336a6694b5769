"""One of several processes that play small games together; run by ``test_distributed.py``, each game's state goes into a file.

python tests/spread.py GAMES.json FOLDER DATA          a game is [name, preset, settings …]
"""

import json
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode

import tiny
from gander import engine, weights
from gander.errors import ProcessLost
from gander.plan import configured, make_plan
from gander.players import make_players, state
from gander.stepping import step
from gander.tally import Tally

STEPS, BATCH = 20, 12
LOST = "lost"
"""The name of a game in which the second process ends."""


class Doubles(TorchFunctionMode):
    """Plays in float64, where what is rounded cannot grow: Adam makes a step of a slope that is nothing but rounding."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.float:
            return args[0].double()
        if function is torch.rand:
            return function(*args, **(kwargs or {})).double()
        return function(*args, **(kwargs or {}))


class Exact(engine.Engine):
    """What is dealt, in float64."""

    def values(self, values):
        return {k: v.double() if v.dtype == torch.float32 else v for k, v in values.items()}


def played(preset, *settings, group, steps=STEPS, exact=True, source=None, ends_at=0):
    """The state after so many iterations, and the mean of each term."""
    words = [*tiny.SMALL, f"batch={BATCH}", "log_images=1000000", *settings]
    config = configured(preset, words, data=source or tiny.source(), images=10_000)
    plan = make_plan(config, "cpu", group=group)
    players, tally = make_players(plan), Tally()
    doubles = Doubles() if exact else nullcontext()
    if exact:
        plan = replace(plan, machine=Exact(**vars(plan.machine)))
        for network in players.networks.values():
            network.double()
    for _ in range(steps):
        with doubles:
            step(plan, players, tally)
        if players.images_seen == ends_at:
            os._exit(0)
    tally.share(group)
    terms = tally.means(plan.config, players.images_seen)
    return state(players), terms


def left_alone(game, group, source):
    """What the first process hears, and how soon, when the other ends in the middle of a game."""
    began = time.monotonic()
    try:
        played(*game, group=group, source=source, ends_at=3 * BATCH if group.rank else 0)
    except ProcessLost as error:
        return {"error": str(error), "seconds": time.monotonic() - began}


def main(games, folder, source):
    torch.set_num_threads(1)
    group = engine.join()
    for name, *game in json.loads(Path(games).read_text()):
        path = Path(folder) / f"{name}-{group.rank}.safetensors"
        if name.endswith(LOST):
            weights.write(path, {"none": torch.zeros(1)}, left_alone(game, group, source))
            return
        exact = not name.partition("-")[2].startswith("rounded")
        tensors, terms = played(*game, group=group, exact=exact, source=source)
        weights.write(path, tensors, terms)
    group.leave()


if __name__ == "__main__":
    main(*sys.argv[1:])
