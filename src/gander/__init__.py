"""gander: train GANs you can steer.

    run = gander.train("acgan-infogan", data="mnist", images=200_000)
    model = gander.load(run)
    model.draw(8, seed=0, digit=3)

The public names are imported when they are first used, so that ``import gander`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gander.code import Code
    from gander.codes import CodeSpec
    from gander.errors import GanderError
    from gander.model import Model, load
    from gander.searching import search
    from gander.training import train

_HOMES = {
    "Code": "code",
    "CodeSpec": "codes",
    "GanderError": "errors",
    "Model": "model",
    "load": "model",
    "train": "training",
    "evaluate": "evaluation",
    "compare": "comparison",
    "export": "exporting",
    "search": "searching",
    "select": "selection",
}

__all__ = [
    "Code",
    "CodeSpec",
    "GanderError",
    "Model",
    "__version__",
    "compare",
    "evaluate",
    "export",
    "load",
    "search",
    "select",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gander' has no attribute {name!r}")
    return getattr(importlib.import_module(f"gander.{_HOMES[name]}"), name)
