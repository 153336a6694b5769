"""Run directories: where they are, what is in them, and how each file is written whole or not at all.

runs/00003-infogan-mnist-s0/
  config.toml      the settings, the resolved code specification and where they came from
  log.jsonl        one line per report        metrics.jsonl   one line per evaluation
  samples/         sheets at fixed seeds      weights/        generator, critic, averaged, as safetensors
  state/           all that exact resuming needs: the newest saved state, and those before it in state/earlier/
  best/            the same again, as it was at its best evaluation, where one is kept
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from gander import config as configuration
from gander import folders, outputs, strangers, weights
from gander.config import Config
from gander.errors import CodeError, ConfigError, RunError, UnwritableFile
from gander.images import PART, reason, write

if sys.platform != "win32":
    import fcntl

ROOT = Path("runs")
BEST = "best"
LOCK = ".lock"
MOST_LINES = (
    1 << 30
)  # bytes of a .jsonl file; a run that reports every 5,000 images writes 100 kB in a million
NUMBERED = re.compile(r"(\d{5})-(.+)")


@dataclass(frozen=True)
class Run:
    """One run directory."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.toml"

    @property
    def log_file(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def state_file(self) -> Path:
        return self.path / "state" / "state.safetensors"

    @property
    def earlier_states(self) -> Path:
        """The folder of the states that were saved before the newest one."""
        return self.state_file.parent / "earlier"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def best(self) -> Path:
        """A run directory too, where there is one."""
        return self.path / BEST

    def weights_file(self, who: str) -> Path:
        """``who`` is generator, critic or averaged."""
        return self.path / "weights" / f"{who}.safetensors"

    # ------------------------------------------------------------------ configuration
    def write_config(self, config: Config, extra: Mapping[str, Any]) -> None:
        write(
            self.config_file,
            configuration.to_toml(config, {"schema": weights.SCHEMA, **extra}).encode(),
        )

    def begin(self, config: Config, extra: Mapping[str, Any]) -> None:
        """The configuration of a new run, once its directory is held. Raises ``RunError`` where another was faster."""
        if self.config_file.is_file():
            raise RunError(
                f"{self.path} was begun by another command just now; give the same command again to go on with it, or add "
                f"--new."
            )
        self.write_config(config, extra)

    def read_config(self) -> Config:
        """The settings the run was made with."""
        table = self.read_tables()
        try:
            return configuration.from_dict(table)
        except (CodeError, ConfigError) as error:  # somebody's hand was in the file
            raise type(error)(f"{self.config_file}: {error}") from None

    def read_tables(self) -> dict[str, Any]:
        """config.toml as it stands, with its ``resolved`` and ``provenance`` tables."""
        if not self.config_file.is_file():
            raise RunError(
                f"{self.path} is not a run: it has no config.toml. A run is a folder that "
                f"`gander train` made, as {ROOT}/00000-infogan-glyphs-s0."
            )
        try:
            table = strangers.from_toml(strangers.content(self.config_file).decode("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error
            raise RunError(
                f"{self.config_file} cannot be read: {why}. Correct it, or give another run."
            ) from None
        weights.check_schema(table.get("schema"), self.path)
        return table

    def origin(self) -> dict[str, Any]:
        """The resolved specification and the provenance of a run, as they were written when it began."""
        table = self.read_tables()
        return {name: table.get(name, {}) for name in ("resolved", "provenance")}

    @contextmanager
    def held(self) -> Iterator[Hold]:
        """Keeps a second trainer out of this directory, which is made if need be.

        The system lets go when this process ends, however it ends. What other processes left half-written in it and are no longer there to
        finish is cleared away.
        """
        lock = self.path / LOCK
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = lock.open("a+", encoding="utf-8")
        except OSError as error:
            raise UnwritableFile(f"{self.path} cannot be written: {reason(error)}.") from None
        with file:
            if sys.platform != "win32":  # it has no flock
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    raise RunError(self._taken(file)) from None
                now = datetime.now().astimezone().isoformat(" ", "seconds")
                command = shlex.join(["gander", *sys.argv[1:]])
                with suppress(OSError):  # it only tells others who holds it
                    file.truncate(0)
                    file.write(f"{os.getpid()}\n{now}\n{command}\n")
                    file.flush()
            self._clear_parts()
            try:
                yield Hold(self, file, self.path.stat())
            finally:
                if not self.config_file.is_file():  # no run has begun
                    with suppress(OSError):
                        lock.unlink()
                        self.path.rmdir()

    def _taken(self, file: TextIO) -> str:
        """By whom the directory is held, and what to do."""
        file.seek(0)
        process, since, command = (*(line.strip() for line in file.readlines(5000)), "", "", "")[:3]
        doing = f" ({command[:200]}), since {since}" if command else ""
        return (
            f"{self.path} is being trained by process {process or '?'}{doing}. Wait until it is done or stop it with Ctrl-C "
            f"where it runs, or add --new to begin a new run."
        )

    def _clear_parts(self) -> None:
        for part in self.path.rglob(f".*{PART}"):
            maker = part.name.removesuffix(PART).rpartition(".")[2]
            if maker.isdecimal() and not _is_alive(int(maker)):
                with suppress(OSError):
                    part.unlink()

    @property
    def is_held(self) -> bool:
        """Whether a trainer of this machine holds the directory; asking never keeps one out that is just beginning."""
        if sys.platform == "win32":
            return False
        try:
            if not (self.path / LOCK).is_file():  # to open a pipe would wait for its other end
                return False
            with (self.path / LOCK).open(encoding="utf-8") as file:
                # Of a process that is gone the lock is free: there is no need to try it, which could be in another's way.
                if not _is_alive(int(file.readline(20) or "none")):
                    return False
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except (OSError, ValueError, OverflowError):
            return False
        return False

    # ------------------------------------------------------------------ lines
    def append(self, file: str, line: Mapping[str, Any]) -> None:
        """Adds one line to a .jsonl file."""
        try:
            with (self.path / file).open("a+b") as out:
                out.seek(max(0, out.seek(0, os.SEEK_END) - 1))
                cut = out.read(1) not in (b"", b"\n")  # the line before was cut off by a crash
                out.write(b"\n" * cut + json.dumps(line).encode() + b"\n")
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            raise UnwritableFile(
                f"{self.path / file} cannot be written: {reason(error)}."
            ) from None

    def lines(self, file: str = "log.jsonl") -> list[dict[str, Any]]:
        """The lines of a .jsonl file; a last line cut off by a crash is left out."""
        path = self.path / file
        if not path.is_file():
            return []
        try:
            content = strangers.content(path, MOST_LINES, grows=True)  # it may be training
        except OSError as error:
            raise RunError(f"{path} cannot be read: {reason(error)}.") from None
        lines = []
        for text in content.decode("utf-8", errors="replace").splitlines():
            try:
                line = strangers.from_json(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                lines.append(line)
        return lines

    def rewind(self, images_seen: int) -> None:
        """Drops the lines of work that was not saved and will be done again: reports and evaluations."""
        for file in (self.log_file, self.metrics_file):
            if file == self.log_file or file.is_file():
                self.write_lines(file.name, self.lines_until(images_seen, file.name))

    def lines_until(self, images_seen: int, file: str = "log.jsonl") -> list[dict[str, Any]]:
        """The lines of a .jsonl file up to a position."""
        return [line for line in self.lines(file) if _seen(line) <= images_seen]

    def write_lines(self, file: str, lines: list[dict[str, Any]]) -> None:
        """Replaces a .jsonl file."""
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        with suppress(OSError):
            if (self.path / file).read_bytes() == content:
                return
        write(self.path / file, content)


@dataclass(frozen=True)
class Hold:
    """The right to train in a run directory, as long as it is the one that was taken."""

    run: Run
    file: TextIO
    folder: os.stat_result

    def check(self) -> None:
        """Raises ``UnwritableFile`` where the directory is no longer there, or is another one of the same name.

        Writing on would make a folder of the same name that lacks all that was in it.
        """
        lock = self.run.path / LOCK
        try:
            same = os.path.samestat(os.stat(self.run.path), self.folder)
            same = same and self.run.config_file.is_file()
            if lock.exists():  # who removes it alone does no harm; another's is another trainer
                same = same and os.path.samestat(os.stat(lock), os.fstat(self.file.fileno()))
        except OSError:
            same = False
        if not same:
            raise UnwritableFile(
                f"{self.run.path} has gone: it was moved, removed or replaced while it was trained; put it back, then give "
                f"the same command again."
            )


def _is_alive(process: int) -> bool:
    """Whether there is a process of that number on this machine."""
    try:
        os.kill(process, 0)
    except PermissionError:  # somebody else's
        return True
    except (OSError, OverflowError):
        return False
    return True


def _seen(line: Mapping[str, Any]) -> float:
    """The position of a line; one that tells none, or nonsense, stands at the beginning."""
    seen = line.get("images_seen")
    return seen if isinstance(seen, int | float) else 0


# ---------------------------------------------------------------------- finding and making runs
def open_run(path: str | Path) -> Run:
    """A run that exists: a directory, or the number or end of the name of one under ``runs/``."""
    run = Run(Path(path))
    if run.path.name == BEST:
        folders.settle(run.path)
    if run.path.is_dir():
        return run
    there = numbered()
    found = [p for p in there if p.name.partition("-")[0].lstrip("0") == str(path).lstrip("0")]
    if str(path).isdigit() and len(found) == 1:
        return Run(found[0])
    known = ", ".join(str(p) for p in there[-5:]) or "none yet"
    raise RunError(
        f"there is no run {str(path)!r}. Give a folder that `gander train` made, or its number; the latest here: {known}."
    )


def numbered() -> list[Path]:
    """The run directories under ``runs/``, oldest first."""
    if not ROOT.is_dir():
        return []
    return sorted(p for p in ROOT.iterdir() if NUMBERED.fullmatch(p.name) and p.is_dir())


def place(
    config: Config,
    name: str,
    out: str | None,
    new: bool,
    changeable: frozenset[str] = frozenset(),
) -> tuple[Run, bool]:
    """The directory a training command belongs to, and whether it is resumed there.

    The same command finds the same run: by ``out``, else by the name NUMBER-PRESET-DATA-sSEED. A run made with another
    configuration is refused with the differences, unless ``new`` asks for a fresh directory or they are ``changeable``.
    """
    label = f"{config.preset}-{name}-s{config.training.seed}"
    if out is not None:
        run = Run(Path(out))
        if run.path.exists() and not run.path.is_dir():
            raise RunError(f"--out {out} is a file; give a folder that is empty, new, or a run.")
        if not run.config_file.is_file():
            if run.path.is_dir() and not _is_as_good_as_empty(run.path):
                raise RunError(
                    f"--out {out!r} holds other things and no run; give a folder that is empty, new, or a run."
                )
            if not outputs.is_writable(run.path.absolute()):
                raise UnwritableFile(
                    f"--out {out!r} cannot be written: what is above it is no folder, or none that is yours to write in; give "
                    f"another place."
                )
            return run, False
        if new:
            return Run(_beside(run.path)), False
        _refuse_changes(run, config, changeable)
        return run, True
    mine = [p for p in numbered() if p.name[6:] == label and Run(p).config_file.is_file()]
    if mine and not new:
        for allowed in (frozenset[str](), changeable):
            for path in reversed(mine):
                if not _changes(Run(path), config, allowed):
                    return Run(path), True
        _refuse_changes(Run(mine[-1]), config, changeable)
    for path in numbered():
        if path.name[6:] == label and _is_as_good_as_empty(path) and not new:
            return Run(path), False
    number = 1 + max((int(p.name[:5]) for p in numbered()), default=-1)
    return Run(ROOT / f"{number:05d}-{label}"), False


def claimed(run: Run) -> Run:
    """The run that is to begin, its directory made; with the next number where another command has taken its own meanwhile.

    Several commands that are started at once, as one for each seed, so get numbers of their own. Raises ``UnwritableFile``.
    """
    named = NUMBERED.fullmatch(run.path.name)
    if run.path.parent != ROOT or named is None:
        return run
    try:
        ROOT.mkdir(exist_ok=True)
        with _alone(ROOT):
            others = {int(p.name[:5]) for p in numbered() if p != run.path}
            number = int(named[1]) if int(named[1]) not in others else 1 + max(others)
            path = ROOT / f"{number:05d}-{named[2]}"
            path.mkdir(exist_ok=True)
    except OSError as error:
        raise UnwritableFile(f"{ROOT} cannot be written: {reason(error)}.") from None
    return Run(path)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits until nobody else is inside, where the system knows how."""
    if sys.platform == "win32":
        yield
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _is_as_good_as_empty(folder: Path) -> bool:
    """Whether there is nothing in it but what a command leaves that was killed before its run began."""
    names = (p.name for p in folder.iterdir())
    return all(n == LOCK or (n.startswith(".") and n.endswith(PART)) for n in names)


def _beside(path: Path) -> Path:
    count = 2
    while (fresh := path.with_name(f"{path.name}-{count}")).exists():
        count += 1
    return fresh


def _changes(run: Run, config: Config, changeable: frozenset[str] = frozenset()) -> list[str]:
    lines = configuration.differences(run.read_config(), config)
    return [line for line in lines if line.partition(":")[0] not in changeable]


def _refuse_changes(run: Run, config: Config, changeable: frozenset[str]) -> None:
    changed = _changes(run, config, changeable)
    if changed:
        lines = "\n".join(f"    {line}" for line in changed)
        raise RunError(
            f"{run.path} was made with another configuration:\n{lines}\n"
            f"Give the same command to resume it, or add --new to begin a new run."
        )
