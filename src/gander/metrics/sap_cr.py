"""Separated attribute predictability: how far the code that best predicts a factor is ahead of the next, InfoGAN-CR protocol.

For a number the squared correlation with the code; for a class the accuracy of a linear support vector classifier on the images it was fitted to (Lin et
al., 2020): 73,728 random ones there, all 15,000 that are read here. An angle counts as a number, as there. Of a code of several columns (an angle, a
category) the squared correlation is the multiple one. The floor is that of readings shuffled among images, the ceiling that of the
factors themselves. Cost: under a second once the images are read.
"""

from __future__ import annotations

import numpy as np

from gander.study import Figure, Study
from gander.study.classifiers import accuracy
from gander.study.dependence import gaps
from gander.study.factors import Evidence, Factor, Numbers, Reading, measured


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    return measured(study, "sap_cr", _score, "InfoGAN-CR")


def _score(evidence: Evidence) -> float:
    rows = evidence.everything
    table = [[_predicts(code, factor) for factor in rows.factors] for code in rows.codes]
    return float(gaps(np.array(table)).mean())


def _predicts(code: Reading, factor: Factor) -> float:
    if not factor.ordered:
        return accuracy(code, factor, code, factor)
    return explained(code.columns, factor.values)


def explained(columns: Numbers, values: Numbers) -> float:
    """The share of the variance of values (N,) that is linear in columns (N, w): R², for one column r²."""
    seen, truth = columns - columns.mean(axis=0), values - values.mean()
    weights = np.linalg.lstsq(seen, truth, rcond=1e-9)[0]
    return float(1 - ((truth - seen @ weights) ** 2).sum() / (truth**2).sum())
