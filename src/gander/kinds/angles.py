"""Angles: what comes round again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch import distributions as td

from gander import rng
from gander.kinds.kind import Vector, evenly


@dataclass(frozen=True)
class Circular(Vector):
    """``size`` angles in radians, -π to π; told as (cos, sin) and read back as a von Mises belief."""

    name: ClassVar[str] = "circular"

    @property
    def width(self) -> int:
        return 2 * self.size

    @property
    def params(self) -> int:
        return 2 * self.size

    def prior(self) -> td.Distribution:
        turn = torch.full((self.size,), math.pi)
        return td.Independent(td.Uniform(-turn, turn, validate_args=False), 1)

    def draw(self, u: np.ndarray) -> Tensor:
        return rng.tensor((2 * u - 1) * np.pi)

    def apart(self, u: np.ndarray, v: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray]:
        # the short way round: nothing is farther than half a turn
        return u, (u + gap / 2 + (1 - gap) * v) % 1.0

    def encode(self, values: Tensor) -> Tensor:
        return torch.cat([values.cos(), values.sin()], dim=1)

    def between(self, first: Tensor, last: Tensor, share: Tensor) -> Tensor:
        turn = torch.remainder(last - first + math.pi, 2 * math.pi) - math.pi
        return self.encode(first + turn * share.unsqueeze(1))

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
            return evenly(n + 1, -math.pi, math.pi, self.size)[:-1]
        first = -math.pi if low is None else low
        return evenly(n, first, math.pi if high is None else high, self.size)

    def slider(self) -> dict[str, Any]:
        return {"type": "dial", "low": -math.pi, "high": math.pi, "start": 0.0, "size": self.size}

    def parse(self, text: str) -> float:
        if text.endswith(("°", "deg")):
            number = text.removesuffix("°").removesuffix("deg")
            return math.radians(self._number(text, "an angle, as 90deg", number))
        return self._number(text, "an angle in radians (-3.14 to 3.14) or in degrees, as 90deg")
