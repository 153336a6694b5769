"""Iterations one after another, and what falls due after each: on every process that trains, the same at the same time."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import NamedTuple

from gander import appraisal
from gander.config import Config
from gander.data.reading.streamed import Streamed
from gander.plan import Plan
from gander.players import Players
from gander.stepping import Steps, step
from gander.tally import Tally

RARELY = 32
"""Iterations between two questions whether to stop, where several processes replay recordings: each takes less time than the question."""
ECHO = 20.0
"""Seconds after a first signal in which a second is its echo: who started several processes passes on what they have heard already."""


class Due(NamedTuple):
    """What is to be done after an iteration."""

    last: bool
    interrupted: bool
    evaluation: bool
    save: bool
    line: bool
    sheet: bool


def due(
    plan: Plan, players: Players, tally: Tally, *, interrupted: bool, late: bool, unsaved: bool
) -> Due:
    """What falls due at this position, by the position, and by what any process wishes: to stop, or to save since it is long ago."""
    config, group = plan.config, plan.machine.group
    seen, total = players.images_seen, config.training.images
    asks = group.size == 1 or not plan.machine.records or tally.steps % RARELY == 0
    wishes = group.agree(interrupted, late, unsaved) if asks else (False, False, False)
    stopped, late, unsaved = map(bool, wishes)
    last = seen >= total or late or stopped
    evaluation = appraisal.due(config, seen)
    return Due(
        last=last,
        interrupted=stopped,
        evaluation=evaluation,
        save=last or evaluation or unsaved,
        line=last or tally.images >= config.report.log_images,
        sheet=last or _crossed(seen, config.report.sample_images, config),
    )


def _crossed(images_seen: int, every: int, config: Config) -> bool:
    """Whether the last step passed a multiple of ``every``."""
    images = config.training.batch * config.game.critic_steps
    return images_seen // every > (images_seen - images) // every


@contextmanager
def stepper(
    plan: Plan, players: Players, tally: Tally, received: Sequence[float] = ()
) -> Iterator[Callable[[], None]]:
    """What takes one iteration after another: a recording replayed where the device can, else step by step.

    Once signals are ``received`` it waits for no images any longer: a server may take minutes to be given up.
    """
    images = plan.images.images
    if isinstance(images, Streamed) and plan.machine.group.size == 1:
        images.hurry = lambda: bool(received)
    steps = None
    try:
        if plan.machine.records and plan.config.training.recorded:
            steps = Steps(plan, players, tally)
            yield steps.step
        else:
            yield partial(step, plan, players, tally)
    finally:
        if isinstance(images, Streamed):
            images.leave()  # first, so that nobody waits for a server
        if steps is not None:
            steps.close()
        if isinstance(images, Streamed):
            images.hurry = bool
            images.close()


@contextmanager
def interruptible(several: bool = False) -> Iterator[list[float]]:
    """Turns Ctrl-C and a termination request into an entry in a list, so that the step in hand is finished and saved.

    A second Ctrl-C interrupts at once; among ``several`` processes not if it comes right after the first.
    """
    received: list[float] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received and not (several and time.monotonic() - received[0] < ECHO):
            raise KeyboardInterrupt
        received.append(time.monotonic())

    try:
        old = {n: signal.signal(n, note) for n in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: whoever owns it handles signals
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
