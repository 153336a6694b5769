"""How often each class of a discovered code is drawn, where nobody has said it.

A generator that draws ten categories equally often, of data whose ten classes are not equally frequent, must draw some of a larger
class under the name of a smaller one; a recogniser that reads generated images perfectly then errs on real ones. Of MNIST's test
digits that is 2.1 %, whatever else is done. So the categories are drawn as often as real images are read as each
(Ojha et al., "Elastic-InfoGAN", 2020, learn the same numbers by gradient descent through the generator).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gander import ranks, rng
from gander.code import LEARNED, Code, Values
from gander.following import Following
from gander.kinds import Categorical

HALFLIFE = 10_000
"""Images within which a reading counts half."""
PLACE = "place/"
"""Before a code's name: where on the way from 0 to 1, along the classes, a value was drawn; no code can have such a name."""


@dataclass
class Frequencies(Following):
    """Of one code. Every number that changes is a tensor on the device, changed in place, so that a recorded iteration reads it anew."""

    shares: Tensor
    """(K,) float32, summing to 1: how often each class is drawn."""
    begin: int
    """Images seen before they follow the readings: first categories must become what they are."""
    count: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    """() of real images read."""
    read: Tensor = field(init=False)
    """(K + 1,) float32: the sum of beliefs since the last move, and of how many images; zeros between iterations."""

    def __post_init__(self) -> None:
        self.read = torch.zeros(len(self.shares) + 1)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What training depends on between two iterations."""
        return {"shares": self.shares, "count": self.count}

    def classes(self, places: Tensor) -> Tensor:
        """The classes (B,) at places (B, 1) in [0, 1]."""
        # not cumsum, which on a GPU has no fixed order of sums
        below = torch.ones(len(self.shares), len(self.shares), device=self.shares.device).tril()
        ends = (below * self.shares).sum(1)
        return (places >= ends[:-1]).sum(1)

    @torch.no_grad()
    def notice(self, params: Tensor) -> None:
        """Takes note of what the recogniser says of real images, (B, K)."""
        self.read[:-1].add_(params.float().softmax(1).sum(0))
        self.read[-1].add_(len(params))

    @torch.no_grad()
    def move(self) -> None:
        """Follows what was noticed since the last time; nothing was, then they stay."""
        read = ranks.all_reduce(self.read)
        many = read[-1]
        self.count.add_(many.to(torch.int64))
        share = torch.where(self.count > self.begin, 1 - torch.exp2(-many / HALFLIFE), 0.0)
        mean = read[:-1] / many.clamp_min(1)
        self.shares.lerp_(mean, share)
        self.shares.div_(self.shares.sum())
        self.read.zero_()


def frequencies(codes: Iterable[Code], begin: int) -> dict[str, Frequencies]:
    """Of each code that learns its own, at their beginning."""
    found = {}
    for code in codes:
        if code.frequencies == LEARNED and isinstance(code.resolved, Categorical):
            shares = torch.tensor(code.resolved.probs or (1.0,) * code.resolved.size)
            found[code.name] = Frequencies(shares / shares.sum(), begin)
    return found


def draw(codes: Iterable[Code], seed: int, stream: str, first: int, count: int) -> Values:
    """The places (count, 1) of each such code at positions ``first …``, those at which its values are drawn."""
    return {
        PLACE + code.name: rng.tensor(rng.uniforms(seed, f"{stream}/{code.name}", first, count, 1))
        for code in codes
        if code.frequencies == LEARNED
    }
