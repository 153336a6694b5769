"""The mean over classes of `recall` inside each class: how many real images of a class lie among the drawn ones of that class; higher is better.

A drawn image is of the class that was ordered, else of the one the judge sees. Every class has as many drawn as real test images, and as
many training images for the floor. A class that the model never draws counts 0. Cost: under that of `recall`, shared by all four.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.classes import classes_of, mean_figure
from gander.study.neighbours import around_in_classes


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    scored = [(drawn.recall, real.recall) for drawn, real in around_in_classes(study)]
    return {"intra_recall": mean_figure(classes_of(study), scored, 1.0)}
