"""How sure a mean over seeds is: the percentile bootstrap (Efron, 1979)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gander import rng

DRAWS = 10_000
LEVEL = 0.95


def mean_interval(
    values: Sequence[float], level: float = LEVEL, draws: int = DRAWS
) -> tuple[float, float] | None:
    """Where the mean lies in ``level`` of the samples drawn with replacement; None for fewer than two values.

    The same values give the same interval. With two or three it is the range from the least to the greatest, narrower than the
    truth deserves: say how many there were.
    """
    count = len(values)
    if count < 2:
        return None
    rows = (rng.uniforms(0, "bootstrap", 0, draws, count) * count).astype(np.int64)
    # In order of size, so that the interval does not depend on the order of the runs.
    means = np.sort(np.asarray(values, dtype=np.float64))[rows].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
