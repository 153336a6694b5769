"""One model trained under one schedule, with what is measured on the way.

The steps are those of a training: the same batches, draws, rates, turns and moving average. Before some of them the game is copied, so that
the gradients its players receive can be set against the right ones. The clock runs only during the other steps.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from gander import rng
from gander.batches import batch_at
from gander.game import Terms
from gander.lab.gradients import Deviation, deviation, overheard, textbook, told_apart
from gander.plan import Plan
from gander.players import Players, average, make_players
from gander.positions import momentum, rates
from gander.schedules import MISTAKES, SCHEDULES, Turn, take_turns
from gander.stepping import draws

ROUNDS = 16  # looks at the gradients, evenly spaced
LEAST_BATCHES = 4  # of a round: one turn is looked at, the others are timed
TWICE = 2  # critic steps of the second way to alternate
PLAYED = {
    "alternate": ("alternate", 1),
    "alternate, k = 2": ("alternate", TWICE),
    **{name: (name, 1) for name in (*SCHEDULES, *MISTAKES) if name != "alternate"},
}
"""What is tried: its name -> the schedule and the critic steps to a generator step."""


@dataclass(frozen=True)
class Look:
    """One turn that was looked at: where, how right each player's gradient was, and the turn's terms."""

    images_seen: int
    critic: Deviation
    generator: Deviation
    terms: dict[str, float]
    told_apart: float
    """The share of pairs (real, generated) that the critic puts in order; a half is guessing."""


@dataclass
class Trial:
    """A model under one schedule: its players and what was measured of them."""

    name: str
    schedule: str
    plan: Plan
    players: Players
    looks: list[Look] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)
    """Images/s of each round after the first, in which everything is still warming up."""
    stopped: int | None = None
    """Images seen when a term was no longer a number; it plays no further."""

    @property
    def critic_steps(self) -> int:
        return self.plan.config.game.critic_steps

    @property
    def is_mistake(self) -> bool:
        return self.schedule in MISTAKES


def trials(plan: Plan) -> list[Trial]:
    """The same model from the same seed once for each schedule."""
    made = []
    for name, (schedule, steps) in PLAYED.items():
        game = replace(plan.config.game, critic_steps=steps)
        own = replace(plan, config=replace(plan.config, game=game))
        made.append(Trial(name, schedule, own, make_players(own)))
    return made


def rounds(images: int, batch: int) -> tuple[int, int]:
    """How many rounds for so many images, and the batches of each; an even number, for two critic steps to a turn."""
    batches = math.ceil(images / batch)
    each = max(LEAST_BATCHES, 2 * round(batches / ROUNDS / 2))
    return math.ceil(batches / each), each


def run(trials: Sequence[Trial], images: int, tell: Callable[[str], None]) -> None:
    """Trains all of them to ``images`` seen, a round of each in turn: a busy neighbour then slows all alike."""
    count, batches = rounds(images, trials[0].plan.config.training.batch)
    for k in range(count):
        for trial in trials:
            tell(f"round {k + 1} of {count}, {trial.name}")
            if trial.stopped is None:
                play_round(trial, batches, warm=k > 0)


def play_round(trial: Trial, batches: int, warm: bool = True) -> None:
    """One turn that is looked at, then turns against the clock: ``batches`` steps of the critic in all."""
    turns = batches // trial.critic_steps
    players, before = trial.players, trial.players.images_seen
    looked_at(trial)
    if trial.stopped is not None:
        return
    began, seen = _clock(trial), players.images_seen
    for _ in range(turns - 1):
        step(trial)
    seconds = _clock(trial) - began
    if warm and seconds > 0:
        trial.speeds.append((players.images_seen - seen) / seconds)
    assert players.images_seen == before + batches * trial.plan.config.training.batch


def step(trial: Trial) -> None:
    """The critic's steps and the generator's, as in a training."""
    turn = _to_the_turn(trial)
    _take(trial, turn)


def looked_at(trial: Trial) -> None:
    """The same step, and what the players received in it beside what is right."""
    turn = _to_the_turn(trial)
    before = copy.deepcopy(trial.players.game)
    # Where layers are normalised by their spectrum every look changes the critic a little, so each has a copy of its own.
    apart = told_apart(copy.deepcopy(before), turn, trial.plan.machine)
    turn.seed("critic")
    after: dict[str, Tensor] = {}
    with overheard(trial.players.optimisers) as heard, stepped(trial.players, after):
        terms = {name: float(term.detach()) for name, term in _take(trial, turn).items()}
    seen = trial.players.images_seen
    if not all(math.isfinite(term) for term in terms.values()):
        trial.stopped = seen
        return
    right = textbook(trial.schedule, before, after, turn, trial.plan.machine)
    found = {who: deviation(heard[who], right[who]) for who in right}
    trial.looks.append(Look(seen, found["critic"], found["generator"], terms, apart))


@contextlib.contextmanager
def stepped(players: Players, after: dict[str, Tensor]) -> Iterator[None]:
    """Fills ``after`` with the critic as it is when it has just stepped, before the generator faces it."""

    def keep(*_: Any) -> None:
        after.update({n: x.clone() for n, x in players.game.critic.state_dict().items()})

    handle = players.optimisers["critic"].register_step_post_hook(keep)
    try:
        yield
    finally:
        handle.remove()


def _to_the_turn(trial: Trial) -> Turn:
    """Plays the critic's steps but the last; what both players then have before them."""
    plan, players = trial.plan, trial.players
    config, game = plan.config, players.game
    seed, batch = config.training.seed, config.training.batch
    for name, rate in rates(plan, players.images_seen).items():
        now = momentum(config, players.images_seen)
        plan.machine.set_rate(players.optimisers[name], rate, now)
    for _ in range(trial.critic_steps - 1):
        first = players.images_seen
        real, known = batch_at(plan, first)
        rng.seed_torch(seed, "critic", first)
        with plan.machine.arithmetic():
            terms = game.critic_terms(real, known, draws(plan, "critic", first))
        plan.machine.step(players.optimisers["critic"], terms)
        players.images_seen += batch
    first = players.images_seen
    real, known = batch_at(plan, first)
    place = partial(rng.seed_torch, seed, position=first)
    place("critic")
    return Turn(real, known, partial(draws, plan, first=first), place)


def _take(trial: Trial, turn: Turn) -> Terms:
    plan, players = trial.plan, trial.players
    terms = take_turns(trial.schedule, players.game, plan.machine, players.optimisers, turn)
    players.images_seen += plan.config.training.batch
    players.game.adapt()
    average(plan.config, players, plan.machine)
    return terms


def _clock(trial: Trial) -> float:
    """Seconds, once the device has done all that it was given."""
    if trial.plan.machine.device.type == "cuda":
        torch.cuda.synchronize(trial.plan.machine.device)
    return time.perf_counter()


# ---------------------------------------------------------------------- what it comes to
def speed(trial: Trial) -> float | None:
    """Images/s: the median over the rounds."""
    return median(trial.speeds) if trial.speeds else None


def relative(trial: Trial, to: Trial) -> tuple[float, float, float] | None:
    """How many times as fast, round by round: the lower quartile, the median and the upper one."""
    ratios = sorted(a / b for a, b in zip(trial.speeds, to.speeds, strict=False))
    if not ratios:
        return None
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    return low, median(ratios), high


def typical(deviations: Sequence[Deviation]) -> Deviation | None:
    """The median angle and the median ratio."""
    if not deviations:
        return None
    return Deviation(median(d.degrees for d in deviations), median(d.ratio for d in deviations))


def largest(deviations: Sequence[Deviation]) -> float:
    """The largest angle, in degrees."""
    return max((d.degrees for d in deviations), default=0.0)
