"""How far the drawn images lie from real ones as a whole, without assuming a shape: the kernel distance; lower is better.

Bińkowski et al., "Demystifying MMD GANs" (2018): the unbiased squared maximum mean discrepancy under the kernel (x·y / F + 1)³ of
features (N, F). It is 0 on average between equal distributions at any number of images, so it may come out below 0; published numbers
average subsets of 1,000, which has the same expectation as the whole used here. The floor is what real training images score; only
where it lies more than three standard errors above 0 does a ratio to it say anything. Cost: O(N² F), 4 s for 10,000 images on a core.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.distances import compared, kernel, sides


def measure(study: Study) -> dict[str, Figure]:
    """One figure, with its standard error."""
    about = compared(study)
    *sets, reference = sides(study)
    (value, error), (floor, doubt) = kernel(sets, reference)
    known = floor > 3 * doubt
    about += "" if known else f"; real images score 0 within {doubt:.1g}"
    return {
        "kernel": Figure(
            value, floor, None, about, error=error, floor_is="real" if known else "nothing"
        )
    }
