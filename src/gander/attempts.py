"""The trials of a search in their processes: begun, heard at each evaluation, cut short where most were better, and ended.

A process trains a run by the ordinary command. What is decided here depends on the lines of its metrics.jsonl alone, not on when
they are seen; where this process ends, however it does, those it began save and end too.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from gander import history
from gander.errors import GanderError, UseError
from gander.findings import Findings, Tried
from gander.launching import ENDS_WITH_PARENT, INTERRUPTED, LOOK
from gander.rounds import interruptible
from gander.runs import Run

if TYPE_CHECKING:
    from gander.trials import Trials

COMPLAINT = "gander: "
ASKED_TO_END = (INTERRUPTED, -signal.SIGTERM, -signal.SIGINT)
SAVES = 60.0  # seconds in which a process that was asked to end has saved and ended
KILLS = 2
"""How often a process may be killed by the system before its trial has failed."""
SHOWN = 300  # letters of what went wrong
Tell = Callable[[str], None]


@dataclass
class Attempt:
    """One trial's process, and what its evaluations have said."""

    tried: Tried
    run: Run
    process: subprocess.Popen[bytes]
    said: IO[bytes]
    figures: dict[int, float] = field(default_factory=dict)
    """By the images at which they were due."""
    seen: tuple[int, int] = (-1, -1)
    """How its metrics.jsonl was when it was last read: size, and when it was written."""
    cut: bool = False
    """Whether it is to be cut short."""

    @property
    def complaint(self) -> str:
        """What it said last."""
        self.said.seek(0)
        text = self.said.read().decode("utf-8", errors="replace").strip()
        return text[max(text.rfind(COMPLAINT), 0) :].removeprefix(COMPLAINT)


def command(words: Sequence[str]) -> list[str]:
    """What runs a gander command in another process."""
    return [sys.executable, "-m", "gander", *words]


@dataclass
class Attempts:
    """A search that goes on."""

    trials: Trials
    total: int
    """How many trials there are to be."""
    findings: Callable[[], Findings]
    """As they are now."""
    check: Callable[[Sequence[str]], object]
    """Raises where the values of a trial do not go together."""
    every: int
    """Images between evaluations."""
    images: int
    """Of a whole trial."""
    prune: bool
    tell: Tell
    """Takes a line that stays."""
    show: Tell
    """Takes how it stands at the moment."""
    going: list[Attempt] = field(default_factory=list)
    kills: dict[int, int] = field(default_factory=dict)
    """By trial, how often the system killed it."""
    stopped: bool = False

    def play(self, at_once: int) -> None:
        """Trains until there are as many trials as there are to be; first those that were cut off. Raises ``KeyboardInterrupt``."""
        self.findings().write()
        there = self.trials.all()
        waiting = [one for one in there if one.state == "open"]
        made = len(there)
        with interruptible() as received:
            try:
                while True:
                    for one in list(self.going):
                        self._look(one)
                    if received and not self.stopped:
                        self._stop()
                    while (
                        not self.stopped
                        and len(self.going) < at_once
                        and (waiting or made < self.total)
                    ):
                        made += not waiting
                        if waiting:
                            self.tell(f"trial {waiting[0].number} goes on")
                        self._begin(waiting.pop(0) if waiting else self.trials.ask())
                    if not self.going:
                        break
                    time.sleep(LOOK)
            finally:
                self._leave()
        if self.stopped:
            done = sum(one.state != "open" for one in self.trials.all())
            self.findings().write()
            self.tell(
                f"stopped and saved, {done} of {max(self.total, done)} trials done; the same command goes on"
            )
            raise KeyboardInterrupt

    # ------------------------------------------------------------------ one of them
    def _begin(self, tried: Tried) -> None:
        found = self.findings()
        settings = found.settings(tried)
        try:
            self.check(settings)
        except GanderError as error:
            return self._over(self.trials.fail(tried.number, _first(str(error))))
        run = Run(found.run(tried.number))
        waited = time.monotonic()
        while run.is_held and time.monotonic() - waited < SAVES:  # by what a kill left behind
            time.sleep(LOOK)
        words = command([*found.base, *settings, "--out", str(run.path), "--quiet"])
        said = tempfile.TemporaryFile()  # noqa: SIM115 (it is read when the process has ended)
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            # a terminal's Ctrl-C comes here alone, and each process is asked to end once
            start_new_session=True,
            preexec_fn=ENDS_WITH_PARENT,
        )
        self.going.append(Attempt(tried, run, process, said))
        self.findings().write()
        self._show()

    def _look(self, one: Attempt) -> None:
        """Hears what it has measured since, and whether it has ended."""
        code = one.process.poll()
        self._hear(one)
        if code is None:
            return
        self.going.remove(one)
        with one.said:
            self._ended(one, code)

    def _hear(self, one: Attempt) -> None:
        """Reports new evaluations; where one is worse than most were there, it is the last that counts."""
        try:
            about = one.run.metrics_file.stat()
        except OSError:
            return
        if (about.st_size, about.st_mtime_ns) == one.seen or one.cut:
            return
        one.seen = (about.st_size, about.st_mtime_ns)
        figure = self.findings().figure
        for line in history.evaluations(one.run):
            there = history.figures(line)
            if not line.get("during") or figure not in there:
                continue
            seen = there[figure].images_seen
            at = self.images if seen >= self.images else seen // self.every * self.every
            if at in one.figures:
                continue
            one.figures[at] = there[figure].value
            worse = self.trials.report(one.tried.number, at, one.figures[at])
            self._show()
            if worse and self.prune and at < self.images:
                one.cut = True
                if one.process.poll() is None:
                    one.process.terminate()
                return

    def _ended(self, one: Attempt, code: int) -> None:
        """Writes what became of it. Raises ``UseError`` where it could not be trained at all."""
        number, value = one.tried.number, one.figures.get(self.images)
        if one.cut:
            self._over(self.trials.prune(number))
        elif code == 0 and value is not None:
            self._over(self.trials.complete(number, value))
        elif code == 0:
            figure = self.findings().figure
            self._over(self.trials.fail(number, f"{figure} could not be measured at the end."))
        elif self.stopped:
            return  # open, to be gone on with
        elif code in ASKED_TO_END:
            self._stop()
        elif code == UseError.exit_code:
            raise UseError(f"trial {number}: {one.complaint}")
        elif code < 0 and self.kills.get(number, 0) + 1 < KILLS:
            self.kills[number] = self.kills.get(number, 0) + 1
            self.tell(f"trial {number} was ended by signal {-code}, and goes on")
            self._begin(one.tried)
        else:
            why = f"it was ended by signal {-code}." if code < 0 else one.complaint
            self._over(self.trials.fail(number, _first(why)))

    def _over(self, tried: Tried) -> None:
        """Says of a trial how it went, and writes it down."""
        found = self.findings()
        found.write()
        what = f"{found.figure} {tried.value:.4g}" if tried.value is not None else ""
        if tried.state == "failed":
            what = f"failed: {tried.why}"
        elif tried.state == "pruned":
            what += f", cut short at {max(tried.figures):,} images"
        elif found.best is not None and found.best.number == tried.number:
            what += ", the best so far"
        done = sum(other.state != "open" for other in found.tried)
        settings = " ".join(found.settings(tried))
        self.tell(f"{done} of {max(self.total, done)}: trial {tried.number}: {settings}: {what}")

    def _show(self) -> None:
        """How it stands."""
        parts = []
        for one in self.going:
            at = max(one.figures, default=0)
            figure = f", {one.figures[at]:.4g}" if at else ""
            parts.append(f"trial {one.tried.number} at {at:,} of {self.images:,} images{figure}")
        self.show("; ".join(parts))

    # ------------------------------------------------------------------ all of them
    def _stop(self) -> None:
        """Has all save and end."""
        self.stopped = True
        for one in self.going:
            if one.process.poll() is None:
                one.process.terminate()

    def _leave(self) -> None:
        """Leaves no process behind, whatever went wrong here."""
        for one in self.going:
            if one.process.poll() is None:
                one.process.terminate()
        for one in self.going:
            try:
                one.process.wait(SAVES)
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait()
            one.said.close()


def _first(text: str) -> str:
    """The first lines of what went wrong; of a traceback the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it said nothing."]
    if lines[0].startswith("Traceback"):
        lines = lines[-1:]
    said = " ".join(lines)
    return said if len(said) <= SHOWN else f"{said[:SHOWN]} …"
