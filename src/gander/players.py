"""Everything that learns, and how it is saved: networks, moving average, optimisers and one integer."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gander import engine, states, weights
from gander.conditioning import SteeredGenerator
from gander.config import Config
from gander.critic import Critic
from gander.data.reading.streamed import Streamed
from gander.engine import Engine
from gander.errors import RunError
from gander.game import Game
from gander.health import some_rows
from gander.images import to_unit
from gander.model import Card, Model
from gander.norms import SplitNorm, settling
from gander.plan import Plan
from gander.runs import Run

AVERAGE_RAMP = (
    0.05  # the average forgets at least as fast as 5 % of what was seen (Karras et al., 2024)
)

SETTLED, AT_ONCE = 512, 64  # drawn images that a saved critic's statistics are of, and a batch


@dataclass
class Players:
    """Everything that learns: what a saved state holds."""

    game: Game
    averaged: SteeredGenerator
    optimisers: dict[str, torch.optim.Optimizer]
    images_seen: int = 0

    @property
    def networks(self) -> dict[str, nn.Module]:
        """All that learn, by name."""
        three: dict[str, nn.Module] = {
            "generator": self.game.generator,
            "averaged": self.averaged,
            "critic": self.game.critic,
        }
        return three | ({"contrast": self.game.contrast} if self.game.contrast else {})


def make_players(plan: Plan) -> Players:
    """Fresh networks and optimisers on the engine's device."""
    game, machine, settings = plan.game(), plan.machine, plan.config.optimiser
    averaged = copy.deepcopy(game.generator)
    for network in (game.generator, game.critic, averaged, game.contrast):
        if network is not None:
            machine.place(network)
    for one in game.following.values():
        one.to(machine.device)
    averaged.requires_grad_(False)
    generator, critic = list(game.generator.parameters()), list(game.critic.parameters())
    optimisers: dict[str, torch.optim.Optimizer] = {
        "critic": _optimiser(plan, critic, settings.critic_rate),
        "generator": _optimiser(plan, generator, settings.generator_rate),
    }
    if plan.config.game.recogniser == "joint" and plan.spec.recognised:
        optimisers["recogniser"] = _optimiser(plan, [*generator, *critic], settings.recogniser_rate)
    if game.contrast is not None:
        parameters = list(game.contrast.parameters())
        optimisers["contrast"] = _optimiser(plan, parameters, settings.contrast_rate)
    return Players(game, averaged, optimisers)


def _optimiser(
    plan: Plan, parameters: Sequence[nn.Parameter], rate: float
) -> torch.optim.Optimizer:
    machine, settings = plan.machine, plan.config.optimiser
    if settings.method == "sgd":
        return machine.momentum(parameters, rate, settings.momentum)
    return machine.adam(parameters, rate, (settings.beta1, settings.beta2))


def state(players: Players) -> dict[str, Tensor]:
    """Every tensor that training depends on, by name."""
    tensors = {
        f"{who}.{name}": tensor
        for who, network in players.networks.items()
        for name, tensor in network.state_dict().items()
    }
    for who, optimiser in players.optimisers.items():
        for number, moments in optimiser.state_dict()["state"].items():
            for name, tensor in moments.items():
                tensors[f"optimiser.{who}.{number}.{name}"] = tensor
    for who, one in players.game.following.items():
        tensors |= {f"{who}.{n}": t for n, t in one.tensors.items()}
    return tensors


def save(
    plan: Plan,
    players: Players,
    run: Run,
    tally: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """The weights for drawing and reading, the critic's ``settled``, and the state for resuming, which is last: with it the save counts.

    ``tally`` is what the next report will be made of. Raises ``Diverged`` for a state not worth keeping and ``UnwritableFile``; then the states are as they were.
    """
    seen, tensors = players.images_seen, state(players)
    engine.check_weights(tensors, seen)
    facts = {"card": card_of(plan, players).to_dict(), "images_seen": seen}
    for who, network in (players.networks | {"critic": settled(plan, players)}).items():
        if who != "contrast":  # nobody draws or reads with it
            weights.write(run.weights_file(who), network.state_dict(), facts)
    states.write(run, tensors, position(plan, players, tally), plan.config.report.keep_states)


def position(plan: Plan, players: Players, tally: Mapping[str, Any]) -> dict[str, Any]:
    """What a saved state says besides its tensors."""
    return {
        "images_seen": players.images_seen,
        "threads": torch.get_num_threads(),
        "rate_scale": plan.rate_scale,
        "tally": dict(tally),
    }


class Restored(NamedTuple):
    """What a saved state says besides its tensors."""

    threads: int = 0
    """With which it was computed; 0 is not known."""
    rate_scale: float = 1.0
    tally: Any = None
    """What the next report will be made of."""


def restore(players: Players, run: Run, say: states.Say) -> Restored:
    """Puts the newest sound state back; where there is none the players stay as they are, at the beginning.

    ``say`` hears of states that were damaged. Raises ``RunError``.
    """
    saved = states.read(run, say)
    if saved is None:
        return Restored()
    try:
        return put_back(players, *saved)
    except (RuntimeError, KeyError, IndexError, ValueError, TypeError, OverflowError) as error:
        first = str(error).splitlines()[0]
        raise RunError(
            f"{run.state_file} does not fit this run ({first}); move it away to begin again."
        ) from None


def put_back(players: Players, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Restored:
    """Makes the players what a state says. Raises all sorts of errors for one that is not theirs."""
    for who, network in players.networks.items():
        network.load_state_dict(_under(tensors, f"{who}."))
    for who, optimiser in players.optimisers.items():
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under(tensors, f"optimiser.{who}.").items():
            number, _, kind = name.partition(".")
            moments.setdefault(int(number), {})[kind] = (
                tensor if kind == "step" else _laid_like(parameters[int(number)], tensor)
            )
        optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    for who, one in players.game.following.items():
        one.load(_under(tensors, f"{who}."))
    players.images_seen = int(facts["images_seen"])
    threads, scale = int(facts.get("threads", 0)), float(facts.get("rate_scale", 1.0))
    return Restored(threads, scale, facts.get("tally"))


@torch.no_grad()
def spread(plan: Plan, players: Players, tally: Mapping[str, Any]) -> Restored:
    """Makes the players of every process those of the first; the others hear what comes with them."""
    group = plan.machine.group
    if group.first:
        if group.size > 1:
            group.tell(weights.packed(state(players), position(plan, players, tally)))
        return Restored()
    tensors, facts = weights.unpacked(group.tell())
    here = state(players)
    if here.keys() != tensors.keys():  # no step was taken yet, or it begins anew
        return put_back(players, tensors, facts)
    for name, tensor in here.items():  # in place, where a recorded iteration looks for it
        tensor.copy_(tensors[name])
    players.images_seen = int(facts["images_seen"])
    return Restored(int(facts["threads"]), float(facts["rate_scale"]), facts["tally"])


def _laid_like(parameter: Tensor, moment: Tensor) -> Tensor:
    """A moment in its parameter's memory layout: fused Adam on a CPU pairs the two by position in memory, not by index."""
    if moment.shape != parameter.shape:
        raise ValueError(f"a moment of {tuple(moment.shape)} for {tuple(parameter.shape)}")
    return torch.empty_like(parameter, requires_grad=False).copy_(moment)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


@torch.no_grad()
def average(
    config: Config, players: Players, machine: Engine, share: float | Tensor | None = None
) -> None:
    """One step of the generator's moving average, weights and batch statistics alike.

    ``share`` is what it takes of the generator, ``share_taken`` at this position unless given.
    """
    if share is None:
        share = share_taken(config, players.images_seen)
    live, slow = players.game.generator, players.averaged
    before, after = slow.state_dict(keep_vars=True), live.state_dict(keep_vars=True)
    pairs = [(before[name], after[name]) for name in after]
    floats = [(a, b) for a, b in pairs if a.is_floating_point()]
    machine.blend([a for a, _ in floats], [b for _, b in floats], share)
    for a, b in pairs:
        if not a.is_floating_point():
            a.copy_(b)


def share_taken(config: Config, images_seen: int) -> float:
    """What the moving average takes of the generator after an iteration that ends at this position."""
    halflife: float = config.optimiser.average_halflife or 1e-9
    if halflife >= 1:
        halflife = min(halflife, max(1.0, AVERAGE_RAMP * images_seen))
    images = config.training.batch * config.game.critic_steps
    return float(1 - 0.5 ** min(images / halflife, 1000.0))


def card_of(plan: Plan, players: Players) -> Card:
    """How the networks are built, and their codes drawn: as often as was learned."""
    shares = {name: one.shares.tolist() for name, one in players.game.frequencies.items()}
    return dataclasses.replace(plan.card, spec=plan.spec.drawn_as(shares))


def model_of(plan: Plan, players: Players) -> Model:
    """The players as a model that draws and reads, without touching their training state."""
    generator = copy.deepcopy(players.averaged)
    return Model(card_of(plan, players), generator, settled(plan, players), players.images_seen)


def drawer_of(plan: Plan, players: Players) -> Model:
    """``model_of`` for drawing alone: no critic has to be settled."""
    return Model(card_of(plan, players), copy.deepcopy(players.averaged), None, players.images_seen)


@torch.no_grad()
def settled(plan: Plan, players: Players) -> Critic:
    """A copy of the critic whose batch statistics are those of some training images at hand, and of what the averaged generator draws now.

    Those that it followed in training are of the last dozen critics, which it may have left behind, and of images in views: under
    them it reads far less than it knows, early in a run less than nothing (Wu & Johnson, "Rethinking 'Batch' in BatchNorm", 2021).
    """
    critic = copy.deepcopy(players.game.critic).eval()
    if not any(isinstance(module, SplitNorm) for module in critic.modules()):
        return critic
    generator = copy.deepcopy(players.averaged).eval()
    spec, device, data = plan.spec, plan.machine.device, plan.images
    values = {n: v.to(device) for n, v in spec.draw_at(range(SETTLED)).items()}
    for batch, first in enumerate(range(0, SETTLED, AT_ONCE)):
        drawn = {n: v[first : first + AT_ONCE] for n, v in values.items()}
        with settling(critic, batch):
            critic(generator(drawn), spec.reveal(drawn, {}), real=False)
    if isinstance(data.images, Streamed):
        return critic  # a save waits for no server: of real images it keeps what it followed
    looked_at = some_rows(data)
    batches = max(1, len(looked_at) // AT_ONCE)
    for batch in range(batches):
        rows = looked_at[batch::batches]  # from all through the set: folders are sorted by class
        if len(rows) < 2:
            break  # one image has no statistics to speak of
        known = spec.known({n: c.values[rows].to(device) for n, c in data.columns.items()})
        seen = spec.overlay({n: v[: len(rows)] for n, v in values.items()}, known)
        with settling(critic, batch):
            critic(to_unit(data.images[rows].to(device)), spec.reveal(seen, known), real=True)
    return critic
