"""The command line: each command is a thin call of the Python face, and imports what it needs when it is called."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from gander.cli import (
    benching,
    drawing,
    editing,
    handing,
    laboratory,
    measuring,
    options,
    packing,
    reading,
    searching,
    slips,
    training,
)
from gander.cli.options import app
from gander.errors import GanderError, is_out_of_memory

COMMANDS = (
    training,
    searching,
    drawing,
    reading,
    editing,
    measuring,
    handing,
    benching,
    laboratory,
    packing,
)  # each adds its own to the app


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. Exit codes: 0 done, 1 a run that failed, 2 wrong use, 130 interrupted with the state saved."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """One command and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that has no ² shows a question mark
            stream.reconfigure(errors="replace")
    options.given[:] = arguments
    try:
        app(slips.without_empty(_spread(arguments)), exit_on_error=False, print_error=False)
    except SystemExit as done:  # how cyclopts ends a command
        return _flushed(done.code if isinstance(done.code, int) else int(done.code is not None))
    except CycloptsError as error:
        _complain(slips.said(error))
        return 2
    except GanderError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return _gone()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}.")
        return 2
    except MemoryError as error:
        _complain(f"there is not enough memory for this. {error}".rstrip())
        return 1
    except RuntimeError as error:  # how PyTorch says it
        if not is_out_of_memory(error):
            raise
        _complain(f"there is not enough memory for this: {str(error).strip().splitlines()[0]}")
        return 1
    return _flushed(0)


def _complain(text: str) -> None:
    """What went wrong; the names of strangers' files and classes may not steer the terminal."""
    plain = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    print(f"gander: {plain}", file=sys.stderr)


def _flushed(code: int) -> int:
    """The exit code once all that was printed has reached its reader."""
    try:
        if sys.stdout is not None:  # closed before we began, as by >&-
            sys.stdout.flush()
    except BrokenPipeError:
        return _gone()
    return code


def _gone() -> int:
    """The reader of a pipe, as `| head`, has gone: what is left goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _spread(arguments: list[str]) -> list[str]:
    """``--set a=1 b=2`` as ``--set a=1 --set b=2``, and so ``--over``."""
    spread: list[str] = []
    option = ""
    for word in arguments:
        if option and spread[-1] != option and "=" in word and not word.startswith("-"):
            spread.append(option)
        elif word.startswith("-") or (option and spread[-1] != option):
            name = word.partition("=")[0]
            option = name if name in ("--set", "--over") else ""
        spread.append(word)
    return spread
