"""What a metric may look at: a model, real images, drawn ones and what a judge says of them, each made once.

A metric states a ``Figure`` or why there is none. What several metrics need stands beside this file: features and their cache,
distances between sets, classes, factors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, TypeVar, cast

import torch
from torch import Tensor

from gander import rng
from gander.code import Code, Values
from gander.codes import CodeSpec
from gander.critic import Critic
from gander.data import Data
from gander.judge import Judge, judge_of
from gander.study.features import Features, JudgeFeatures

Made = TypeVar("Made")
ROUNDING = 1e-9  # a floor below this is nothing
LEAST = 20
"""Images of a class below which nothing is said of it."""


class CannotMeasure(Exception):
    """Why a metric has nothing to measure in a run, in one line."""


@dataclass(frozen=True)
class Figure:
    """A measured value beside its bounds; None where a bound does not apply.

    ``floor`` is what knowing nothing scores; where ``floor_is`` is "real", what real training images score against real test
    images in the same number. ``ceiling`` is the most there is, ``error`` one standard error of the value from the images measured.
    """

    value: float
    floor: float | None = None
    ceiling: float | None = None
    about: str = ""
    error: float | None = None
    floor_is: Literal["nothing", "real"] = "nothing"

    proportional: bool = True
    """Whether a ratio to the floor means anything; of a log-likelihood it does not."""

    @property
    def ratio(self) -> float | None:
        """How many times what real images score; None where the floor is not theirs or a ratio means nothing."""
        real = self.floor_is == "real" and self.proportional
        return times(self.value, self.floor) if real else None


def times(value: float, floor: float | None) -> float | None:
    """How many times the floor; None where that is zero, or zero but for rounding."""
    return value / floor if floor is not None and floor > ROUNDING else None


class Painter(Protocol):
    """What draws: a trained model, or a gallery of images that stands in for one."""

    @property
    def spec(self) -> CodeSpec: ...
    @property
    def critic(self) -> Critic | None: ...
    def values(self, seeds: Sequence[int], /, **codes: Any) -> Values: ...
    def render(self, values: Values) -> Tensor: ...
    def read(self, images: Tensor) -> dict[str, Tensor]: ...
    def recognise(self, images: Tensor, values: Values) -> Tensor: ...


@dataclass(frozen=True)
class Study:
    """One measurement: ``n`` images of ``model`` from ``seed`` on, beside the real ones of two splits.

    Images are (N, C, H, W) uint8, features (N, F) float32.
    """

    model: Painter
    train: Data
    test: Data
    n: int
    seed: int = 0
    network: Features | None = None
    """A feature network of the user's own for the distribution metrics; None is the judge."""
    pictures: dict[str, Tensor] = field(default_factory=dict)
    """Name -> (C, H, W) uint8: what a metric wants looked at."""
    made: dict[str, Any] = field(default_factory=dict, repr=False)
    """What several metrics share, by name."""
    learnt: str = "train"
    """The split that the model was trained on."""

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """What ``make`` returns, made for the first metric that asks for it by that name and kept for the others."""
        if name not in self.made:
            self.made[name] = make()
        return cast(Made, self.made[name])

    # ------------------------------------------------------------------ drawn images
    @cached_property
    def categories(self) -> list[Code]:
        """The given classes."""
        return [c for c in self.model.spec.given if c.resolved.name == "categorical"]

    @cached_property
    def values(self) -> Values:
        """The codes of ``fakes``, (n, …) each; classes in equal numbers, so that a rare one counts."""
        return self.ordered(self.n)

    def ordered(self, count: int, first: int = 0) -> Values:
        """The codes of ``count`` images, given classes in equal numbers."""
        start = self.seed + first
        classes: dict[str, list[int]] = {}
        for code in self.categories:
            width, places = code.resolved.width, range(first, first + count)
            turn = [place % width for place in places]
            if classes:
                # Shuffled turn by turn, so that no class goes with one of the category before.
                stream, turns = f"study/ordered/{code.name}", (first + count) // width + 1
                order = [rng.permutation(0, stream, k, width) for k in range(turns)]
                turn = [int(order[place // width][place % width]) for place in places]
            classes[code.name] = turn
        return self.model.values(range(start, start + count), **classes)

    @cached_property
    def fakes(self) -> Tensor:
        """Images drawn with classes in equal numbers, (n, C, H, W): for asking whether orders are obeyed."""
        return self.model.render(self.values)

    @cached_property
    def drawn_values(self) -> Values:
        """The codes of ``drawn``: every one from its prior, given ones in the data's own frequencies."""
        if not self.categories:
            return self.values
        return self.model.values(range(self.seed, self.seed + self.n))

    @cached_property
    def drawn(self) -> Tensor:
        """Images drawn freely, (n, C, H, W): for comparison with real images as they come."""
        return self.model.render(self.drawn_values) if self.categories else self.fakes

    # ------------------------------------------------------------------ the judge
    @cached_property
    def judge(self) -> Judge:
        return judge_of(self.train)

    @cached_property
    def judged(self) -> dict[str, Tensor]:
        """What the judge says of ``fakes``, column by column."""
        return self.judge.name(self.fakes)

    @cached_property
    def judged_test(self) -> dict[str, Tensor]:
        """What the judge says of the real test images."""
        return self.judge.name(self.test.images)

    @cached_property
    def readings(self) -> dict[str, Tensor]:
        """What the model's own recogniser reads in the real test images."""
        return self.model.read(self.test.images)

    @cached_property
    def information(self) -> dict[str, float]:
        """What the recogniser reads back of each recognised code in ``drawn``: nats, or R². Raises ``CannotMeasure``."""
        if not self.model.spec.recognised:
            raise CannotMeasure("no code is recognised")
        if self.model.critic is None:
            raise CannotMeasure("the critic's weights are not here")
        read = self.model.recognise(self.drawn, self.drawn_values)
        return self.model.spec.information(read, self.drawn_values)

    # ------------------------------------------------------------------ features
    @cached_property
    def features(self) -> Features:
        """Images (N, C, H, W) to features (N, F)."""
        return self.network or JudgeFeatures(self.judge, self.train.fingerprint)

    @cached_property
    def size(self) -> int:
        """Images on each side of a comparison: ``n``, or what the smaller split has."""
        return min(self.n, len(self.train), len(self.test))

    @cached_property
    def train_rows(self) -> Tensor:
        """A fixed random choice of training images, (size,): the real side of every floor."""
        return _some("train", len(self.train), self.size)

    @cached_property
    def test_rows(self) -> Tensor:
        """A fixed random choice of test images, (size,): what everything is compared with."""
        return _some("test", len(self.test), self.size)

    @cached_property
    def train_features(self) -> Tensor:
        """Of the whole training split, kept in the cache, (N, F)."""
        return self.features.of_data(self.train)

    @cached_property
    def apart(self) -> bool:
        """Whether the test images are others than the training images; a set too small to be split has one for both."""
        return self.train.fingerprint != self.test.fingerprint

    def held_out(self) -> None:
        """Raises ``CannotMeasure`` where there is nothing unseen to compare with."""
        if not self.apart:
            raise CannotMeasure("these images are too few to keep some apart for testing")
        if len(self.test) < LEAST:
            raise CannotMeasure(f"there are only {len(self.test)} test images")

    @cached_property
    def test_features(self) -> Tensor:
        """Of the whole test split, kept in the cache, (N, F). Raises ``CannotMeasure`` where it is no other than the training split."""
        self.held_out()
        return self.features.of_data(self.test)

    @cached_property
    def drawn_features(self) -> Tensor:
        """Of ``drawn``, (n, F)."""
        return self.features.of_images(self.drawn)

    @cached_property
    def fake_features(self) -> Tensor:
        """Of ``fakes``, (n, F)."""
        return self.features.of_images(self.fakes) if self.categories else self.drawn_features

    def against_real(self, measure: Callable[[Tensor, Tensor], float]) -> tuple[float, float]:
        """``measure(some, reference)`` of drawn images and of real training images, both against real test images."""
        reference = self.test_features[self.test_rows]
        drawn = measure(self.drawn_features[: self.size], reference)
        return drawn, measure(self.train_features[self.train_rows], reference)


def _some(split: str, count: int, size: int) -> Tensor:
    return torch.from_numpy(rng.permutation(0, f"study/{split}", 0, count)[:size])
