"""What one iteration is: k critic steps with fresh images, the last of them with the generator's step as the schedule says.

Everything an iteration takes from outside is dealt to it: images, values, rates. Dealt one by one (``step``) they come from the
host at each position; dealt by the block (``Steps``) they wait on the device for many iterations ahead, so that an iteration is
nothing but kernels, which a GPU records once and replays. The same numbers either way, since all are functions of position.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from gander import augmentations, contrast, frequencies, near, ranks, rng
from gander.batches import (
    batch_at,
    held,
    images_at,
    images_of_a_block,
    known_of,
    ordered,
    own_rows,
)
from gander.code import Values
from gander.config import Config
from gander.data.reading.streamed import Streamed
from gander.plan import Plan
from gander.players import Players, average, share_taken, state
from gander.positions import (
    Stage,
    contrasts,
    images_each,
    learners,
    momentum,
    own_weights,
    rates,
    stage,
)
from gander.schedules import Turn, take_turns
from gander.tally import Tally

AHEAD = 3  # blocks in the making: drawing 60 numbers for each of 250,000 images a second takes several cores


class Dealt(Protocol):
    """What one iteration takes from outside."""

    def batch(self, turn: int) -> tuple[Tensor, Values]:
        """The real images of critic step ``turn`` and their given codes."""

    def draws(self, stream: str, turn: int) -> Values:
        """All that is drawn for a player at that critic step."""

    def place(self, stream: str, turn: int) -> None:
        """Puts torch's own randomness where that player's step begins."""

    def rates(self) -> Mapping[str, float | Tensor]:
        """The learning rate of each optimiser."""

    def momentum(self) -> float | Tensor:
        """That of gradient descent; Adam has none."""

    def share(self) -> float | Tensor:
        """What the moving average takes of the generator."""

    def contrasts(self) -> bool:
        """Whether generated pairs are looked at; of an iteration that is recorded it is known before."""


def iterate(plan: Plan, players: Players, tally: Tally, dealt: Dealt) -> None:
    """One iteration on the device: no look at a value, no number from the host but what is dealt.

    Of several processes each is dealt its own rows of every batch, and all of them must take it.
    """
    with ranks.playing(plan.machine.group):
        _iterate(plan, players, tally, dealt)


def _iterate(plan: Plan, players: Players, tally: Tally, dealt: Dealt) -> None:
    config, game, machine = plan.config, players.game, plan.machine
    for name, rate in dealt.rates().items():
        machine.set_rate(players.optimisers[name], rate, dealt.momentum())
    last = config.game.critic_steps - 1
    for turn in range(last + 1):
        real, known = dealt.batch(turn)
        dealt.place("critic", turn)
        if turn < last:
            with machine.arithmetic():
                terms = game.critic_terms(real, known, dealt.draws("critic", turn))
            machine.step(players.optimisers["critic"], terms)
        else:
            draw, place = partial(dealt.draws, turn=turn), partial(dealt.place, turn=turn)
            both = Turn(real, known, draw, place, dealt.contrasts())
            terms = take_turns(config.game.schedule, game, machine, players.optimisers, both)
            if game.contrast is not None and not both.contrasts:
                terms["contrast"] = torch.zeros((), device=machine.device)
        tally.add(terms)
    if "recogniser" in players.optimisers:
        dealt.place("recogniser", last)
        with machine.arithmetic():
            terms = game.recognition_terms(real, known, dealt.draws("recogniser", last))
        machine.step(players.optimisers["recogniser"], terms)
        tally.add(terms)
    game.adapt()
    average(config, players, machine, dealt.share())


# ---------------------------------------------------------------------- dealt one by one
def step(plan: Plan, players: Players, tally: Tally) -> None:
    """One iteration at the players' position, dealt from the host."""
    dealt = Single(plan, players.images_seen)
    dealt.fetch()
    iterate(plan, players, tally, dealt)
    advance(plan, players, tally)


def advance(plan: Plan, players: Players, tally: Tally) -> None:
    """Counts an iteration that was taken."""
    images = images_each(plan.config)
    players.images_seen += images
    tally.images += images
    tally.steps += 1


@dataclass(frozen=True)
class Single:
    """One iteration that begins at position ``first``."""

    plan: Plan
    first: int
    fetched: list[tuple[Tensor, Values]] = field(default_factory=list)

    def fetch(self) -> None:
        """All its real images, before anything is changed: of a source that fails the players are left as they were."""
        turns = range(self.plan.config.game.critic_steps)
        self.fetched.extend(batch_at(self.plan, self._at(turn)) for turn in turns)

    def batch(self, turn: int) -> tuple[Tensor, Values]:
        if not self.fetched:
            self.fetch()
        return self.fetched[turn]

    def draws(self, stream: str, turn: int) -> Values:
        values = draws(self.plan, stream, self._at(turn))
        return _staged(values, stage(self.plan.config, self.first))

    def place(self, stream: str, turn: int) -> None:
        # Inside a recording the device's own counter goes on by itself; unrecorded it does the same.
        if (turn == 0 and stream == "critic") or not self.plan.machine.records:
            rng.seed_torch(self.plan.config.training.seed, stream, self._at(turn))

    def rates(self) -> Mapping[str, float | Tensor]:
        return rates(self.plan, self.first)

    def momentum(self) -> float | Tensor:
        return momentum(self.plan.config, self.first)

    def share(self) -> float | Tensor:
        return share_taken(self.plan.config, self.first + images_each(self.plan.config))

    def contrasts(self) -> bool:
        return contrasts(self.plan.config, self.first)

    def _at(self, turn: int) -> int:
        return self.first + turn * self.plan.config.training.batch


def draws(plan: Plan, stream: str, first: int) -> Values:
    """All that is drawn for this process' images of the batch that begins at position ``first``, on the device."""
    mine = own_rows(plan)
    return plan.machine.values(drawn(plan, stream, first + mine.start, len(mine)))


def drawn(plan: Plan, stream: str, first: int, count: int) -> Values:
    """Every code's values for the images at positions ``first …``, and how the critic sees them."""
    seed, names = plan.config.training.seed, augmentations.named(plan.config.game.augment)
    if stream == "contrast":
        return contrast.draw(plan.spec, plan.config.game.contrast_gap, seed, stream, first, count)
    choose = plan.config.game.augment_target > 0
    looks = augmentations.draw(names, seed, stream, first, count, choose)
    game, views = plan.config.game, augmentations.named(plan.config.game.views)
    growth = (game.views_grow, game.views_first)
    for place in plan.spec.views:
        own = views if place == "view" else augmentations.own(place)
        looks |= augmentations.draw_views(own, seed, stream, first, count, "fake", *growth, place)
    if stream == "critic" and any(code.self_label for code in plan.spec.recognised):
        looks |= augmentations.draw_views(views, seed, stream, first, count, "real", *growth)
        looks[augmentations.WEIGHT] = rng.tensor(own_weights(game, first, count))
        if game.settle_from and game.settle_near:
            looks[near.ROWS] = ordered(plan, first, count)
    places = frequencies.draw(plan.spec.codes, seed, stream, first, count)
    return plan.spec.draw(seed, stream, first, count) | places | looks


def _staged(values: Values, now: Stage) -> Values:
    """What is drawn, with what tells the game that the recogniser settles and whether near images are asked."""
    also = {
        augmentations.SETTLED: (augmentations.WEIGHT, now.settles),
        near.ASKED: (near.ROWS, now.asks_near),
    }
    return values | {name: values[of] for name, (of, told) in also.items() if told and of in values}


# ---------------------------------------------------------------------- dealt by the block
class Steps:
    """Takes iterations one after another, each dealt from a block on the device and, where the engine can, replayed from a recording.

    Built at a position, it goes on from there; the players' weights and optimisers stay where they are in memory, as a recording needs.
    """

    def __init__(self, plan: Plan, players: Players, tally: Tally) -> None:
        self.plan, self.players, self.tally = plan, players, tally
        self.each = images_each(plan.config)
        self.images = held(plan)
        self.count = max(1, images_of_a_block(plan, self.images) // self.each)
        self.slot = torch.zeros(1, dtype=torch.int64, device=plan.machine.device)
        self.maker = ThreadPoolExecutor(AHEAD, thread_name_prefix="deal")
        self.coming: deque[Future[dict[str, Tensor]]] = deque()
        self.next = players.images_seen
        self.block = {
            name: tensor.to(plan.machine.device) for name, tensor in self._prepared().items()
        }
        self.left = self.count
        self._record()

    def _record(self) -> None:
        """Takes down what an iteration is from the players' position on."""
        for coming in self.coming:
            coming.result()  # another thread that pins memory would spoil a recording
        self._place()
        self.stage = stage(self.plan.config, self.players.images_seen)
        self.replay = self.plan.machine.record(self._body, self._changed)

    def step(self) -> None:
        """One iteration at the players' position."""
        if stage(self.plan.config, self.players.images_seen) != self.stage:
            self._record()
        if self.left == 0:
            for name, tensor in self._prepared().items():
                self.block[name].copy_(tensor, non_blocking=True)
            self.left = self.count
        self._place()
        self.replay()
        self.left -= 1
        advance(self.plan, self.players, self.tally)

    def close(self) -> None:
        """Stops preparing blocks."""
        self.maker.shutdown(wait=True, cancel_futures=True)

    def _place(self) -> None:
        rng.seed_torch(self.plan.config.training.seed, "critic", self.players.images_seen)

    def _body(self) -> None:
        """What is recorded: the iteration at ``slot``."""
        now = {name: tensor.index_select(0, self.slot)[0] for name, tensor in self.block.items()}
        dealt = FromBlock(self.plan, self.images, now, self.stage)
        iterate(self.plan, self.players, self.tally, dealt)
        self.slot.add_(1).remainder_(
            self.count
        )  # from the end of a block to the beginning of the next

    def _changed(self) -> dict[str, Tensor]:
        sums = {f"sum.{name}": total for name, total in self.tally.sums.items()}
        sound = {f"sound.{name}": count for name, count in self.tally.sound.items()}
        return {**state(self.players), **sums, **sound, "slot": self.slot}

    def _prepared(self) -> dict[str, Tensor]:
        """The next block, while those after it are in the making."""
        while len(self.coming) < AHEAD:
            self.coming.append(
                self.maker.submit(block, self.plan, self.next, self.count, self.images is None)
            )
            self.next += self.count * self.each
        images, coming = self.plan.images.images, self.coming.popleft()
        return images.waited(coming) if isinstance(images, Streamed) else coming.result()


@dataclass(frozen=True)
class FromBlock:
    """One iteration's share of a block, everything on the device."""

    plan: Plan
    images: Tensor | None
    """All of them; None where they are dealt with the block."""
    now: dict[str, Tensor]
    stage: Stage

    def batch(self, turn: int) -> tuple[Tensor, Values]:
        if self.images is not None:
            some = self.images[self.now["rows"][turn]]
        else:
            some = self.now["images"][turn]
        real = self.plan.machine.images(some)
        return real, {name: value[turn] for name, value in self._under("known").items()}

    def draws(self, stream: str, turn: int) -> Values:
        values = {name: value[turn] for name, value in self._under(stream).items()}
        return _staged(values, self.stage)

    def place(self, stream: str, turn: int) -> None:
        if not (self.plan.machine.records or (turn == 0 and stream == "critic")):
            training = self.plan.config.training
            position = int(self.now["first"]) + turn * training.batch
            rng.seed_torch(training.seed, stream, position)

    def rates(self) -> Mapping[str, float | Tensor]:
        return self._under("rate")

    def momentum(self) -> float | Tensor:
        return self.now["momentum"]

    def share(self) -> float | Tensor:
        return self.now["share"]

    def contrasts(self) -> bool:
        return self.stage.contrasts

    def _under(self, head: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(f"{head}/"): tensor
            for name, tensor in self.now.items()
            if name.startswith(f"{head}/")
        }


def block(plan: Plan, first: int, count: int, dealt_images: bool = False) -> dict[str, Tensor]:
    """What ``count`` iterations from position ``first`` take from outside, each tensor (count, …) on the host.

    With ``dealt_images`` the real images are among it.

    Values are (count, k, batch, …), of each batch this process' rows alone; those of the players that move once an iteration are drawn at its last critic step's position.
    """
    config = plan.config
    batch, k = config.training.batch, config.game.critic_steps
    each, starts = batch * k, [first + i * batch * k for i in range(count)]
    mine = own_rows(plan)
    rows = ordered(plan, first, count * each)
    rows = rows.view(count, k, batch)[..., mine.start : mine.stop].contiguous()
    images = None
    if dealt_images:
        images, rows = images_at(plan, first, rows)
    parts = {
        "first": torch.tensor(starts),
        "rows": rows,
        "share": torch.tensor(
            [share_taken(config, start + each) for start in starts], dtype=torch.float64
        ),
    }
    if images is not None:
        parts["images"] = images
    for name in learners(config):
        table = [rates(plan, start)[name] for start in starts]
        parts[f"rate/{name}"] = torch.tensor(table, dtype=torch.float64)
    dealt = [momentum(config, start) for start in starts]
    parts["momentum"] = torch.tensor(dealt, dtype=torch.float64)
    for name, values in known_of(plan, rows.flatten()).items():
        parts[f"known/{name}"] = values.view(count, k, len(mine), *values.shape[1:])
    for stream in streams(config):
        waits = stream == "contrast" and not contrasts(config, starts[-1])
        values_of = _drawn_each(plan, stream, first, 1 if waits else count * k)
        for name, values in values_of.items():
            if waits:  # nobody looks at them yet
                values = values[:1].expand(count * k * len(mine), *values.shape[1:]).contiguous()
            parts[f"{stream}/{name}"] = values.view(count, k, len(mine), *values.shape[1:])
    pinned = plan.machine.records
    return {name: tensor.pin_memory() if pinned else tensor for name, tensor in parts.items()}


def _drawn_each(plan: Plan, stream: str, first: int, batches: int) -> Values:
    """What is drawn for this process' rows of so many batches, one after another."""
    mine, batch = own_rows(plan), plan.config.training.batch
    if len(mine) == batch:
        return drawn(plan, stream, first, batches * batch)
    parts = [drawn(plan, stream, first + i * batch + mine.start, len(mine)) for i in range(batches)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def streams(config: Config) -> list[str]:
    """The players for whom fakes are drawn afresh."""
    fresh = ["critic"]
    if config.game.schedule == "alternate":
        fresh.append("generator")
    if "recogniser" in learners(config):
        fresh.append("recogniser")
    if "contrast" in learners(config):
        fresh.append("contrast")
    return fresh
