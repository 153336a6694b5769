"""Several processes of one command on this machine: started together, ended together.

Each is what torchrun would start, with the same variables in its environment. The first one speaks; what another says is shown only if it is the
first to fail, since the others then fail because of it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import IO, Any

from gander import cluster
from gander.errors import ConfigError, UseError

GRACE = 15.0  # seconds in which the others notice that one has ended
LAST = 5.0  # seconds to end in when asked to
LOOK = 0.1  # seconds between two looks at them
MOST = 1024
INTERRUPTED = 130
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
PRCTL: Any = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
SHOWN = 4000  # characters of what a process said last


def wanted(devices: int | None) -> int:
    """How many processes this one is to start; 0 where it goes on by itself. Raises ``ConfigError``."""
    if devices is None:
        return 0
    if not 1 <= devices <= MOST:
        raise ConfigError(
            f"--devices takes from 1 to {MOST:,} processes, given {devices}; give so many, as --devices 2."
        )
    here = cluster.place(os.environ)
    if here is None:
        return devices if devices > 1 else 0
    if here.size != devices:
        raise ConfigError(
            f"--devices {devices} asks for as many processes, and this is one of {here.size} that were started together; drop "
            f"--devices."
        )
    return 0


def launch(devices: int, command: Sequence[str]) -> int:
    """Runs the command in so many processes and returns its exit code: that of the one that failed first, 1 where it was killed."""
    common = {
        "WORLD_SIZE": str(devices),
        "LOCAL_WORLD_SIZE": str(devices),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    said: list[IO[bytes] | None] = [None]
    children: list[subprocess.Popen[bytes]] = []
    with ExitStack() as kept, passing_on(children):
        for rank in range(devices):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            if rank:
                said.append(kept.enter_context(tempfile.TemporaryFile()))
            children.append(
                subprocess.Popen(
                    command,
                    env={**os.environ, **common, **own},
                    stdin=None if rank == 0 else subprocess.DEVNULL,
                    stdout=None if rank == 0 else subprocess.DEVNULL,
                    stderr=said[rank],
                    preexec_fn=ENDS_WITH_PARENT,
                )
            )
        failed = _ended(children)
        if failed is None:
            return 0
        code = int(children[failed].returncode)
        if code == INTERRUPTED:
            return code
        if code < 0:
            name = (
                signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
            )
            _complain(f"process {failed} of {devices} (they count from 0) was ended by {name}.")
            return 1
        if failed and not (code == children[0].returncode == UseError.exit_code):
            _complain(f"process {failed} of {devices} (they count from 0) failed first:")
            _show(said[failed])
        return code


def _ended(children: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Waits for all; where one fails, the others are given time to notice, and are then ended. Returns which failed first."""
    failed, since = None, 0.0
    while None in [child.poll() for child in children]:
        if failed is None:
            failed, since = _failed(children), time.monotonic()
        # who is interrupted saves first, however long it takes
        elif children[failed].returncode != INTERRUPTED:
            _hurry(children, time.monotonic() - since)
        time.sleep(LOOK)
    return _failed(children) if failed is None else failed


def _failed(children: Sequence[subprocess.Popen[bytes]]) -> int | None:
    return next((i for i, child in enumerate(children) if child.returncode), None)


def _hurry(children: Sequence[subprocess.Popen[bytes]], waited: float) -> None:
    """Ends those that have had their time."""
    for child in children:
        if waited > GRACE + LAST:
            child.kill()
        elif waited > GRACE:
            child.terminate()


def _ended_by_system() -> None:
    PRCTL(DEATH_SIGNAL, signal.SIGTERM)


ENDS_WITH_PARENT: Callable[[], None] | None = _ended_by_system if PRCTL else None
"""For ``subprocess``: has the system end a process when the one that started it ends, however it does, where the system can."""


@contextmanager
def passing_on(children: Sequence[subprocess.Popen[Any]]) -> Iterator[list[int]]:
    """Signals go to the processes: a terminal sends Ctrl-C to all of them by itself, a request to end comes here alone.

    Gives a list of those that came.
    """
    received: list[int] = []

    def passed(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for child in children:
            if number != signal.SIGINT and child.poll() is None:
                with suppress(OSError):
                    child.send_signal(number)

    old = {n: signal.signal(n, passed) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def _show(said: IO[bytes] | None) -> None:
    if said is not None:
        said.seek(0)
        sys.stderr.write(said.read().decode("utf-8", errors="replace")[-SHOWN:])


def _complain(text: str) -> None:
    print(f"gander: {text}", file=sys.stderr)
