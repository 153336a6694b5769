"""What may go wrong while a run trains, and what is made of it: no numbers any more, no memory, no room on the disk.

Whatever it is, the saved states stay as they are, and what is said names the last of them and how to go on.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from gander import best as keeping
from gander import states
from gander.errors import (
    DataError,
    Diverged,
    ProcessLost,
    TrainingFailed,
    UnwritableFile,
    is_out_of_memory,
)
from gander.plan import Plan
from gander.players import Players, make_players, restore
from gander.runs import Run
from gander.stepping import step
from gander.tally import Tally

LOWER = 0.5
"""What every rate is multiplied with when a run that diverged goes back to its last good state."""
LEAST_BATCH = 2


@contextmanager
def answered(plan: Plan, run: Run) -> Iterator[None]:
    """Turns what goes wrong inside into ``TrainingFailed``, with the last good state and what to do."""
    try:
        yield
    except Diverged as error:
        seen = states.position(run)
        raise Diverged(f"{error}. {_kept(seen, run)} {_go_on(seen, plan)}") from None
    except ProcessLost as error:
        seen = states.position(run)
        again = "begins again" if seen is None else "goes on from there"
        raise ProcessLost(
            f"{error}. {_kept(seen, run)} The same command {again}, with as many processes or another number of them."
        ) from None
    except DataError as error:  # what was there when it began cannot be had any more
        raise TrainingFailed(f"{error} {_kept(states.position(run), run)}") from None
    except UnwritableFile as error:
        raise TrainingFailed(
            f"{str(error).rstrip('.')}. {_kept(states.position(run), run)}"
        ) from None
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold what there is no room for
        raise TrainingFailed(_too_large(plan)) from None


def _kept(seen: int | None, run: Run) -> str:
    """Which state is the last good one."""
    if seen is None:
        return "No state was saved yet."
    return f"The last good state, at {seen:,} images, is kept in {run.path}."


def _go_on(seen: int | None, plan: Plan) -> str:
    """How to go on after a run has diverged."""
    optimiser = plan.config.optimiser
    half = (
        f"critic_rate={optimiser.critic_rate * LOWER:.3g} "
        f"generator_rate={optimiser.generator_rate * LOWER:.3g}"
    )
    if seen is None:
        return f"Begin again with lower rates, as --new --set {half}, or with precision=fp32."
    return (
        f"Go on from there with lower rates: the same command with --roll-back --set {half}; --set rescues=3 does so by "
        f"itself. A penalty (r1=1) or precision=fp32, with --new, may help too."
    )


# ---------------------------------------------------------------------- no numbers any more
def rescued(plan: Plan, players: Players, run: Run, error: Diverged, say: states.Say) -> Plan:
    """Puts a run that diverged back to its last good state, and returns the plan with half the rates.

    Where it went wrong again before anything was saved, it goes back one state further. Raises the error again where the run has
    been rescued as often as ``training.rescues`` allows.
    """
    lowered = plan.rate_scale * LOWER
    if lowered < LOWER**plan.config.training.rescues:
        raise error
    before = states.position(run)
    if before is not None and plan.rescued_at == before:
        states.step_back(run)
    begin_again(plan, players, run)
    seen = players.images_seen
    say(f"! {error}: back to {seen:,} images, with {lowered:g} of the rates from there on")
    origin = run.origin()
    came = f"from {seen:,} images on: {lowered:g} of every rate, since {error}"
    made = origin["provenance"]
    changes = [*made.get("changes", []), came]
    run.write_config(plan.config, {**origin, "provenance": {**made, "changes": changes}})
    return replace(plan, rate_scale=lowered, rescued_at=seen)


def begin_again(plan: Plan, players: Players, run: Run) -> None:
    """Makes the players those of the newest state, or fresh ones where there is none, and the run's lines end there."""
    fresh = make_players(plan)
    restore(fresh, run, lambda _: None)
    players.game, players.averaged = fresh.game, fresh.averaged
    players.optimisers, players.images_seen = fresh.optimisers, fresh.images_seen
    run.rewind(players.images_seen)
    keeping.forget_future(run, players.images_seen)


# ---------------------------------------------------------------------- no memory
def _too_large(plan: Plan) -> str:
    """How large the batch was, and which one was tried and found to fit."""
    batch = plan.config.training.batch
    # among several processes nobody can try alone
    fits = batch_that_fits(plan) if plan.machine.group.size == 1 else None
    advice = (
        "Use smaller networks (--set width=16), smaller images (--set size=32) or another machine."
    )
    if fits is not None:
        advice = f"A batch of {fits} fits, as was tried just now: --new --set batch={fits}."
    return (
        f"there is not enough memory for a batch of {batch} on {plan.machine.description}. {advice}"
    )


def batch_that_fits(plan: Plan) -> int | None:
    """The largest of half the batch, a quarter … with which two iterations go through; None where none does."""
    config, batch = plan.config, plan.config.training.batch // 2
    while batch >= LEAST_BATCH:
        free()
        smaller = replace(config, training=replace(config.training, batch=batch))
        if _fits(replace(plan, config=smaller)):
            return batch
        batch //= 2
    return None


def _fits(plan: Plan) -> bool:
    try:
        players = make_players(plan)
        for _ in range(2):
            step(plan, players, Tally())
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def free() -> None:
    """Gives back what nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
