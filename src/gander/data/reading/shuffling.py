"""The order in which the images of many shards come: each once an epoch, and few shards are read at a time.

A permutation of all images would read every shard all the time. So the shards are shuffled, some are read together, and what they
hold is taken in windows: of each shard the next few, shuffled among each other. Like every draw it is a function of (seed, epoch,
position), so a run resumes in the middle of a shard, and no buffer need be saved.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from gander import rng

TOGETHER = 8
"""Shards that are read at a time: a window holds images of as many places in the set."""
WINDOW = 16_384
"""Images that are shuffled among each other."""
KEPT = 8  # epochs, and windows, whose order is remembered


class Epoch(NamedTuple):
    """The shards in the order of an epoch, and where each group of them begins."""

    groups: tuple[np.ndarray, ...]
    begins: np.ndarray
    """(groups + 1,) positions within the epoch."""


@dataclass
class Shuffle:
    """The order of images that lie in shards, of which each holds so many; they are numbered from the first of the first on."""

    counts: tuple[int, ...]
    window: int = WINDOW
    total: int = field(init=False)
    _first: np.ndarray = field(init=False, repr=False)
    _epochs: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict, repr=False)
    _windows: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        ends = np.cumsum([0, *self.counts])
        self._first, self.total = ends[:-1], int(ends[-1])

    def rows(self, seed: int, first: int, count: int) -> np.ndarray:
        """Which images come at positions ``first … first + count - 1`` of the endless sequence, (count,) int64."""
        parts: list[np.ndarray] = []
        while count > 0:
            epoch, place = divmod(first, self.total)
            part = self._from(seed, epoch, place)[:count]
            parts.append(part)
            first, count = first + len(part), count - len(part)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def shards(self, seed: int, position: int) -> list[int]:
        """The shards that are read at a position, and those that come after them."""
        epoch, place = divmod(position, self.total)
        order = self._epoch(seed, epoch)
        group = int(np.searchsorted(order.begins, place, "right")) - 1
        after = (
            order.groups[group + 1]
            if group + 1 < len(order.groups)
            else self._epoch(seed, epoch + 1).groups[0]
        )
        return [*order.groups[group].tolist(), *after.tolist()]

    def _from(self, seed: int, epoch: int, place: int) -> np.ndarray:
        """The rows of one window from a place within its epoch on."""
        order = self._epoch(seed, epoch)
        group = int(np.searchsorted(order.begins, place, "right")) - 1
        inside = place - int(order.begins[group])
        shards = order.groups[group]
        held = np.array([self.counts[shard] for shard in shards], np.int64)
        windows = max(1, -(-int(held.sum()) // self.window))
        # of each shard an equal share of what it holds goes into each window
        cuts = np.arange(windows + 1)[:, None] * held[None, :] // windows
        begins = cuts.sum(1)
        number = int(np.searchsorted(begins, inside, "right")) - 1
        rows: np.ndarray = _remembered(
            self._windows,
            self._lock,
            (seed, epoch, group, number),
            lambda: self._window(seed, f"{epoch}/{group}", number, shards, cuts),
        )
        return rows[inside - int(begins[number]) :]

    def _window(
        self, seed: int, group: str, number: int, shards: np.ndarray, cuts: np.ndarray
    ) -> np.ndarray:
        pieces = [
            np.arange(low, high) + self._first[shard]
            for shard, low, high in zip(shards, cuts[number], cuts[number + 1], strict=True)
        ]
        rows = np.concatenate(pieces)
        shuffled: np.ndarray = rows[
            rng.permutation(seed, f"order/window/{group}", number, len(rows))
        ]
        return shuffled

    def _epoch(self, seed: int, epoch: int) -> Epoch:
        found: Epoch = _remembered(
            self._epochs, self._lock, (seed, epoch), lambda: self._shuffled(seed, epoch)
        )
        return found

    def _shuffled(self, seed: int, epoch: int) -> Epoch:
        holding = np.flatnonzero(np.array(self.counts))
        order = holding[rng.permutation(seed, "order/shards", epoch, len(holding))]
        groups = tuple(order[i : i + TOGETHER] for i in range(0, len(order), TOGETHER))
        sizes = [sum(self.counts[shard] for shard in group) for group in groups]
        return Epoch(groups, np.cumsum([0, *sizes]))


def _remembered(
    kept: OrderedDict[Hashable, Any], lock: Any, key: Hashable, make: Callable[[], Any]
) -> Any:
    """What was made under a key, made again if that is long ago."""
    with lock:
        if key in kept:
            kept.move_to_end(key)
            return kept[key]
    made = make()
    with lock:
        kept[key] = made
        while len(kept) > KEPT:
            kept.popitem(last=False)
    return made
