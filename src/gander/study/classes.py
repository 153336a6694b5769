"""Drawn and real images sorted by class, equally many on every side, for what is measured inside each class.

A drawn image belongs to the class that was ordered, where classes can be ordered; else to the class the judge sees in it. Real
images belong to the class they are labelled with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gander import rng
from gander.data import Data
from gander.study import LEAST, CannotMeasure, Figure, Study


@dataclass(frozen=True)
class Group:
    """One class: rows of ``study.fakes``, of the training split and of the test split, (m,) each."""

    name: str
    drawn: Tensor
    train: Tensor
    test: Tensor
    missing: bool
    """The model never draws it (or hardly): ``drawn`` are then images of any class, which is what one gets in its place."""


@dataclass(frozen=True)
class Classes:
    """The classes that can be measured."""

    groups: tuple[Group, ...]
    skipped: int
    """Classes of which there are too few images, real ones or by the number drawn at all."""
    ordered: bool
    """Whether a drawn image's class is the one that was ordered."""

    @property
    def about(self) -> str:
        """How many classes of how many images, and what is not in the figure."""
        counts = [len(group.test) for group in self.groups]
        size = f"{min(counts):,}" + (f" to {max(counts):,}" if max(counts) > min(counts) else "")
        parts = [f"{len(counts)} classes of {size} images"]
        parts.append("as ordered" if self.ordered else "as the judge sees them")
        missing = [group.name for group in self.groups if group.missing]
        if missing:
            named = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
            parts.append(f"never drawn: {named}")
        if self.skipped:
            parts.append(f"{self.skipped} skipped with under {LEAST} images")
        return "; ".join(parts)


def classes_of(study: Study) -> Classes:
    """The classes of a study. Raises ``CannotMeasure`` where the data have no labels or the images are too few."""
    return study.once("classes", lambda: _classes(study))


def features_of(study: Study, group: Group) -> tuple[Tensor, Tensor, Tensor]:
    """Features of a class's drawn, real training and real test images, (m, F) each."""
    return (
        study.fake_features[group.drawn],
        study.train_features[group.train],
        study.test_features[group.test],
    )


def mean_figure(
    classes: Classes, scored: Sequence[tuple[float, float]], ceiling: float | None = None
) -> Figure:
    """The mean over classes of (value, value of real images)."""
    value, floor = (sum(side) / len(scored) for side in zip(*scored, strict=True))
    return Figure(value, floor, ceiling, classes.about, floor_is="real")


def _classes(study: Study) -> Classes:
    label = study.test.label
    column = study.test.columns.get(label) if label else None
    if label is None or column is None or column.sort != "categorical":
        raise CannotMeasure("the images have no class labels")
    if len(column.names) < 2:
        raise CannotMeasure("all images are of one class")
    drawn, ordered = _drawn(study, label)
    train, test = _shuffled(study.train, label), _shuffled(study.test, label)
    groups, skipped = [], 0
    for k, name in enumerate(column.names):
        own, (of_train, of_test) = (drawn == k).nonzero()[:, 0], (train[k], test[k])
        share = len(of_train) / max(1, sum(map(len, train)))
        due = len(own) if ordered else round(study.n * share)
        # Far fewer than are due: chance alone, which leaves out a class of 20 once in 10^9, would not do that.
        missing = not ordered and due >= LEAST and len(own) < min(LEAST, due / 4)
        count = min(due if missing else len(own), len(of_train), len(of_test))
        if count < LEAST:
            skipped += 1
            continue
        chosen = torch.arange(count) if missing else own[:count]
        groups.append(Group(name, chosen, of_train[:count], of_test[:count], missing))
    if not groups:
        raise CannotMeasure(
            f"{study.n:,} drawn images leave no class with {LEAST} of them, or the splits are too small"
        )
    return Classes(tuple(groups), skipped, ordered)


def _drawn(study: Study, label: str) -> tuple[Tensor, bool]:
    """The class of each of ``study.fakes``, (n,), and whether it was ordered."""
    for code in study.categories:
        if (code.given or code.name) == label:
            return study.values[code.name], True
    if label not in study.judged:
        raise CannotMeasure(f"the judge does not name {label!r}")
    return study.judged[label], False


def _shuffled(data: Data, label: str) -> list[Tensor]:
    """The rows of each class in a fixed random order."""
    order = torch.from_numpy(rng.permutation(0, f"study/{data.split}", 0, len(data)))
    values = data.columns[label].values[order]
    return [order[values == k] for k in range(len(data.columns[label].names))]
