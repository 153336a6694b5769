"""Mutual information gap, InfoGAN-CR protocol.

As ``mig``, on 73,728 random images there, on all 15,000 that are read here (Lin et al., 2020). Floor: readings shuffled among images;
ceiling: the factors themselves as codes. Cost: under a second once the images are read.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.dependence import entropies, gaps, information
from gander.study.factors import Evidence, measured


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    return measured(study, "mig_cr", _score, "InfoGAN-CR")


def _score(evidence: Evidence) -> float:
    rows = evidence.everything
    return float((gaps(information(rows)) / entropies(rows)).mean())
