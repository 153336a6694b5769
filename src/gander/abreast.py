"""One training command for many seeds: their runs side by side, each in a process of its own.

Small networks do not fill a machine: two processes of one thread each train more images a second than one of two threads. Each run is what its own
command would have made, to the bit, and goes on by itself; the same command again goes on with those that are not done.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO

from gander.errors import UseError
from gander.launching import ENDS_WITH_PARENT, INTERRUPTED, LOOK, passing_on

ON_A_GPU = 4
"""Runs at once where they share a GPU; on a processor, as many as it has cores."""
COMPLAINT = "gander: "


@dataclass
class Job:
    """One seed's process and what it has said."""

    seed: int
    process: subprocess.Popen[str]
    run: str = ""
    """The directory it trained in, once it is done."""
    complaint: str = ""
    readers: list[threading.Thread] = field(default_factory=list)

    def listen(self) -> None:
        """Has what it says passed on, line by line, with its seed in front."""
        for pipe, take in ((self.process.stdout, self._ran), (self.process.stderr, self._said)):
            assert pipe is not None
            reader = threading.Thread(target=_each_line, args=(pipe, take), daemon=True)
            reader.start()
            self.readers.append(reader)

    def _ran(self, line: str) -> None:
        self.run = line

    def _said(self, line: str) -> None:
        if self.complaint or line.startswith(
            COMPLAINT
        ):  # what is said last, in one line or several
            self.complaint += f"{line}\n"
        else:
            print(f"seed {self.seed}: {line}", file=sys.stderr, flush=True)


def _each_line(pipe: IO[str], take: Callable[[str], None]) -> None:
    for line in pipe:
        take(line.rstrip("\n"))


def own_command(arguments: Sequence[str], seed: int, out: str | None, alone: bool) -> list[str]:
    """The command that trains one of the seeds, made of that for all: its own seed and directory, and one thread unless it is told otherwise.

    ``alone`` is whether no other runs at the same time, and it may have all threads.
    """
    kept = arguments
    for option in ("--seeds", "--at-once", "--out"):
        kept = _without(kept, option)
    own = [*kept, "--seed", str(seed)]
    if out is not None:
        own += ["--out", f"{out}-s{seed}"]
    threads = any(word.partition("=")[0] in ("threads", "training.threads") for word in arguments)
    return own if alone or threads else [*own, "--set", "threads=1"]


def _without(arguments: Sequence[str], option: str) -> list[str]:
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == option:
            next(words, None)
        elif not word.startswith(f"{option}="):
            kept.append(word)
    return kept


def train_each(commands: dict[int, list[str]], at_once: int) -> int:
    """Runs a command for each seed, so many at once; prints their runs in the order of the seeds.

    Returns 0, 130 where it was interrupted (each saves first), 2 where one was wrong, for then all are, and 1 where one failed; the
    others are finished all the same.
    """
    waiting, jobs = list(commands), list[Job]()
    processes: list[subprocess.Popen[str]] = []
    with ExitStack() as kept:
        received = kept.enter_context(passing_on(processes))
        while True:
            running = [job for job in jobs if job.process.poll() is None]
            codes = {job.process.returncode for job in jobs} - {None, 0}
            if received or codes & {INTERRUPTED, UseError.exit_code}:
                waiting.clear()
            while waiting and len(running) < at_once:
                seed = waiting.pop(0)
                job = Job(seed, _begun(commands[seed]))
                processes.append(job.process)
                jobs.append(job)
                running.append(job)
                job.listen()
            if not running:
                break
            time.sleep(LOOK)
    return _reported(jobs)


def _begun(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        preexec_fn=ENDS_WITH_PARENT,
    )


def _reported(jobs: Sequence[Job]) -> int:
    """Prints the runs and what went wrong, each once; returns the exit code."""
    said = set[str]()
    for job in jobs:
        for reader in job.readers:
            reader.join()
        for pipe in (job.process.stdout, job.process.stderr):
            assert pipe is not None
            pipe.close()
        code = job.process.returncode
        if job.run and code == 0:
            print(job.run)
        if code < 0:
            job.complaint += f"{COMPLAINT}it was ended by signal {-code}.\n"
        if job.complaint and job.complaint not in said:
            said.add(job.complaint)
            shown = job.complaint.removeprefix(COMPLAINT).rstrip()
            print(f"{COMPLAINT}seed {job.seed}: {shown}", file=sys.stderr)
    codes = [job.process.returncode for job in jobs]
    if INTERRUPTED in codes:
        return INTERRUPTED
    if UseError.exit_code in codes:
        return UseError.exit_code
    return int(any(codes))
