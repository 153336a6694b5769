"""How much discovered categories and classes of real test images tell of each other: normalised mutual information.

``nmi/CODE``: I(category; class) over the mean of their entropies (arithmetic, as scikit-learn and SLOGAN have it), 0 to 1. The floor is
the same with shuffled labels, the ceiling 1, or with fewer categories than classes what evenly merged classes score.
Cost: one pass of the critic over the test split.
"""

from __future__ import annotations

from torch import Tensor

from gander.study import Figure, Study
from gander.study.clusters import scored
from gander.study.libraries import library


def measure(study: Study) -> dict[str, Figure]:
    """One figure per discovered category. Raises ``CannotMeasure``."""
    return scored(study, "nmi", normalised)


def normalised(clusters: Tensor, classes: Tensor) -> float:
    """Of (N,) clusters and (N,) classes."""
    score = library("sklearn.metrics").normalized_mutual_info_score
    return float(score(classes.numpy(), clusters.numpy(), average_method="arithmetic"))
