"""A command line that could not be understood, in a sentence or two: what was given, what is valid, what to do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from gander.cli.options import example
from gander.errors import UseError, choose


def without_empty(arguments: list[str]) -> list[str]:
    """The same words, none of them empty. Raises ``UseError``."""
    for number, word in enumerate(arguments):
        if not word:
            before = arguments[number - 1] if number else "gander"
            raise UseError(
                f"an empty word '' was given after {before}: give it a value, or leave it out. A variable of the "
                f'shell without a value makes one, as --out "$NAME".'
            )
    return arguments


def said(error: CycloptsError) -> str:
    """What is wrong with the command line."""
    command = " ".join(["gander", *(error.command_chain or ())])
    return f"{_wrong(error, command)} See {command} --help."


def _wrong(error: CycloptsError, command: str) -> str:
    if isinstance(error, UnknownCommandError):
        names = [name for name in error.app or () if not name.startswith("-")]
        return choose((error.unused_tokens or [""])[0], names, f"command of {command}")
    if isinstance(error, UnknownOptionError):
        names = [one.name for one in error.argument_collection if one.name.startswith("--")]
        given = error.token.keyword or error.token.value
        return choose(given, names, f"option of {command}")
    if isinstance(error, UnusedCliTokensError):
        return _too_many(error, command)
    if isinstance(error, RepeatArgumentError):
        return f"{error.token.keyword} is given twice and may have one value; give it once."
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        about = _about(error.target, error.argument.field_info.name)
        name = error.keyword or error.argument.name
        if name.startswith("-"):
            return f"{name} needs a value after it: give one. {about}"
        return f"{command} needs {name}: give {about[:1].lower()}{about[1:]}"
    if isinstance(error, CoercionError) and error.token is not None:
        name = error.token.keyword or (error.argument.name if error.argument else "this")
        if error.target_type is bool:
            return f"{name} is on where it stands and takes no value, given {error.token.value!r}; write {name} alone."
        return f"{name} takes a number, given {error.token.value!r}; give one, as {example(name)}."
    return " ".join(str(error).split())


def _about(command: Callable[..., Any] | None, name: str) -> str:
    """What the command's own text says of a parameter, as `--help` shows it."""
    lines = (inspect.getdoc(command) or "").splitlines() if command is not None else []
    at = lines.index(name) + 1 if name in lines else len(lines)
    about = takewhile(lambda line: line.startswith(" "), lines[at:])
    return " ".join(line.strip() for line in about)


def _too_many(error: UnusedCliTokensError, command: str) -> str:
    """Words beyond those that the command takes."""
    takes = [
        parameter.name.strip("_").upper()
        for parameter in (
            inspect.signature(error.target).parameters.values() if error.target else ()
        )
        if parameter.kind is parameter.POSITIONAL_ONLY
    ]
    words = " ".join(error.unused_tokens or ())
    if "=" in words:
        hint = f"Did you mean --set {words}?"
    else:
        hint = (
            "Leave it out, or put quotes around a value with blanks in it, as --data 'my photos'."
        )
    return f"{command} takes {' '.join(takes) or 'no word'} and options, and {words!r} is too much. {hint}"
