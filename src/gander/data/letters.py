"""Drawn capital letters, with factors recorded as those of glyphs; nothing to download."""

from __future__ import annotations

from gander.data import Data
from gander.data.reading.drawing import drawn

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def load(split: str, size: int | None, limit: int | None) -> Data:
    """60,000 (train) or 10,000 (test) letters, white on black, 28 pixels a side unless told."""
    return drawn("letters", "letter", LETTERS, split, size, limit)
