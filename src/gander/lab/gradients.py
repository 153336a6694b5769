"""The gradient a player received beside the one it should have: the angle between them and the ratio of their lengths.

What was received is overheard as the optimiser steps. What is right comes from ``torch.autograd.grad`` over the player's own terms and
its own parameters, in a copy of the game on the same images, the same draws and the same seed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gander.engine import Engine
from gander.game import Game, Terms
from gander.schedules import Turn

TOGETHER = ("one-stage", "entangled")
"""Schedules in which both players look at the weights as they were before either stepped."""


@dataclass(frozen=True)
class Deviation:
    """How far a received gradient lies from the right one."""

    degrees: float
    """The angle between them, 0 to 180."""
    ratio: float
    """The length of the received one over that of the right one."""


def deviation(received: Sequence[Tensor], right: Sequence[Tensor]) -> Deviation:
    """Two gradients over the same parameters, compared as one long vector each, in float64.

    Nothing beside nothing agrees; nothing beside something is a right angle.
    """
    long, true = length(received), length(right)
    if long == 0 or true == 0:
        ratio = long / true if true else math.inf
        return Deviation(0.0, 1.0) if long == true else Deviation(90.0, ratio)
    # Half the angle, by the sides of a rhombus: an arc cosine would see nothing below a millionth of a degree.
    pairs = [
        (one.double() / long, other.double() / true)
        for one, other in zip(received, right, strict=True)
    ]
    apart, along = length([a - b for a, b in pairs]), length([a + b for a, b in pairs])
    angle = 2 * math.atan2(apart, along)
    return Deviation(math.degrees(angle), long / true)


def length(gradient: Sequence[Tensor]) -> float:
    """Of all its parts as one vector, in float64."""
    return math.hypot(*(float(torch.linalg.vector_norm(g, dtype=torch.float64)) for g in gradient))


@contextlib.contextmanager
def overheard(optimisers: dict[str, Optimizer]) -> Iterator[dict[str, list[Tensor]]]:
    """Copies of the gradients each player is about to follow, by player, as its optimiser steps."""
    heard: dict[str, list[Tensor]] = {}
    handles = []
    for who, optimiser in optimisers.items():

        def listen(adam: Optimizer, args: Any, options: Any, who: str = who) -> None:
            player = [p for group in adam.param_groups for p in group["params"]]
            heard[who] = [_or_zero(p.grad, p) for p in player]

        handles.append(optimiser.register_step_pre_hook(listen))
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def textbook(
    schedule: str, before: Game, critic_after: dict[str, Tensor], turn: Turn, machine: Engine
) -> dict[str, list[Tensor]]:
    """Each player's right gradient in a turn, by player.

    ``before`` is a copy of the game as it was before the turn, and is changed. The generator is right about the critic that it faces: under
    ``alternate`` and ``reuse`` the one that has already stepped, ``critic_after``, else the one before.
    """
    turn.seed("critic")
    drawn = turn.draws("critic")
    faced = {name: tensor.clone() for name, tensor in before.critic.state_dict().items()}
    with machine.arithmetic():
        fakes = before.fakes(turn.known, drawn)
        terms = before.critic_terms(turn.real, turn.known, drawn, fakes)
    critic = slopes(terms, before.critic)
    if schedule in TOGETHER:
        turn.seed("critic")  # the same look at the same fakes, down to what dropout leaves out
        before.critic.load_state_dict(faced)
        with machine.arithmetic():
            fakes = before.fakes(turn.known, drawn)
            terms = before.generator_terms(turn.real, turn.known, drawn, fakes)
        return {"critic": critic, "generator": slopes(terms, before.generator)}
    before.critic.load_state_dict(critic_after)
    turn.seed("generator")
    with machine.arithmetic():
        fresh = schedule == "alternate"
        drawn, again = (turn.draws("generator"), None) if fresh else (drawn, fakes)
        terms = before.generator_terms(turn.real, turn.known, drawn, again)
    return {"critic": critic, "generator": slopes(terms, before.generator)}


@torch.no_grad()
def told_apart(game: Game, turn: Turn, machine: Engine) -> float:
    """The share of pairs (real, generated) of a turn that the critic puts in order; a half is guessing."""
    turn.seed("critic")
    with machine.arithmetic():
        drawn = turn.draws("critic")
        fakes = game.fakes(turn.known, drawn)
        on_fake = game.critic(fakes.images, fakes.told, real=False).logit
        on_real = game.critic(game.reals(turn.real, drawn), fakes.told, real=True).logit
    return float((on_real[:, None] > on_fake[None]).float().mean())


def slopes(terms: Terms, network: nn.Module) -> list[Tensor]:
    """The gradient of the sum of the terms at every parameter of one network."""
    player = list(network.parameters())
    loss = torch.stack(list(terms.values())).sum()
    found = torch.autograd.grad(loss, player, allow_unused=True)
    return [_or_zero(g, p) for g, p in zip(found, player, strict=True)]


def _or_zero(gradient: Tensor | None, parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if gradient is None else gradient.detach().clone()
