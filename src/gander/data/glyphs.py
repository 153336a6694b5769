"""Drawn digits with recorded slant, stroke width, size and position; nothing to download."""

from __future__ import annotations

from gander.data import Data
from gander.data.reading.drawing import drawn

DIGITS = "0123456789"


def load(split: str, size: int | None, limit: int | None) -> Data:
    """60,000 (train) or 10,000 (test) digits, white on black, 28 pixels a side unless told."""
    return drawn("glyphs", "digit", DIGITS, split, size, limit)
