"""How probably the critic sees an image transformed, moved while it trains so that it does not learn the data by heart.

Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020): each transformation is applied to an image with
probability p, the same for all. A critic that overfits is surer and surer of the images it learns from, r = E[sign(D(x) - m)] rises, m
being the logit halfway between what real and generated images shall score; where it is above a target p grows, below it p falls, by a
fixed amount an image. So a critic with enough images sees them as they are, and one with few as changed as it takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from gander import ranks
from gander.following import Following

WINDOW = 256
"""Images over which the sign is averaged: four batches of 64, as in the paper."""

_zero = partial(torch.zeros, ())


@dataclass
class Adaptive(Following):
    """The probability and what moves it; every number that changes is a tensor on the device, changed in place."""

    target: float
    """The mean sign in [0, 1] that is aimed at."""
    images: int
    """Real images seen within which the probability can go from 0 to 1."""
    middle: float
    """The logit at which an image counts neither as real nor as generated."""
    probability: Tensor = field(default_factory=_zero)
    """() float32 in [0, 1]; 0 at the beginning."""
    sign: Tensor = field(default_factory=_zero)
    """() float32 in [-1, 1]: r, a running mean over the last images."""
    seen: Tensor = field(default_factory=partial(torch.zeros, 2))
    """(2,) float32: the sum of signs since the last move, and of how many images; zeros between iterations."""

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What training depends on between two iterations."""
        return {"probability": self.probability, "sign": self.sign}

    @torch.no_grad()
    def notice(self, logits: Tensor) -> None:
        """Takes note of what the critic says of real images as it sees them, (B,)."""
        self.seen[0].add_((logits - self.middle).sign().sum())
        self.seen[1].add_(len(logits))

    @torch.no_grad()
    def move(self) -> None:
        """Moves the probability by all that was noticed since the last time; nothing was, then it stays."""
        total, count = ranks.all_reduce(self.seen)
        share = count / (count + WINDOW)
        self.sign.lerp_(total / count.clamp_min(1), share)
        step = (self.sign - self.target).sign() * count / self.images
        self.probability.add_(step).clamp_(0, 1)
        self.seen.zero_()
