"""Discovered categories as clusters of real test images, beside the classes that are recorded of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gander import rng
from gander.study import LEAST, CannotMeasure, Figure, Study

Score = Callable[[Tensor, Tensor], float]
"""Clusters (N,) and classes (N,), both int64, to a figure."""


@dataclass(frozen=True)
class Clustering:
    """What the recogniser calls each real test image that has a label, and the label."""

    code: str
    clusters: Tensor
    """(N,) int64, the most probable category."""
    most: int
    """How many clusters there could be."""
    classes: Tensor
    """(N,) int64."""

    @property
    def shuffled(self) -> Tensor:
        """The classes in a fixed random order: clusters of the same sizes that know nothing."""
        order = rng.permutation(0, "study/clusters", 0, len(self.classes))
        return self.classes[torch.from_numpy(order)]

    @property
    def best(self) -> Tensor:
        """The best that so many clusters can do, (N,): a class each, or classes merged as evenly as they go.

        The largest classes get clusters of their own, which is exactly the most for a count of right images, and each smaller one
        joins the smallest cluster so far, which keeps the entropy of the clusters the highest.
        """
        sizes = torch.bincount(self.classes)
        filled, home = torch.zeros(self.most), torch.zeros(len(sizes), dtype=torch.int64)
        for k in sizes.argsort(descending=True, stable=True).tolist():
            home[k] = int(filled.argmin())
            filled[home[k]] += sizes[k]
        return home[self.classes]


def clusterings(study: Study) -> list[Clustering]:
    """One for each discovered category. Raises ``CannotMeasure``."""
    spec = study.model.spec
    codes = [c for c in spec.recognised if c.is_discovered and c.resolved.name == "categorical"]
    if not codes:
        raise CannotMeasure("no category is discovered")
    if study.model.critic is None:
        raise CannotMeasure("the critic's weights are not here")
    label = study.test.label
    if label is None or study.test.columns[label].sort != "categorical":
        raise CannotMeasure("the images have no classes to compare with")
    column = study.test.columns[label]
    if int(column.known.sum()) < LEAST:
        raise CannotMeasure(f"fewer than {LEAST} test images are labelled")
    return [
        Clustering(
            code.name,
            study.readings[code.name].argmax(1)[column.known],
            code.resolved.width,
            column.values[column.known],
        )
        for code in codes
    ]


def scored(
    study: Study, name: str, score: Score, error: Callable[[float, int], float] | None = None
) -> dict[str, Figure]:
    """``NAME/CODE`` of each discovered category, with its floor and ceiling."""
    figures = {}
    for found in clusterings(study):
        value = score(found.clusters, found.classes)
        figures[f"{name}/{found.code}"] = Figure(
            value,
            score(found.clusters, found.shuffled),
            score(found.best, found.classes),
            f"{study.test.label} of real test images, in {found.most} clusters",
            error=error(value, len(found.classes)) if error else None,
        )
    return figures


def counted(clusters: Tensor, classes: Tensor) -> Tensor:
    """Images by cluster and class, (K, C) int64."""
    width = int(classes.max()) + 1
    height = int(clusters.max()) + 1
    return torch.bincount(clusters * width + classes, minlength=height * width).view(height, width)
