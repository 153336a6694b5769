"""The mean over classes of `frechet` inside each class, where a class drawn for another or alike throughout shows; lower is better.

Miyato & Koyama, "cGANs with projection discriminator" (2018), the intra-FID. A drawn image is of the class that was ordered, else of
the one the judge sees; every class has as many drawn as real test images, and as many training images for the floor.
``intra_frechet_worst_class`` is the class farthest away beside that class's own floor. For a class that the model never draws, images
of any class are measured in its place. Cost: O(F³) a class, a second for ten classes of 256 features.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.classes import classes_of, features_of, mean_figure
from gander.study.distances import frechet


def measure(study: Study) -> dict[str, Figure]:
    """The mean and the worst class."""
    classes = classes_of(study)
    scored = []
    for group in classes.groups:
        drawn, real, reference = features_of(study, group)
        scored.append((frechet(drawn, reference), frechet(real, reference)))
    worst = max(range(len(scored)), key=lambda k: scored[k][0])
    value, floor = scored[worst]
    group = classes.groups[worst]
    about = f"class {group.name}" + (", never drawn" if group.missing else "")
    return {
        "intra_frechet": mean_figure(classes, scored),
        "intra_frechet_worst_class": Figure(value, floor, None, about, floor_is="real"),
    }
