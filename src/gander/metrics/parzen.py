"""The Gaussian Parzen-window log-likelihood of real test images in nats, as the papers of 2014 report it.

``parzen`` (Goodfellow et al., 2014; Mirza & Osindero, 2014): 10,000 drawn images, whatever ``--n``, classes in equal numbers, are the
centres of Gaussians over the pixels (d = C·H·W, in [0, 1]); σ is chosen on 1,000 held-out training images. The floor is what as
many real training images score, and it is no ceiling: ``parzen_k_means``, centroids of the training images, scores higher still (Theis
et al., 2016), so above the floor means blurred, not better. It is here for comparison with published figures, not as a measure
of quality. Cost: 10,000 images and one matrix of 10,000 x test distances; once for each data set the references (MNIST: about a minute of one core).
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.parzen import (
    CENTRES,
    Likelihood,
    flat,
    likelihood,
    references,
    validation_images,
)


def measure(study: Study) -> dict[str, Figure]:
    """The figure of the drawn images, and that of k-means for the same data."""
    study.held_out()
    drawn = flat(study.model.render(study.ordered(CENTRES)))
    found = likelihood(drawn, validation_images(study.train), flat(study.test.images))
    real, means = references(study.train, study.test)
    return {
        "parzen": _figure(found, real, f"nats; no ceiling: k-means reaches {means.mean:.0f}"),
        "parzen_k_means": _figure(means, real, "nats, of the data: centroids, not samples"),
    }


def _figure(found: Likelihood, real: Likelihood, about: str) -> Figure:
    chosen = f"σ {found.sigma:.2g}{', an end of those tried' if found.at_edge else ''}"
    return Figure(
        found.mean,
        real.mean,
        None,
        f"{about}; {chosen}",
        error=found.error,
        floor_is="real",
        proportional=False,
    )
