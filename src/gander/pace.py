"""How many processor threads are fastest now: measured in the first seconds, and again while it trains.

More threads are not always faster. Beside a busy neighbour two threads wait for each other and can be several times slower than
one. Whatever is chosen changes results only by the order of sums in convolutions and batch statistics, which is their rounding;
``--deterministic`` and ``threads`` fix the number, and with it every bit.
"""

from __future__ import annotations

import copy
import os
import time
from dataclasses import dataclass, field

import torch

from gander.engine import cores
from gander.plan import Plan
from gander.players import Players
from gander.stepping import step
from gander.tally import Tally

FIRST = 3.0  # seconds of training before the first look: short runs are over before
BETWEEN = 60.0  # seconds between looks
SOONER = 10.0  # seconds after which a run that has become slow looks again
SLOW = 1.3  # times the seconds an iteration took when last measured
BETTER = 0.87  # share of the present time that a change must reach, so that chance changes nothing
ROUNDS, STEPS = 2, 2  # each number is tried that often, that many steps after one that warms up
HOPELESS = 4.0  # times the least seconds yet, twice in a row: that number is tried no further, beside a neighbour it can be 24 times as slow


@dataclass
class Pace:
    """Watches how fast a run is and sets torch's threads; ``look`` says what it did."""

    plan: Plan
    threads: int
    fixed: bool = False
    measured: dict[int, float] = field(default_factory=dict)
    """Seconds an iteration took with each number of threads, when last tried."""
    looked: float = field(default_factory=time.monotonic)
    steps: int = 0

    def __post_init__(self) -> None:
        training = self.plan.config.training
        on_cpu = self.plan.machine.device.type == "cpu"
        self.fixed = self.fixed or bool(training.threads) or training.deterministic or not on_cpu
        # several processes would have to try the same at the same time
        self.fixed = self.fixed or cores() == 1 or self.plan.machine.group.size > 1
        if on_cpu:
            torch.set_num_threads(self.threads)

    def look(self, players: Players) -> str | None:
        """Called after every iteration; tries other numbers where it is time to, and says so where it changes."""
        self.steps += 1
        passed = time.monotonic() - self.looked
        if self.fixed or not self._due(passed):
            return None
        self.measured = tried(self.plan, players, self.threads)
        best = min(self.measured, key=lambda count: self.measured[count])
        now, then = self.measured[self.threads], self.measured[best]
        change = None
        if then < BETTER * now:
            change = f"{best} thread{'s' * (best > 1)} from here on: {now / then:.1f} times as fast as {self.threads}"
            self.threads = best
        torch.set_num_threads(self.threads)
        self.looked, self.steps = time.monotonic(), 0
        return change

    def _due(self, passed: float) -> bool:
        if not self.measured:
            return passed > FIRST
        slow = passed / self.steps > SLOW * self.measured[self.threads]
        return passed > BETWEEN or (slow and passed > SOONER)


def tried(plan: Plan, players: Players, now: int) -> dict[int, float]:
    """Seconds that an iteration takes with each number of threads, the least of several, on a copy that is thrown away."""
    double, tally = copy.deepcopy(players), Tally()

    def one() -> float:
        began = time.perf_counter()
        step(plan, double, tally)
        return time.perf_counter() - began

    seconds: dict[int, float] = {}
    hopeless = set[int]()
    for _ in range(ROUNDS):
        for count in numbers(now):
            if count in hopeless:
                continue
            torch.set_num_threads(count)
            warming = one()
            for _ in range(STEPS):
                took = one()
                seconds[count] = min(took, seconds.get(count, took))
                if min(took, warming) > HOPELESS * min(seconds.values()):
                    hopeless.add(count)
                    break
    return seconds


def numbers(now: int) -> list[int]:
    """The numbers of threads worth a try: powers of two below the cores, the cores, and what is set now."""
    powers = {2**i for i in range(cores().bit_length()) if 2**i <= cores()}
    return sorted(powers | {cores(), now})


# ---------------------------------------------------------------------- where nothing is trained
TRIED = 36  # short convolutions with each number of threads: some tenths of a second


def suit(device: str) -> str | None:
    """One thread from here on where all of them are slower at the moment, as they are beside a busy neighbour; says so then.

    For work that only draws and measures, which has no steps to watch. ``OMP_NUM_THREADS`` decides where it is set.
    """
    threads = torch.get_num_threads()
    if device != "cpu" or threads == 1 or "OMP_NUM_THREADS" in os.environ:
        return None
    all_of_them, one = _convolving(threads), _convolving(1)
    if one < BETTER * all_of_them:
        return f"one thread: beside what else runs here it is {all_of_them / one:.1f} times as fast as {threads}"
    torch.set_num_threads(threads)
    return None


def _convolving(threads: int) -> float:
    """Seconds of some short work; all of it counts, since a neighbour is in the way only now and then."""
    torch.set_num_threads(threads)
    images, weights = torch.ones(64, 32, 14, 14), torch.ones(64, 32, 3, 3)
    torch.conv2d(images, weights)
    began = time.perf_counter()
    for _ in range(TRIED):
        torch.conv2d(images, weights)
    return time.perf_counter() - began
