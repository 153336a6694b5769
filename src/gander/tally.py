"""Sums of the game's terms between two reports, kept where the game is played."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gander.config import Config
from gander.errors import Diverged
from gander.ranks import Group

SUMMED = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
OF_CRITIC = ("critic", "mismatched", "real/", "fake/", "self/", "balance/", "penalty/")
"""How the names of the terms begin that are of the critic's player."""


@dataclass
class Tally:
    """Sums of terms since the last report, on the device, and when it began."""

    started: float = field(default_factory=time.monotonic)
    images: int = 0
    steps: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    sound: dict[str, Tensor] = field(default_factory=dict)
    """How often each term was added before its sum became no number, from which on it is none: it tells the step, and nobody waits for it."""

    def add(self, terms: Mapping[str, Tensor]) -> None:
        for name, term in terms.items():
            if name in self.sums:
                self.sums[name].add_(term.detach())
            else:
                self.sums[name] = term.detach().clone()
                self.sound[name] = torch.zeros((), dtype=torch.int64, device=term.device)
            self.sound[name].add_(self.sums[name].isfinite())

    def to_dict(self) -> dict[str, Any]:
        """As it is kept with a saved state, so that the report it goes into is that of a run that was never stopped."""
        sums = {name: (str(x.dtype)[6:], float(x)) for name, x in self.sums.items()}
        sound = {name: int(count) for name, count in self.sound.items()}
        return {"images": self.images, "steps": self.steps, "sums": sums, "sound": sound}

    @classmethod
    def from_dict(cls, said: Any, device: torch.device) -> Tally:
        """The same again; an empty one for anything else."""
        try:
            sums = {
                str(name): torch.tensor(float(x), dtype=SUMMED[kind], device=device)
                for name, (kind, x) in said["sums"].items()
            }
            sound = {name: torch.tensor(int(said["sound"][name]), device=device) for name in sums}
            return cls(images=int(said["images"]), steps=int(said["steps"]), sums=sums, sound=sound)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError):
            return cls()

    def means(self, config: Config, images_seen: int) -> dict[str, float]:
        """The mean of each term over the steps of its player. Raises ``Diverged`` for one that is no number, with its step."""
        sums = {name: float(total) for name, total in self.sums.items()}
        broken = [name for name, total in sums.items() if not math.isfinite(total)]
        if broken:
            each = config.training.batch * config.game.critic_steps
            begun = images_seen // each - self.steps
            when = {n: int(self.sound[n]) // _often(n, config) for n in broken}
            first = min(broken, key=lambda name: when[name])
            step = begun + when[first] + 1
            raise Diverged(
                f"the term {first!r} became {sums[first]:g} in step {step:,}, after {step * each:,} images"
            )
        return {name: x / max(1, self.steps * _often(name, config)) for name, x in sums.items()}

    def share(self, group: Group) -> None:
        """Makes the sums the means of what all processes have, so that each says the same of them."""
        if group.size == 1 or not self.sums:
            return
        held = torch.stack([total.double() for total in self.sums.values()])
        group.add(held)
        for total, mean in zip(self.sums.values(), held / group.size, strict=True):
            total.copy_(mean)
        # what is no number for one is none for all, from then on
        least = group.agree(*(-int(count) for count in self.sound.values()))
        for count, fewest in zip(self.sound.values(), least, strict=True):
            count.fill_(-fewest)

    def begin_again(self) -> None:
        """Empty, from now on; the sums stay where a recorded iteration adds to them."""
        self.started, self.images, self.steps = time.monotonic(), 0, 0
        for total in (*self.sums.values(), *self.sound.values()):
            total.zero_()


def _often(term: str, config: Config) -> int:
    """How many times an iteration a term is taken: those of the critic's player at each of its steps."""
    of_critic = term.startswith(OF_CRITIC)
    return config.game.critic_steps if of_critic else 1
