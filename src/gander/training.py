"""The training job: a configuration and images in, a run directory out.

The loop is short on purpose. A state is networks, moving average, optimisers and one integer, ``images_seen``; everything
random is a function of (seed, position), so the same command resumes to the same bits. What one iteration is, is in ``stepping``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from gander import (
    appraisal,
    attending,
    engine,
    health,
    mishaps,
    progress,
    provenance,
    regrouping,
    report,
    runs,
    sheets,
)
from gander import best as keeping
from gander.appraisal import Appraisal
from gander.config import Config, differences
from gander.data import Data
from gander.data.reading.streamed import Streamed
from gander.errors import ConfigError, DataError, Diverged
from gander.pace import Pace
from gander.plan import Plan, as_before, configured, make_plan
from gander.players import Players, drawer_of, make_players, model_of, restore, save, spread
from gander.rounds import due, interruptible, stepper
from gander.runs import Hold, Run
from gander.settings import CHANGEABLE
from gander.tally import Tally

NAMED = 3  # images that cannot be read, said one by one


def train(
    preset: str | None = None,
    *,
    data: str | None = None,
    out: str | None = None,
    images: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    device: str | None = None,
    settings: Sequence[str] = (),
    new: bool = False,
    quiet: bool = False,
    roll_back: bool = False,
) -> Path:
    """Trains until ``images`` real images were seen or ``minutes`` have passed, and returns the run directory.

    The same call again resumes. ``settings`` are the command line's ``--set``, as ``["batch=64", "c1.recognised=0.5"]``.
    ``roll_back`` first puts the best weights back, and then goes on only if the settings were changed: the same ones would
    repeat the same steps. Raises ``UseError`` for a wrong request and ``TrainingFailed`` for a run that went wrong.
    """
    if minutes is not None and not minutes > 0:
        raise ConfigError(
            f"--minutes is more than 0, given {minutes:g}; give so many, as --minutes 30."
        )
    if roll_back and new:
        raise ConfigError(
            "--roll-back is for a run that is there and --new begins one; drop one of the two."
        )
    group = engine.join()
    config = configured(preset, settings, data=data, images=images, seed=seed)
    plan = make_plan(config, device, group=group)
    appraisal.check(plan)
    try:
        if not group.first:
            path = attending.attend(plan, device)
        else:
            path = _train(plan, device, out, minutes, new, roll_back, progress.Console(quiet))
    except KeyboardInterrupt:  # all of them stop, so all can say goodbye
        group.leave()
        raise
    group.leave()
    return path


def _train(
    plan: Plan,
    device: str | None,
    out: str | None,
    minutes: float | None,
    new: bool,
    roll_back: bool,
    console: progress.Console,
) -> Path:
    config = plan.config
    changeable = CHANGEABLE if roll_back else frozenset[str]()
    run, resumed = runs.place(config, plan.images.name, out, new, changeable)
    if roll_back:
        keeping.to_roll_back(run, resumed)
    if resumed:
        plan = as_before(plan, config, run, device)
    if roll_back and not rolled_back(plan, run, console):
        attending.call(plan, run.path, plays=False)
        return run.path
    return play(plan, run, resumed, minutes, console)


def rolled_back(plan: Plan, run: Run, console: progress.Console) -> bool:
    """Puts the best state back and says so; whether there is something new to do from there."""
    with run.held():
        kept = keeping.to_roll_back(run, True)
        anew = bool(differences(run.read_config(), plan.config))
        changes = keeping.roll_back(run, plan.config)
        report.write_report(run)
    console.say(f"rolled back {run.path} to {kept}")
    for change in changes:
        console.say(f"  from here on {change}")
    if not anew:
        console.say(
            "  Going on with the same settings would repeat the same steps, so the run stops here: draw with it, or "
            "give --roll-back with another rate, as --set critic_rate=1e-4, to go on otherwise."
        )
    return anew


# ---------------------------------------------------------------------- the loop
def play(
    plan: Plan, run: Run, resumed: bool, minutes: float | None, console: progress.Console
) -> Path:
    """Trains a plan in a run directory, from its saved state if there is one; one trainer at a time."""
    with mishaps.answered(plan, run):
        players = make_players(plan)
    watch = appraisal.prepare(plan, run, console.say)
    if watch is not None:
        appraisal.rehearse(watch, players)
    if not resumed:
        run = runs.claimed(run)
        watch = replace(watch, run=run) if watch is not None else None
    with run.held() as hold:
        table = Table(plan, players, run, hold, console, watch, appraisal.held_out(plan, watch))
        if not resumed:
            run.begin(plan.config, provenance.of(plan))
        with mishaps.answered(plan, run):
            threads = _seated(table) if resumed else 0
            attending.call(table.plan, run.path)
            console.begin(plan, run, players.images_seen, resumed)
            if watch is not None and _still_due(watch, players):
                appraisal.appraise(watch, players)
                report.write_report(run)
            if players.images_seen >= plan.config.training.images:
                spread(table.plan, players, {})
                console.already_done(run, players.images_seen, plan.config.is_paced)
            else:
                _play_on(table, minutes, threads)
            say_best(run, console)
    return run.path


@dataclass
class Table:
    """All that a session of training is played with."""

    plan: Plan
    players: Players
    run: Run
    hold: Hold
    console: progress.Console
    watch: Appraisal | None
    held_out: Data | None = None
    """Real images that are not trained on, for a look at whether the critic knows those that are by heart."""
    tally: Tally = field(default_factory=Tally)
    """What the next report will be made of."""
    regrouped: list[str] = field(default_factory=list)
    """And what it tells of categories that were joined and parted."""
    unreadable: int = 0
    """Images of a stream of which was said that they cannot be read."""

    @property
    def config(self) -> Config:
        return self.plan.config


def _seated(table: Table) -> int:
    """Puts everything where a run goes on; returns the threads it was computed with, 0 where that is not known."""
    plan, players, run, say = table.plan, table.players, table.run, table.console.say
    restored = restore(players, run, say)
    run.rewind(players.images_seen)
    keeping.forget_future(run, players.images_seen)
    tables, moved = provenance.changed(run.origin(), plan, players.images_seen)
    run.write_config(plan.config, tables)
    if moved:
        say(moved)
    table.plan = replace(plan, rate_scale=restored.rate_scale)
    table.tally = Tally.from_dict(restored.tally, plan.machine.device)
    return restored.threads


def _play_on(table: Table, minutes: float | None, threads: int) -> None:
    """Plays until the end or the deadline; a run that diverges goes back to its last good state as often as its settings say."""
    threads = table.config.training.threads or threads or table.plan.machine.threads
    pace = Pace(table.plan, threads)
    deadline = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    while True:
        spread(table.plan, table.players, table.tally.to_dict())
        try:
            return _play(table, deadline, pace)
        except Diverged as error:
            plan, players, say = table.plan, table.players, table.console.say
            table.plan = pace.plan = mishaps.rescued(plan, players, table.run, error, say)
            table.tally = Tally()


def _still_due(watch: Appraisal, players: Players) -> bool:
    """Whether the run was stopped between a saved state and its evaluation."""
    seen = players.images_seen
    return appraisal.due(watch.config, seen) and appraisal.missing(watch.run, seen)


def _play(table: Table, deadline: float, pace: Pace) -> None:
    plan, players, run, console = table.plan, table.players, table.run, table.console
    config, total = plan.config, plan.config.training.images
    saved_at = time.monotonic()
    before = _seconds_so_far(run)
    tally = table.tally
    tally.started = time.monotonic()
    with (
        interruptible(plan.machine.group.size > 1) as received,
        console.bar(total, players.images_seen) as bar,
        progress.board(run, config.report.tensorboard) as board,
        stepper(plan, players, tally, received) as take_step,
    ):
        while players.images_seen < total:
            _regroup(table)
            try:
                take_step()
            except DataError:  # of a source that cannot be read now; nothing of this step was taken
                if plan.machine.group.size == 1:
                    save(plan, players, run, tally.to_dict())
                if received:
                    console.end(run, players.images_seen, total, True)
                    raise KeyboardInterrupt from None
                raise
            bar.advance(players.images_seen)
            change = pace.look(players)
            if change:
                console.say(change)
            moment = time.monotonic()
            unsaved = moment - saved_at > config.report.save_seconds
            late = moment > deadline
            now = due(plan, players, tally, interrupted=bool(received), late=late, unsaved=unsaved)
            if now.save or now.line:
                table.hold.check()
                tally.share(plan.machine.group)
            if now.line:
                before += write_line(table, before, bar, board)
                tally.begin_again()
            if now.sheet:
                table.hold.check()
                sheets.write_samples(drawer_of(plan, players), run.samples)
            if now.save:
                tally.means(config, players.images_seen)
                save(plan, players, run, tally.to_dict())
                saved_at = time.monotonic()
            if now.evaluation and table.watch is not None and not now.interrupted:
                took = appraisal.appraise(table.watch, players)
                tally.started, pace.looked = tally.started + took, pace.looked + took
            if now.last:
                break
    report.write_report(run)
    console.end(run, players.images_seen, total, now.interrupted)
    if now.interrupted:
        raise KeyboardInterrupt


def _regroup(table: Table) -> None:
    """Joins and parts categories where it is time to; of several processes the first does it for all."""
    plan, players = table.plan, table.players
    if not regrouping.due(plan.config, players.images_seen):
        return
    for told in regrouping.regroup(plan, players):
        table.console.say(told)
        table.regrouped.append(told)
    if plan.machine.group.size > 1:
        spread(plan, players, {})


def say_best(run: Run, console: progress.Console) -> None:
    """Which evaluation was the best, where its weights are and how to use them."""
    kept = keeping.read(run)
    if kept is not None:
        console.say(
            f"the best: {kept}, kept in {run.best}. Draw with it: gander sample {run.best} --out sheet.png; "
            f"--roll-back makes it the run's own state again."
        )


# ---------------------------------------------------------------------- reports
def write_line(table: Table, before: float, bar: progress.Bar, board: progress.Board) -> float:
    """Writes and shows one line: terms, speed, information and health. Returns the seconds it covers."""
    plan, players, tally = table.plan, table.players, table.tally
    terms = tally.means(plan.config, players.images_seen)
    seconds = time.monotonic() - tally.started
    model, seen = model_of(plan, players), players.images_seen
    check = health.examine(model, plan.images, seen, table.held_out)
    line = {
        "images_seen": seen,
        "seconds": round(before + seconds, 3),
        "threads": torch.get_num_threads(),
        "images_per_second": round(tally.images / max(seconds, 1e-9), 1),
        "terms": {name: round(value, 6) for name, value in terms.items()},
        "information": check.information,
        "ceilings": check.ceilings,
        "health": check.signs | adapted(players),
        "alarms": [alarm.name for alarm in check.alarms],
    }
    if isinstance(plan.images.images, Streamed) and plan.images.images.unreadable:
        line["unreadable"] = _say_unreadable(table, plan.images.images)
    if table.regrouped:
        line["regrouped"], table.regrouped = table.regrouped, []
    table.run.append("log.jsonl", line)
    board.write(line)
    bar.show(line, check)
    return time.monotonic() - tally.started


def _say_unreadable(table: Table, images: Streamed) -> int:
    """Says which images could not be read since the last report, a few by name; how many they are in all."""
    found = list(images.unreadable.items())
    new = found[table.unreadable :]
    table.unreadable = len(found)
    if new:
        named = "; ".join(f"{images.named(row)}: {why}" for row, why in new[:NAMED])
        table.console.say(
            f"{len(new):,} images cannot be read, and the next ones were taken instead ({named}{'; …' if len(new) > NAMED else ''})"
        )
    return len(found)


def adapted(players: Players) -> dict[str, float]:
    """How often images are transformed and the sign it goes by, where that is adaptive."""
    adaptive = players.game.adaptive
    if adaptive is None:
        return {}
    return {f"augment_{name}": round(float(t), 4) for name, t in adaptive.tensors.items()}


def _seconds_so_far(run: Run) -> float:
    lines = run.lines()
    return float(lines[-1].get("seconds", 0.0)) if lines else 0.0
