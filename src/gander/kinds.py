"""What a variable *is*: how it is drawn, written down for the generator, and read back.

Shapes used throughout: B batch, S the shape of one value, W ``width``, P ``params``, U ``uniforms``.

A kind is a frozen dataclass. Adding one (and its name in ``KINDS``) is all it takes: specification files, ``--set``,
sweeps, sliders, the recogniser's head, its loss and the law tests follow.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch import distributions as td

from gander import rng
from gander.errors import CodeError, choose

PROFILE_FLOOR = (
    3e-3  # squared error, in units of the encoding, below which reading better earns nothing
)
QUANTILES = 65  # knots kept of a continuous column, enough to redraw its distribution


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

    @abc.abstractmethod
    def prior(self) -> td.Distribution:
        """The distribution values are drawn from, over one value."""

    @abc.abstractmethod
    def draw(self, u: np.ndarray) -> Tensor:
        """Uniform numbers (B, U) to values of the prior (B, *S)."""

    @abc.abstractmethod
    def encode(self, values: Tensor) -> Tensor:
        """What a network is told: (B, *S) -> (B, W), of order one."""

    @abc.abstractmethod
    def posterior(self, params: Tensor) -> td.Distribution:
        """The recogniser's belief q(value | image): (B, P) -> batch (B,), event S."""

    @abc.abstractmethod
    def estimate(self, params: Tensor) -> Tensor:
        """The recogniser's best guess: (B, P) -> (B, *S)."""

    @abc.abstractmethod
    def elementwise(self, params: Tensor, values: Tensor) -> Tensor:
        """The tutorials' losses, (B,): squared error, or binary cross-entropy on each element."""

    def profile(self, params: Tensor, values: Tensor, present: Tensor) -> Tensor:
        """-log q(value | image) averaged over the rows ``present`` (B,), under the variance that fits them best, a scalar.

        For kinds whose posterior has a spread of its own it is the plain average. See ``_profile`` for the others.
        """
        loss = -self.posterior(params).log_prob(values)
        return torch.where(present, loss, 0.0).sum() / present.sum().clamp_min(1)

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
        if not math.isfinite(value):
            raise CodeError(f"{text!r} is not a value of a {self.name} code; give {wants}.")
        return value


def _profile(error: Tensor, present: Tensor) -> Tensor:
    """Σ over dimensions of ½ log(2πe·E[error²]): the Gaussian loss at its best variance; (B, d), (B,) -> scalar.

    Under a fixed variance the loss of several codes is a trace: rotate the codes among each other and it stays the same, so nothing
    tells a knob from a mixture of two. A sum of logarithms is least where the errors are uncorrelated (Hadamard),
    which singles out the axes along which images differ most (Rolinek et al., 2019, say why autoencoders align).
    """
    rows = present.unsqueeze(1)
    mean = torch.where(rows, error.square(), 0.0).sum(0) / present.sum().clamp_min(1)
    return 0.5 * (2 * math.pi * math.e * (mean + PROFILE_FLOOR)).log().sum()


def _check_size(kind: str, size: int, least: int = 1) -> None:
    if not isinstance(size, int) or isinstance(size, bool) or size < least:
        raise CodeError(f"{kind} needs size >= {least}, given {size!r}.")


def _line(n: int, low: float, high: float, size: int) -> Tensor:
    values = torch.linspace(low, high, n) if n > 1 else torch.tensor([(low + high) / 2])
    return values.unsqueeze(1).expand(n, size).clone()


@dataclass(frozen=True)
class Gaussian(Kind):
    """``size`` independent standard normals; the recogniser states means under unit variance."""

    size: int = 1
    name: ClassVar[str] = "gaussian"

    def __post_init__(self) -> None:
        _check_size(self.name, self.size)

    @property
    def width(self) -> int:
        return self.size

    @property
    def params(self) -> int:
        return self.size

    @property
    def uniforms(self) -> int:
        return 2 * ((self.size + 1) // 2)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    def prior(self) -> td.Distribution:
        return td.Independent(td.Normal(torch.zeros(self.size), torch.ones(self.size)), 1)

    def draw(self, u: np.ndarray) -> Tensor:
        return rng.tensor(rng.normals(u)[:, : self.size])

    def encode(self, values: Tensor) -> Tensor:
        return values

    def posterior(self, params: Tensor) -> td.Distribution:
        return td.Independent(td.Normal(params, torch.ones_like(params)), 1)

    def estimate(self, params: Tensor) -> Tensor:
        return params

    def elementwise(self, params: Tensor, values: Tensor) -> Tensor:
        return (params - values).square().mean(1)

    def profile(self, params: Tensor, values: Tensor, present: Tensor) -> Tensor:
        return _profile(params - values, present)

    def spread(self, n: int, low: float | None = None, high: float | None = None) -> Tensor:
        return _line(n, -2.0 if low is None else low, 2.0 if high is None else high, self.size)

    def slider(self) -> dict[str, Any]:
        return {"type": "range", "low": -3.0, "high": 3.0, "start": 0.0, "size": self.size}

    def parse(self, text: str) -> float:
        return self._number(text, "a number, usually between -2 and 2")


@dataclass(frozen=True)
class Uniform(Kind):
    """``size`` independent numbers between ``low`` and ``high``, told to the networks as -1 to 1.

    A regression label is the same kind with the data's own ``quantiles``, evenly spaced in probability: it is drawn as
    the data set has it. The recogniser states means under unit variance of the encoding.
    """

    size: int = 1
    low: float = -1.0
    high: float = 1.0
    quantiles: tuple[float, ...] | None = None
    name: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        _check_size(self.name, self.size)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise CodeError(f"uniform needs low < high, given {self.low} and {self.high}.")
        if self.quantiles is not None:
            rises = all(a <= b for a, b in zip(self.quantiles, self.quantiles[1:], strict=False))
            inside = rises and self.low <= self.quantiles[0] and self.quantiles[-1] <= self.high
            if self.size != 1 or len(self.quantiles) < 2 or not inside:
                raise CodeError(
                    "quantiles are for one number (size = 1): at least two, rising, within low and high."
                )

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

    @property
    def half(self) -> float:
        """Half the range, in the value's own unit."""
        return (self.high - self.low) / 2

    def prior(self) -> td.Distribution:
        one = torch.ones(self.size)
        return td.Independent(td.Uniform(self.low * one, self.high * one, validate_args=False), 1)

    def draw(self, u: np.ndarray) -> Tensor:
        if self.quantiles is None:
            return rng.tensor(self.low + (self.high - self.low) * u)
        knots = np.linspace(0, 1, len(self.quantiles))
        return rng.tensor(np.interp(u, knots, np.asarray(self.quantiles)))

    def encode(self, values: Tensor) -> Tensor:
        return (values - self.low) / self.half - 1

    def posterior(self, params: Tensor) -> td.Distribution:
        scale = torch.full_like(params, self.half)
        return td.Independent(td.Normal(self.estimate(params), scale), 1)

    def estimate(self, params: Tensor) -> Tensor:
        return self.low + (params + 1) * self.half

    def elementwise(self, params: Tensor, values: Tensor) -> Tensor:
        return (params - self.encode(values)).square().mean(1)

    def profile(self, params: Tensor, values: Tensor, present: Tensor) -> Tensor:
        error = params - self.encode(values)
        return _profile(error, present) + self.size * math.log(self.half)

    def spread(self, n: int, low: float | None = None, high: float | None = None) -> Tensor:
        first = self.low if low is None else low
        return _line(n, first, self.high if high is None else high, self.size)

    def slider(self) -> dict[str, Any]:
        middle = (self.low + self.high) / 2
        return {
            "type": "range",
            "low": self.low,
            "high": self.high,
            "start": middle,
            "size": self.size,
        }

    def parse(self, text: str) -> float:
        return self._number(text, f"a number, usually between {self.low:g} and {self.high:g}")


@dataclass(frozen=True)
class Categorical(Kind):
    """One of ``size`` classes, a value is a class index; ``probs`` where they are not equally likely."""

    size: int
    probs: tuple[float, ...] | None = None
    names: tuple[str, ...] = ()
    name: ClassVar[str] = "categorical"
    discrete: ClassVar[bool] = True
    MISSING: ClassVar[float] = -1

    def __post_init__(self) -> None:
        _check_size(self.name, self.size, 2)
        if self.probs is not None:
            bad = len(self.probs) != self.size or any(not 0 <= p <= 1 for p in self.probs)
            if bad or abs(sum(self.probs) - 1) > 1e-3:
                raise CodeError(
                    f"probs must be {self.size} numbers in [0, 1] that sum to 1, "
                    f"given {len(self.probs)} with sum {sum(self.probs):g}."
                )
        if self.names and len(self.names) != self.size:
            raise CodeError(f"{self.size} classes but {len(self.names)} names.")

    @property
    def width(self) -> int:
        return self.size

    @property
    def params(self) -> int:
        return self.size

    @property
    def uniforms(self) -> int:
        return 1

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    def _probs(self) -> Tensor:
        return torch.tensor(self.probs or (1.0,) * self.size, dtype=torch.float64)

    def prior(self) -> td.Distribution:
        return td.Categorical(probs=self._probs())

    def draw(self, u: np.ndarray) -> Tensor:
        edges = np.cumsum(self._probs().numpy())
        classes = np.searchsorted(edges / edges[-1], u[:, 0], side="right")
        return rng.tensor(np.minimum(classes, self.size - 1), torch.int64)

    def encode(self, values: Tensor) -> Tensor:
        return F.one_hot(values, self.size).float()

    def posterior(self, params: Tensor) -> td.Distribution:
        return td.Categorical(logits=params, validate_args=False)

    def estimate(self, params: Tensor) -> Tensor:
        return params.argmax(1)

    def elementwise(self, params: Tensor, values: Tensor) -> Tensor:
        # The tutorials put the softmax in the network and binary cross-entropy on its output; we
        # do the same from logits, with log(1 - p) written so that it cannot overflow.
        log_p = params.log_softmax(1)
        log_rest = torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))
        told = self.encode(values)
        return -(told * log_p + (1 - told) * log_rest).mean(1)

    def missing(self, values: Tensor) -> Tensor:
        return values < 0

    def spread(self, n: int, low: float | None = None, high: float | None = None) -> Tensor:
        end = self.size - 1
        first = 0 if low is None else min(end, max(0, round(low)))
        last = end if high is None else min(end, round(high))
        return first + torch.arange(n) % max(1, last - first + 1)

    def slider(self) -> dict[str, Any]:
        names = list(self.names) or [str(i) for i in range(self.size)]
        return {"type": "choice", "options": names, "start": 0}

    def parse(self, text: str) -> float:
        if text in self.names:
            return float(self.names.index(text))
        if text.isdecimal() and int(text) < self.size:
            return float(text)
        named = f" ({choose(text, self.names, 'class name')})" if self.names else ""
        raise CodeError(
            f"{text!r} is not one of the {self.size} classes; "
            f"give an index from 0 to {self.size - 1}{' or a name' if self.names else ''}.{named}"
        )


@dataclass(frozen=True)
class Binary(Kind):
    """``size`` independent switches, each 0 or 1; ``probs`` are the chances of 1. Also a multi-label column."""

    size: int = 1
    probs: tuple[float, ...] | None = None
    names: tuple[str, ...] = ()
    name: ClassVar[str] = "binary"
    discrete: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_size(self.name, self.size)
        if self.probs is not None and (
            len(self.probs) != self.size or any(not 0 <= p <= 1 for p in self.probs)
        ):
            raise CodeError(f"probs of a binary code must be {self.size} numbers in [0, 1].")
        if self.names and len(self.names) != self.size:
            raise CodeError(f"{self.size} switches but {len(self.names)} names.")

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

    def _probs(self) -> Tensor:
        return torch.tensor(self.probs or (0.5,) * self.size)

    def prior(self) -> td.Distribution:
        return td.Independent(td.Bernoulli(probs=self._probs(), validate_args=False), 1)

    def draw(self, u: np.ndarray) -> Tensor:
        return rng.tensor(u < self._probs().numpy().astype(np.float64))

    def encode(self, values: Tensor) -> Tensor:
        return 2 * values - 1

    def posterior(self, params: Tensor) -> td.Distribution:
        return td.Independent(td.Bernoulli(logits=params, validate_args=False), 1)

    def estimate(self, params: Tensor) -> Tensor:
        return (params > 0).to(params.dtype)

    def elementwise(self, params: Tensor, values: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(params, values, reduction="none").mean(1)

    def spread(self, n: int, low: float | None = None, high: float | None = None) -> Tensor:
        first = 0 if low is None else max(0, min(1, round(low)))
        last = 1 if high is None else max(0, min(1, round(high)))
        turns = torch.arange(n) % 2 if first != last else torch.zeros(n)
        return (first + turns * (last - first)).float().unsqueeze(1).expand(n, self.size).clone()

    def slider(self) -> dict[str, Any]:
        names = list(self.names) or [str(i) for i in range(self.size)]
        return {"type": "switch", "options": names, "start": 0, "size": self.size}

    def parse(self, text: str) -> float:
        words = {"0": 0.0, "1": 1.0, "off": 0.0, "on": 1.0, "no": 0.0, "yes": 1.0}
        words |= {"false": 0.0, "true": 1.0}
        if text.lower() not in words:
            raise CodeError(f"{text!r} is not a switch; give 0 or 1 (or off/on, no/yes).")
        return words[text.lower()]


@dataclass(frozen=True)
class Circular(Kind):
    """``size`` angles in radians, -π to π; told as (cos, sin) and read back as a von Mises belief."""

    size: int = 1
    name: ClassVar[str] = "circular"

    def __post_init__(self) -> None:
        _check_size(self.name, self.size)

    @property
    def width(self) -> int:
        return 2 * self.size

    @property
    def params(self) -> int:
        return 2 * self.size

    @property
    def uniforms(self) -> int:
        return self.size

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    def prior(self) -> td.Distribution:
        turn = torch.full((self.size,), math.pi)
        return td.Independent(td.Uniform(-turn, turn, validate_args=False), 1)

    def draw(self, u: np.ndarray) -> Tensor:
        return rng.tensor((2 * u - 1) * np.pi)

    def encode(self, values: Tensor) -> Tensor:
        return torch.cat([values.cos(), values.sin()], dim=1)

    def posterior(self, params: Tensor) -> td.Distribution:
        # The params are the natural parameters κ·(cos μ, sin μ). The small constant keeps the
        # gradient of the norm and of atan2 finite where the recogniser has no opinion.
        x, y = params.chunk(2, dim=1)
        concentration = (x.square() + y.square() + 1e-6).sqrt()
        return td.Independent(
            td.VonMises(self.estimate(params), concentration, validate_args=False), 1
        )

    def estimate(self, params: Tensor) -> Tensor:
        x, y = params.chunk(2, dim=1)
        return torch.atan2(y, torch.where((x == 0) & (y == 0), x + 1e-6, x))

    def elementwise(self, params: Tensor, values: Tensor) -> Tensor:
        return (params - self.encode(values)).square().mean(1)

    def spread(self, n: int, low: float | None = None, high: float | None = None) -> Tensor:
        if low is None and high is None:  # once round, without showing the seam twice
            return _line(n + 1, -math.pi, math.pi, self.size)[:-1]
        first = -math.pi if low is None else low
        return _line(n, first, math.pi if high is None else high, self.size)

    def slider(self) -> dict[str, Any]:
        return {"type": "dial", "low": -math.pi, "high": math.pi, "start": 0.0, "size": self.size}

    def parse(self, text: str) -> float:
        if text.endswith(("°", "deg")):
            number = text.removesuffix("°").removesuffix("deg")
            return math.radians(self._number(text, "an angle, as 90deg", number))
        return self._number(text, "an angle in radians (-3.14 to 3.14) or in degrees, as 90deg")


KINDS: dict[str, type[Kind]] = {
    kind.name: kind for kind in (Gaussian, Uniform, Categorical, Binary, Circular)
}


def from_dict(fields: dict[str, Any], what: str = "code") -> Kind:
    """A kind from what a specification file says of it; the inverse of ``Kind.to_dict``."""
    fields = dict(fields)
    name = fields.pop("kind", None)
    if not isinstance(name, str) or name not in KINDS:
        raise CodeError(f"{what}: {choose(str(name), KINDS, 'kind')}")
    cls = KINDS[name]
    valid = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in fields:
        if key not in valid:
            raise CodeError(f"{what}: {choose(key, valid, f'setting of a {name} code')}")
    try:
        for key, value in fields.items():
            if isinstance(value, list):
                fields[key] = tuple(value)
            elif key in ("low", "high"):
                fields[key] = float(value)
        return cls(**fields)
    except (TypeError, ValueError) as error:
        raise CodeError(f"{what}: a {name} code cannot be made of {fields}: {error}.") from None


def of_column(sort: str, values: Tensor, names: tuple[str, ...]) -> Kind:
    """The kind of a data set's column, with the data's own frequencies.

    ``values``: (N,) int64 classes with -1 missing, (N,) float numbers or angles with NaN missing, or (N, M) 0/1.
    """
    nan = values.isnan().unsqueeze(1).flatten(1).any(1)
    known = values >= 0 if sort == "categorical" else ~nan
    if not known.any():
        raise CodeError("this column holds no value in any row, so there is nothing to steer.")
    values = values[known]
    if sort == "categorical":
        counts = torch.bincount(values, minlength=max(2, len(names))).double()
        probs = counts / counts.sum()
        names = names if len(names) == len(counts) else ()
        return Categorical(len(counts), tuple(round(p, 9) for p in probs.tolist()), names)
    if sort == "multilabel":
        return Binary(values.shape[1], tuple(round(p, 9) for p in values.mean(0).tolist()), names)
    if sort == "angle":
        return Circular()
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise CodeError("this column holds one number only, so there is nothing to steer.")
    every = -(-len(values) // 1_000_000)  # torch.quantile takes no more than a few millions
    at = torch.linspace(0, 1, QUANTILES, dtype=torch.float64)
    knots = torch.quantile(values[::every].double(), at)
    inside = tuple(min(max(float(f"{q:.9g}"), low), high) for q in knots.tolist())
    return Uniform(1, low, high, inside)
