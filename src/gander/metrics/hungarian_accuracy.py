"""The share of real test images whose discovered category is their class, each category meaning one class at most.

``hungarian_accuracy/CODE``: the one-to-one matching of categories with classes that is right most often (Kuhn, 1955), as in DEC, VaDE
and IIC; categories beyond the number of classes count as wrong. The floor is the same with shuffled labels, the ceiling 1, or with
fewer categories than classes the share of the largest classes. Categories are the recogniser's most probable one for each image
of the test split; images (N, C, H, W), labels (N,). Cost: one pass of the critic over the test split.
"""

from __future__ import annotations

from torch import Tensor

from gander.study import Figure, Study
from gander.study.chance import binomial
from gander.study.clusters import counted, scored
from gander.study.libraries import library


def measure(study: Study) -> dict[str, Figure]:
    """One figure per discovered category. Raises ``CannotMeasure``."""
    return scored(study, "hungarian_accuracy", hungarian, binomial)


def hungarian(clusters: Tensor, classes: Tensor) -> float:
    """The share right under the best one-to-one matching, for (N,) clusters and (N,) classes in any number of each."""
    table = counted(clusters, classes).numpy()
    rows, columns = library("scipy.optimize").linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum()) / len(classes)
