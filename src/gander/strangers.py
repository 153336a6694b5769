"""Small files of strangers, read within limits: what a file is and how large is asked before any of it is believed."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

LARGEST = 1_000_000  # bytes of a table, unless told
MIB = 1 << 20
PARTS = 64
DEEP = re.compile(r"""(?:(?:[\w-]{1,64}|"[^"\n]{0,64}"|'[^'\n]{0,64}')[ \t]*\.[ \t]*){64}""")
"""A key of TOML of ``PARTS`` parts or more: its reader takes a time that grows with the square of their number."""


def opened(path: Path | str, links: bool = True) -> io.BufferedReader:
    """A plain file, open for reading. Raises ``OSError`` for anything else, also for a link unless ``links``.

    A pipe is not waited for, and a device that has no end is not read.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    number = os.open(path, flags if links else flags | getattr(os, "O_NOFOLLOW", 0))
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError("it is no plain file")
    return io.BufferedReader(io.FileIO(number))


def content(
    path: Path | str, most: int = LARGEST, links: bool = True, grows: bool = False
) -> bytes:
    """The bytes of a plain file, of which there are at most ``most``; of one that ``grows``, those that were there. Raises ``OSError``."""
    with opened(path, links) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            whole = most % MIB == 0
            raise OSError(
                f"larger than {most // MIB} MiB" if whole else f"larger than {most:,} bytes"
            )
        found = file.read(size + 1)
    if len(found) > size and not grows:
        raise OSError("it grew while it was read")
    return found[:size]


def check_plain(path: Path) -> None:
    """Refuses what is no plain file, as a pipe that nobody writes to. Raises ``OSError``."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no plain file")


def from_json(text: bytes | str) -> Any:
    """A value written as JSON. Raises ``ValueError`` alone, also for one that is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def from_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises ``tomllib.TOMLDecodeError`` alone, also for what would take minutes or cannot be printed."""
    if any(line.count(".") >= PARTS and DEEP.search(line) for line in text.splitlines()):
        raise tomllib.TOMLDecodeError("a key has too many parts")
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError("it is nested too deeply") from None
    except ValueError as error:
        raise tomllib.TOMLDecodeError(str(error)) from None
    if not _fits(table):
        raise tomllib.TOMLDecodeError("a whole number in it has more than 64 bits")
    return table


def _fits(value: Any) -> bool:
    """Whether all whole numbers are such as TOML has."""
    if isinstance(value, dict):
        return all(_fits(part) for part in value.values())
    if isinstance(value, list):
        return all(_fits(part) for part in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**63
