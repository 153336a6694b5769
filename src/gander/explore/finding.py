"""The search for the noise that draws a dropped picture, within a time, beside the drawing of everything else."""

from __future__ import annotations

import copy
import threading
import time
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gander.explore.dropped import shown
from gander.explore.live import Loaded
from gander.model import Model

LONGEST = 90.0  # seconds


class GivenUp(Exception):
    """What was being drawn or searched for will not be finished; the text says why."""


def can_find(model: Model) -> bool:
    """Whether anything can be searched by gradient steps."""
    return any(not code.resolved.discrete for code in model.spec.codes)


@dataclass(frozen=True)
class Search:
    """A search with a copy of a model's generator, which looks at the clock whenever it draws."""

    stopped: threading.Event

    def find(self, loaded: Loaded, images: Tensor) -> dict[str, Any]:
        """The values of every code that were found for one image (1, C, H, W) uint8, and how well they draw it."""
        end = time.monotonic() + LONGEST

        def look(*_: Any) -> None:
            if self.stopped.is_set():
                raise GivenUp("the server is ending.")
            if time.monotonic() > end:
                raise GivenUp(
                    f"nothing was found within {LONGEST:.0f} seconds; gander edit on the command line takes longer."
                )

        model = loaded.model
        generator = copy.deepcopy(model.generator)
        generator.body.register_forward_pre_hook(look)
        own = Model(model.card, generator, model.critic, model.images_seen, model.names)
        found = own.edit(images[0])
        values = {name: value.flatten().tolist() for name, value in found.values.items()}
        return {"found": values, "seen": shown(images[0]), "text": found.verdict}
