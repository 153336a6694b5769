"""FactorVAE score: whether the code that varies least tells which factor was held fixed, disentanglement_lib protocol.

Kim & Mnih, "Disentangling by Factorising", 2018; Locatello et al., 2019: 64 images share one factor, the code of least variance over its variance in all images
gets the vote; codes of a deviation below 0.05 are left out. Each code stands for the factor it was mostly voted for in 10,000 groups of
the training split, and the score is its accuracy on 5,000 groups of the test split. The floor is that of readings shuffled among images, the
ceiling that of the factors themselves. Cost: about a second once the images are read.
"""

from __future__ import annotations

import numpy as np

from gander.study import Figure, Study
from gander.study.factors import Evidence, Numbers, Rows, Whole, measured
from gander.study.sharing import anyone, fixed, parts, sharing, spread

FITTED, SCORED = 10_000, 5_000  # groups
SIZE = 64  # images of a group
STILL = 0.05  # deviation below which a code is left out


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    return measured(study, "factor_vae", _score, "disentanglement_lib")


def _score(evidence: Evidence) -> float:
    everywhere = spread(evidence.fitted, slice(None), less=1)
    moves = np.sqrt(everywhere) >= STILL
    if not moves.any():
        return 0.0
    everywhere = np.where(moves, everywhere, np.nan)
    fitted = _votes(evidence.fitted, FITTED, "factor_vae/fitted", everywhere)
    scored = _votes(evidence.scored, SCORED, "factor_vae/scored", everywhere)
    stands_for = fitted.argmax(axis=1)
    return float(scored[np.arange(len(scored)), stands_for].sum() / SCORED)


def _votes(rows: Rows, count: int, stream: str, everywhere: Numbers) -> Whole:
    """How often each code varied least, by the factor held fixed, (codes, factors)."""
    votes = np.zeros((len(rows.codes), len(rows.factors)), np.int64)
    for at, some in parts(count):
        which = fixed(rows, some, stream, at)
        first = anyone(rows, some, stream, at, 1)
        picked = sharing(rows, which, first, stream, at, SIZE)
        least = np.nanargmin(spread(rows, picked, less=1) / everywhere, axis=1)
        np.add.at(votes, (least, which), 1)
    return votes
