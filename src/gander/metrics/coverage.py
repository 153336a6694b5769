"""How many real images have a drawn one nearby: what recall means, unmoved by odd drawn images; higher is better.

Naeem et al., "Reliable fidelity and diversity metrics for generative models" (2020): the share of real test images with a drawn image
no farther away than their fifth real neighbour, in features (N, F). The floor is what real training images cover, which a perfect
model reaches on average; the ceiling 1.
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
        "coverage": Figure(drawn.coverage, real.coverage, 1.0, compared(study), floor_is="real")
    }
