"""What can go wrong, as a tree, and how to say it.

GanderError            everything raised on purpose; its text is for the user
├── UseError           the request cannot be met as written (exit code 2)
│   ├── CodeError      a code, a kind or a value of one
│   ├── ConfigError    a setting or a preset
│   ├── DataError      a data source or one of its columns
│   └── RunError       a run directory or a file in it
│       ├── DamagedFile     a file whose content is not what was written
│       └── UnwritableFile  a place that takes no file: a full disk, a folder that is gone or may not be written
└── TrainingFailed     a run that went wrong while running (exit code 1)
    ├── ProcessLost    another process of the same run has ended
    └── Diverged       a term or a weight of it became something else than a number

A message names what was given, what is valid, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 2000  # letters of a message; what a stranger's file says can be longer than any screen


class GanderError(Exception):
    """Raised on purpose: the text is one clear message and needs no traceback."""

    exit_code = 1

    def __init__(self, text: str = "") -> None:
        half = LONGEST // 2
        super().__init__(text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}")


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


class DamagedFile(RunError):
    """A file whose content is not what was written: cut off, changed, or of another program."""


class UnwritableFile(RunError):
    """A file that could not be written; what was there before is there still."""


class TrainingFailed(GanderError):
    """A run that went wrong while running; its last good state is kept."""


class ProcessLost(TrainingFailed):
    """Another process of the same run has ended, or cannot be reached any more."""


class Diverged(TrainingFailed):
    """A term or a weight is no number any more."""


OUT_OF_MEMORY = ("not enough memory", "out of memory", "can't allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is how Python or PyTorch says that there is no memory left."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY)


def choose(given: str, valid: Iterable[str], what: str, listed: str = "") -> str:
    """The sentence for a name that is not among the valid ones, with the nearest when close; many are ``listed`` elsewhere."""
    names = list(valid)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{given!r} is not {'an' if what[0] in 'aeiou' else 'a'} {what}.{hint} Valid: {listed or ', '.join(names) or 'none'}."
