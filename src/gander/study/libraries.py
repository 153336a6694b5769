"""Libraries that only measuring needs, from the extra ``metrics``: imported where used, and their absence a plain reason."""

from __future__ import annotations

import importlib
from typing import Any

from gander.study import CannotMeasure

PACKAGES = {
    "sklearn": "scikit-learn"
}  # import name -> name in the package index, where they differ


def library(name: str) -> Any:
    """The module of that dotted name. Raises ``CannotMeasure`` where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        root = name.partition(".")[0]
        raise CannotMeasure(
            f"needs {PACKAGES.get(root, root)}: pip install 'gander[metrics]'"
        ) from None
