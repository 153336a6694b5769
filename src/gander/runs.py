"""Run directories: where they are, what is in them, and how each file is written whole or not at all.

runs/00003-infogan-mnist-s0/
  config.toml      the settings, the resolved code specification and where they came from
  log.jsonl        one line per report        metrics.jsonl   one line per evaluation
  samples/         sheets at fixed seeds      weights/        generator, critic, averaged, as safetensors
  state/           all that exact resuming needs: one safetensors file
  best/            the same again, as it was at its best evaluation, where one is kept
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gander import config as configuration
from gander.config import Config
from gander.errors import RunError
from gander.images import write

if sys.platform != "win32":
    import fcntl

SCHEMA = 2  # 1: images between linear layers and convolutions lay channels first
ROOT = Path("runs")
BEST = "best"
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
        write(self.config_file, configuration.to_toml(config, {"schema": SCHEMA, **extra}).encode())

    def read_config(self) -> Config:
        """The settings the run was made with."""
        table = self.read_tables()
        return configuration.from_dict(table)

    def read_tables(self) -> dict[str, Any]:
        """config.toml as it stands, with its ``resolved`` and ``provenance`` tables."""
        if not self.config_file.is_file():
            raise RunError(
                f"{self.path} is not a run: it has no config.toml. A run is a folder that "
                f"`gander train` made, as {ROOT}/00000-infogan-glyphs-s0."
            )
        try:
            table = tomllib.loads(self.config_file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error
            raise RunError(
                f"{self.config_file} cannot be read: {why}. Correct it, or give another run."
            ) from None
        schema = table.get("schema", 0)
        if schema != SCHEMA:
            raise RunError(
                f"{self.path} was written with schema {schema!r}, and this gander reads {SCHEMA}; "
                f"install a matching version, or train it again."
            )
        return table

    def origin(self) -> dict[str, Any]:
        """The resolved specification and the provenance of a run, as they were written when it began."""
        table = self.read_tables()
        return {name: table.get(name, {}) for name in ("resolved", "provenance")}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps a second trainer out of this directory; the system lets go when this process ends, however it ends."""
        if sys.platform == "win32":  # it has no flock
            yield
            return
        with (self.path / ".lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                raise RunError(
                    f"{self.path} is being trained by process {file.read().strip() or '?'}; wait until it is done, "
                    f"or add --new to begin a new run."
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    @property
    def is_held(self) -> bool:
        """Whether a trainer of this machine holds the directory; asking never keeps one out that is just beginning."""
        if sys.platform == "win32":
            return False
        try:
            with (self.path / ".lock").open(encoding="utf-8") as file:
                # Of a process that is gone the lock is free: there is no need to try it, which could be in another's way.
                with suppress(PermissionError):  # somebody else's process
                    os.kill(int(file.read() or "none"), 0)
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
        except OSError as error:
            raise RunError(f"{self.path / file} cannot be written: {error.strerror}.") from None

    def lines(self, file: str = "log.jsonl") -> list[dict[str, Any]]:
        """The lines of a .jsonl file; a last line cut off by a crash is left out."""
        path = self.path / file
        if not path.is_file():
            return []
        lines = []
        for text in path.read_text("utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
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
        write(self.path / file, "".join(json.dumps(line) + "\n" for line in lines).encode())

    # ------------------------------------------------------------------ tensors
    def write_state(self, tensors: dict[str, Tensor], facts: Mapping[str, Any]) -> None:
        """All that exact resuming needs, in one file, replaced at once."""
        write_tensors(self.state_file, tensors, facts)

    def read_state(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The saved state and its facts; None when there is none yet."""
        return read_tensors(self.state_file) if self.state_file.is_file() else None


def _seen(line: Mapping[str, Any]) -> float:
    """The position of a line; one that tells none, or nonsense, stands at the beginning."""
    seen = line.get("images_seen")
    return seen if isinstance(seen, int | float) else 0


def write_tensors(path: Path, tensors: dict[str, Tensor], facts: Mapping[str, Any]) -> None:
    """A safetensors file with facts (JSON) in its header."""
    from safetensors.torch import save as to_safetensors

    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    write(path, to_safetensors(plain, {"gander": json.dumps(dict(facts))}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the facts of a file written by ``write_tensors``."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("gander", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, RecursionError):
        raise RunError(
            f"{path} cannot be read as gander weights: it is damaged, or another kind of file. Give a run, or a .safetensors "
            f"file of its weights folder."
        ) from None
    if not isinstance(facts, dict):
        raise RunError(
            f"{path} is a safetensors file, but not one that gander wrote; give a run, or a file of its weights folder."
        )
    schema = facts.get("schema", SCHEMA)
    if schema != SCHEMA:
        raise RunError(
            f"{path} was written with schema {schema!r}, and this gander reads {SCHEMA}: the networks are laid out "
            f"otherwise; train the run again, or install a matching version."
        )
    return tensors, facts


# ---------------------------------------------------------------------- finding and making runs
def open_run(path: str | Path) -> Run:
    """A run that exists: a directory, or the number or end of the name of one under ``runs/``."""
    run = Run(Path(path))
    if run.path.name == BEST:
        settle(run.path)
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
            if run.path.is_dir() and any(run.path.iterdir()):
                raise RunError(
                    f"--out {out!r} holds other things and no run; give a folder that is empty, new, or a run."
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
    number = 1 + max((int(p.name[:5]) for p in numbered()), default=-1)
    return Run(ROOT / f"{number:05d}-{label}"), False


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


def is_writable(path: Path) -> bool:
    """Whether a directory at ``path`` could be written, without making it."""
    while not path.exists():
        path = path.parent
    return path.is_dir() and os.access(path, os.W_OK)


def check_writable(file: Path) -> None:
    """Refuses a file that could not be written, before minutes are spent on its content. Raises ``RunError``."""
    if file.is_dir() or not is_writable(file.absolute().parent):
        raise RunError(
            f"{file} cannot be written; give a file in a folder that is yours to write in."
        )


# ---------------------------------------------------------------------- replacing a folder
def fresh_folder(place: Path) -> Path:
    """An empty folder beside ``place``, to be filled and then swapped in by ``swap_in``."""
    settle(place)
    fresh, old = _around(place)
    for left in (old, fresh):  # of a process that was killed; in this order, see ``settle``
        shutil.rmtree(left, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
    except OSError as error:
        raise RunError(f"{fresh} cannot be written: {error.strerror}.") from None
    return fresh


def swap_in(place: Path) -> None:
    """Puts the finished fresh folder in the place of the old one.

    For a moment there is neither; a kill in that moment leaves NAME.old, by which ``settle`` knows that NAME.new is whole.
    """
    fresh, old = _around(place)
    if place.is_dir():
        os.rename(place, old)
    with suppress(FileNotFoundError):  # a reader has settled it already
        os.rename(fresh, place)
    shutil.rmtree(old, ignore_errors=True)


def settle(place: Path) -> None:
    """Finishes a swap that was cut off; otherwise does nothing."""
    fresh, old = _around(place)
    if not place.exists() and old.is_dir():
        with suppress(OSError):  # another process was first, or this one may only read
            os.rename(fresh if fresh.is_dir() else old, place)


def drop_folder(place: Path) -> None:
    """Removes a folder that may have been swapped in; a kill in between leaves it whole or gone."""
    settle(place)
    fresh, old = _around(place)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(fresh, ignore_errors=True)
    if place.is_dir():
        os.rename(place, fresh)
        shutil.rmtree(fresh, ignore_errors=True)


def _around(place: Path) -> tuple[Path, Path]:
    return place.with_name(f"{place.name}.new"), place.with_name(f"{place.name}.old")
