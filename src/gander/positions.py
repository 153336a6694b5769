"""What a position in training decides: who learns, at what rate and momentum, and whether pairs are looked at."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from gander.config import Config
from gander.plan import Plan
from gander.settings import GameSettings


def images_each(config: Config) -> int:
    """Real images that one iteration takes."""
    return config.training.batch * config.game.critic_steps


def rates(plan: Plan, images_seen: int) -> dict[str, float]:
    """The learning rate of each player at this position."""
    optimiser = plan.config.optimiser
    taken = images_seen / images_each(plan.config)
    share = images_seen / plan.config.training.images
    scale = min(1.0, 2 * (1 - share)) if optimiser.decay == "linear" else 1.0
    scale *= math.exp(-taken * math.log(optimiser.shrink))
    return {
        name: max(optimiser.least_rate, getattr(optimiser, f"{name}_rate") * scale)
        * plan.rate_scale
        for name in learners(plan.config)
    }


def momentum(config: Config, images_seen: int) -> float:
    """That of gradient descent at this position."""
    optimiser = config.optimiser
    if not optimiser.momentum_images:
        return optimiser.momentum
    share = min(1.0, images_seen / optimiser.momentum_images)
    return optimiser.momentum + share * (optimiser.momentum_end - optimiser.momentum)


def learners(config: Config) -> tuple[str, ...]:
    """Those who have an optimiser of their own."""
    third = config.game.recogniser == "joint" and bool(config.codes.recognised)
    beside = ("contrast",) if config.game.contrast else ()
    return ("critic", "generator", *(("recogniser",) if third else ()), *beside)


def contrasts(config: Config, images_seen: int) -> bool:
    """Whether the iteration at this position looks at generated pairs."""
    begin = config.game.contrast_from * config.training.images
    return config.game.contrast > 0 and images_seen >= begin


def settles(config: Config, images_seen: int) -> bool:
    """Whether the recogniser settles on real images in the iteration at this position."""
    begin = config.game.settle_from
    return bool(begin) and images_seen >= begin


def asks_near(config: Config, images_seen: int) -> bool:
    """Whether it is asked there what the images near a real one are read as."""
    game = config.game
    within = images_seen < game.settle_from + game.settle_near_images
    return settles(config, images_seen) and bool(game.settle_near) and within


class Stage(NamedTuple):
    """What an iteration consists of, of what not every one does."""

    contrasts: bool
    settles: bool
    asks_near: bool


def stage(config: Config, images_seen: int) -> Stage:
    """That of the iteration at this position."""
    return Stage(*(one(config, images_seen) for one in (contrasts, settles, asks_near)))


def own_weights(game: GameSettings, first: int, count: int) -> np.ndarray:
    """How much the recogniser learns from itself at positions ``first …``, (count,): more at first, then once."""
    places = first + np.arange(count)
    much = game.self_label_first ** np.clip(2 - places / game.self_label_early, 0, 1)
    weights: np.ndarray = np.where(places < game.self_label_from, 0.0, much)
    return weights
