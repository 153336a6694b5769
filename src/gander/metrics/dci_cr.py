"""Disentanglement and completeness from regressions, InfoGAN-CR protocol.

Eastwood & Williams, 2018, as in Lin et al., 2020: codes and factors scaled to deviation 1, every factor (a class by its number, an angle as it is)
regressed on all codes, on 73,728 random images there, on all 15,000 that are read here. ``dci_cr/lasso``: coefficients of a lasso of weight 0.02.
``dci_cr/forest`` and ``dci_cr/forest_ibgan``: importances in a random forest of 10 trees (the default then) of depths set for the factors of dSprites, by that
code and by IB-GAN's; only where all factors are of dSprites. ``dci_cr_completeness/…`` beside each, a plain mean over factors. A code of several
columns matters as much as they do together; a code or factor of no importance at all counts 0. The floor is that of readings
shuffled among images, the ceiling that of the factors themselves. Cost: about a second once the images are read, 5 s with the forests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gander.study import Figure, Study
from gander.study.dependence import concentration, disentanglement
from gander.study.factors import Evidence, Numbers, evidence_of
from gander.study.libraries import library

LASSO = 0.02
TREES = 10
DEPTHS = {
    "forest": {"shape": 4, "scale": 5, "orientation": 2, "x": 5, "y": 5},
    "forest_ibgan": {"shape": 4, "scale": 2, "orientation": 4, "x": 2, "y": 2},
}

Weigh = Callable[[str, Numbers, Numbers], Numbers]
"""A factor's name, all columns (N, W) and its values (N,) to how much each column matters, (W,)."""


def measure(study: Study) -> dict[str, Figure]:
    """Two figures for every regression."""
    evidence = evidence_of(study)
    names = {factor.name for factor in evidence.fitted.factors}
    ways: dict[str, Weigh] = {"lasso": _lasso}
    ways |= {way: _forest(depths) for way, depths in DEPTHS.items() if names <= depths.keys()}
    figures = {}
    for way, weigh in ways.items():
        value, floor, ceiling = (
            _scores(side, weigh) for side in (evidence, evidence.shuffled, evidence.perfect)
        )
        for at, name in enumerate(("dci_cr", "dci_cr_completeness")):
            about = f"InfoGAN-CR: {evidence.about}"
            figures[f"{name}/{way}"] = Figure(value[at], floor[at], ceiling[at], about)
    return figures


def _scores(evidence: Evidence, weigh: Weigh) -> tuple[float, float]:
    """Disentanglement and completeness."""
    rows = evidence.everything
    columns = _scaled(rows.columns)
    each = [weigh(f.name, columns, _scaled(f.values)) for f in rows.factors]
    importance = np.stack([rows.by_code(one) for one in each], axis=1)
    complete = np.where(importance.any(axis=0), concentration(importance.T), 0)
    return disentanglement(importance), float(complete.mean())


def _lasso(name: str, columns: Numbers, values: Numbers) -> Numbers:
    model: Any = library("sklearn.linear_model").Lasso(alpha=LASSO).fit(columns, values)
    return np.abs(np.asarray(model.coef_, np.float64))


def _forest(depths: dict[str, int]) -> Weigh:
    def weigh(name: str, columns: Numbers, values: Numbers) -> Numbers:
        forest = library("sklearn.ensemble").RandomForestRegressor
        model = forest(n_estimators=TREES, max_depth=depths[name], random_state=0)
        return np.asarray(model.fit(columns, values).feature_importances_, np.float64)

    return weigh


def _scaled(numbers: Numbers) -> Numbers:
    """Mean 0 and deviation 1 in every column; a column that never varies stays 0."""
    apart = numbers - numbers.mean(axis=0)
    deviation = apart.std(axis=0)
    scaled: Numbers = apart / np.where(deviation > 0, deviation, 1)
    return scaled
