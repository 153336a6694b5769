"""How alike two drawn images of a class are, by multi-scale structural similarity: collapse inside a class shows; lower is more varied.

Wang et al., "Multiscale structural similarity for image quality assessment" (2003), used for this by Odena et al. (2017). Of each class up to
3,000 random pairs of images (C, H, W), fewer of large ones, as ``pairs_of`` says; without labels five times as many of all. A window of 11
pixels (σ 1.5) where the side bears five scales of it, else of 7 (σ 0.8), and as many of the five scales as the side bears, their exponents
scaled to the same sum. The floor is what as many pairs of real test images score: much above it is collapse, much below it is noise. The
ceiling 1 is one and the same image, which is also what a class counts that the model never draws. ``ms_ssim_worst_class`` is the class
farthest above its own floor; the farthest of several is above by chance as well, so it says with what standard error. Cost: 8 s for ten
classes of 28 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gander import rng
from gander.study import CannotMeasure, Figure, Study
from gander.study.classes import classes_of
from gander.study.distances import compared
from gander.study.libraries import library

# With 200 pairs a class of digits differs from its floor by .02 of standard error, and the worst of ten lies .03 above it by chance.
MOST, LEAST, NUMBERS = 3000, 200, 2_500_000  # pairs, pairs, and numbers in the first of all pairs
ALL = 5  # times as many pairs where there are no classes
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al., 2003
WINDOWS = {11: 1.5, 7: 0.8}  # pixels -> σ that torchmetrics makes a window of that size from
CHUNK = 80_000  # numbers compared at once; with more the memory is mapped anew for each step


def measure(study: Study) -> dict[str, Figure]:
    """The mean over classes and the worst class."""
    compared(study)
    window, scales = scaling(min(study.test.shape[1:]))
    how = f"{scales} scales, window of {window} pixels"
    pairs = pairs_of(study.test.shape)
    try:
        classes = classes_of(study)
    except CannotMeasure as why:
        rows = torch.arange(study.size)
        drawn = similarity(study.drawn, rows, ALL * pairs, window, scales)
        real = similarity(study.test.images, study.test_rows, ALL * pairs, window, scales)
        return {"ms_ssim": _figure([drawn], [real], f"{ALL * pairs:,} pairs of all, {why}; {how}")}
    drawn_of, real_of = [], []
    for group in classes.groups:
        real_of.append(similarity(study.test.images, group.test, pairs, window, scales))
        alike = torch.ones(pairs)
        if not group.missing:
            alike = similarity(study.fakes, group.drawn, pairs, window, scales)
        drawn_of.append(alike)
    above = [
        float(drawn.mean() - real.mean()) for drawn, real in zip(drawn_of, real_of, strict=True)
    ]
    worst = max(range(len(above)), key=above.__getitem__)
    group = classes.groups[worst]
    error = float(((drawn_of[worst].var() + real_of[worst].var()) / pairs).sqrt())
    name = f"class {group.name}, {above[worst]:+.3f} ± {error:.3f} from its floor"
    name += ", never drawn" if group.missing else ""
    about = f"{pairs:,} pairs a class, {how}; {classes.about}"
    return {
        "ms_ssim": _figure(drawn_of, real_of, about),
        "ms_ssim_worst_class": _figure([drawn_of[worst]], [real_of[worst]], name),
    }


def _figure(drawn: list[Tensor], real: list[Tensor], about: str) -> Figure:
    """The mean over classes of the pairs' similarities, its floor and the standard error that the choice of pairs leaves."""
    values, floors = torch.stack(drawn).double(), torch.stack(real).double()
    error = float((values.var(1) / values.shape[1]).sum().sqrt()) / len(values)
    return Figure(
        float(values.mean()), float(floors.mean()), 1.0, about, error=error, floor_is="real"
    )


def pairs_of(shape: Sequence[int]) -> int:
    """How many pairs of images of a shape (C, H, W) are compared in a class: 2.5 million numbers' worth, between 200 and 3,000."""
    return min(MOST, max(LEAST, NUMBERS // math.prod(shape)))


def scaling(side: int) -> tuple[int, int]:
    """The window in pixels and the number of scales for images whose shorter side is ``side``. Raises ``CannotMeasure``."""
    best = (0, 0)
    for window in WINDOWS:
        for scales in range(1, len(EXPONENTS) + 1):
            # The second bound is torchmetrics' own.
            fits = side >> (scales - 1) >= window and side // max(1, scales - 1) ** 2 >= window
            if fits and scales > best[1]:
                best = (window, scales)
    if not best[1]:
        raise CannotMeasure(f"{side} pixels a side are too few; it takes {min(WINDOWS)}")
    return best


def similarity(images: Tensor, rows: Tensor, pairs: int, window: int, scales: int) -> Tensor:
    """Of so many random pairs of different images among ``rows`` of ``images`` (N, C, H, W) uint8, (pairs,)."""
    compare = library(
        "torchmetrics.functional.image"
    ).multiscale_structural_similarity_index_measure
    total = sum(EXPONENTS[:scales])
    exponents = tuple(exponent / total for exponent in EXPONENTS[:scales])
    count = len(rows)
    words = torch.from_numpy((rng.raw(0, "ms_ssim", 0, pairs, 2) >> 11).astype("int64"))
    first = words[:, 0] % count
    second = (first + 1 + words[:, 1] % (count - 1)) % count
    parts, chunk = [], max(1, CHUNK // images[0].numel())
    for one, other in zip(torch.split(first, chunk), torch.split(second, chunk), strict=True):
        left, right = (images[rows[chosen]].float() / 255 for chosen in (one, other))
        parts.append(
            compare(
                left,
                right,
                kernel_size=window,
                sigma=WINDOWS[window],
                reduction="none",
                data_range=1.0,
                betas=exponents,
            )
        )
    return torch.cat(parts)
