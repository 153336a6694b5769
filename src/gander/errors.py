"""What can go wrong, as a tree, and how to say it.

GanderError            everything raised on purpose; its text is for the user
├── UseError           the request cannot be met as written (exit code 2)
│   ├── CodeError      a code, a kind or a value of one
│   ├── ConfigError    a setting or a preset
│   ├── DataError      a data source or one of its columns
│   └── RunError       a run directory or a file in it
└── TrainingFailed     a run that went wrong while running (exit code 1)

A message names what was given, what is valid, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GanderError(Exception):
    """Raised on purpose: the text is one clear message and needs no traceback."""

    exit_code = 1


class UseError(GanderError):
    """The request cannot be met as written."""

    exit_code = 2


class CodeError(UseError):
    """A code, a kind, or a value of one, that makes no sense."""


class ConfigError(UseError):
    """A setting or a preset that does not exist or has a wrong value."""


class DataError(UseError):
    """A data source that cannot be found or read."""


class RunError(UseError):
    """A run directory, or a file in it, that cannot be used."""


class TrainingFailed(GanderError):
    """A run that went wrong while running; its last good state is kept."""


def choose(given: str, valid: Iterable[str], what: str, listed: str = "") -> str:
    """The sentence for a name that is not among the valid ones, with the nearest when close; many are ``listed`` elsewhere."""
    names = list(valid)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{given!r} is not {'an' if what[0] in 'aeiou' else 'a'} {what}.{hint} Valid: {listed or ', '.join(names) or 'none'}."
