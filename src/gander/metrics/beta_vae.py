"""BetaVAE score: whether a linear classifier tells which factor two images share, disentanglement_lib protocol.

Higgins et al., "beta-VAE", 2017; Locatello et al., 2019: the mean distance of 64 pairs in every code is one point; logistic regression is fitted to
10,000 points of the training split and scored by its accuracy on 5,000 of the test split. It asks less than ``factor_vae``: codes that mix factors
can score 1. The floor is that of readings shuffled among images, the ceiling that of the factors themselves. Cost: about 2 s once the images are read.
"""

from __future__ import annotations

import numpy as np

from gander.study import Figure, Study
from gander.study.classifiers import logistic
from gander.study.factors import Evidence, Numbers, Rows, Whole, measured
from gander.study.sharing import anyone, distances, fixed, parts, sharing

FITTED, SCORED = 10_000, 5_000  # points
PAIRS = 64  # of a point


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    return measured(study, "beta_vae", _score, "disentanglement_lib")


def _score(evidence: Evidence) -> float:
    points, labels = _points(evidence.fitted, FITTED, "beta_vae/fitted")
    asked, truth = _points(evidence.scored, SCORED, "beta_vae/scored")
    return float((logistic(points, labels).predict(asked) == truth).mean())


def _points(rows: Rows, count: int, stream: str) -> tuple[Numbers, Whole]:
    """Mean distances (count, codes) and which factor the pairs share (count,)."""
    points, labels = [], []
    for at, some in parts(count):
        which = fixed(rows, some, stream, at)
        one = anyone(rows, some, stream, at, PAIRS)
        other = sharing(rows, which, one, stream, at, PAIRS)
        points.append(distances(rows, one, other))
        labels.append(which)
    return np.concatenate(points), np.concatenate(labels)
