"""Readers with known faults, one of each sort: a fuzzer that does not find them finds nothing."""

import os
import signal
import time
import warnings

import numpy as np

from fuzz.targets import Target
from gander.errors import DataError

SEED = b"1 2 3 4 5 6 7 8"


def is_changed(path):
    return path.read_bytes() != SEED


def raises(path):
    if is_changed(path):
        raise KeyError("changed")


def computes(path):
    while is_changed(path):
        pass


def waits(path):
    if is_changed(path):
        time.sleep(1000)


def dies(path):
    if is_changed(path):
        os.kill(os.getpid(), signal.SIGSEGV)


def leaves(path):
    if is_changed(path):
        os._exit(3)


def swallows(path):
    """Memory that is not there, and a message that sounds innocent."""
    try:
        if is_changed(path):
            np.ones(1 << 37, np.uint8)
    except MemoryError:
        raise DataError("something is wrong with this file.") from None


def mumbles(path):
    if is_changed(path):
        raise DataError("")


class Babble(DataError):
    """An error that quotes a whole file."""

    def __str__(self):
        return "no " * 20_000


def babbles(path):
    if is_changed(path):
        raise Babble()


def warns(path):
    if is_changed(path):
        warnings.warn("mind the change", stacklevel=1)


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
    """The readers as targets. The seed is harmless, and what is made of it is not."""
    return [Target(read.__name__, "n.bytes", lambda: [SEED], read, 1) for read in FAULTS]
