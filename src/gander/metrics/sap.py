"""Separated attribute predictability: how far the code that best names a factor is ahead of the next, disentanglement_lib protocol.

Kumar et al., "Variational Inference of Disentangled Latent Concepts from Unlabeled Observations", 2018; Locatello et al., 2019: a linear support vector
classifier (C = 0.01, balanced) on one code, every factor discrete, fitted to 10,000 images and scored by its accuracy on 5,000 others. A linear
classifier names few of many levels on a line, so even the factors themselves, the ceiling, score far below 1. The floor is that of readings
shuffled among images. Cost: about 2 s for sprites once the images are read.
"""

from __future__ import annotations

import numpy as np

from gander.study import Figure, Study
from gander.study.classifiers import accuracy
from gander.study.dependence import gaps
from gander.study.factors import Evidence, measured


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    return measured(study, "sap", _score, "disentanglement_lib")


def _score(evidence: Evidence) -> float:
    fitted, scored = evidence.fitted, evidence.scored
    factors = list(zip(fitted.factors, scored.factors, strict=True))
    table = [
        [accuracy(code, factor, asked, truth) for factor, truth in factors]
        for code, asked in zip(fitted.codes, scored.codes, strict=True)
    ]
    return float(gaps(np.array(table)).mean())
