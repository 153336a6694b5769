"""How far the drawn images lie from real ones as a whole: the Fréchet distance of their features; lower is better.

Heusel et al., "GANs trained by a two time-scale update rule" (2017), whose network is Inception; here it is the study's own, so the
number compares with the floor beside it and with other runs on the same data, not with published ones. Features (N, F) of drawn and of
real test images become two normal distributions with their means and covariances, in float64 by torchmetrics. The distance grows as the
number of images falls, for the floor, real training images against the same test images, just as much. Cost: O(N F² + F³), under a
second for 256 features.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.distances import compared, frechet


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    about = compared(study)
    value, floor = study.against_real(frechet)
    return {"frechet": Figure(value, floor, None, about, floor_is="real")}
