"""The mean over classes of `coverage` inside each class: how many real images of a class have a drawn one of that class nearby; higher is better.

A drawn image is of the class that was ordered, else of the one the judge sees. Every class has as many drawn as real test images, and as
many training images for the floor. A class that the model never draws counts 0. Cost: under that of `coverage`, shared by all four.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.classes import classes_of, mean_figure
from gander.study.neighbours import around_in_classes


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    scored = [(drawn.coverage, real.coverage) for drawn, real in around_in_classes(study)]
    return {"intra_coverage": mean_figure(classes_of(study), scored, 1.0)}
