"""How unevenly the 1,000 modes of stacked MNIST are drawn: KL(drawn || uniform) in nats.

``mode_kl``: the modes of the 26,000 images of ``modes``, against 1/1000 each. That is what PacGAN's code compares with, and what its table
and those after it report, though VEEGAN writes "the data distribution"; the floor, 26,000 real images, holds what the data's own
frequencies and the finite number contribute (about 0.02 for a perfect draw). One repeated image scores log 1000 = 6.9.
Cost: shared with ``modes``.
"""

from __future__ import annotations

import math

from torch import Tensor

from gander.study import Figure, Study
from gander.study.modes import MODES, SAMPLES, modes


def measure(study: Study) -> dict[str, Figure]:
    """The divergence of the drawn modes. Raises ``CannotMeasure`` for any other data."""
    found = modes(study)
    about = f"nats from uniform, in {SAMPLES:,} images"
    return {"mode_kl": Figure(kl(found.drawn), kl(found.real), None, about, floor_is="real")}


def kl(counts: Tensor) -> float:
    """KL of the distribution of (1000,) counts from the uniform one."""
    share = counts[counts > 0].double() / counts.sum()
    return float((share * share.log()).sum()) + math.log(MODES)
