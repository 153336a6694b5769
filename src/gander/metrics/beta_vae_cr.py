"""BetaVAE score: whether a linear classifier tells which factor two images share, InfoGAN-CR protocol.

Higgins et al., 2017, as in Lin et al., 2020: 500 groups of 100 images that all share one value, each factor in turn; the mean distance of neighbours
in every code is one point, and logistic regression is scored by its accuracy on the 500 points it was fitted to; nothing is held out. The
floor is that of readings shuffled among images, the ceiling that of the factors themselves. Cost: under a second once the images are read.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.classifiers import logistic
from gander.study.factors import Evidence, measured
from gander.study.sharing import GROUPS, anyone, distances, in_turn, sharing

SIZE = 100  # images of a group
STREAM = "beta_vae_cr"


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    return measured(study, "beta_vae_cr", _score, "InfoGAN-CR")


def _score(evidence: Evidence) -> float:
    rows = evidence.everything
    which = in_turn(rows)
    picked = sharing(rows, which, anyone(rows, GROUPS, STREAM, 0, 1), STREAM, 0, SIZE)
    points = distances(rows, picked[:, 0::2], picked[:, 1::2])
    return float((logistic(points, which).predict(points) == which).mean())
