"""Measurements of a run, one file each: the file name is the registry.

A metric file has a first docstring line (shown by ``gander list metrics``) and ``measure(study) -> dict[str, Figure]``, whose
keys are the metric's name or NAME/CODE. It raises ``CannotMeasure`` with the reason where a run has nothing for it to measure. One
that takes minutes says so in ``COSTS`` and is measured only when it is asked for by name.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

from gander.errors import ConfigError, choose
from gander.study import CannotMeasure, Figure, Study

__all__ = ["CannotMeasure", "Figure", "Measure", "Study", "costly", "described", "find", "names"]

Measure = Callable[[Study], dict[str, Figure]]


def names() -> list[str]:
    """Every metric there is."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def described() -> dict[str, str]:
    """Every metric with its one line."""
    lines = {}
    for name in names():
        text = (Path(__path__[0]) / f"{name}.py").read_text("utf-8")
        lines[name] = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return lines


def costly(name: str) -> str | None:
    """What a metric costs that is measured only when it is asked for by name; None for all others."""
    return cast(str | None, getattr(importlib.import_module(f"{__name__}.{name}"), "COSTS", None))


LISTED = "those that `gander list metrics` shows, as frechet,label_accuracy"


def find(name: str) -> Measure:
    """The metric of that name."""
    if name not in names():
        raise ConfigError(choose(name, names(), "metric", LISTED))
    return cast(Measure, importlib.import_module(f"{__name__}.{name}").measure)
