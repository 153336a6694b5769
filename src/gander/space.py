"""What a search is over: settings, each with the range or the values that it is searched in.

critic_rate=1e-4:1e-2:log      from low to high, on a logarithmic scale
batch=32:256                   the whole numbers between, since batch is one
objective=hinge,nonsaturating  one of several; with | between them where a value has a comma: augment=|flip|flip,shift
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gander import config as configuration
from gander.config import Config
from gander.errors import ConfigError, UseError
from gander.settings import SECTIONS, SETTINGS

FORMS = "--over critic_rate=1e-4:1e-2:log, or with its values, as --over batch=32,64,128"
CODE_NUMBERS: dict[str, type] = {
    "recognised": float,
    "self_label": float,
    "low": float,
    "high": float,
    "size": int,
}
"""Settings of a code that are numbers."""
FIXED = {
    "data": "figures against other images cannot be compared",
    "report": "it changes what is written, not the run",
    "training.images": "a longer run is another question",
}
"""What is not searched, by section or name, and why."""
DIGITS = 4
"""Significant ones of a number that was drawn, so that a person can write it down."""
Value = int | float | str
Configured = Callable[[list[str]], Config]


@dataclass(frozen=True)
class Range:
    """A setting between two numbers, both among them."""

    key: str
    """As it was given."""
    name: str
    """In full, as optimiser.critic_rate or codes.c1.recognised."""
    low: float
    high: float
    whole: bool
    log: bool

    def __str__(self) -> str:
        low, high = self.written(self.low), self.written(self.high)
        return f"{self.name}={low}:{high}{':log' * self.log}"

    @property
    def count(self) -> float:
        """How many values there are to try."""
        return self.high - self.low + 1 if self.whole else math.inf

    @property
    def ends(self) -> list[str]:
        """What must be right for all between to be."""
        return [self.written(self.low), self.written(self.high)]

    def rounded(self, value: Value) -> Value:
        """A number that was drawn, as it is used."""
        if self.whole:
            return int(value)
        return min(max(float(f"{float(value):.{DIGITS}g}"), self.low), self.high)

    def written(self, value: Value) -> str:
        """As ``--set`` takes it, to the bit."""
        return str(int(value)) if self.whole else repr(float(value))

    def all(self) -> Sequence[Value]:
        """Every value, where they can be counted."""
        return range(int(self.low), int(self.high) + 1)


@dataclass(frozen=True)
class Choices:
    """A setting that is one of several values, each as it was written."""

    key: str
    name: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}={'|'.join(self.values)}"

    @property
    def count(self) -> float:
        return len(self.values)

    @property
    def ends(self) -> list[str]:
        return list(self.values)

    def rounded(self, value: Value) -> Value:
        return value

    def written(self, value: Value) -> str:
        return str(value)

    def all(self) -> Sequence[Value]:
        return self.values


Searched = Range | Choices


def read(
    given: Sequence[str], settings: Sequence[str], configured: Configured
) -> tuple[Searched, ...]:
    """What ``--over`` says, every value tried in a configuration. Raises ``ConfigError``.

    ``configured`` makes the configuration of the search under some ``--set``; ``settings`` are those it has already.
    """
    if not given:
        raise ConfigError(
            f"a search is over one setting or more; give each with its range, as {FORMS}."
        )
    found: dict[str, Searched] = {}
    for text in given:
        one = _read(text, configured)
        if one.name in found:
            raise ConfigError(
                f"--over {one.key}: {one.name} is given twice, as {found[one.name]} and as {one}; give it once."
            )
        found[one.name] = one
    for setting in settings:
        key = setting.partition("=")[0].strip()
        name = _whole_name(key)
        if name in found:
            raise ConfigError(
                f"{name} is set (--set {setting}) and searched (--over {found[name]}); drop one of the two."
            )
    return tuple(found.values())


def written(space: Sequence[Searched], params: dict[str, Any]) -> list[str]:
    """The values of one trial as ``--set`` takes them."""
    return [f"{one.key}={one.written(params[one.name])}" for one in space]


def _read(text: str, configured: Configured) -> Searched:
    key, equals, values = (part.strip() for part in text.partition("="))
    if not (key and equals):
        raise ConfigError(
            f"--over takes a setting with its range, given {text!r}; write it as {FORMS}."
        )
    several = values.split("|" if "|" in values else ",")
    parts = values.split(":")
    is_range = len(several) == 1 and len(parts) > 1
    first = parts[0] if is_range else several[0]
    if len(several) == 1 and not is_range:
        raise ConfigError(
            f"--over {text!r} leaves nothing to search; give a range, as {FORMS}, or drop it and add --set {key}=VALUE."
        )
    name = _named(key, first, configured)
    if is_range:
        one: Searched = _range(key, name, parts, text)
    else:
        one = Choices(key, name, tuple(dict.fromkeys(value.strip() for value in several)))
        if len(one.values) < 2:
            raise ConfigError(
                f"--over {text!r} gives one value, twice; give two or more, as {FORMS}."
            )
    for value in one.ends:
        _try(key, value, configured)
    return one


def _named(key: str, value: str, configured: Configured) -> str:
    """The whole name of a setting that can be searched."""
    named = _whole_name(key)
    section = named.partition(".")[0]
    if "." not in named or section not in SETTINGS:  # of a code, or no setting at all
        _try(key, value, configured)
    for fixed in (section, named):
        if fixed in FIXED:
            raise ConfigError(
                f"--over {key}: {named} is not searched, since {FIXED[fixed]}; leave it out, or set it for all trials."
            )
    return named


def _whole_name(key: str) -> str:
    """As optimiser.critic_rate, codes.c1.recognised or codes; the key itself where it is none of them."""
    head, _, rest = key.removeprefix("codes.").partition(".")
    if key == "codes" or key.startswith("codes."):
        return key
    if rest and head not in SETTINGS:
        return f"codes.{key}"
    try:
        return ".".join(configuration.locate(key))
    except ConfigError:
        return key


def _try(key: str, value: str, configured: Configured) -> None:
    """Refuses a value that the configuration does not take, in its own words."""
    try:
        configured([f"{key}={value}"])
    except UseError as error:
        said = str(error)
        for start in (f"--set {key}={value}: ", f"--set {key}: ", "--set: "):
            said = said.removeprefix(start)
        raise type(error)(f"--over {key}: {said}") from None


def _sort(name: str) -> Any:
    """The type of a setting."""
    section, _, leaf = name.partition(".")
    if section == "codes":
        return CODE_NUMBERS.get(leaf.partition(".")[2], str)
    return typing.get_type_hints(SECTIONS[section])[leaf]


def _range(key: str, name: str, parts: Sequence[str], text: str) -> Range:
    sort = _sort(name)
    if sort not in (int, float):
        raise ConfigError(
            f"--over {text}: {name} is no number and has no range; give its values, as --over {key}=one,other (with | between "
            f"values that have commas)."
        )
    log = len(parts) == 3 and parts[2].strip() == "log"
    if len(parts) != (3 if log else 2):
        raise ConfigError(
            f"--over {text}: a range is LOW:HIGH or LOW:HIGH:log; write it as {FORMS}."
        )
    low, high = (_number(part, text) for part in parts[:2])
    if not low < high:
        raise ConfigError(
            f"--over {text}: a range goes from a low number to a higher one, given {low:g} and {high:g}; give them so, as {FORMS}."
        )
    whole = sort is int
    if whole and not (low.is_integer() and high.is_integer()):
        raise ConfigError(
            f"--over {text}: {name} is a whole number, so its range ends at whole numbers; give such, as {FORMS}."
        )
    if log and not low > 0:
        raise ConfigError(
            f"--over {text}: on a logarithmic scale a range begins above 0, given {low:g}; give a low end above 0, or drop :log."
        )
    return Range(key, name, low, high, whole, log)


def _number(part: str, text: str) -> float:
    try:
        number = float(part)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(
            f"--over {text}: {part.strip()!r} is no number; a range is LOW:HIGH or LOW:HIGH:log, give it as {FORMS}."
        )
    return number
