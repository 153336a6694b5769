"""What every kind is and does, and what kinds of numbers share."""

from __future__ import annotations

import abc
import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch import distributions as td

from gander import ranks
from gander.errors import CodeError

# squared error, in units of the encoding, below which reading better earns nothing
PROFILE_FLOOR = 3e-3
MOST_SIZE = 100_000  # numbers or classes of one code
LARGEST = 1e30  # of a number that is asked for; further up, what a network makes of it is no number


class Kind(abc.ABC):
    """What a variable is. Values are a tensor (B, *S); rows without a value hold ``MISSING``."""

    name: ClassVar[str]
    discrete: ClassVar[bool] = False  # whether its information is counted in nats
    MISSING: ClassVar[float] = math.nan

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """Columns in the generator's input, W."""

    @property
    @abc.abstractmethod
    def params(self) -> int:
        """Columns a recogniser needs to state its belief, P."""

    @property
    @abc.abstractmethod
    def uniforms(self) -> int:
        """Uniform numbers one draw consumes, U."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of one value, S."""

    @property
    def parts(self) -> int:
        """How many values of their own it holds: its components, or the one class."""
        return math.prod(self.shape)

    @abc.abstractmethod
    def prior(self) -> td.Distribution:
        """The distribution values are drawn from, over one value."""

    @abc.abstractmethod
    def draw(self, u: np.ndarray) -> Tensor:
        """Uniform numbers (B, U) to values of the prior (B, *S)."""

    def at(self, places: np.ndarray) -> Tensor:
        """The value of each part at its place in the prior's own order: (B, parts) in [0, 1) -> (B, *S)."""
        return self.draw(places)

    def apart(self, u: np.ndarray, v: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray]:
        """Places of two values no nearer to each other than ``gap``, a share of the prior below 1: (B, parts) uniform numbers twice.

        Evenly drawn among all such pairs (Lin et al., 2020); with no gap they are independent. On a line here: the lower one leaves
        room for the gap, and which of the two is lower is as it was drawn.
        """
        low, high = (1 - gap) * np.minimum(u, v), gap + (1 - gap) * np.maximum(u, v)
        first = u <= v
        return np.where(first, low, high), np.where(first, high, low)

    @abc.abstractmethod
    def encode(self, values: Tensor) -> Tensor:
        """What a network is told: (B, *S) -> (B, W), of order one."""

    def between(self, first: Tensor, last: Tensor, share: Tensor) -> Tensor:
        """What a network is told on the way from one value to another: (B, *S) twice and (B,) in [0, 1] -> (B, W).

        Two classes fade into each other, an angle goes the short way round.
        """
        start, end = self.encode(first), self.encode(last)
        return start + (end - start) * share.unsqueeze(1)

    @abc.abstractmethod
    def posterior(self, params: Tensor) -> td.Distribution:
        """The recogniser's belief q(value | image): (B, P) -> batch (B,), event S."""

    @abc.abstractmethod
    def estimate(self, params: Tensor) -> Tensor:
        """The recogniser's best guess: (B, P) -> (B, *S)."""

    def belief(self, params: Tensor) -> Tensor:
        """What the recogniser believes as numbers that can be averaged over images, (B, P) -> (B, P): chances in [0, 1] where it chooses."""
        return params

    def believing(self, belief: Tensor) -> Tensor:
        """The params (B, P) of a recogniser that believes so: the inverse of ``belief``, but for what does not matter."""
        return belief

    def confidence(self, params: Tensor) -> Tensor:
        """How sure the recogniser is of its best guess, (B, P) -> (B,) in [0, 1]; 1 for kinds that state no doubt of their own."""
        return torch.ones_like(params[:, 0])

    def imbalance(self, params: Tensor, rows: Tensor, prior: Tensor | None = None) -> Tensor:
        """How far the mean belief over the ``rows`` (B,) of (B, P) is from the prior: their divergence in nats, 0 for kinds without classes.

        Another ``prior`` (K,) than its own may be given for a category.
        """
        return params.sum() * 0

    @abc.abstractmethod
    def elementwise(self, params: Tensor, values: Tensor) -> Tensor:
        """The tutorials' losses, (B,): squared error, or binary cross-entropy on each element."""

    def profile(self, params: Tensor, values: Tensor, present: Tensor) -> Tensor:
        """-log q(value | image) averaged over the rows ``present`` (B,), under the variance that fits them best, a scalar.

        For kinds whose posterior has a spread of its own it is the plain average. See ``best_gaussian`` for the others.
        """
        loss = -self.posterior(params).log_prob(values)
        return ranks.ratio(torch.where(present, loss, 0.0).sum(), present.sum())

    @abc.abstractmethod
    def spread(self, n: int, low: float | None = None, high: float | None = None) -> Tensor:
        """``n`` values that cover the prior, or the range asked for, (n, *S)."""

    @abc.abstractmethod
    def slider(self) -> dict[str, Any]:
        """The control a browser shows for it."""

    @abc.abstractmethod
    def parse(self, text: str) -> float:
        """One component of a value, as a person writes it."""

    def missing(self, values: Tensor) -> Tensor:
        """Which rows hold no value: (B, *S) -> (B,) bool."""
        return values.isnan().flatten(1).any(1)

    def entropy(self) -> float:
        """H(c) in nats; for continuous kinds the differential entropy."""
        return float(self.prior().entropy().sum())

    def information(self, params: Tensor, values: Tensor) -> float:
        """What the recogniser knows of the code: nats (at most H) if discrete, else R² (at most 1).

        Discrete: the variational bound H(c) + E[log q(c | x)] on the mutual information (Chen et al., 2016). Continuous:
        1 - E|c - ĉ|² / Var[c] on the encoding, since a bound under a fixed variance is not in nats.
        """
        if self.discrete:
            return self.entropy() + float(self.posterior(params).log_prob(values).mean())
        told, read = self.encode(values), self.encode(self.estimate(params))
        spread = (told - told.mean(0)).square().sum(1).mean()
        return float(1 - (told - read).square().sum(1).mean() / spread.clamp_min(1e-12))

    @property
    def ceiling(self) -> float:
        """The most ``information`` can be."""
        return self.entropy() if self.discrete else 1.0

    def to_dict(self) -> dict[str, Any]:
        """What a specification file says of it, without what is default."""
        fields = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)  # type: ignore[arg-type]
            if getattr(self, f.name) != f.default
        }
        return {"kind": self.name} | {
            k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()
        }

    def _number(self, text: str, wants: str, number: str | None = None) -> float:
        try:
            value = float(text if number is None else number)
        except ValueError:
            value = math.nan
        if not abs(value) <= LARGEST:
            raise CodeError(f"{text!r} is not a value of a {self.name} code; give {wants}.")
        return value


@dataclass(frozen=True)
class Vector(Kind):
    """A kind whose value is ``size`` numbers, by default each told, read and drawn by one column."""

    size: int = 1

    def __post_init__(self) -> None:
        check_size(self.name, self.size)

    @property
    def width(self) -> int:
        return self.size

    @property
    def params(self) -> int:
        return self.size

    @property
    def uniforms(self) -> int:
        return self.size

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)


def best_gaussian(error: Tensor, present: Tensor) -> Tensor:
    """Σ over dimensions of ½ log(2πe·E[error²]): the Gaussian loss at its best variance; (B, d), (B,) -> scalar.

    Under a fixed variance the loss of several codes is a trace: rotate the codes among each other and it stays the same, so nothing
    tells a knob from a mixture of two. A sum of logarithms is least where the errors are uncorrelated (Hadamard),
    which singles out the axes along which images differ most (Rolinek et al., 2019, say why autoencoders align).
    """
    rows = present.unsqueeze(1)
    mean = ranks.means(torch.where(rows, error.square(), 0.0).sum(0), present.sum())
    return 0.5 * (2 * math.pi * math.e * (mean + PROFILE_FLOOR)).log().sum()


def mean_over(rows: Tensor, beliefs: Tensor) -> Tensor:
    """The mean (K,) of the ``rows`` (B,) of (B, K); 0 where there are none."""
    return ranks.means((beliefs * rows.unsqueeze(1)).sum(0), rows.sum())


def check_size(kind: str, size: int, least: int = 1) -> None:
    if not isinstance(size, int) or isinstance(size, bool) or not least <= size <= MOST_SIZE:
        raise CodeError(
            f"{kind} needs a size from {least} to {MOST_SIZE:,}, given {size!r}; give one, as {kind}(10)."
        )


def evenly(n: int, low: float, high: float, size: int) -> Tensor:
    """``n`` values from low to high, each repeated over the components, (n, size)."""
    values = torch.linspace(low, high, n) if n > 1 else torch.tensor([(low + high) / 2])
    return values.unsqueeze(1).expand(n, size).clone()
