"""Numbers: normal or within a range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor
from torch import distributions as td

from gander import rng
from gander.errors import CodeError
from gander.kinds.kind import Vector, best_gaussian, evenly

ENDS = 1e-9  # of a distribution, that are left out
FARTHEST = 1e30  # from zero that a range may go: its width is computed in single precision


@dataclass(frozen=True)
class Gaussian(Vector):
    """``size`` independent standard normals; the recogniser states means under unit variance."""

    name: ClassVar[str] = "gaussian"

    @property
    def uniforms(self) -> int:
        return 2 * ((self.size + 1) // 2)

    def prior(self) -> td.Distribution:
        return td.Independent(td.Normal(torch.zeros(self.size), torch.ones(self.size)), 1)

    def draw(self, u: np.ndarray) -> Tensor:
        return rng.tensor(rng.normals(u)[:, : self.size])

    def at(self, places: np.ndarray) -> Tensor:
        # not of 0 and 1 themselves, where the normal distribution never ends
        inside = torch.from_numpy(places.clip(ENDS, 1 - ENDS))
        of_one = cast("td.Independent[td.Normal]", self.prior()).base_dist
        values: Tensor = of_one.icdf(inside)  # type: ignore[no-untyped-call]
        return values.to(torch.float32)

    def encode(self, values: Tensor) -> Tensor:
        return values

    def between(self, first: Tensor, last: Tensor, share: Tensor) -> Tensor:
        # Halfway between two draws of many normals a straight line passes too near to the origin, where no draw
        # is, so the length follows its own straight line (White, "Sampling generative networks", 2016).
        straight: Tensor = super().between(first, last, share)
        if self.size == 1:
            return straight
        lengths: Tensor = torch.lerp(first.norm(dim=1), last.norm(dim=1), share)
        scale: Tensor = lengths / straight.norm(dim=1).clamp_min(1e-6)
        return straight * scale.unsqueeze(1)

    def posterior(self, params: Tensor) -> td.Distribution:
        return td.Independent(td.Normal(params, torch.ones_like(params), validate_args=False), 1)

    def estimate(self, params: Tensor) -> Tensor:
        return params

    def elementwise(self, params: Tensor, values: Tensor) -> Tensor:
        return (params - values).square().mean(1)

    def profile(self, params: Tensor, values: Tensor, present: Tensor) -> Tensor:
        return best_gaussian(params - values, present)

    def spread(self, n: int, low: float | None = None, high: float | None = None) -> Tensor:
        return evenly(n, -2.0 if low is None else low, 2.0 if high is None else high, self.size)

    def slider(self) -> dict[str, Any]:
        return {"type": "range", "low": -3.0, "high": 3.0, "start": 0.0, "size": self.size}

    def parse(self, text: str) -> float:
        return self._number(text, "a number, usually between -2 and 2")


@dataclass(frozen=True)
class Uniform(Vector):
    """``size`` independent numbers between ``low`` and ``high``, told to the networks as -1 to 1.

    A regression label is the same kind with the data's own ``quantiles``, evenly spaced in probability: it is drawn as
    the data set has it. The recogniser states means under unit variance of the encoding.
    """

    low: float = -1.0
    high: float = 1.0
    quantiles: tuple[float, ...] | None = None
    name: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        least, most = np.float32(max(-FARTHEST, self.low)), np.float32(min(FARTHEST, self.high))
        if not (self.low >= -FARTHEST and self.high <= FARTHEST and least < most):
            raise CodeError(
                f"uniform goes from a low number to a higher one, within ±{FARTHEST:.0e} and apart in single precision, given "
                f"{self.low:.10g} and {self.high:.10g}; give them, as uniform(-1,1)."
            )
        if self.quantiles is not None:
            rises = all(a <= b for a, b in zip(self.quantiles, self.quantiles[1:], strict=False))
            inside = rises and self.low <= self.quantiles[0] and self.quantiles[-1] <= self.high
            if self.size != 1 or len(self.quantiles) < 2 or not inside:
                raise CodeError(
                    "quantiles are for one number (size = 1): at least two, rising, within low and high."
                )

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
        return td.Independent(td.Normal(self.estimate(params), scale, validate_args=False), 1)

    def estimate(self, params: Tensor) -> Tensor:
        return self.low + (params + 1) * self.half

    def elementwise(self, params: Tensor, values: Tensor) -> Tensor:
        return (params - self.encode(values)).square().mean(1)

    def profile(self, params: Tensor, values: Tensor, present: Tensor) -> Tensor:
        error = params - self.encode(values)
        return best_gaussian(error, present) + self.size * math.log(self.half)

    def spread(self, n: int, low: float | None = None, high: float | None = None) -> Tensor:
        first = self.low if low is None else low
        return evenly(n, first, self.high if high is None else high, self.size)

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
