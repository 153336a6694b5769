"""Whether a given number is drawn as large as it was ordered: the slope of what is measured on what was ordered.

``calibration/CODE``: 1 is right, 0 ignores the order, below 1 is timid, above 1 exaggerates; there is no ceiling, and the judge's own
slope on real test images stands beside it. ``calibration_error/CODE``: orders are sorted into ten bins of equal count, and the mean
distance between the mean ordered and the mean measured is given in standard deviations of the label (the expected calibration error
of Guo et al., 2017, for a regression label); as many real images score its floor, by the judge's own error. Cost: one pass of the judge.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gander import rng
from gander.study import CannotMeasure, Figure, Study
from gander.study.ordered import numbers

BINS = 10


def measure(study: Study) -> dict[str, Figure]:
    """Two figures per given number. Raises ``CannotMeasure``."""
    figures = {}
    for number in numbers(study):
        real = slope(number.truth, number.judged)
        figures[f"calibration/{number.name}"] = Figure(
            slope(number.ordered, number.measured),
            0.0,
            None,
            f"{number.column} measured per {number.column} ordered; 1 is right, real images {real:.3f}",
        )
        # As many of each, since the fewer images a bin has the further its mean is off by chance alone.
        count = min(len(number.ordered), len(number.truth))
        order = rng.permutation(0, "calibration", 0, len(number.truth))
        rows = torch.from_numpy(order[:count])
        deviation = float(number.truth.double().std(unbiased=False))
        figures[f"calibration_error/{number.name}"] = Figure(
            bias(number.ordered[:count], number.measured[:count], deviation),
            bias(number.truth[rows], number.judged[rows], deviation),
            None,
            f"standard deviations of {number.column}, over {BINS} bins",
            floor_is="real",
        )
    if not figures:
        raise CannotMeasure("no number is ordered: the model has no given continuous code")
    return figures


def slope(ordered: Tensor, measured: Tensor) -> float:
    """Of the least-squares line through (N,) and (N,) numbers; 0 where nothing was varied."""
    x, y = ordered.double() - ordered.double().mean(), measured.double()
    spread = float(x.square().sum())
    return float((x * y).sum()) / spread if spread > 0 else 0.0


def bias(ordered: Tensor, measured: Tensor, deviation: float) -> float:
    """The mean over bins of |mean measured - mean ordered|, in units of ``deviation``."""
    order = torch.argsort(ordered, stable=True)
    gaps = (measured.double() - ordered.double())[order]
    means = torch.stack([part.mean() for part in torch.tensor_split(gaps, BINS) if len(part)])
    return float(means.abs().mean()) / max(deviation, 1e-12)
