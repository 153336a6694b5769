"""The files in a tar file, found by its headers alone and within limits: name, place and size of each.

Python's own reader believes a header: a negative size sends it back, a chain of long names runs it out of its stack, a number of a million
digits keeps it for hours. And it takes what is torn for the end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

BLOCK = 512
LONGEST = 1 << 20
"""Bytes of an extended header that is read; larger ones are passed over, and with them what they say."""
PLAIN = (b"0", b"\0", b"7")
MORE = (b"x", b"X", b"L")  # said of the next file
RECORD = re.compile(rb"(\d{1,7}) ([^=\n]{1,200})=")


class Member(NamedTuple):
    """A plain file in a tar file."""

    name: str
    begin: int
    """Where its content begins, in bytes."""
    size: int


class Torn(ValueError):
    """A tar file that ends, or is no tar file any more, before its end is marked."""


def members(path: Path, file: IO[bytes]) -> Iterator[Member]:
    """The plain files in an open tar file, in order; links, folders and devices are passed over. Raises ``Torn``."""
    place, whole = 0, os.stat(path).st_size
    said: dict[str, str] = {}
    while place < whole:
        file.seek(place)
        head = file.read(BLOCK)
        if not any(head):
            return
        name, size, sort = _header(head)
        begin = place + BLOCK
        if sort in MORE:
            said |= _more(file, sort, size)
        elif sort not in (b"g", b"K"):
            begin += _further(file, head) if sort == b"S" else 0
            size = _size(said, size)
            if begin + size > whole:
                raise Torn("it ends in the middle of a file")
            is_whole = not any(key.startswith("GNU.sparse") for key in said)
            if sort in PLAIN and is_whole and not name.endswith("/"):
                yield Member(said.get("path", name), begin, size)
            said = {}
        place = begin + -(-size // BLOCK) * BLOCK
    raise Torn("it ends before its end is marked")


def _header(head: bytes) -> tuple[str, int, bytes]:
    """Name, size and sort of what follows a header. Raises ``Torn`` where it is none."""
    if len(head) < BLOCK:
        raise Torn("it ends in the middle of a header")
    total, told = sum(head) - sum(head[148:156]) + 8 * 32, _number(head[148:156])
    if told != total and told != total - 256 * sum(byte > 127 for byte in head[:148] + head[156:]):
        raise Torn(
            "it holds what is no header of a file"
        )  # some old programs added up signed bytes
    name, front = _text(head[:100]), ""
    if head[257:263] == b"ustar\0":
        front = _text(head[345:500])
    size, sort = _number(head[124:136]), head[156:157]
    if size < 0:
        raise Torn("it holds a file of less than no bytes")
    return f"{front}/{name}" if front else name, size, sort


def _number(field: bytes) -> int:
    """A number as it is written in eights, or in bytes where it is large; -1 for none."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1
    digits = field.partition(b"\0")[0].strip()
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        return -1


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _more(file: IO[bytes], sort: bytes, size: int) -> dict[str, str]:
    """What an extended header says of the next file: its path, its size, whether it has holes."""
    if size > LONGEST:
        return {}
    content = file.read(size)
    if sort == b"L":
        return {"path": _text(content)}
    said, place = {}, 0
    while record := RECORD.match(content, place):
        end = place + int(record[1])
        if end <= record.end() or end > len(content):
            break
        key = record[2].decode("utf-8", "replace")
        if key in ("path", "size") or key.startswith("GNU.sparse"):
            said[key] = _text(content[record.end() : min(end - 1, record.end() + 4096)])
        place = end
    return said


def _size(said: dict[str, str], size: int) -> int:
    """The size of a file, which an extended header may say instead."""
    told = said.get("size", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < 20 else size


def _further(file: IO[bytes], head: bytes) -> int:
    """Bytes of further headers of a file with holes."""
    count, more = 0, head[482]
    while more:
        block = file.read(BLOCK)
        count += BLOCK
        more = block[504] if len(block) == BLOCK else 0
    return count
