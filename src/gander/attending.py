"""What a process does that trains beside the first: the same steps on its own rows of every batch, and nothing else.

The first one alone owns the run directory: it reads the state and tells it, writes, evaluates and speaks. So the others need no disk in common
with it, and there is one file of everything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gander import config as configuration
from gander import engine, regrouping
from gander.errors import Diverged, RunError
from gander.plan import Plan, settled, started
from gander.players import Players, make_players, spread, state
from gander.ranks import Group
from gander.rounds import due, interruptible, stepper
from gander.tally import Tally


def call(plan: Plan, run: Path, plays: bool = True) -> None:
    """What the first process says before it plays: of which run it is, and on what terms."""
    training = plan.config.training
    if plan.machine.group.size == 1:
        return
    said = {
        "run": str(run),
        "plays": plays,
        "config": configuration.to_toml(plan.config, {}),
        "fingerprint": plan.images.fingerprint,
        "precision": training.precision,
        "threads": training.threads,
    }
    plan.machine.group.tell(json.dumps(said).encode())


def attend(plan: Plan, device: str | None) -> Path:
    """Plays as the first process says until it is done, and returns its run directory.

    Raises ``RunError`` where this one was started with other settings or found other images, ``ProcessLost`` where another has ended.
    """
    said = json.loads(plan.machine.group.tell())
    if not said["plays"]:
        return Path(said["run"])
    asked = replace(plan.config.training, precision=said["precision"], threads=said["threads"] or 0)
    machine = started(asked, device, plan.machine.group)
    config = replace(plan.config, training=settled(asked, machine))
    plan = replace(plan, config=config, machine=machine)
    _check_same(plan, said)
    players = make_players(plan)
    while True:
        restored = spread(plan, players, {})
        plan = replace(plan, rate_scale=restored.rate_scale)
        try:
            _play(plan, players, Tally.from_dict(restored.tally, machine.device))
        except Diverged:  # the first one says whether, and from where, it goes on
            continue
        return Path(said["run"])


def _check_same(plan: Plan, said: Mapping[str, Any]) -> None:
    """Refuses to play another game, or with other images, than the first process."""
    group: Group = plan.machine.group
    who = f"process {group.rank} of {group.size}"
    if said["fingerprint"] != plan.images.fingerprint:
        raise RunError(
            f"{who} found other images under {plan.config.data.source!r} than the first; give all of them the same ones."
        )
    if said["config"] != configuration.to_toml(plan.config, {}):
        raise RunError(
            f"{who} was started with other settings than the first; give all of them the same command."
        )


def _play(plan: Plan, players: Players, tally: Tally) -> None:
    group = plan.machine.group
    with interruptible(several=True) as received, stepper(plan, players, tally) as take_step:
        while players.images_seen < plan.config.training.images:
            if regrouping.due(plan.config, players.images_seen):
                spread(plan, players, {})
            take_step()
            now = due(plan, players, tally, interrupted=bool(received), late=False, unsaved=False)
            if now.line or now.save:
                tally.share(group)
                tally.means(plan.config, players.images_seen)
            if now.line:
                tally.begin_again()
            if now.save:
                engine.check_weights(state(players), players.images_seen)
            if now.interrupted:
                raise KeyboardInterrupt
            if now.last:
                break
