"""How many of the 1,000 modes of stacked MNIST are drawn at all.

``modes`` (Metz et al., 2017; Srivastava et al., 2017): each colour of 26,000 freely drawn images, whatever ``--n``, is named by a judge of
single digits, and the distinct triples are counted, as PacGAN's code does. The ceiling is 1,000; the floor is what 26,000 real
images score. Images (26000, 3, H, W). Cost: drawing them, three passes of the judge, and once the training of that judge.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.modes import MODES, SAMPLES, modes


def measure(study: Study) -> dict[str, Figure]:
    """The number of modes. Raises ``CannotMeasure`` for any other data."""
    found = modes(study)
    return {
        "modes": Figure(
            float((found.drawn > 0).sum()),
            float((found.real > 0).sum()),
            float(MODES),
            f"of 1,000, in {SAMPLES:,} images",
            floor_is="real",
        )
    }
