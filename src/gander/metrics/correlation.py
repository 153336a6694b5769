"""How closely a continuous code follows a measured property of the image: Pearson's r.

For a given number: what was ordered against what the judge measures in the drawn images (ceiling: the judge on real test
images). For a discovered code: each is matched to one recorded factor, the assignment of largest |r| (``correlation/CODE`` is the
recogniser's reading of real test images against the recorded factor; ``steering/CODE`` what was ordered against what the judge
measures in drawn images; ``steering_worst_class/CODE`` the same within the class where it is weakest, its sign counted against the whole:
below zero, that class turns the other way). Floor 0, ceiling 1 or the judge's. Cost: one pass of judge and critic.
"""

from __future__ import annotations

import math
from itertools import permutations

import torch
from torch import Tensor

from gander.codes import Code
from gander.metrics import CannotMeasure, Figure, Study

EXHAUSTIVE = 50_000  # assignments of codes to factors that are all tried; beyond that greedily


def measure(study: Study) -> dict[str, Figure]:
    """Figures for every continuous code that something recorded can be held against."""
    figures: dict[str, Figure] = {}
    for code in study.model.spec.given:
        column = code.given or code.name
        if code.resolved.name in ("uniform", "gaussian") and column in study.judged:
            figures[f"correlation/{code.name}"] = _ordered(study, code, column)
    discovered = [
        c
        for c in study.model.spec.codes
        if c.is_discovered and c.resolved.name in ("uniform", "gaussian") and c.resolved.width == 1
    ]
    factors = [f for f in study.test.factors if study.test.columns[f].sort == "continuous"]
    if discovered and factors and study.model.critic is not None:
        figures |= _discovered(study, discovered, factors)
    if not figures:
        raise CannotMeasure("no continuous code can be held against anything recorded")
    return figures


def _ordered(study: Study, code: Code, column: str) -> Figure:
    truth = study.test.columns[column]
    real = pearson(study.judged_test[column][truth.known], truth.values[truth.known])
    value = pearson(study.values[code.name][:, 0], study.judged[column])
    return Figure(value, 0.0, real, f"{column} ordered and measured")


def _discovered(study: Study, codes: list[Code], factors: list[str]) -> dict[str, Figure]:
    table = torch.tensor(
        [
            [pearson(study.readings[c.name][:, 0], study.test.columns[f].values) for f in factors]
            for c in codes
        ]
    )
    figures = {}
    for code, match in zip(codes, assign(table.abs()), strict=True):
        row, factor = codes.index(code), factors[match]
        drawn, ordered = study.judged[factor], study.values[code.name][:, 0]
        whole = pearson(ordered, drawn)
        sign = 1.0 if whole >= 0 else -1.0
        figures[f"correlation/{code.name}"] = Figure(
            abs(float(table[row, match])), 0.0, 1.0, f"{factor}, read in real test images"
        )
        figures[f"steering/{code.name}"] = Figure(
            abs(whole), 0.0, 1.0, f"{factor}, ordered and measured in drawn images"
        )
        within = [sign * pearson(ordered[rows], drawn[rows]) for rows in _classes(study)]
        if within:
            figures[f"steering_worst_class/{code.name}"] = Figure(
                min(within), 0.0, 1.0, f"{factor}, in the class where it is weakest"
            )
    return figures


def _classes(study: Study) -> list[Tensor]:
    """The rows of each class of the drawn images, by the order or else by the judge."""
    label = study.train.label
    if label is None or label not in study.judged or study.judged[label].is_floating_point():
        return []
    named = study.judged[label]
    rows = [(named == k).nonzero()[:, 0] for k in range(int(named.max()) + 1)]
    return [r for r in rows if len(r) >= 20]


def assign(strength: Tensor) -> list[int]:
    """For each row a column of its own, of the largest total; (R, C) -> R columns, repeated only where R > C."""
    rows, columns = strength.shape
    if rows > columns:
        return [int(i) for i in strength.argmax(1)]
    if math.perm(columns, rows) > EXHAUSTIVE:
        return _greedily(strength)
    best = max(
        permutations(range(columns), rows),
        key=lambda p: sum(float(strength[r, c]) for r, c in enumerate(p)),
    )
    return list(best)


def _greedily(strength: Tensor) -> list[int]:
    """The strongest pair first, then the strongest among the rest."""
    left, chosen = strength.clone(), [0] * len(strength)
    for _ in range(len(strength)):
        row, column = divmod(int(left.argmax()), left.shape[1])
        chosen[row] = column
        left[row], left[:, column] = -math.inf, -math.inf
    return chosen


def pearson(a: Tensor, b: Tensor) -> float:
    """Pearson's r of two (N,) tensors over the rows where both are numbers; 0 where one does not vary."""
    both = ~(a.isnan() | b.isnan())
    x, y = a[both].double(), b[both].double()
    if len(x) < 2:
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    scale = float(x.norm() * y.norm())
    return float((x * y).sum()) / scale if scale > 0 else 0.0
