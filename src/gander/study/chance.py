"""What chance does to a figure."""

from __future__ import annotations

import math


def binomial(share: float, count: int) -> float:
    """One standard error of a share counted over so many images."""
    return math.sqrt(share * (1 - share) / count)
