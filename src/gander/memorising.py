"""Whether a critic knows its training images by heart: what it says of them beside what it says of images held out.

A critic that has learnt what real images are like says the same of both; one that has learnt its images by heart takes unseen real
images for generated ones. Nobody else need be asked, and the generator may still be fine: it is what the generator hears that is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gander.code import Told, Values
from gander.codes import CodeSpec
from gander.critic import Critic
from gander.data import Data
from gander.images import to_unit

PASS = 256  # images judged at once
SURE = 2.0  # standard errors from which a difference counts as one
TOLD = 6.0  # standard errors: a share of anything smaller is mostly chance


def on_real(critic: Critic, spec: CodeSpec, data: Data, rows: Tensor) -> Tensor:
    """The logits of those rows of real images, plain and with their own labels, (N,) float64 on the host.

    A row without a label is judged without it, as in training. ``data`` has every given column.
    """
    columns = {c.given: data.columns[c.given].values[rows] for c in spec.given if c.given}
    known = spec.known(columns)
    values = spec.overlay(spec.draw_at(range(len(rows))), known)
    return _logits(critic, data.images[rows], spec.reveal(values, known), real=True)


def on_drawn(critic: Critic, spec: CodeSpec, images: Tensor, values: Values) -> Tensor:
    """The logits of drawn images (N, C, H, W) uint8, each with the codes it was drawn from, (N,) float64 on the host."""
    return _logits(critic, images, spec.reveal(values, {}), real=False)


@torch.no_grad()
def _logits(critic: Critic, images: Tensor, told: dict[str, Told], real: bool) -> Tensor:
    device = next(critic.parameters()).device
    parts = [torch.empty(0, dtype=torch.float64)]
    for first in range(0, len(images), PASS):
        rows = slice(first, first + PASS)
        beside = {
            name: Told(one.encoding[rows].to(device), one.known[rows].to(device))
            for name, one in told.items()
        }
        verdict = critic(to_unit(images[rows].to(device)), beside, real=real)
        parts.append(verdict.logit.double().cpu())
    return torch.cat(parts)


@dataclass(frozen=True)
class Gap:
    """The critic's logits (N,) of training images, of real images held out and of drawn ones; and how far they lie apart."""

    train: Tensor
    held_out: Tensor
    drawn: Tensor

    @property
    def logits(self) -> tuple[float, float]:
        """How much higher training images score than held-out ones, in logits, and its standard error."""
        return _difference(self.train, self.held_out)

    @property
    def told(self) -> bool:
        """Whether drawn images score clearly lower than training images; else there is nothing for a share to be of."""
        whole, error = _difference(self.train, self.drawn)
        return whole > TOLD * error

    @property
    def share(self) -> tuple[float, float]:
        """(E D(train) - E D(held out)) / (E D(train) - E D(drawn)) and its standard error, to first order (Karras et al., 2020: r_v)."""
        a, b, c = (float(x.mean()) for x in (self.train, self.held_out, self.drawn))
        whole = a - c
        slopes = ((b - c) / whole**2, -1 / whole, (a - b) / whole**2)
        sides = zip(slopes, (self.train, self.held_out, self.drawn), strict=True)
        return (a - b) / whole, math.sqrt(sum(s**2 * _error(x) ** 2 for s, x in sides))


def _error(logits: Tensor) -> float:
    """The standard error of the mean."""
    return float(logits.std()) / math.sqrt(len(logits))


def _difference(one: Tensor, other: Tensor) -> tuple[float, float]:
    return float(one.mean() - other.mean()), math.hypot(_error(one), _error(other))
