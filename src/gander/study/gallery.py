"""A gallery: images that stand in for a model, so that the work of any other tool, or real images, can be measured.

Its codes are the columns it shares with the real images: an image of class k counts as drawn on the order k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gander import kinds, rng
from gander.code import NAME, Code, Values
from gander.codes import CodeSpec
from gander.critic import Critic
from gander.data import Column, Data
from gander.errors import RunError
from gander.kinds import Gaussian, Kind

ROW = "row"  # which image, beside the codes


@dataclass(frozen=True)
class Gallery:
    """Images that were drawn already; seed s is image s of a fixed shuffle, and after the last one it begins again."""

    images: Tensor
    """(N, C, H, W) uint8."""
    columns: dict[str, Column]
    label: str | None
    """The column whose classes can be ordered."""
    spec: CodeSpec
    critic: Critic | None = None

    def values(self, seeds: Sequence[int], /, **codes: Any) -> Values:
        """Which images, and what they count as ordered; classes asked for are taken from the images of that class.

        A class that none shows gets any images: an order that was not obeyed.
        """
        where = torch.tensor(list(seeds), dtype=torch.int64)
        rows = self._order[where % len(self.images)]
        if self.label is not None and self.label in codes:
            rows = rows.clone()
            asked = torch.as_tensor(codes[self.label])
            for k, own in enumerate(self._classes):
                places = (asked == k).nonzero()[:, 0]
                own = own if len(own) else self._order  # none of that class: whatever there is
                rows[places] = own[torch.arange(len(places)) % len(own)]
        values: Values = {ROW: rows}
        for code in self.spec.given:
            column = self.columns[code.name].values[rows]
            values[code.name] = column if column.dtype == torch.int64 else column[:, None]
            if code.name in codes:
                values[code.name] = torch.as_tensor(codes[code.name])
        return values

    def render(self, values: Values) -> Tensor:
        """The images (N, C, H, W) of ``values``."""
        return self.images[values[ROW]]

    def read(self, images: Tensor) -> dict[str, Tensor]:
        raise RunError("images alone have no recogniser.")

    def recognise(self, images: Tensor, values: Values) -> Tensor:
        raise RunError("images alone have no recogniser.")

    @cached_property
    def _order(self) -> Tensor:
        return torch.from_numpy(rng.permutation(0, "gallery", 0, len(self.images)))

    @cached_property
    def _classes(self) -> list[Tensor]:
        """The images of each class, in the order of the shuffle."""
        if self.label is None:
            return []
        column = self.columns[self.label]
        own = column.values[self._order]
        return [self._order[own == k] for k in range(len(column.names))]


def gallery(drawn: Data, real: Data) -> Gallery:
    """The images of ``drawn``, their columns read as orders where the real images have the same. Raises ``RunError``."""
    if drawn.shape != real.shape:
        raise RunError(
            f"{drawn.source!r} has images of shape {drawn.shape} (channels, height, width) and {real.source!r} of "
            f"{real.shape}; measure images of one size."
        )
    columns: dict[str, Column] = {}
    found: dict[str, Kind] = {}
    for name, column in drawn.columns.items():
        meant = real.columns.get(name)
        if (
            not NAME.fullmatch(name)
            or meant is None
            or meant.sort != column.sort
            or not bool(column.known.all())
        ):
            continue
        if column.sort == "categorical" and name == real.label:
            columns[name] = replace(meant, values=_renumbered(column, meant))
        elif column.sort == "continuous" and bool((column.values != column.values[0]).any()):
            columns[name] = column
        else:
            continue
        used = columns[name]
        found[name] = kinds.of_column(used.sort, used.values, used.names)
    codes = [Code("noise", Gaussian(1))]
    codes += [Code(name, given=name, shown="projection") for name in found]
    spec = CodeSpec(tuple(codes)).resolve(found, real.label)
    label = real.label if real.label in columns else None
    return Gallery(drawn.images, columns, label, spec)


def _renumbered(column: Column, meant: Column) -> Tensor:
    """The classes (N,) by their place among the real ones; -1 for a name that is none of them."""
    place = {name: k for k, name in enumerate(meant.names)}
    table = torch.tensor([place.get(name, -1) for name in column.names])
    return table[column.values]
