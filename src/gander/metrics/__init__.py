"""Measurements of a run, one file each: the file name is the registry.

A metric file has a first docstring line (shown by ``gander list metrics``) and ``measure(study) -> dict[str, Figure]``, whose
keys are the metric's name or NAME/CODE. It raises ``CannotMeasure`` with the reason where a run has nothing for it to measure.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

from torch import Tensor

from gander.codes import Values
from gander.data import Data
from gander.errors import ConfigError, choose
from gander.judge import Judge, judge_of
from gander.model import Model


class CannotMeasure(Exception):
    """Why a metric has nothing to measure in a run, in one line."""


@dataclass(frozen=True)
class Figure:
    """A measured value beside what knowing nothing scores and the most there is; None where a bound does not apply."""

    value: float
    floor: float | None = None
    ceiling: float | None = None
    about: str = ""


@dataclass(frozen=True)
class Study:
    """What a metric may look at: a model, real images, ``n`` drawn ones and a judge, each made once."""

    model: Model
    train: Data
    test: Data
    n: int
    seed: int = 0

    @cached_property
    def values(self) -> Values:
        """The codes of the drawn images, (n, …) each; classes in equal numbers, so that a rare one counts."""
        classes = {
            code.name: [i % code.resolved.width for i in range(self.n)]
            for code in self.model.spec.given
            if code.resolved.name == "categorical"
        }
        return self.model.values(range(self.seed, self.seed + self.n), **classes)

    @cached_property
    def fakes(self) -> Tensor:
        """The drawn images, (n, C, H, W) uint8."""
        return self.model.render(self.values)

    @cached_property
    def judge(self) -> Judge:
        return judge_of(self.train)

    @cached_property
    def judged(self) -> dict[str, Tensor]:
        """What the judge says of the drawn images, column by column."""
        return self.judge.name(self.fakes)

    @cached_property
    def judged_test(self) -> dict[str, Tensor]:
        """What the judge says of the real test images."""
        return self.judge.name(self.test.images)

    @cached_property
    def readings(self) -> dict[str, Tensor]:
        """What the model's own recogniser reads in the real test images."""
        return self.model.read(self.test.images)


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


def find(name: str) -> Measure:
    """The metric of that name."""
    if name not in names():
        raise ConfigError(choose(name, names(), "metric"))
    return cast(Measure, importlib.import_module(f"{__name__}.{name}").measure)
