"""What the laboratory found: every schedule's trial with its distance, and the mistakes as they went."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gander.lab.mistakes import Replay
from gander.lab.trial import Trial
from gander.plan import Plan
from gander.study import Figure


@dataclass(frozen=True)
class Outcome:
    """One schedule's trial and how far what it draws lies from real images."""

    trial: Trial
    frechet: Figure | None
    missing: str
    """Why there is no distance; empty where there is one."""


@dataclass(frozen=True)
class Laboratory:
    """All that goes on the page; the first outcome is the one the others are compared with."""

    plan: Plan
    outcomes: tuple[Outcome, ...]
    replays: tuple[Replay, ...]
    provenance: dict[str, str]
    seconds: float = 0.0

    @property
    def images(self) -> int:
        """Seen under each schedule."""
        return max(outcome.trial.players.images_seen for outcome in self.outcomes)

    def timed(self, seconds: float) -> Laboratory:
        return replace(self, seconds=seconds)
