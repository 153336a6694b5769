"""How much of the variance of a continuous code can be read back from drawn images: R² = 1 - E|c - ĉ|² / Var[c].

``r2/CODE``. Of a discovered code the model's own recogniser is asked, since a bound under a fixed variance is not in nats; floor 0,
ceiling 1. Of a given number the judge is asked, which never saw a drawn image: what it measures against what was ordered; the ceiling is
the judge on real test images, and a generator that ignores the order may score far below 0. Cost: one pass of critic and judge.
"""

from __future__ import annotations

from torch import Tensor

from gander.study import CannotMeasure, Figure, Study
from gander.study.ordered import numbers

BLIND = 0.05  # R² of the judge on real test images, below which it is no judge


def measure(study: Study) -> dict[str, Figure]:
    """One figure per continuous code that is recognised or given. Raises ``CannotMeasure``."""
    figures = {}
    for number in numbers(study):
        if explained(number.truth, number.judged) < BLIND:
            raise CannotMeasure(f"the judge cannot tell {number.column} of real test images either")
        figures[f"r2/{number.name}"] = Figure(
            explained(number.ordered, number.measured),
            0.0,
            explained(number.truth, number.judged),
            f"{number.column} ordered and judged",
        )
    spec = study.model.spec
    discovered = [c for c in spec.recognised if c.is_discovered and not c.resolved.discrete]
    if discovered and study.model.critic is not None:
        for code in discovered:
            figures[f"r2/{code.name}"] = Figure(
                study.information[code.name], 0.0, 1.0, "read in drawn images"
            )
    if not figures:
        raise CannotMeasure("no continuous code is given or recognised")
    return figures


def explained(truth: Tensor, read: Tensor) -> float:
    """R² of (N,) readings of (N,) numbers, the truth's own mean being worth 0."""
    y, x = truth.double(), read.double()
    return float(1 - (y - x).square().mean() / (y - y.mean()).square().mean().clamp_min(1e-12))
