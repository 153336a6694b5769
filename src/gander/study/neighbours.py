"""Who lies near whom: what precision, recall, density, coverage and the search for copies are made of.

Distances are Euclidean between features, computed a strip at a time, so that memory is bounded whatever the number of images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gander.study import Study
from gander.study.classes import classes_of, features_of
from gander.study.distances import compared, sides

BALL = 3
"""Neighbours that a ball of precision and recall reaches (Kynkäänniemi et al., 2019)."""
WIDE = 5
"""Neighbours that a ball of density and coverage reaches (Naeem et al., 2020)."""
CELLS = 8_000_000  # distances held at once
ROUNDING = 4e-6  # of a typical squared norm: what single precision cannot tell from nothing


@dataclass(frozen=True)
class Neighbourhood:
    """How one set of images lies among another, the reference."""

    precision: float
    """The share of images in the ball of some reference image."""
    recall: float
    """The share of reference images in the ball of some image."""
    density: float
    """In how many reference balls an image lies, over how many a reference image would be expected to: not bounded by 1."""
    coverage: float
    """The share of reference images in whose ball some image lies."""


NOWHERE = Neighbourhood(0.0, 0.0, 0.0, 0.0)
"""Of images that are not there."""


def around(study: Study) -> tuple[Neighbourhood, Neighbourhood]:
    """Drawn images among real test images, and real training images among the same. Raises ``CannotMeasure``."""
    compared(study)
    return study.once("neighbours", lambda: _both(*sides(study)))


def around_in_classes(study: Study) -> list[tuple[Neighbourhood, Neighbourhood]]:
    """The same inside each class of ``classes_of(study)``; a class that is never drawn covers nothing and is nowhere."""

    def make() -> list[tuple[Neighbourhood, Neighbourhood]]:
        found = []
        for group in classes_of(study).groups:
            drawn, real = _both(*features_of(study, group))
            found.append((NOWHERE if group.missing else drawn, real))
        return found

    return study.once("neighbours/classes", make)


def _both(drawn: Tensor, real: Tensor, reference: Tensor) -> tuple[Neighbourhood, Neighbourhood]:
    balls = radii(reference)
    return between(drawn, reference, balls), between(real, reference, balls)


def between(
    some: Tensor, reference: Tensor, balls: tuple[Tensor, Tensor] | None = None
) -> Neighbourhood:
    """The neighbourhood of ``some`` (N, F) in ``reference`` (M, F); more than 5 images each.

    ``balls`` are the reference's own ``radii``, where they are known already.
    """
    ball, wide = balls or radii(reference)
    own = radii(some)[0]
    precise = inside = 0
    recalled = torch.zeros(len(reference), dtype=torch.bool)
    closest = torch.full((len(reference),), torch.inf)
    for rows, distances in squared(some, reference):
        precise += int(torch.count_nonzero((distances <= ball).any(1)))
        inside += int(torch.count_nonzero(distances <= wide))
        recalled |= (distances <= own[rows, None]).any(0)
        closest = torch.minimum(closest, distances.amin(0))
    return Neighbourhood(
        precise / len(some),
        float(recalled.double().mean()),
        inside / (WIDE * len(some)),
        float((closest <= wide).double().mean()),
    )


def radii(features: Tensor) -> tuple[Tensor, Tensor]:
    """The squared distances from each image to its third and its fifth neighbour in its own set, (N,) each.

    An image is no neighbour of its own. What rounding cannot tell from the radius is inside.
    """
    found = [
        # the nearest of all is the image itself
        distances.topk(WIDE + 1, dim=1, largest=False).values[:, [BALL, WIDE]]
        for _, distances in squared(features, features)
    ]
    spread = (features - features.mean(0)).square().sum(1).mean()
    both = torch.cat(found) + ROUNDING * spread
    return both[:, 0], both[:, 1]


def squared(some: Tensor, others: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Strips of the squared distances between two sets: which rows of ``some``, and (rows, M) float32."""
    middle = others.mean(0)  # near the origin little is lost to rounding
    some, others = some - middle, others - middle
    lengths = others.square().sum(1)[None]
    step = max(1, CELLS // len(others))
    for start in range(0, len(some), step):
        strip = some[start : start + step]
        distances = torch.addmm(lengths, strip, others.T, alpha=-2)
        distances += strip.square().sum(1)[:, None]
        yield slice(start, start + len(strip)), distances.clamp_(min=0)


def nearest(some: Tensor, others: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` nearest of ``others`` to each of ``some``: distances (N, count), exact to the last bit at 0, and rows (N, count)."""
    rows = torch.cat(
        [
            strip.topk(min(count, len(others)), dim=1, largest=False).indices
            for _, strip in squared(some, others)
        ]
    )
    distances = torch.cat(
        [
            (others[near] - one[:, None]).square().sum(2).sqrt()
            for one, near in zip(torch.split(some, 1000), torch.split(rows, 1000), strict=True)
        ]
    )
    order = distances.argsort(dim=1, stable=True)
    return distances.gather(1, order), rows.gather(1, order)
