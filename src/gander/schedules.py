"""How the two players take turns: a first-class choice, each with its textbook gradients (``tests/test_schedules.py``).

    alternate   k critic steps with fresh fakes, then one generator step with fresh fakes (Goodfellow et al., 2014)
    reuse       the last critic step and the generator's share one forward of the generator
    one-stage   they share the critic's look at the fakes as well, and both step after it (Shen et al., 2021)
    entangled   the classic mistake, for the laboratory alone: both losses are walked back before either step

The contrast, where it is played, is a term of the generator's step, and its network moves along it in the same step.
Whatever the schedule, a player's step moves along the gradient of its own terms with respect to its own parameters, except
under ``entangled``, where the critic also receives the generator's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gander.code import Values
from gander.engine import Engine
from gander.game import Game, Terms, Together

SCHEDULES = {
    "alternate": "k critic steps with fresh fakes, then one generator step with fresh fakes (Goodfellow et al., 2014)",
    "reuse": "the generator's step reuses the fakes of the last critic step: one forward of the generator less",
    "one-stage": "both players step after one look at the same fakes, each along its own gradient (Shen et al., 2021)",
}
MISTAKES = {
    "entangled": "both losses are walked back before either step, so the critic's gradient is polluted by the generator's"
}
FAINT = 1e-12
"""A slope of the critic's loss below which it cannot be rescaled into the generator's."""


@dataclass(frozen=True)
class Turn:
    """One batch and what both players draw for it."""

    real: Tensor
    known: Values
    draws: Callable[[str], Values]
    """All that is drawn for a player, "critic" or "generator": every code's values, and how the critic sees the images."""
    seed: Callable[[str], None]
    """Puts torch's own randomness where that player's step begins."""
    contrasts: bool = False
    """Whether generated pairs are looked at, ``draws("contrast")``."""


def take_turns(
    schedule: str, game: Game, machine: Engine, optimisers: dict[str, Optimizer], turn: Turn
) -> Terms:
    """The critic's step and the generator's on one batch; returns the terms of both."""
    return PLAYED[schedule](game, machine, optimisers, turn)


def _alternate(game: Game, machine: Engine, optimisers: dict[str, Optimizer], turn: Turn) -> Terms:
    with machine.arithmetic():
        critic = game.critic_terms(turn.real, turn.known, turn.draws("critic"))
    machine.step(optimisers["critic"], critic)
    turn.seed("generator")
    with machine.arithmetic():
        generator = game.generator_terms(turn.real, turn.known, turn.draws("generator"))
        generator |= _contrast(game, turn)
    machine.step(optimisers["generator"], generator, *_beside(optimisers, turn))
    return critic | generator


def _reuse(game: Game, machine: Engine, optimisers: dict[str, Optimizer], turn: Turn) -> Terms:
    """The critic learns from the detached fakes; then the critic as it has become judges the same ones."""
    with machine.arithmetic():
        drawn = turn.draws("critic")
        fakes = game.fakes(turn.known, drawn)
        critic = game.critic_terms(turn.real, turn.known, drawn, fakes)
    machine.step(optimisers["critic"], critic)
    turn.seed("generator")
    with machine.arithmetic():
        generator = game.generator_terms(turn.real, turn.known, drawn, fakes)
        generator |= _contrast(game, turn)
    machine.step(optimisers["generator"], generator, *_beside(optimisers, turn))
    return critic | generator


def _one_stage(game: Game, machine: Engine, optimisers: dict[str, Optimizer], turn: Turn) -> Terms:
    with machine.arithmetic():
        both = game.terms_together(turn.real, turn.known, turn.draws("critic"))
        both.generator.update(_contrast(game, turn))
    part_gradients(game, both, rescale=not machine.records)
    machine.move(optimisers["critic"], optimisers["generator"], *_beside(optimisers, turn))
    return both.critic | both.readings | both.generator


def _entangled(game: Game, machine: Engine, optimisers: dict[str, Optimizer], turn: Turn) -> Terms:
    """Zero both, walk back both with a retained graph, step both."""
    with machine.arithmetic():
        both = game.terms_together(turn.real, turn.known, turn.draws("critic"))
    clear(game.critic, game.generator)
    players = [*game.critic.parameters(), *game.generator.parameters()]
    critic = _sum({**both.critic, **both.readings})
    torch.autograd.backward(critic, inputs=list(game.critic.parameters()), retain_graph=True)
    torch.autograd.backward(_sum(both.generator), inputs=players)
    machine.move(optimisers["critic"], optimisers["generator"])
    return both.critic | both.readings | both.generator


def _contrast(game: Game, turn: Turn) -> Terms:
    """The generator's term about pairs."""
    return game.contrast_terms(turn.draws("contrast")) if turn.contrasts else {}


def _beside(optimisers: dict[str, Optimizer], turn: Turn) -> list[Optimizer]:
    """Who moves in the generator's step besides the generator."""
    return [optimisers["contrast"]] if turn.contrasts else []


PLAYED = {
    "alternate": _alternate,
    "reuse": _reuse,
    "one-stage": _one_stage,
    "entangled": _entangled,
}


# ---------------------------------------------------------------------- one look, two gradients
def part_gradients(game: Game, both: Together, rescale: bool = True) -> bool:
    """Gives each player the gradient of its own terms; whether one walk through the critic served both.

    Where the two losses differ on each fake by a factor alone, the critic's gradient at the image is the generator's after
    rescaling image by image, and the critic is walked back once. It is so without a recogniser and without statistics of the batch,
    as long as the critic's loss is not flat (Shen et al., 2021). Otherwise the same forward is walked back twice; also without
    ``rescale``, since whether the loss is flat must be looked up on the device, which a recorded step cannot do.
    """
    beside = [game.contrast] if game.contrast is not None and "contrast" in both.generator else []
    clear(game.critic, game.generator, *beside)
    critic, generator = list(game.critic.parameters()), list(game.generator.parameters())
    apart = not rescale or bool(both.readings) or bool(beside) or game.critic.mixes_rows
    factor = None if apart else factor_between(game, both)
    if factor is None:
        if both.readings and game.recogniser == "heads" and game.critic.reader is not None:
            heads = list(game.critic.reader.parameters())
            torch.autograd.backward(_sum(both.critic), inputs=critic, retain_graph=True)
            torch.autograd.backward(_sum(both.readings), inputs=heads, retain_graph=True)
        else:
            learnt = _sum({**both.critic, **both.readings})
            torch.autograd.backward(learnt, inputs=critic, retain_graph=True)
        moved = [*generator, *(p for network in beside for p in network.parameters())]
        torch.autograd.backward(_sum(both.generator), inputs=moved)
        return False
    images = both.fakes.images
    *own, at_image = torch.autograd.grad(_sum(both.critic), [*critic, images], allow_unused=True)
    for parameter, gradient in zip(critic, own, strict=True):
        parameter.grad = gradient
    scaled = at_image * factor.view(-1, *[1] * (images.dim() - 1)).to(at_image.dtype)
    torch.autograd.backward(images, scaled, inputs=generator)
    return True


def factor_between(game: Game, both: Together) -> Tensor | None:
    """By what each fake's slope of the critic's loss is multiplied to be that of the generator's, (B,); None where it is flat."""
    fake = both.on_fake.detach().requires_grad_()
    real = both.on_real.detach()
    beside = real if game.objective.paired else real[:0]
    (critic,) = torch.autograd.grad(game.objective.critic(fake, real).sum(), fake)
    (generator,) = torch.autograd.grad(game.objective.generator(fake, beside).sum(), fake)
    if bool((critic.abs() < FAINT).any()):
        return None
    return generator / critic


def clear(*networks: nn.Module) -> None:
    """Forgets the gradients of both players."""
    for network in networks:
        network.zero_grad(set_to_none=True)


def _sum(terms: Terms) -> Tensor:
    return torch.stack(list(terms.values())).sum()
