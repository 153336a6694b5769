"""Groups of images that share one recorded factor, and what every code does within them.

Both published protocols own a simulator. Here a group is drawn with replacement from the recorded images that have the value (or
fall into the bin). The recorded factors are independent of each other and a value holds hundreds of images, so this is close; but a
perfect reader of a binned factor still varies within its bin.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gander import rng
from gander.study.factors import Numbers, Rows, Whole

CHUNK = 500
"""Groups looked at together."""
GROUPS = 500
"""Groups of the InfoGAN-CR protocol."""


def sharing(rows: Rows, which: Whole, first: Whole, stream: str, at: int, size: int) -> Whole:
    """``size`` images for each of n groups, (n, size), that share factor ``which`` (n,) with image ``first``.

    ``first`` is (n, 1), one image for the whole group, or (n, size), one for each. The draws are those of positions ``at …`` of ``stream``.
    """
    u = rng.uniforms(0, f"factors/{stream}", at, len(which), size)
    picked = np.empty(u.shape, np.int64)
    for k, factor in enumerate(rows.factors):
        mine = which == k
        order = np.argsort(factor.levels, kind="stable")
        counts = np.bincount(factor.levels, minlength=factor.count)
        level = factor.levels[first[mine]]
        start = (np.cumsum(counts) - counts)[level]
        picked[mine] = order[start + (u[mine] * counts[level]).astype(np.int64)]
    return picked


def parts(count: int) -> Iterator[tuple[int, int]]:
    """First and number of ``CHUNK`` groups after another."""
    for at in range(0, count, CHUNK):
        yield at, min(CHUNK, count - at)


def fixed(rows: Rows, count: int, stream: str, at: int) -> Whole:
    """Which factor each of ``count`` groups shares, drawn evenly, (count,)."""
    u = rng.uniforms(0, f"factors/{stream}/which", at, count, 1)
    return (u[:, 0] * len(rows.factors)).astype(np.int64)


def in_turn(rows: Rows) -> Whole:
    """Which factor each of ``GROUPS`` groups shares, one factor after another, (GROUPS,)."""
    return np.arange(GROUPS) % len(rows.factors)


def anyone(rows: Rows, count: int, stream: str, at: int, size: int) -> Whole:
    """Any images, (count, size)."""
    u = rng.uniforms(0, f"factors/{stream}/first", at, count, size)
    return (u * len(rows)).astype(np.int64)


def spread(rows: Rows, picked: Whole | slice, less: int) -> Numbers:
    """The variance of every code, summed over its columns: of all images (codes,), or within groups of ``picked`` (n, m): (n, codes).

    ``less`` is 1 for the unbiased variance, 0 for the mean square.
    """
    axis = -2
    return np.stack(
        [code.columns[picked].var(axis=axis, ddof=less).sum(axis=-1) for code in rows.codes],
        axis=-1,
    )


def distances(rows: Rows, one: Whole, other: Whole) -> Numbers:
    """How far apart pairs of images (n, m) lie in every code, summed over its columns, averaged over the m pairs: (n, codes)."""
    return np.stack(
        [
            np.abs(code.columns[one] - code.columns[other]).sum(axis=-1).mean(axis=1)
            for code in rows.codes
        ],
        axis=-1,
    )
