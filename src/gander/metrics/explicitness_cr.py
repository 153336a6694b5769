"""Explicitness: whether a linear classifier on all codes tells the levels of a factor, InfoGAN-CR protocol.

Logistic regression of the codes as they are, scored on the images it was fitted to: 73,728 random ones there, all 15,000 that are read
here (Lin et al., 2020). The floor is that of readings shuffled among images, the ceiling that of the factors themselves. Cost: about 6 s for sprites once the images are read.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.classifiers import explicitness
from gander.study.factors import Evidence, measured


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    return measured(study, "explicitness_cr", _score, "InfoGAN-CR")


def _score(evidence: Evidence) -> float:
    rows = evidence.everything
    return explicitness(rows, rows, normalised=False)
