"""How well trained models of one specification agree, without a label: ModelCentrality (Lin et al., 2020).

Models that found the causes of the images found the same ones, and each that failed did so in its own way. So one model's own codes are
taken as the true factors of images that it draws, another reads those images, and how well its codes stand for the factors is
the FactorVAE score A_ij of the InfoGAN-CR protocol. The agreement of two models is the mean of both directions, and a model's *centrality* the mean of its
agreements with all others.

Discovered categories are the same idea with another score: the normalised mutual information of what two models read in the same real
images. Several categories of a model count as one, every combination a class of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gander.code import Code, Values
from gander.codes import CodeSpec
from gander.data import Column, Sort
from gander.metrics import factor_vae_cr, nmi
from gander.model import Model
from gander.study.factors import Factor, Reading, Rows, factor, readings

FEWEST = 3
"""Models below which nobody is more central than another: two agree with each other alike."""
Tell = Callable[[str], None]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How well each of m models is read by each other, by one rule."""

    rule: str
    """factor_vae or nmi."""
    scores: Matrix
    """(m, m): row i, column j is what j reads of i. The diagonal, a model read by itself, counts in no centrality."""

    @property
    def centrality(self) -> list[float]:
        """The mean agreement of each model with the others, both directions alike."""
        both = (self.scores + self.scores.T) / 2
        others = both.sum(axis=1) - both.diagonal()
        return [float(x) for x in others / (len(both) - 1)]


def categories(spec: CodeSpec) -> list[Code]:
    """The discovered categories."""
    return [c for c in spec.codes if c.is_discovered and c.resolved.name == "categorical"]


def numbers(spec: CodeSpec) -> list[Code]:
    """The discovered codes that are numbers, angles or switches; none where they have a single part, which nothing is told apart from."""
    found = [c for c in spec.codes if c.is_discovered and c.resolved.name != "categorical"]
    return found if sum(code.resolved.parts for code in found) > 1 else []


# ---------------------------------------------------------------------- numbers, in drawn images
def of_numbers(models: Sequence[Model], n: int, tell: Tell) -> Agreement:
    """The FactorVAE score (InfoGAN-CR protocol) of every model's numbers in ``n`` images that every model draws.

    A group shares a code where its values fall into the same twentieth of the images.
    """
    scores = np.zeros((len(models), len(models)))
    for i, drawer in enumerate(models):
        tell(f"drawing {i + 1} of {len(models)}")
        values = drawer.values(range(n))
        images, factors = drawer.render(values), _factors(drawer.spec, values)
        for j, reader in enumerate(models):
            tell(f"reading {i + 1} of {len(models)} by {j + 1}")
            scores[i, j] = factor_vae_cr.score(Rows(_read(reader, images), factors))
    return Agreement("factor_vae", scores)


def _read(reader: Model, images: Tensor) -> tuple[Reading, ...]:
    said = reader.read(images)
    return tuple(one for c in numbers(reader.spec) for one in readings(c, said[c.name]))


def _factors(spec: CodeSpec, values: Values) -> tuple[Factor, ...]:
    """A model's own codes as recorded causes, one for each part."""
    causes = []
    for code in numbers(spec):
        sort: Sort = "angle" if code.resolved.name == "circular" else "continuous"
        for i, part in enumerate(values[code.name].unbind(1)):
            column = Column(f"{code.name}.{i}", sort, part)
            causes.append(factor(column, column)[0])
    return tuple(causes)


# ---------------------------------------------------------------------- categories, in real images
def of_categories(models: Sequence[Model], images: Tensor, tell: Tell) -> Agreement:
    """The normalised mutual information of what every two models read in the same real images (N, C, H, W)."""
    read = []
    for i, model in enumerate(models):
        tell(f"reading by {i + 1} of {len(models)}")
        read.append(_classes(model, images))
    scores = np.array([[_shared(one, other) for other in read] for one in read])
    return Agreement("nmi", scores)


def _classes(model: Model, images: Tensor) -> Tensor:
    """One class for each image, (N,): the combination of what it is in every discovered category."""
    said = model.read(images)
    classes = torch.zeros(len(images), dtype=torch.int64)
    for code in categories(model.spec):
        classes = classes * code.resolved.width + said[code.name].argmax(1)
    return classes


def _shared(one: Tensor, other: Tensor) -> float:
    """0 where either says the same of every image: two models that say nothing do not agree about anything."""
    if any(bool((said == said[0]).all()) for said in (one, other)):
        return 0.0
    return nmi.normalised(one, other)
