"""What a variable *is*: how it is drawn, written down for the generator, and read back.

Shapes used throughout: B batch, S the shape of one value, W ``width``, P ``params``, U ``uniforms``.

A kind is a frozen dataclass. Adding one (and its name in ``KINDS``) is all it takes: specification files, ``--set``,
sweeps, sliders, the recogniser's head, its loss and the law tests follow.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from gander.errors import CodeError, choose
from gander.kinds.angles import Circular
from gander.kinds.choices import Binary, Categorical
from gander.kinds.kind import Kind
from gander.kinds.numbers import Gaussian, Uniform

QUANTILES = 65  # knots kept of a continuous column, enough to redraw its distribution

KINDS: dict[str, type[Kind]] = {
    kind.name: kind for kind in (Gaussian, Uniform, Categorical, Binary, Circular)
}

EXAMPLES = {
    "gaussian": "gaussian(62)",
    "uniform": "uniform(-1,1)",
    "categorical": "categorical(10)",
    "binary": "binary(4)",
    "circular": "circular(1)",
}


def from_dict(fields: dict[str, Any], what: str = "code") -> Kind:
    """A kind from what a specification file says of it; the inverse of ``Kind.to_dict``."""
    fields = dict(fields)
    name = fields.pop("kind", None)
    if not isinstance(name, str) or name not in KINDS:
        raise CodeError(f"{what}: {choose(str(name), KINDS, 'kind')}")
    cls = KINDS[name]
    valid = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in fields:
        if key not in valid:
            raise CodeError(f"{what}: {choose(key, valid, f'setting of a {name} code')}")
    try:
        for key, value in fields.items():
            if isinstance(value, list):
                fields[key] = tuple(value)
            elif key in ("low", "high"):
                fields[key] = float(value)
        if "size" not in fields and any(
            f.name == "size" and f.default is dataclasses.MISSING
            for f in dataclasses.fields(cls)  # type: ignore[arg-type]
        ):
            raise CodeError(f"{name} needs its size, a whole number; give it, as {name}(10).")
        return cls(**fields)
    except CodeError as error:
        raise CodeError(f"{what}: {error}") from None
    except (TypeError, ValueError):
        said = ", ".join(f"{key} = {value!r}" for key, value in fields.items())
        raise CodeError(
            f"{what}: {said} is not what a {name} code is made of; give numbers, as {EXAMPLES[name]}."
        ) from None


def of_column(sort: str, values: Tensor, names: tuple[str, ...]) -> Kind:
    """The kind of a data set's column, with the data's own frequencies.

    ``values``: (N,) int64 classes with -1 missing, (N,) float numbers or angles with NaN missing, or (N, M) 0/1.
    """
    nan = values.isnan().unsqueeze(1).flatten(1).any(1)
    known = values >= 0 if sort == "categorical" else ~nan
    if not known.any():
        raise CodeError("this column holds no value in any row, so there is nothing to steer.")
    values = values[known]
    if sort == "categorical":
        counts = torch.bincount(values, minlength=max(2, len(names))).double()
        probs = counts / counts.sum()
        names = names if len(names) == len(counts) else ()
        return Categorical(len(counts), tuple(round(p, 9) for p in probs.tolist()), names)
    if sort == "multilabel":
        return Binary(values.shape[1], tuple(round(p, 9) for p in values.mean(0).tolist()), names)
    if sort == "angle":
        return Circular()
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise CodeError("this column holds one number only, so there is nothing to steer.")
    every = -(-len(values) // 1_000_000)  # torch.quantile takes no more than a few millions
    at = torch.linspace(0, 1, QUANTILES, dtype=torch.float64)
    knots = torch.quantile(values[::every].double(), at)
    inside = tuple(min(max(float(f"{q:.9g}"), low), high) for q in knots.tolist())
    return Uniform(1, low, high, inside)


__all__ = [
    "KINDS",
    "Binary",
    "Categorical",
    "Circular",
    "Gaussian",
    "Kind",
    "Uniform",
    "from_dict",
    "of_column",
]
