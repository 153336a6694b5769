"""``gander train --dry-run``: what a command would do, and what it would take, measured on three steps."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from gander import appraisal, best, runs
from gander import config as configuration
from gander.game import Game
from gander.plan import Plan, configured, make_plan
from gander.players import make_players, state
from gander.progress import duration
from gander.settings import CHANGEABLE
from gander.stepping import step
from gander.tally import Tally

STEPS = 3


def forecast(
    preset: str | None = None,
    *,
    data: str | None = None,
    out: str | None = None,
    images: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    settings: Sequence[str] = (),
    new: bool = False,
    roll_back: bool = False,
) -> str:
    """The resolved configuration, the data found, parameters, memory and estimated time, as text."""
    config = configured(preset, settings, data=data, images=images, seed=seed)
    plan = make_plan(config, device)
    appraisal.check(plan)
    changeable = CHANGEABLE if roll_back else frozenset[str]()
    run, resumed = runs.place(config, plan.images.name, out, new, changeable)
    ending = f"would {'resume' if resumed else 'begin'}  {run.path}"
    if roll_back:
        ending = f"would roll {run.path} back to {best.to_roll_back(run, resumed)}"
    return measured(plan, ending)


def measured(plan: Plan, ending: str) -> str:
    """The same of a plan that is made, with a last line."""
    players = make_players(plan)
    step(plan, players, Tally())  # the first step also allocates
    began, seen = time.monotonic(), players.images_seen
    for _ in range(STEPS):
        step(plan, players, Tally())
    speed = (players.images_seen - seen) / (time.monotonic() - began)
    game = players.game
    total = plan.config.training.images
    held = _bytes(state(players).values()) + plan.images.images.nbytes
    lines = [
        configuration.to_toml(plan.config).rstrip(),
        "",
        f"# {plan.spec.family}: {plan.spec}",
        *(f"# {line}" for line in plan.images.found),
        f"# images        {' x '.join(map(str, plan.images.shape))} (channels, height, width)",
        f"# generator     {_count(game.generator):,} parameters",
        f"# critic        {_count(game.critic):,} parameters",
        *_contrast(plan, game),
        f"# engine        {plan.machine.description}",
        f"# memory        {_megabytes(held)} for data, networks and optimisers; {_megabytes(_peak(plan))} at the peak",
        f"# speed         about {speed:,.0f} images/s over {STEPS} steps",
        f"# time          about {duration(total / speed)} for {total:,} images",
        f"# {ending}",
    ]
    return "\n".join(lines)


def _contrast(plan: Plan, game: Game) -> list[str]:
    """The third player, which costs nothing before it begins and is not in the speed then."""
    if game.contrast is None:
        return []
    begin = plan.config.game.contrast_from * plan.config.training.images
    return [
        f"# contrast      {_count(game.contrast):,} parameters, from {begin:,.0f} images on, slower from there"
    ]


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _peak(plan: Plan) -> int:
    """The most memory used so far: of the GPU, or of this process."""
    if plan.machine.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(plan.machine.device))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def _megabytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MB"
