"""How closely a continuous code follows a measured property of the image: Pearson's r.

For a given number: what was ordered against what the judge measures in the drawn images (ceiling: the judge on real test
images). Of the discovered codes each is matched to a recorded factor of its own, the assignment of largest total |r| (Kuhn, 1955), so
that a code that repeats another gets no credit for it: ``correlation/CODE`` is the recogniser's reading of real test images against
the recorded factor; ``steering/CODE`` what was ordered against what the judge measures in drawn images;
``steering_worst_class/CODE`` the same within the class where it is weakest, its sign counted against the whole: below zero, that
class turns the other way. Floor 0, ceiling 1 or the judge's. Cost: one pass of judge and critic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gander.code import Code
from gander.study import LEAST, CannotMeasure, Figure, Study
from gander.study.libraries import library
from gander.study.ordered import Number, numbers


def measure(study: Study) -> dict[str, Figure]:
    """Figures for every continuous code that something recorded can be held against."""
    figures = {f"correlation/{number.name}": _ordered(number) for number in numbers(study)}
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


def _ordered(number: Number) -> Figure:
    return Figure(
        pearson(number.ordered, number.measured),
        0.0,
        pearson(number.truth, number.judged),
        f"{number.column} ordered and judged",
    )


def _discovered(study: Study, codes: list[Code], factors: list[str]) -> dict[str, Figure]:
    table = torch.tensor(
        [
            [pearson(study.readings[c.name][:, 0], study.test.columns[f].values) for f in factors]
            for c in codes
        ]
    )
    figures = {}
    for row, match in enumerate(assign(table.abs())):
        if match is None:
            continue  # more knobs than recorded factors, and nothing left to hold this one against
        code, factor = codes[row], factors[match]
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
    """The rows of each class of the drawn images, by the judge."""
    label = study.train.label
    if label is None or label not in study.judged or study.judged[label].is_floating_point():
        return []
    named = study.judged[label]
    rows = [(named == k).nonzero()[:, 0] for k in range(int(named.max()) + 1)]
    return [r for r in rows if len(r) >= LEAST]


def assign(strength: Tensor) -> list[int | None]:
    """For each row a column of its own, of the largest total; (R, C) -> R columns, None for the rows left over where R > C."""
    solve = library("scipy.optimize").linear_sum_assignment
    rows, columns = solve(strength.double().numpy(), maximize=True)
    chosen: list[int | None] = [None] * len(strength)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        chosen[row] = column
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
