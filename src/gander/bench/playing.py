"""A preset, or the tutorial's recipe, as steps that can be timed; and the process of one player of ``against``.

``python -m gander.bench.playing NAME REQUEST`` gets ready, prints what it is as a line of JSON, and for every line of its input, a
number of seconds, trains for as long and prints how many images went through.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from gander.bench import Request, clock
from gander.errors import UseError

if TYPE_CHECKING:
    from gander.plan import Plan
    from gander.players import Players

ENDLESS = 10**12
"""Images of a run that is never over, so that no rate decays while it is timed."""


@dataclass(frozen=True)
class Ready:
    """Something that trains, step by step: ``step`` returns how many real images its critic saw."""

    step: Callable[[], int]
    device: torch.device
    about: dict[str, Any]
    parameters: int = 0
    """Parameters moved in a step, each as often as an optimiser moves it."""
    close: Callable[[], None] = lambda: None
    """Gives back what the steps held."""


def settings(request: Request, size: int | None = None, precision: str | None = None) -> list[str]:
    """The request as ``--set`` says it."""
    asked = {
        "batch": request.batch,
        "data.size": size if size is not None else next(iter(request.sizes), None),
        "precision": precision or request.precision,
        "threads": request.threads,
    }
    return [f"{key}={value}" for key, value in asked.items() if value is not None]


def preset(
    name: str,
    request: Request,
    data: str | None = None,
    size: int | None = None,
    precision: str | None = None,
) -> Ready:
    """A preset as ``gander train`` plays it: recorded where the device can, threads chosen after the first step and now and then."""
    from gander import rounds
    from gander.pace import Pace
    from gander.tally import Tally

    plan, players = fresh(name, request, data, size, precision)
    kept = ExitStack()
    take = kept.enter_context(rounds.stepper(plan, players, Tally()))
    threads = plan.config.training.threads or plan.machine.threads
    pace = Pace(plan, threads, looked=float("-inf"))
    about = described(name, plan)
    ended = time.monotonic()

    def step() -> int:
        nonlocal ended
        pace.looked += time.monotonic() - ended  # waiting for a turn is no slow training
        before = players.images_seen
        take()
        pace.look(players)
        about["threads"] = pace.threads
        ended = time.monotonic()
        return players.images_seen - before

    return Ready(step, plan.machine.device, about, moved(plan, players), kept.close)


def by_itself(
    name: str,
    request: Request,
    data: str | None = None,
    size: int | None = None,
    precision: str | None = None,
) -> Callable[[], None]:
    """One step of a preset after another on the processor, nothing recorded or tried: what can be counted."""
    from gander.stepping import step
    from gander.tally import Tally

    plan, players = fresh(name, replace(request, device="cpu"), data, size, precision)
    return partial(step, plan, players, Tally())


def fresh(
    name: str, request: Request, data: str | None, size: int | None, precision: str | None
) -> tuple[Plan, Players]:
    """The plan of a preset for this request, and its players before their first step."""
    from gander.plan import configured, make_plan
    from gander.players import make_players

    asked = settings(request, size, precision)
    config = configured(
        name, asked, data=data or request.data, images=ENDLESS, seed=request.seeds[0]
    )
    plan = make_plan(config, request.device)
    return plan, make_players(plan)


def described(name: str, plan: Plan) -> dict[str, Any]:
    """What is played, on what."""
    channels, height, width = plan.images.shape
    return {
        "about": "",
        "preset": name,
        "backbone": plan.config.model.backbone,
        "schedule": plan.config.game.schedule,
        "data": plan.images.name,
        "images": len(plan.images),
        "batch": plan.config.training.batch,
        "size": max(height, width),
        "channels": channels,
        "precision": plan.machine.precision,
        "device": plan.machine.device.type,
        "threads": plan.machine.threads,
    }


def moved(plan: Plan, players: Players) -> int:
    """Parameters moved in a step, each as often as an optimiser moves it."""
    sizes = {
        who: sum(p.numel() for group in adam.param_groups for p in group["params"])
        for who, adam in players.optimisers.items()
    }
    sizes["critic"] *= plan.config.game.critic_steps
    return sum(sizes.values())


def recipe(name: str, request: Request) -> Ready:
    """A variant of the tutorial's recipe on the same images, ready to step."""
    from gander import data
    from gander.bench import tutorial

    source = data.load(request.data)
    if source.shape[0] not in (1, 3):
        source = data.load(request.data, channels=1)
    rows = source.images.permute(0, 2, 3, 1).contiguous().numpy()
    rows = rows[..., 0] if rows.shape[3] == 1 else rows
    if request.threads:
        torch.set_num_threads(request.threads)
    told = tutorial.RECIPES[name]
    size = told.size or next(iter(request.sizes), rows.shape[1])
    # Not the engine's way: nothing that it does to its process may help the tutorial.
    asked = request.device if request.device not in (None, "auto") else None
    device = torch.device(asked or ("cuda" if torch.cuda.is_available() else "cpu"))
    lesson = tutorial.begin(told, rows, size, device, request.seeds[0])
    about = {
        "about": told.about,
        "data": source.name,
        "images": len(rows),
        "batch": told.batch,
        "size": size,
        "channels": source.shape[0],
        "precision": "fp32",
        "device": device.type,
        "threads": torch.get_num_threads(),
    }
    return Ready(lambda: tutorial.step(lesson), device, about)


def main(name: str, told: str) -> None:
    """One player: ready, warm, and then a chunk for every line of input."""
    from gander.bench.tutorial import RECIPES

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this process ends it
    asked: dict[str, Any] = json.loads(told)
    plain: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in asked.items()}
    request = Request(**plain)
    try:
        ready = recipe(name, request) if name in RECIPES else preset(name, request)
    except UseError as why:
        print(json.dumps({"refused": str(why)}), flush=True)
        return
    warm = clock.warm_up(ready.step, request.seconds or 0.0, ready.device)
    warmed = {"images": warm.images, "seconds": round(warm.seconds, 2)}
    print(json.dumps(ready.about | {"warm_up": warmed}), flush=True)
    for line in sys.stdin:
        done = clock.chunk(ready.step, float(line), ready.device)
        print(json.dumps({"images": done.images, "seconds": done.seconds}), flush=True)
    ready.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
