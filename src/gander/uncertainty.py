"""How sure the recogniser is: entropies of what it says of choices, and for numbers the error it is known to make.

A category or a switch states its own doubt, the entropy of its probabilities. A number is stated under a fixed variance, which
says nothing, so the error is measured: images are drawn whose codes are known, read back, and the root mean square error
is learned as a function of the reading. For an angle, whose recogniser states a concentration (von Mises), it is
learned as a function of that. Calibrated on drawn images: real ones may be read worse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gander.code import Code
from gander.kinds import Circular
from gander.model import Model

DRAWN = 2000  # images the error is learned from
BINS = 16  # of equally many readings each
LEAST_RESULTANT = 1e-4  # of angles that point everywhere; their deviation would be infinite
FURTHEST = 1e6  # concentration beyond which a deviation is as good as none


@dataclass(frozen=True)
class Curve:
    """The error of one number as a function of what is read: straight between knots, constant beyond the last."""

    knots: np.ndarray
    """(m,), rising."""
    errors: np.ndarray
    """(m,), in the code's own unit; radians for an angle."""

    def at(self, places: Tensor) -> Tensor:
        """(N,) -> (N,) float32."""
        found = np.interp(places.double().numpy(), self.knots, self.errors)
        return torch.from_numpy(found).float()


@dataclass(frozen=True)
class Doubt:
    """The errors of every code that is a number, by the name of the code and one curve for each of its parts."""

    curves: dict[str, tuple[Curve, ...]]

    def of(self, code: Code, params: Tensor) -> Tensor:
        """The standard deviation of each reading of ``code``: params (N, P) -> (N, d), in the code's own unit."""
        places = _places(code, params)
        parts = [curve.at(places[:, k]) for k, curve in enumerate(self.curves[code.name])]
        return torch.stack(parts, dim=1)


def entropy(code: Code, params: Tensor) -> Tensor:
    """In nats: of a category's probabilities (N,), of each of a code's switches (N, d)."""
    if code.resolved.name == "categorical":
        log_p = params.double().log_softmax(1)
        return -(log_p.exp() * log_p).sum(1).float()
    logits = params.double()
    log_on = torch.nn.functional.logsigmoid(logits)
    log_off = torch.nn.functional.logsigmoid(-logits)
    return -(log_on.exp() * log_on + log_off.exp() * log_off).float()


def calibrated(model: Model, drawn: int | None = None) -> Doubt:
    """What the errors are, from ``drawn`` (2,000) images of the model itself; nothing is drawn where no code is a number."""
    numbers = [code for code in model.spec.recognised if not code.resolved.discrete]
    if not numbers:
        return Doubt({})
    values = model.values(range(drawn or DRAWN))
    raw = model.read_raw(model.render(values))
    curves = {}
    for code in numbers:
        places = _places(code, raw[code.name])
        errors = code.resolved.estimate(raw[code.name]) - values[code.name]
        turns = isinstance(code.resolved, Circular)
        curves[code.name] = tuple(
            _curve(places[:, k].double().numpy(), errors[:, k].double().numpy(), turns)
            for k in range(places.shape[1])
        )
    return Doubt(curves)


def _places(code: Code, params: Tensor) -> Tensor:
    """What the error is a function of, (N, d): the reading, or the deviation that an angle's own concentration states."""
    if not isinstance(code.resolved, Circular):
        return code.resolved.estimate(params)
    x, y = params.double().chunk(2, dim=1)
    concentration = (x.square() + y.square()).sqrt().clamp(1e-9, FURTHEST)
    return _deviation(torch.special.i1e(concentration) / torch.special.i0e(concentration))


def _deviation(resultant: Tensor) -> Tensor:
    """The circular standard deviation √(-2 ln R) in radians of angles with mean resultant length R."""
    return (-2 * resultant.clamp(LEAST_RESULTANT, 1.0).log()).clamp_min(0).sqrt()


def _curve(places: np.ndarray, errors: np.ndarray, turns: bool) -> Curve:
    """Root mean square errors in bins of equally many readings, each smoothed with its neighbours."""
    order = np.argsort(places, kind="stable")
    bins = np.array_split(order, min(BINS, max(1, len(order) // 8)))
    knots = np.array([np.median(places[rows]) for rows in bins])
    # What is averaged is 1 - cos for an angle, the square for a number; both are smoothed before the root.
    losses = 1 - np.cos(errors) if turns else errors**2
    means = np.array([losses[rows].mean() for rows in bins])
    padded = np.concatenate([means[:1], means, means[-1:]])
    smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    if turns:
        return Curve(knots, _deviation(torch.from_numpy(1 - smooth)).numpy())
    return Curve(knots, np.sqrt(smooth))
