"""The Gaussian Parzen-window log-likelihood of real test images in nats, as the papers of 2014 report it.

``parzen`` (Goodfellow et al., 2014; Mirza & Osindero, 2014), as their code has it: 10,000 drawn images, whatever ``--n``, classes in equal
numbers, are the centres of Gaussians over the pixels (d = C·H·W, in [0, 1], here as stored in 256 steps); σ is that of ten from 0.1 to 1, evenly
spaced in its logarithm, under which the first 1,000 validation images are likeliest; the value is the mean over all test images and the
error its standard error over them. MNIST's validation images are the last 10,000 of the training split, as published, so a run to be compared
trains on ``mnist:train[:50000]``; of other data they are a sixth, chosen at random, which only the references leave out.

``parzen_validation`` is what those 1,000 score, by which the papers chose when to stop; a best kept by ``parzen`` itself would have been chosen on the
test images. The floor is what as many real training images score, and it is no ceiling: ``parzen_k_means``, centroids of the training images,
scores higher still (Theis et al., 2016), so above the floor means blurred, not better. All are here for comparison with published figures, not
as a measure of quality. Cost: 10,000 images and one matrix of 10,000 x test distances; once for each data set the references (MNIST: about
a minute of one core).
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
    """The figures of the drawn images, and that of k-means for the same data."""
    study.held_out()
    drawn = flat(study.model.render(study.ordered(CENTRES)))
    found = likelihood(drawn, validation_images(study.train), flat(study.test.images))
    real, means = references(study.train, study.test)
    figures = {
        "parzen": _figure(found, real, f"nats; no ceiling: k-means reaches {means.mean:.0f}"),
        "parzen_k_means": _figure(means, real, "nats, of the data: centroids, not samples"),
    }
    about = "nats, of the validation images: what chooses when to stop"
    figures["parzen_validation"] = Figure(
        found.validation, real.validation, about=about, floor_is="real", proportional=False
    )
    return figures


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
