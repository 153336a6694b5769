"""One child process: it reads one input after another, with bounded memory, and writes down what should not have happened.

What it is doing stands in a file that is shared with its parent, the input in hand among it, so that the parent knows it even when
the child is gone or hangs.
"""

import contextlib
import json
import mmap
import os
import random
import re
import resource
import struct
import sys
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

from fuzz.mutation import changed
from fuzz.targets import Target, present, readable
from gander.errors import GanderError

BEYOND = 1 << 30  # bytes of address space beyond what the process has when it begins
HEAD = struct.Struct("<QQQ")  # inputs begun, inputs read whole, bytes of the input in hand
ROOM = 4 << 20  # bytes of the shared file


@dataclass
class Board:
    """What the child tells its parent at every moment."""

    shared: mmap.mmap

    @classmethod
    def open(cls, path):
        with path.open("r+b") as file:
            return cls(mmap.mmap(file.fileno(), ROOM))

    @classmethod
    def make(cls, path):
        path.write_bytes(bytes(ROOM))
        return cls.open(path)

    @property
    def begun(self):
        return HEAD.unpack_from(self.shared)[0]

    @property
    def done(self):
        return HEAD.unpack_from(self.shared)[1]

    @property
    def content(self):
        size = HEAD.unpack_from(self.shared)[2]
        return self.shared[HEAD.size : HEAD.size + size]

    def begin(self, content):
        begun, done, _ = HEAD.unpack_from(self.shared)
        self.shared[HEAD.size : HEAD.size + len(content)] = content
        HEAD.pack_into(self.shared, 0, begun + 1, done, len(content))

    def end(self):
        begun, done, size = HEAD.unpack_from(self.shared)
        HEAD.pack_into(self.shared, 0, begun, done + 1, size)


@dataclass
class Reader:
    """Reads inputs of one target and keeps what was found: for each place in the code the smallest input that leads there."""

    target: Target
    home: Path
    board: Board
    found: Path
    quota: int

    def __post_init__(self):
        self.known = {}
        self.warned = []
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, *rest: self.warned.append(
            (category.__name__, str(message))
        )

    def __call__(self, content):
        """One input; nothing that it does reaches the caller."""
        if self.board.done >= self.quota:
            return
        self.board.begin(content)
        self.warned.clear()
        try:
            self.target.read(present(self.target, content, self.home))
        except GanderError as error:
            try:
                readable(error)
            except AssertionError as told:
                self._write(content, "message", f"{told}: {str(error)[:200]}", error)
        except BaseException as error:
            self._write(content, type(error).__name__, str(error)[:300], error)
        if self.warned:
            self._write(content, "warning", ": ".join(self.warned[0])[:300], None)
        self.board.end()

    def _write(self, content, sort, said, error):
        said = said.replace(f"{self.home}{os.sep}", "")  # where it was tried is no part of it
        frames = traceback.extract_tb(error.__traceback__) if error is not None else []
        own = [frame for frame in frames if f"{os.sep}gander{os.sep}" in frame.filename]
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name}" if own else ""
        key = (sort, where, "" if where else re.sub(r"\d+", "0", said)[:80])
        if key in self.known and self.known[key] <= len(content):
            return
        self.known[key] = len(content)
        place = self.found / f"{len(self.known):03d}-{abs(hash_of(key)):08x}"
        told = {
            "target": self.target.name,
            "sort": sort,
            "where": where,
            "said": said,
            "bytes": len(content),
        }
        told["trace"] = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames[-6:]]
        name = f"{abs(hash_of(key)):08x}"
        place = self.found / f"{self.target.name}-{name}"
        place.with_suffix(".json").write_text(json.dumps(told, indent=1))
        place.with_suffix(".input").write_bytes(content)


def hash_of(key):
    """The same number for the same key in every process."""
    import zlib

    return zlib.crc32(repr(key).encode("utf-8", "surrogatepass"))


def bound(beyond=BEYOND):
    """No more memory than so many bytes beyond what is mapped now; what asks for more gets ``MemoryError``."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + beyond
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def silent():
    """What C libraries and the fuzzing engine print goes nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)


def unguided(reader, pool, seed):
    """The seeds themselves, then changes of them, each a function of its place in the row."""
    for content in pool:
        reader(content)
    number = 0
    while reader.board.done < reader.quota:
        chance = random.Random(f"{seed}/{reader.target.name}/{number}")
        reader(changed(chance.choice(pool), reader.target.file, chance, pool))
        number += 1


def guided(reader, pool, seed):
    """By libFuzzer, which keeps the inputs that reach something new and changes these further; it ends the process."""
    import atheris

    corpus = reader.home / "corpus"
    corpus.mkdir()
    for number, content in enumerate(pool):
        (corpus / f"seed-{number:03d}").write_bytes(content)
    most = max(4096, 4 * max(map(len, pool)))

    def change(content, size, number):
        chance = random.Random(number)
        if chance.random() < 0.2:
            return atheris.Mutate(content, size)
        return changed(content, reader.target.file, chance, pool)[:size]

    options = {"seed": seed % 2**31 + 1, "runs": reader.quota + len(pool) + 100, "max_len": most}
    options |= {
        "len_control": 0,
        "rss_limit_mb": 0,
        "malloc_limit_mb": 0,
        "timeout": 10**6,
        "verbosity": 0,
    }
    words = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup(["fuzz", *words, str(corpus)], reader, custom_mutator=change)
    atheris.Fuzz()


def work(reader, pool, seed, by_coverage, beyond=BEYOND):
    """A whole child's life; never returns."""
    silent()
    with contextlib.suppress(BaseException):
        bound(beyond)
        (guided if by_coverage else unguided)(reader, pool, seed)
        sys.stdout.flush()
        os._exit(0)
    os._exit(1)
