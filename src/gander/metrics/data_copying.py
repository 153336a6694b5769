"""Whether drawn images are copies: how often one lies nearer to the training images than an unseen real image does.

Meehan et al., "A non-parametric test to detect data-copying in generative models" (2020): the distance from each drawn image to the
nearest of all training images, in features (N, F), against that of test images. ``data_copying`` is the probability that a drawn image lies
nearer than a test image: .5 like unseen real images, towards 1 the more is copied, under .5 where images are worse than real ones; Z is the
Mann-Whitney statistic behind it, above 0 towards copies. Smooth, typical images lie near the training images without being copies, and a few copies hardly move
it, so look at the shares too. ``data_copying_share``: of how many drawn images the nearest training image stands out, by its distance
over that of the fifth (relative to the surroundings, as Carlini et al., "Extracting training data from diffusion models", 2023), as it
does for 1 % of the test images. ``data_copying_pixels``: the same in pixels, the closest of those five
over the farthest (root mean square), so that a blur, which is near to everything, is no copy. The picture ``neighbours`` has the drawn images whose nearest stands out most, with that quotient, each before
its five nearest training images. Cost: O(N T F) for T training images, 15 s for 10,000 drawn and 60,000 training images on a core.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from gander.images import sheet
from gander.study import Figure, Study
from gander.study.distances import compared
from gander.study.neighbours import nearest

SHOWN, BESIDE = 8, 5  # rows of the picture, training images in a row
RARE = 0.01  # of the test images: nearer than these is suspicious
CELLS = 8_000_000  # numbers held at once


def measure(study: Study) -> dict[str, Figure]:
    """Three figures and the picture ``neighbours``."""
    compared(study)
    about = f"the nearest of {len(study.train):,} training images"
    test = study.test_features[study.test_rows]
    drawn, near = nearest(study.drawn_features[: study.size], study.train_features, BESIDE)
    real, real_near = nearest(test, study.train_features, BESIDE)
    value, error, z = nearer(drawn[:, 0], real[:, 0])
    alone = standing_out(drawn)
    pixels = closest(study.drawn[: study.size], near, study.train.images)
    real_pixels = closest(study.test.images[study.test_rows], real_near, study.train.images)
    study.pictures["neighbours"] = picture(study, alone, near)
    return {
        "data_copying": Figure(
            value, 0.5, 1.0, f"{about}; Z {z:+.1f}", error=error, floor_is="real"
        ),
        "data_copying_share": share(alone, standing_out(real), "the nearest standing out"),
        "data_copying_pixels": share(pixels, real_pixels, "the closest in pixels standing out"),
    }


def nearer(drawn: Tensor, real: Tensor) -> tuple[float, float, float]:
    """How probably a drawn distance is below a real one (half where equal), its standard error, and Mann and Whitney's Z."""
    below, above = _beaten(drawn, real), 1 - _beaten(real, drawn)
    value = float(below.mean())
    count, others = len(drawn), len(real)
    error = math.sqrt(float(below.var()) / count + float(above.var()) / others)
    spread = math.sqrt((count + others + 1) / (12 * count * others))
    return value, error, (value - 0.5) / spread


def _beaten(some: Tensor, others: Tensor) -> Tensor:
    """For each of ``some`` the share of ``others`` that is greater, half where equal, (N,) float64."""
    some, ordered = some.contiguous(), others.sort().values
    not_less, not_greater = (torch.searchsorted(ordered, some, right=r) for r in (False, True))
    return 1 - (not_less + not_greater).double() / (2 * len(others))


def standing_out(distances: Tensor) -> Tensor:
    """The distance to the nearest over that to the last of some neighbours (N, K) in order, (N,) from 0, a copy, to 1."""
    first, last = distances[:, 0], distances[:, -1]
    return torch.where(last > 0, first / last.where(last > 0, 1), 0)


def share(drawn: Tensor, real: Tensor, how: str) -> Figure:
    """How many drawn images are as low as the lowest 1 % of the test images; the floor is those themselves."""
    rank = max(1, round(RARE * len(real)))
    limit = real.kthvalue(rank).values
    value, floor = (float((side <= limit).double().mean()) for side in (drawn, real))
    error = math.sqrt(value * (1 - value) / len(drawn))
    about = f"{how} as in {floor:.1%} of the test images"
    return Figure(value, floor, 1.0, about, error=error, floor_is="real")


def closest(images: Tensor, near: Tensor, others: Tensor) -> Tensor:
    """The root mean square difference to the closest over that to the farthest of some ``others`` (N, K rows), (N,) from 0, a copy, to 1."""
    found = []
    step = max(1, CELLS // (near.shape[1] * images[0].numel()))
    for one, rows in zip(torch.split(images, step), torch.split(near, step), strict=True):
        differences = others[rows].float() - one[:, None].float()
        found.append(standing_out(differences.square().flatten(2).mean(2).sqrt().sort(1).values))
    return torch.cat(found)


def picture(study: Study, alone: Tensor, near: Tensor) -> Tensor:
    """A sheet (C, H, W) uint8: drawn images whose nearest stands out most, no training image twice, and what they lie near."""
    rows, seen = [], set()
    for row in alone.argsort(dim=0, stable=True).tolist():
        if (first := int(near[row, 0])) not in seen:
            seen.add(first)
            rows.append(row)
        if len(rows) == SHOWN:
            break
    parts = []
    for row in rows:
        parts += [study.drawn[row : row + 1], study.train.images[near[row]]]
    heads = ["drawn", "nearest", *map(str, range(2, near.shape[1] + 1))]
    names = [f"{float(alone[row]):.2f}" for row in rows]
    drawn = np.asarray(sheet(torch.cat(parts), len(heads), names, heads))
    return torch.from_numpy(drawn.copy()).reshape(*drawn.shape[:2], -1).permute(2, 0, 1)
