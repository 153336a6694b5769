"""FactorVAE score: whether the code that varies least tells which factor was held fixed, InfoGAN-CR protocol.

Kim & Mnih, 2018, as in Lin et al., "InfoGAN-CR and ModelCentrality", 2020: 500 groups of 100 images, each factor in turn; the code of least
deviation over its deviation in all images gets the vote. The score is the accuracy on these same groups, each code standing for the factor it
was mostly voted for; nothing is held out, so it is never below chance. A code that never varies gets no vote. The floor is that of readings
shuffled among images, the ceiling that of the factors themselves. Cost: under a second once the images are read.
"""

from __future__ import annotations

import numpy as np

from gander.study import Figure, Study
from gander.study.factors import Evidence, Rows, measured
from gander.study.sharing import GROUPS, anyone, in_turn, sharing, spread

SIZE = 100  # images of a group
STREAM = "factor_vae_cr"


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    return measured(study, "factor_vae_cr", _score, "InfoGAN-CR")


def _score(evidence: Evidence) -> float:
    return score(evidence.everything)


def score(rows: Rows) -> float:
    """The accuracy of codes that stand for the factors they were voted for, from some images alone."""
    everywhere = spread(rows, slice(None), less=0)
    if not everywhere.any():
        return 0.0
    which = in_turn(rows)
    picked = sharing(rows, which, anyone(rows, GROUPS, STREAM, 0, 1), STREAM, 0, SIZE)
    share = spread(rows, picked, less=0) / np.where(everywhere > 0, everywhere, np.nan)
    votes = np.zeros((len(rows.codes), len(rows.factors)), np.int64)
    np.add.at(votes, (np.nanargmin(share, axis=1), which), 1)
    return float(votes.max(axis=1).sum() / GROUPS)
