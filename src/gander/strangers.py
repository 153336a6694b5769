"""Small files of strangers, read within limits: what a file is and how large is asked before any of it is believed."""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

LARGEST = 1_000_000  # bytes of a table, unless told
PARTS = 64
DEEP = re.compile(r"""(?:(?:[\w-]{1,64}|"[^"\n]{0,64}"|'[^'\n]{0,64}')[ \t]*\.[ \t]*){64}""")
"""A key of TOML of ``PARTS`` parts or more: its reader takes a time that grows with the square of their number."""


def content(path: Path, most: int = LARGEST) -> bytes:
    """The bytes of a plain file, of which there are at most ``most``. Raises ``OSError``.

    A pipe is not waited for, and a device that has no end is not read, however it is linked to.
    """
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode):
            raise OSError("it is not a plain file")
        if about.st_size > most:
            raise OSError(f"it is larger than {most:,} bytes")
        with open(number, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(number)


def check_plain(path: Path) -> None:
    """Refuses what is no plain file, as a pipe that nobody writes to. Raises ``OSError``."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is not a plain file")


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
