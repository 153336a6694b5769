"""Distances between two sets of features, (N, F) each: Fréchet's and the kernel distance.

Both compare what was drawn with real test images; the same between real training and test images in the same number is their floor.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gander.study import LEAST, CannotMeasure, Study
from gander.study.libraries import library

BLOCKS = 20  # parts of a set, each left out once for the standard error
SHIFT = 1.0  # of the polynomial kernel


def compared(study: Study) -> str:
    """What is set against what, for a figure's ``about``. Raises ``CannotMeasure`` where that is too little."""
    if study.size < LEAST:
        raise CannotMeasure(
            f"{study.size} images are too few on a side; it takes {LEAST}, drawn and in either split"
        )
    return f"{study.size:,} drawn against {study.size:,} real test images"


def sides(study: Study) -> tuple[Tensor, Tensor, Tensor]:
    """Features of drawn, real training and real test images, equally many of each: (size, F) three times."""
    return (
        study.drawn_features[: study.size],
        study.train_features[study.train_rows],
        study.test_features[study.test_rows],
    )


# ---------------------------------------------------------------------- Fréchet
class _AsGiven(nn.Module):
    """A feature network for features that are there already."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet(some: Tensor, reference: Tensor) -> float:
    """The squared Fréchet distance of two normal distributions with the sets' means and covariances, in float64.

    Fewer images than features make singular covariances, for which it is defined all the same. Raises ``CannotMeasure``.
    """
    some, reference = _in_their_span(some.double(), reference.double())
    metric = library("torchmetrics.image.fid").FrechetInceptionDistance
    measured = metric(feature=_AsGiven(some.shape[1])).set_dtype(torch.float64)
    measured.update(reference, real=True)
    measured.update(some, real=False)
    return max(0.0, float(measured.compute()))


def _in_their_span(some: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """The sets turned into the coordinates they span: the same distances, and far less to compute where images are few."""
    rows = torch.cat([some, reference])
    if len(rows) >= rows.shape[1]:
        return some, reference
    basis = torch.linalg.qr(rows.T)[0]
    return some @ basis, reference @ basis


# ---------------------------------------------------------------------- kernel
def kernel(sets: Sequence[Tensor], reference: Tensor) -> list[tuple[float, float]]:
    """The unbiased squared maximum mean discrepancy of each set to the reference, and its standard error.

    The kernel is (x·y / F + 1)³. Every pair of images counts once, so the result does not depend on a choice of subsets; the
    standard error is the jackknife's, from leaving out each of 20 parts of both sets in turn; it errs on the large side, by about a third.
    """
    own = _sums(reference, reference)
    # The first row keeps every part, each other one leaves one out.
    keep = torch.cat([torch.ones(1, BLOCKS), 1 - torch.eye(BLOCKS)]).double()
    found = []
    for some in sets:
        within, across = _sums(some, some), _sums(some, reference)
        first, second = (keep @ _parts(side).bincount().double() for side in (some, reference))
        inner, outer, mixed = (((keep @ sums) * keep).sum(1) for sums in (within, own, across))
        estimates = inner / (first * (first - 1)) + outer / (second * (second - 1))
        estimates -= 2 * mixed / (first * second)
        spread = estimates[1:].var(unbiased=False) * (BLOCKS - 1)
        found.append((float(estimates[0]), float(spread.sqrt())))
    return found


def _parts(features: Tensor) -> Tensor:
    """Which part each image belongs to, (N,), in order and nearly equally many in each."""
    return torch.arange(len(features)) * BLOCKS // len(features)


def _sums(some: Tensor, others: Tensor) -> Tensor:
    """The kernel summed over every pair of parts, (BLOCKS, BLOCKS) float64; without an image's pair with itself."""
    same = some is others
    rows, columns = _parts(some), _parts(others)
    sums = torch.zeros(BLOCKS, BLOCKS, dtype=torch.float64)
    for block in range(BLOCKS):
        here = some[rows == block].float()
        first = int((columns < block).sum()) if same else 0  # the kernel is symmetric
        values = torch.addmm(torch.tensor(SHIFT), here, others[first:].T, alpha=1 / some.shape[1])
        cubes = (values * values).mul_(values)
        if same:
            cubes.fill_diagonal_(0)
        sums[block].index_add_(0, columns[first:], cubes.sum(0).double())
    return sums.triu() + sums.triu(1).T if same else sums
