"""What several commands ask for in the same words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, overload

from cyclopts import App, Parameter, Token

from gander import __version__

app = App(
    name="gander",
    version=__version__,
    help="Train GANs you can steer: GAN, CGAN, ACGAN, InfoGAN and their mixtures from one specification.",
    help_format="plaintext",
)
given: list[str] = []
"""The command as it was written, for those that start it again in other processes."""
Settings = Annotated[list[str] | None, Parameter(name="--set", negative=())]
Flag = Annotated[bool, Parameter(negative=())]
NUMBERS = {
    "--seed": "7",
    "--n": "64",
    "--images": "200000",
    "--minutes": "30",
    "--labels": "20",
    "--least": "0.7",
    "--fps": "20",
    "--port": "8000",
    "--devices": "2",
    "--at-once": "2",
    "--trials": "20",
}  # of options that take one, for messages


def example(option: str | None) -> str:
    """An option with a number that it takes."""
    return f"{option} {NUMBERS.get(option or '', '2')}"


def _whole(_: Any, tokens: Sequence[Token]) -> int:
    """A whole number as it was written: 1.5 is none, and not 2."""
    token = tokens[0]
    if not re.fullmatch(r"[+-]?[0-9]{1,40}", token.value):
        from gander.errors import UseError

        raise UseError(
            f"{token.keyword} takes a whole number, given {token.value!r}; give one, as {example(token.keyword)}."
        )
    return int(token.value)


Whole = Annotated[int, Parameter(converter=_whole)]
WholeOrNone = Annotated[int | None, Parameter(converter=_whole)]


@overload
def whole(option: str, number: float, least: float = 1) -> int: ...
@overload
def whole(option: str, number: float | None, least: float = 1) -> int | None: ...
def whole(option: str, number: float | None, least: float = 1) -> int | None:
    """A count given as 600000 or 6e5."""
    if number is None:
        return None
    if not (math.isfinite(number) and number >= least and number == int(number)):
        from gander.errors import ConfigError

        bound = f" of at least {least:g}" if math.isfinite(least) else ""
        raise ConfigError(
            f"{option} is a whole number{bound}, given {number:g}; give one, as {example(option)}."
        )
    return int(number)
