"""Disentanglement, completeness and informativeness from boosted trees, disentanglement_lib protocol.

Eastwood & Williams, "A Framework for the Quantitative Evaluation of Disentangled Representations", 2018; Locatello et al., 2019: for every factor a
``GradientBoostingClassifier`` as it comes is fitted to 10,000 images. ``dci``: how much each code matters to one factor only; ``dci_completeness``: how
much each factor needs one code only; ``dci_informativeness``: accuracy on 5,000 other images. A code of several columns matters as much as they
do together. The floor is that of readings shuffled among images, boosted a tenth as long, which is a little high for the first two (0.007 for
0.001 with five codes of noise): chance evens out over rounds. The ceiling is 1. Cost: one thread takes about 2 minutes for three
codes of glyphs and 4 for five of sprites; every further thread takes a factor of its own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from gander.study import Figure, Study
from gander.study.dependence import disentanglement
from gander.study.factors import Evidence, Numbers, evidence_of
from gander.study.libraries import library

COSTS = "minutes of boosted trees"  # not measured unless it is asked for by name
ROUNDS = 100  # scikit-learn's default
FLOOR_ROUNDS = 10
NAMES = ("dci", "dci_completeness", "dci_informativeness")


def measure(study: Study) -> dict[str, Figure]:
    """Three figures."""
    evidence = evidence_of(study)
    about = f"disentanglement_lib: {evidence.about}"
    values = _scores(evidence, ROUNDS)
    floors = _scores(evidence.shuffled, FLOOR_ROUNDS)
    return {
        name: Figure(value, floor, 1.0, about)
        for name, value, floor in zip(NAMES, values, floors, strict=True)
    }


def _scores(evidence: Evidence, rounds: int) -> tuple[float, float, float]:
    """The three, in the order of ``NAMES``."""
    boosting = library("sklearn.ensemble").GradientBoostingClassifier
    fitted, scored = evidence.fitted, evidence.scored
    seen, asked = fitted.columns, scored.columns

    def one(k: int) -> tuple[Numbers, float]:
        model = boosting(n_estimators=rounds, random_state=0).fit(seen, fitted.factors[k].levels)
        right = model.predict(asked) == scored.factors[k].levels
        return fitted.by_code(model.feature_importances_), float(right.mean())

    # The trees are grown without the interpreter's lock, so threads grow them side by side.
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        found = list(threads.map(one, range(len(fitted.factors))))
    importance = np.stack([matters for matters, _ in found], axis=1)
    return (
        disentanglement(importance),
        disentanglement(importance.T),
        float(np.mean([right for _, right in found])),
    )
