"""The share of real test images that are of their discovered category's commonest class.

``purity/CODE``: several categories may mean the same class, so more categories raise it (with one for each image it is 1): compare
it at equal numbers only. ClusterGAN's published "ACC" is this figure, not the Hungarian accuracy. The floor is the same with
shuffled labels, the ceiling 1, or with fewer categories than classes the share of the largest classes.
Cost: one pass of the critic over the test split.
"""

from __future__ import annotations

from torch import Tensor

from gander.study import Figure, Study
from gander.study.chance import binomial
from gander.study.clusters import counted, scored


def measure(study: Study) -> dict[str, Figure]:
    """One figure per discovered category. Raises ``CannotMeasure``."""
    return scored(study, "purity", purity, binomial)


def purity(clusters: Tensor, classes: Tensor) -> float:
    """The share of (N,) images whose class is the commonest of their cluster."""
    return float(counted(clusters, classes).amax(1).sum()) / len(classes)
