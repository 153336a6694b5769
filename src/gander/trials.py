"""The trials of a search, as Optuna keeps them in DIR/study.journal: lines of JSON, none of them a pickle.

What is drawn for a trial is a function of the seed, its number and what is known of the others, so no state of a sampler is kept,
and a search that was cut off draws what it would have drawn. A trial is written with all its values in one line.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from gander import strangers
from gander.errors import RunError
from gander.findings import State, Tried
from gander.history import Better
from gander.images import reason
from gander.space import Range, Searched

if sys.platform != "win32":
    import fcntl

NAME = "gander"
FILE = "study.journal"
MOST = 1 << 30  # bytes; a trial takes one or two kB
UNPRUNED = 5
"""Trials that must have come to their end before one is cut short."""
WARM_UP = 0.25
"""Share of the images before which none is: early figures say little of a game."""
TRIES = 20
"""Drawings for a trial that nobody has made yet, before one is looked for."""
WHY, ASKED = "why", "asked"


class Taken(JournalFileOpenLock):
    """Nothing to wait for: whoever writes holds the whole folder, and a lock file would outlive a kill."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps a second search out of a folder, which is made if need be; the system lets go when this process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = os.open(folder, os.O_RDONLY) if sys.platform != "win32" else -1
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {reason(error)}.") from None
    try:
        if sys.platform != "win32":  # it has no flock
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(
                    f"another process searches in {folder}. Wait until it is done or stop it with Ctrl-C where it runs, or give another --out."
                ) from None
        yield
    finally:
        if number >= 0:
            os.close(number)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna says nothing of its own: neither what it logs nor what it warns of."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


# ---------------------------------------------------------------------- the file
def mend(file: Path) -> None:
    """Drops what a kill or a failing disk left of the last line, or for one. Raises ``RunError``.

    Optuna passes over a last line that is not JSON and writes behind it, after which nothing of the file can be read.
    """
    if not file.exists():
        return
    try:
        content = strangers.content(file, MOST)
        whole = content.rfind(b"\n") + 1
        while whole and not _is_json(content[content.rfind(b"\n", 0, whole - 1) + 1 : whole]):
            whole = content.rfind(b"\n", 0, whole - 1) + 1
        ours = whole or b"\n" not in content  # a file without one line of ours is a stranger's
        if ours and whole < len(content):
            os.truncate(file, whole)
    except OSError as error:
        raise RunError(f"{file} cannot be read: {reason(error)}.") from None


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def asked(file: Path) -> dict[str, Any] | None:
    """What a search was begun with; None where none has begun. Raises ``RunError``."""
    if not file.is_file():
        return None
    try:
        with _quiet():
            storage = JournalStorage(JournalFileBackend(str(file), Taken(str(file))))
            for study in storage.get_all_studies():
                if study.study_name == NAME and ASKED in study.user_attrs:
                    return dict(study.user_attrs[ASKED])
    except Exception as error:  # whatever a stranger's lines bring about in another library
        raise RunError(
            f"{file} is not what a search wrote ({type(error).__name__}: {error}); give another --out."
        ) from None
    return None


class Trials:
    """A search's trials, in a file that is this process's alone."""

    def __init__(
        self,
        file: Path,
        asked: Mapping[str, Any],
        way: Better,
        space: Sequence[Searched],
        seed: int,
        warm_up: int,
    ) -> None:
        """``warm_up``: images before which no trial is cut short."""
        self.space, self.seed = tuple(space), seed
        self.direction: Literal["minimize", "maximize"] = (
            "minimize" if way == "lower" else "maximize"
        )
        self.distributions = {one.name: _distribution(one) for one in space}
        with _quiet():
            self.study = optuna.create_study(
                study_name=NAME,
                storage=JournalStorage(JournalFileBackend(str(file), Taken(str(file)))),
                direction=self.direction,
                pruner=MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=warm_up),
                load_if_exists=True,
            )
            if ASKED not in self.study.user_attrs:
                self.study.set_user_attr(ASKED, dict(asked))
        if any(one.params.keys() != self.distributions.keys() for one in self._frozen()):
            raise RunError(
                f"{file} holds a trial that no search of gander made: it lacks a setting, or has another; give another --out."
            )

    def all(self) -> list[Tried]:
        """Every trial, in the order of their numbers."""
        return [_tried(one) for one in self._frozen()]

    def _frozen(self) -> list[FrozenTrial]:
        with _quiet():
            return self.study.get_trials(deepcopy=False)

    def ask(self) -> Tried:
        """One more trial: its values drawn, by what is known of the others, and written."""
        there = self._frozen()
        made = {_key(trial.params) for trial in there}
        drawn = (self._drawn(there, attempt) for attempt in range(TRIES))
        found = next((params for params in drawn if _key(params) not in made), None)
        params = found or self._untried(made) or self._drawn(there, TRIES)
        with _quiet():
            self.study.add_trial(
                optuna.trial.create_trial(
                    state=TrialState.RUNNING, params=params, distributions=self.distributions
                )
            )
        return self.all()[-1]

    def _drawn(self, there: Sequence[FrozenTrial], attempt: int) -> dict[str, Any]:
        """The values of the next trial, by Optuna's sampler in a study of its own that is thrown away."""
        mixed = hashlib.sha256(f"{self.seed}/search/{len(there)}/{attempt}".encode()).digest()
        with _quiet():
            sampler = TPESampler(
                seed=int.from_bytes(mixed[:4], "little"), multivariate=True, constant_liar=True
            )
            beside = optuna.create_study(direction=self.direction, sampler=sampler)
            beside.add_trials(there)
            drawn = beside.ask(self.distributions).params
        return {one.name: one.rounded(drawn[one.name]) for one in self.space}

    def _untried(self, made: set[str]) -> dict[str, Any] | None:
        """The first values that no trial has, where they can be counted."""
        if any(isinstance(one, Range) and not one.whole for one in self.space):
            return None
        names = [one.name for one in self.space]
        for values in itertools.product(*(one.all() for one in self.space)):
            params = dict(zip(names, values, strict=True))
            if _key(params) not in made:
                return params
        return None

    # ------------------------------------------------------------------ what becomes of one
    def report(self, number: int, images: int, value: float) -> bool:
        """Tells the figure of an evaluation, once; whether the trial is worse than most were there."""
        frozen = self._frozen()[number]
        with _quiet():
            trial = Trial(self.study, frozen._trial_id)
            if images not in frozen.intermediate_values:
                trial.report(value, images)
            elif images < max(frozen.intermediate_values):
                return False
            return bool(trial.should_prune())

    def complete(self, number: int, value: float) -> Tried:
        """It came to its end."""
        with _quiet():
            self.study.tell(number, value)
        return self.all()[number]

    def prune(self, number: int) -> Tried:
        """It was cut short; its last figure is its value."""
        with _quiet():
            self.study.tell(number, state=TrialState.PRUNED)
        return self.all()[number]

    def fail(self, number: int, why: str) -> Tried:
        """It went wrong. To Optuna it is one that was cut short: so the sampler keeps away from there, which it does not from failures."""
        frozen = self._frozen()[number]
        with _quiet():
            Trial(self.study, frozen._trial_id).set_user_attr(WHY, why)
        return self.prune(number)


def _tried(frozen: FrozenTrial) -> Tried:
    why = str(frozen.user_attrs.get(WHY, ""))
    state: State = "open"
    if frozen.state == TrialState.COMPLETE:
        state = "complete"
    elif frozen.state.is_finished():
        state = "failed" if why else "pruned"
    value = frozen.values[0] if frozen.values else None
    return Tried(
        frozen.number, state, dict(frozen.params), dict(frozen.intermediate_values), value, why
    )


def _distribution(one: Searched) -> BaseDistribution:
    """How Optuna says it."""
    if not isinstance(one, Range):
        return CategoricalDistribution(one.values)
    if one.whole:
        return IntDistribution(int(one.low), int(one.high), log=one.log)
    return FloatDistribution(one.low, one.high, log=one.log)


def _key(params: Mapping[str, Any]) -> str:
    """Values as text, the same for the same."""
    return json.dumps(params, sort_keys=True)
