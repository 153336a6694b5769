"""How many drawn images look like real ones: the share that lies among real test images; higher is better.

Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models" (2019): an image lies among the real ones
if in their features (N, F) it is no farther from some real image than that one's third real neighbour. One odd real image has a large
ball, so noise may score (see `density`). The floor is the share of real training images among the test images, the ceiling 1.
The distances are computed once for precision, recall, density and coverage together. Cost: O(N² F), 6 s for 10,000 images on a core.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.distances import compared
from gander.study.neighbours import around


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    drawn, real = around(study)
    return {
        "precision": Figure(drawn.precision, real.precision, 1.0, compared(study), floor_is="real")
    }
