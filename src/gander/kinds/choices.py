"""Choices: one of several classes, or switches that are on or off."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch import distributions as td

from gander import rng
from gander.errors import CodeError, choose
from gander.kinds.kind import Kind, Vector, check_size, mean_over

LISTED = 20  # class names in a message
LEAST = 1e-6  # of a chance whose logarithm is taken


@dataclass(frozen=True)
class Categorical(Kind):
    """One of ``size`` classes, a value is a class index; ``probs`` where they are not equally likely."""

    size: int
    probs: tuple[float, ...] | None = None
    names: tuple[str, ...] = ()
    name: ClassVar[str] = "categorical"
    discrete: ClassVar[bool] = True
    MISSING: ClassVar[float] = -1

    def __post_init__(self) -> None:
        check_size(self.name, self.size, 2)
        if self.probs is not None:
            bad = len(self.probs) != self.size or any(not 0 <= p <= 1 for p in self.probs)
            if bad or abs(sum(self.probs) - 1) > 1e-3:
                raise CodeError(
                    f"the chances of a categorical code are {self.size} numbers from 0 to 1 that sum to 1, "
                    f"given {len(self.probs)} with sum {sum(self.probs):g}; give them, as categorical(0.2,0.3,0.5)."
                )
        if self.names and len(self.names) != self.size:
            raise CodeError(
                f"{self.size} classes but {len(self.names)} names; give a name for each."
            )

    @property
    def width(self) -> int:
        return self.size

    @property
    def params(self) -> int:
        return self.size

    @property
    def uniforms(self) -> int:
        return 1

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    def _probs(self) -> Tensor:
        return torch.tensor(self.probs or (1.0,) * self.size, dtype=torch.float64)

    def prior(self) -> td.Distribution:
        return td.Categorical(probs=self._probs())

    def edges(self) -> np.ndarray:
        """Where one class ends and the next begins on the way from 0 to 1, (K,) float64."""
        ends: np.ndarray = np.cumsum(self._probs().numpy())
        shares: np.ndarray = ends / ends[-1]
        return shares

    def draw(self, u: np.ndarray) -> Tensor:
        classes = np.searchsorted(self.edges(), u[:, 0], side="right")
        return rng.tensor(np.minimum(classes, self.size - 1), torch.int64)

    def apart(self, u: np.ndarray, v: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray]:
        # any gap is another class, by its own chance among the others
        ends = self.edges()
        mine = np.minimum(np.searchsorted(ends, u, side="right"), self.size - 1)
        return _other(u, v, np.concatenate([[0.0], ends])[mine], ends[mine], gap)

    def encode(self, values: Tensor) -> Tensor:
        return F.one_hot(values, self.size).float()

    def posterior(self, params: Tensor) -> td.Distribution:
        return td.Categorical(logits=params, validate_args=False)

    def estimate(self, params: Tensor) -> Tensor:
        return params.argmax(1)

    def belief(self, params: Tensor) -> Tensor:
        return params.softmax(1)

    def believing(self, belief: Tensor) -> Tensor:
        return belief.clamp_min(LEAST).log()

    def confidence(self, params: Tensor) -> Tensor:
        return params.softmax(1).amax(1)

    def imbalance(self, params: Tensor, rows: Tensor, prior: Tensor | None = None) -> Tensor:
        mean = mean_over(rows, params.softmax(1))
        if prior is not None:
            return _divergence(mean, prior.clamp_min(LEAST).log())
        return _divergence(mean, _logs(self.probs or (1.0,) * self.size, mean.device))

    def elementwise(self, params: Tensor, values: Tensor) -> Tensor:
        # The tutorials put the softmax in the network and binary cross-entropy on its output; we
        # do the same from logits, with log(1 - p) written so that it cannot overflow.
        log_p = params.log_softmax(1)
        log_rest = torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))
        told = self.encode(values)
        return -(told * log_p + (1 - told) * log_rest).mean(1)

    def missing(self, values: Tensor) -> Tensor:
        return values < 0

    def spread(self, n: int, low: float | None = None, high: float | None = None) -> Tensor:
        end = self.size - 1
        first = 0 if low is None else min(end, max(0, round(low)))
        last = end if high is None else min(end, max(0, round(high)))
        between = abs(last - first) + 1
        if n <= between:  # so many from end to end, either way
            return torch.linspace(first, last, n, dtype=torch.float64).round().long()
        return first + torch.arange(n) % between * (1 if last >= first else -1)

    def slider(self) -> dict[str, Any]:
        names = list(self.names) or [str(i) for i in range(self.size)]
        return {"type": "choice", "options": names, "start": 0}

    def parse(self, text: str) -> float:
        """A class by its name or its index, ``4`` or ``#4``.

        Where a class is called by another number, or has no name beside others that have one (``#4``), a bare number is a
        name alone: with ``7`` for a name, ``5`` is more likely a five that was not found than the sixth class.
        """
        if text in self.names:
            return float(self.names.index(text))
        own = enumerate(self.names)
        counted = any(re.fullmatch("#.*|[0-9]+", name) and name != str(k) for k, name in own)
        mark = "#" if counted else ""
        index = text.removeprefix("#")
        if text.startswith(mark) and re.fullmatch("[0-9]{1,6}", index) and int(index) < self.size:
            return float(index)
        said = f"index from {mark}0 to {mark}{self.size - 1}"
        if not self.names:
            raise CodeError(f"{text!r} is not one of the {self.size} classes; give an {said}.")
        more = f" … {self.names[-1]}" if self.size > LISTED else ""
        listed = f"a name ({', '.join(self.names[:LISTED])}{more}) or an {said}"
        raise CodeError(choose(text, self.names, f"class, of which there are {self.size}", listed))


@dataclass(frozen=True)
class Binary(Vector):
    """``size`` independent switches, each 0 or 1; ``probs`` are the chances of 1. Also a multi-label column."""

    probs: tuple[float, ...] | None = None
    names: tuple[str, ...] = ()
    name: ClassVar[str] = "binary"
    discrete: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.probs is not None and (
            len(self.probs) != self.size or any(not 0 <= p <= 1 for p in self.probs)
        ):
            raise CodeError(
                f"the chances of a binary code are {self.size} numbers from 0 to 1, given "
                f"{', '.join(map(str, self.probs))}; give them, as binary(0.5,0.2)."
            )
        if self.names and len(self.names) != self.size:
            raise CodeError(
                f"{self.size} switches but {len(self.names)} names; give a name for each."
            )

    def _probs(self) -> Tensor:
        return torch.tensor(self.probs or (0.5,) * self.size)

    def prior(self) -> td.Distribution:
        return td.Independent(td.Bernoulli(probs=self._probs(), validate_args=False), 1)

    def chances(self) -> np.ndarray:
        """The chance of each switch to be on, (size,) float64."""
        return self._probs().numpy().astype(np.float64)

    def draw(self, u: np.ndarray) -> Tensor:
        return rng.tensor(u < self.chances())

    def apart(self, u: np.ndarray, v: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray]:
        on = self.chances()  # a switch is on below its chance
        return _other(u, v, np.where(u < on, 0.0, on), np.where(u < on, on, 1.0), gap)

    def encode(self, values: Tensor) -> Tensor:
        return 2 * values - 1

    def posterior(self, params: Tensor) -> td.Distribution:
        return td.Independent(td.Bernoulli(logits=params, validate_args=False), 1)

    def estimate(self, params: Tensor) -> Tensor:
        return (params > 0).to(params.dtype)

    def belief(self, params: Tensor) -> Tensor:
        return params.sigmoid()

    def believing(self, belief: Tensor) -> Tensor:
        return belief.logit(LEAST)

    def confidence(self, params: Tensor) -> Tensor:
        return params.abs().sigmoid().amin(1)

    def imbalance(self, params: Tensor, rows: Tensor, prior: Tensor | None = None) -> Tensor:
        on = mean_over(rows, params.sigmoid())
        off = mean_over(rows, (-params).sigmoid())
        chances = self.probs or (0.5,) * self.size
        never = tuple(1 - p for p in chances)
        device = params.device
        return _divergence(on, _logs(chances, device, 1)) + _divergence(
            off, _logs(never, device, 1)
        )

    def elementwise(self, params: Tensor, values: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(params, values, reduction="none").mean(1)

    def spread(self, n: int, low: float | None = None, high: float | None = None) -> Tensor:
        first = 0 if low is None else max(0, min(1, round(low)))
        last = 1 if high is None else max(0, min(1, round(high)))
        turns = torch.arange(n) % 2 if first != last else torch.zeros(n)
        return (first + turns * (last - first)).float().unsqueeze(1).expand(n, self.size).clone()

    def slider(self) -> dict[str, Any]:
        names = list(self.names) or [str(i) for i in range(self.size)]
        return {"type": "switch", "options": names, "start": 0, "size": self.size}

    def parse(self, text: str) -> float:
        words = {"0": 0.0, "1": 1.0, "off": 0.0, "on": 1.0, "no": 0.0, "yes": 1.0}
        words |= {"false": 0.0, "true": 1.0}
        if text.lower() not in words:
            raise CodeError(f"{text!r} is not a switch; give 0 or 1 (or off/on, no/yes).")
        return words[text.lower()]


def _divergence(mean: Tensor, prior: Tensor) -> Tensor:
    """Σ p (log p - log q) in nats, from p and log q; no chance counts as less than ``LEAST``, which keeps it finite."""
    return (mean * (mean.clamp_min(LEAST).log() - prior)).sum()


@lru_cache(maxsize=64)
def _logs(chances: tuple[float, ...], device: torch.device, total: float | None = None) -> Tensor:
    """Kept on the device, since a recorded iteration cannot copy it there."""
    held = torch.tensor(chances)
    held = held / (held.sum() if total is None else total)
    return held.clamp_min(LEAST).log().to(device)


def _other(
    u: np.ndarray, v: np.ndarray, low: np.ndarray, high: np.ndarray, gap: float
) -> tuple[np.ndarray, np.ndarray]:
    """Places ``u`` and, where there is a gap, others outside of what the first ones mean, from ``low`` to ``high``; all (B, parts)."""
    if gap == 0:
        return u, v
    outside = v * (1 - (high - low))
    # not by a sum alone, whose rounding may fall back inside, or beyond the last class that ever comes
    beyond = np.maximum(outside + (high - low), high).clip(max=np.nextafter(1.0, 0.0))
    return u, np.where(outside < low, outside, beyond)
