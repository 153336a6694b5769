"""The mean over classes of `precision` inside each class: how many drawn images of a class lie among its real ones; higher is better.

A drawn image is of the class that was ordered, else of the one the judge sees. Every class has as many drawn as real test images, and as
many training images for the floor. A class that the model never draws counts 0. Cost: under that of `precision`, shared by all four.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.classes import classes_of, mean_figure
from gander.study.neighbours import around_in_classes


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    scored = [(drawn.precision, real.precision) for drawn, real in around_in_classes(study)]
    return {"intra_precision": mean_figure(classes_of(study), scored, 1.0)}
