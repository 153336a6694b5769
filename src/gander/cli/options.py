"""What several commands ask for in the same words."""

from __future__ import annotations

import math
from typing import Annotated, overload

from cyclopts import App, Parameter

from gander import __version__

app = App(
    name="gander",
    version=__version__,
    help="Train GANs you can steer: GAN, CGAN, ACGAN, InfoGAN and their mixtures from one specification.",
    help_format="plaintext",
)
Settings = Annotated[list[str] | None, Parameter(name="--set", negative=())]
Flag = Annotated[bool, Parameter(negative=())]


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

        raise ConfigError(f"{option} is a whole number of at least 1, given {number:g}.")
    return int(number)
