"""Explicitness: whether a linear classifier on all codes tells the levels of a factor, disentanglement_lib protocol.

Ridgeway & Mozer, 2018; Locatello et al., 2019: logistic regression fitted to 10,000 images, area under the curve on 5,000 others, averaged over
levels and factors. It rewards any readable mixture of codes. The floor, readings shuffled among images, is near 0.5; the ceiling is what the
factors themselves score: a middle level of a number is hard for a linear classifier. Cost: about 5 s for sprites once the images are read.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.classifiers import explicitness
from gander.study.factors import measured


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    return measured(
        study,
        "explicitness",
        lambda e: explicitness(e.fitted, e.scored, normalised=True),
        "disentanglement_lib",
    )
