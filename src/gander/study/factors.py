"""Discovered codes beside the recorded causes of real images: what every disentanglement metric looks at.

A *code* is one dimension of the representation, however many numbers its reading takes: a continuous code is its mean (one of
several numbers is a code each), a circular one its cosine and sine, a categorical one its probabilities, a switch its
probability. Measures of variance and linear models see those columns together; measures of information see one discrete variable: the
class of a categorical code, the switch, or the number (the angle) in equal-width bins.

A *factor* is a recorded column known to cause the image, unless it is given to the model: what is ordered is not discovered.
A factor of at most ``LEVELS`` different values keeps them, as dSprites has them; any other is cut into ``BINS`` bins of equal
count where a protocol wants discrete factors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gander import rng
from gander.code import Code
from gander.data import Column
from gander.study import CannotMeasure, Figure, Study

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]

LEVELS = 64
"""Different values up to which a recorded number is taken as discrete."""
BINS = 20
"""Bins of equal count of a recorded number of more values."""
FITTED, SCORED = 10_000, 5_000
"""Images a protocol is fitted on, of the training split, and images it is scored on, of the test split."""
FEWEST = 50
"""Images of a split below which nothing is said."""


@dataclass(frozen=True)
class Reading:
    """What one code says of N images: its columns (N, w), its classes (N,) where it is discrete, and the angle (N,) of a circular one."""

    name: str
    columns: Numbers
    classes: Whole | None = None
    angle: Numbers | None = None

    def at(self, rows: Whole) -> Reading:
        """Of other images."""
        classes = None if self.classes is None else self.classes[rows]
        angle = None if self.angle is None else self.angle[rows]
        return replace(self, columns=self.columns[rows], classes=classes, angle=angle)

    def beside(self, other: Reading) -> Reading:
        """Of these images and then of the other's."""
        columns = np.concatenate([self.columns, other.columns])
        classes, angle = self.classes, self.angle
        if classes is not None and other.classes is not None:
            classes = np.concatenate([classes, other.classes])
        if angle is not None and other.angle is not None:
            angle = np.concatenate([angle, other.angle])
        return replace(self, columns=columns, classes=classes, angle=angle)


@dataclass(frozen=True)
class Factor:
    """One recorded cause of N images: the numbers themselves (N,), and as one of ``count`` levels (N,)."""

    name: str
    values: Numbers
    levels: Whole
    count: int
    ordered: bool
    """A number rather than a class."""
    low: float
    high: float
    """The range of the numbers in both splits."""


@dataclass(frozen=True)
class Rows:
    """N images: what every code says of them and what caused them."""

    codes: tuple[Reading, ...]
    factors: tuple[Factor, ...]

    def __len__(self) -> int:
        return len(self.factors[0].levels)

    @property
    def columns(self) -> Numbers:
        """The readings of all codes side by side, (N, W)."""
        return np.concatenate([code.columns for code in self.codes], axis=1)

    def by_code(self, columns: Numbers) -> Numbers:
        """Numbers that belong to the columns, (W,), summed over those of every code, (codes,)."""
        edges = np.cumsum([0, *(code.columns.shape[1] for code in self.codes)])[:-1]
        return np.asarray(np.add.reduceat(columns, edges), np.float64)

    def shuffled(self, stream: str) -> Rows:
        """The same readings and the same factors, but of different images."""
        order = rng.permutation(0, f"factors/shuffled/{stream}", 0, len(self))
        return replace(self, codes=tuple(code.at(order) for code in self.codes))

    def perfect(self) -> Rows:
        """Codes that are the factors themselves, numbers scaled to -1 to 1 as a uniform code is."""
        return replace(self, codes=tuple(_itself(factor) for factor in self.factors))


@dataclass(frozen=True)
class Evidence:
    """The images a protocol is fitted on and those it is scored on, with the names of factors left out as given."""

    fitted: Rows
    scored: Rows
    given: tuple[str, ...] = ()

    @property
    def everything(self) -> Rows:
        """Both together, for the protocol that scores what it was fitted on."""
        pairs = zip(self.fitted.codes, self.scored.codes, strict=True)
        codes = tuple(one.beside(other) for one, other in pairs)
        causes = zip(self.fitted.factors, self.scored.factors, strict=True)
        factors = tuple(
            replace(
                one,
                values=np.concatenate([one.values, other.values]),
                levels=np.concatenate([one.levels, other.levels]),
            )
            for one, other in causes
        )
        return Rows(codes, factors)

    @property
    def shuffled(self) -> Evidence:
        """The same with readings that know nothing of their images."""
        return replace(
            self, fitted=self.fitted.shuffled("fitted"), scored=self.scored.shuffled("scored")
        )

    @property
    def perfect(self) -> Evidence:
        """The same with the factors themselves for codes."""
        return replace(self, fitted=self.fitted.perfect(), scored=self.scored.perfect())

    @property
    def about(self) -> str:
        """Codes and factors in a few words."""
        names = ", ".join(factor.name for factor in self.fitted.factors)
        left = f"; given: {', '.join(self.given)}" if self.given else ""
        return f"{len(self.fitted.codes)} codes against {names}{left}"


Score = Callable[[Evidence], float]


def measured(study: Study, name: str, score: Score, protocol: str) -> dict[str, Figure]:
    """One figure of a protocol. The floor is ``score`` of shuffled readings, the ceiling that of the factors themselves as codes."""
    evidence = evidence_of(study)
    about = f"{protocol}: {evidence.about}"
    value, floor = score(evidence), score(evidence.shuffled)
    return {name: Figure(value, floor, score(evidence.perfect), about)}


# ---------------------------------------------------------------------- from a study
def evidence_of(study: Study) -> Evidence:
    """Readings and factors of ``FITTED`` training and ``SCORED`` test images, or what there are. Raises ``CannotMeasure``."""
    return study.once("factors", lambda: _evidence(study))


def _evidence(study: Study) -> Evidence:
    codes = [code for code in study.model.spec.codes if code.is_discovered]
    if not codes:
        raise CannotMeasure("no code is discovered")
    if study.model.critic is None:
        raise CannotMeasure("the critic's weights are not here")
    if not study.test.factors:
        raise CannotMeasure("these images record no factor")
    ordered = {code.given or code.name for code in study.model.spec.given}
    given = tuple(f for f in study.test.factors if f in ordered)
    names = [f for f in study.test.factors if f not in given]
    known = [
        _known([data.columns[name] for name in names], len(data))[:most]
        for data, most in ((study.train, FITTED), (study.test, SCORED))
    ]
    if min(len(rows) for rows in known) < FEWEST:
        raise CannotMeasure(f"fewer than {FEWEST} images with every factor recorded in a split")
    pairs = [
        factor(
            _taken(study.train.columns[name], known[0]), _taken(study.test.columns[name], known[1])
        )
        for name in names
    ]
    pairs = [pair for pair in pairs if all(len(np.unique(f.levels)) > 1 for f in pair)]
    if len(pairs) < 2:
        raise CannotMeasure("fewer than two recorded factors are left to be discovered")
    read = study.model.read(study.train.images[known[0]]), study.readings
    said = {code.name: (read[0][code.name], read[1][code.name][known[1]]) for code in codes}
    sides = [[one for c in codes for one in readings(c, said[c.name][side])] for side in (0, 1)]
    if len(sides[0]) < 2:
        raise CannotMeasure("one code alone has no other to be told apart from")
    fitted, scored = (
        Rows(tuple(side), tuple(pair[i] for pair in pairs)) for i, side in enumerate(sides)
    )
    return Evidence(fitted, scored, given)


def _taken(column: Column, rows: Tensor) -> Column:
    return replace(column, values=column.values[rows])


def _known(columns: list[Column], count: int) -> Tensor:
    """A fixed random order of the rows in which every factor is recorded."""
    known = torch.ones(count, dtype=torch.bool)
    for column in columns:
        known &= column.known
    order = torch.from_numpy(rng.permutation(0, "factors/rows", 0, count))
    return order[known[order]]


def factor(fitted: Column, scored: Column) -> tuple[Factor, Factor]:
    """The same factor in both splits, with the same levels."""
    ordered = fitted.sort != "categorical"
    numbers = [column.values.double().numpy() for column in (fitted, scored)]
    both = np.unique(np.concatenate(numbers))
    if len(both) <= LEVELS or not ordered:
        levels, count = [np.searchsorted(both, n) for n in numbers], len(both)
    else:
        edges = np.quantile(numbers[0], np.arange(1, BINS) / BINS)
        levels, count = [np.searchsorted(edges, n, side="right") for n in numbers], BINS
    ends = float(both[0]), float(both[-1])
    one, other = (
        Factor(fitted.name, n, at.astype(np.int64), count, ordered, *ends)
        for n, at in zip(numbers, levels, strict=True)
    )
    return one, other


def readings(code: Code, read: Tensor) -> list[Reading]:
    """One code's readings, (N, P), as the codes that are one dimension each."""
    kind, numbers = code.resolved.name, read.double()
    if kind == "categorical":
        return [Reading(code.name, numbers.numpy(), numbers.argmax(1).numpy())]
    parts = []
    for i, one in enumerate(numbers.unbind(1)):
        name = code.name if numbers.shape[1] == 1 else f"{code.name}.{i}"
        columns = torch.stack([one.cos(), one.sin()], 1) if kind == "circular" else one[:, None]
        classes = (one > 0.5).long().numpy() if kind == "binary" else None
        whole = one.numpy() if kind == "circular" else None
        parts.append(Reading(name, columns.numpy(), classes, whole))
    return parts


def _itself(factor: Factor) -> Reading:
    if not factor.ordered:
        return Reading(factor.name, np.eye(factor.count)[factor.levels], factor.levels)
    unit = (factor.values - factor.low) / (factor.high - factor.low)
    return Reading(factor.name, (2 * unit - 1)[:, None])
