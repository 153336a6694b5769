"""Mutual information gap: how far the code that tells most of a factor is ahead of the next, disentanglement_lib protocol.

Over the entropy of the factor, averaged over factors (Chen et al., "Isolating Sources of Disentanglement in VAEs", 2018). Locatello et
al., 2019: 10,000 images, codes in 20 bins of equal width. The floor is that of readings shuffled among images; the ceiling what
the factors themselves score as codes, below 1 where a factor has more levels than a code has bins. A code said twice has no gap.
Cost: under a second once the images are read.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.dependence import entropies, gaps, information
from gander.study.factors import Evidence, measured


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    return measured(study, "mig", _score, "disentanglement_lib")


def _score(evidence: Evidence) -> float:
    rows = evidence.fitted
    return float((gaps(information(rows)) / entropies(rows)).mean())
