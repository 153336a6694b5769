"""How often two real test images are together in a discovered category exactly when they are in a class, beyond chance.

``ari/CODE``: the adjusted Rand index (Hubert & Arabie, 1985), 0 for clusters that know nothing and 1 for the classes themselves. The floor
is the same with shuffled labels, the ceiling 1, or with fewer categories than classes what evenly merged classes score.
Cost: one pass of the critic over the test split.
"""

from __future__ import annotations

from torch import Tensor

from gander.study import Figure, Study
from gander.study.clusters import scored
from gander.study.libraries import library


def measure(study: Study) -> dict[str, Figure]:
    """One figure per discovered category. Raises ``CannotMeasure``."""
    return scored(study, "ari", adjusted)


def adjusted(clusters: Tensor, classes: Tensor) -> float:
    """Of (N,) clusters and (N,) classes."""
    return float(library("sklearn.metrics").adjusted_rand_score(classes.numpy(), clusters.numpy()))
