"""Readers with known faults, one of each sort: a fuzzer that does not find them finds nothing."""

import os
import signal
import time
import warnings

import numpy as np

from fuzz.targets import Target
from gander.errors import DataError


def raises(path):
    if b"7" in path.read_bytes():
        raise KeyError("seven")


def computes(path):
    while b"7" in path.read_bytes():
        pass


def waits(path):
    if b"7" in path.read_bytes():
        time.sleep(1000)


def dies(path):
    if b"7" in path.read_bytes():
        os.kill(os.getpid(), signal.SIGSEGV)


def leaves(path):
    if b"7" in path.read_bytes():
        os._exit(3)


def swallows(path):
    """Memory that is not there, and a message that sounds innocent."""
    try:
        if b"7" in path.read_bytes():
            np.ones(1 << 37, np.uint8)
    except MemoryError:
        raise DataError("something is wrong with this file.") from None


def mumbles(path):
    if b"7" in path.read_bytes():
        raise DataError("")


class Babble(DataError):
    """An error that quotes a whole file."""

    def __str__(self):
        return "no " * 20_000


def babbles(path):
    if b"7" in path.read_bytes():
        raise Babble()


def warns(path):
    if b"7" in path.read_bytes():
        warnings.warn("mind the seven", stacklevel=1)


FAULTS = {
    raises: "KeyError",
    computes: "a hang: no answer in 0.3 seconds",
    waits: "a hang: it waits for something",
    dies: "a crash: signal SIGSEGV",
    leaves: "a crash: it ended with code 3",
    swallows: "message",
    mumbles: "message",
    babbles: "message",
    warns: "warning",
}
"""Reader -> what its fault must be called."""


def planted():
    """The readers as targets. The first seed is harmless, and what lies near the second is not."""
    return [
        Target(read.__name__, "n.bytes", lambda: [b"123456", b"66666666"], read, 1)
        for read in FAULTS
    ]
