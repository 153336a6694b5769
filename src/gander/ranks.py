"""One batch, several processes: what of the mathematics is about all rows of a batch, whoever holds them.

Every process holds as many rows of a batch and computes the game's terms on them. The loss is then the mean of the processes' losses, and
its gradient the mean of their gradients, as long as what is said of a whole batch (its statistics, a mean over those rows that have a
value) is said of all rows together. That is what these functions are for: alone they are the plain thing, to the bit; among several,
inside ``playing``, they ask the others. How others are asked is the engine's business (``Group``).

A term that is the same on every process counts once, as in the mean of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """The processes that play one game, as one of them sees them; by itself, one that is alone."""

    rank: int = 0
    """This one's number, from 0."""
    size: int = 1

    def add(self, tensor: Tensor) -> None:
        """Makes a tensor the sum of what all have, in place; the same bits on each."""

    def agree(self, *wishes: int) -> list[int]:
        """Of each number the largest that any process names."""
        return list(wishes)

    def tell(self, content: bytes = b"") -> bytes:
        """What the first process says, on every one."""
        return content

    def leave(self) -> None:
        """Ends the connection to the others."""

    @property
    def first(self) -> bool:
        """Whether this one writes and speaks."""
        return self.rank == 0


ALONE = Group()
_now: list[Group] = [ALONE]


@contextmanager
def playing(group: Group) -> Iterator[None]:
    """Inside, a batch is spread over these processes; all of them must be inside and compute the same."""
    _now.append(group)
    try:
        yield
    finally:
        _now.pop()


def group() -> Group:
    """Those over whom a batch is spread at this moment."""
    return _now[-1]


class _AllReduce(torch.autograd.Function):
    """The sum of what all have. Each one's gradient is the sum of all theirs, and so on, however often it is taken."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, among: Group) -> Tensor:
        ctx.among = among
        total = x.detach().clone(memory_format=torch.contiguous_format)
        among.add(total)
        return total

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        reduced: Tensor = _AllReduce.apply(slopes[0], ctx.among)  # type: ignore[no-untyped-call]
        return reduced, None


def all_reduce(x: Tensor) -> Tensor:
    """The sum over all processes, of the same shape; differentiable, as often as one likes."""
    among = group()
    if among.size == 1:
        return x
    total: Tensor = _AllReduce.apply(x, among)  # type: ignore[no-untyped-call]
    return total


def all_gather(x: Tensor) -> Tensor:
    """Every process' tensor, stacked in their order, (size, *x.shape); differentiable."""
    among = group()
    if among.size == 1:
        return x.unsqueeze(0)
    mine = torch.arange(among.size, device=x.device) == among.rank
    # a sum of one of each, and zeros: exact, and its gradient is that of any sum
    held = torch.where(mine.view(-1, *[1] * x.dim()), x.unsqueeze(0), torch.zeros_like(x))
    return all_reduce(held)


def mean(x: Tensor) -> Tensor:
    """The mean over all rows, of which every process holds as many; the same on each of them."""
    return all_reduce(x.mean()) / group().size if group().size > 1 else x.mean()


def ratio(total: Tensor, count: Tensor) -> Tensor:
    """A sum over some rows, per row that counts; 0 where none does. Its mean over the processes is that of all rows."""
    if group().size > 1:
        return total * group().size / all_reduce(count).clamp_min(1)
    return total / count.clamp_min(1)


def average(x: Tensor) -> Tensor:
    """The mean of (B,) numbers where processes may hold unequally many; its mean over them is that of all."""
    if group().size == 1:
        return x.mean()
    return ratio(x.sum(), x.new_full((), len(x)))


def means(totals: Tensor, count: Tensor) -> Tensor:
    """Sums (K,) over some rows, per row that counts; 0 where none does. The same on each process."""
    return all_reduce(totals) / all_reduce(count).clamp_min(1)


def next_rows(x: Tensor) -> Tensor:
    """For each row (B, …) the one before it in the whole batch, for the first the last; carries no gradient."""
    among = group()
    if among.size == 1:
        return x.roll(1, 0)
    everyone = all_gather(x.detach()).flatten(0, 1).roll(1, 0)
    return everyone[among.rank * len(x) : (among.rank + 1) * len(x)]


def spread(count: int, rows: int, device: torch.device | None = None) -> Tensor | None:
    """Which of this process' ``rows`` are among ``count`` of the whole batch that lie evenly in it; None where all are."""
    among = group()
    whole, first = rows * among.size, rows * among.rank
    if count >= whole:
        return None
    begin, end = (-(-place * count // whole) for place in (first, first + rows))
    # made on the device, where an iteration may be recorded
    return torch.arange(begin, end, device=device) * whole // count - first


def drawn(draw: Callable[[int], Tensor], rows: int) -> Tensor:
    """This process' rows of random numbers that are drawn for all: ``draw`` takes a number of rows, and all draw the same."""
    among = group()
    if among.size == 1:
        return draw(rows)
    return draw(rows * among.size)[among.rank * rows : (among.rank + 1) * rows]
