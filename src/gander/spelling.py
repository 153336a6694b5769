"""The one-line form of a specification: text to tables, and back.

    noise:gaussian(62) digit:given,shown slant:uniform,recognised=0.1

Codes are separated by blanks, what is said of one by commas: a kind with its size, range or probabilities, and the settings of
a code. A bare ``given`` means the column of the code's own name, ``shown`` by projection, ``recognised`` with weight 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gander.errors import CodeError, choose
from gander.kinds import EXAMPLES, KINDS

LONGEST = 10_000  # letters of a line
WEIGHTS = ("recognised", "self_label")
BARE = {
    "shown": "projection",
    "recognised": 1.0,
    "self_label": 1.0,
}  # what a setting without a value means
WORDS = {
    "fed": "concat",
    "learns": "both",
    "read_in": "view",
    "scored": "profile",
    "frequencies": "label",
}  # an example of each setting that means nothing without one


def parse(line: str, settings: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """The codes of a line, each a name and its table; ``settings`` are the names a code's settings have."""
    if len(line) > LONGEST:
        raise CodeError(
            f"a specification of {len(line):,} letters was given, beginning with {line[:40]!r}; at most {LONGEST:,}. "
            f"Write longer ones as [codes.NAME] tables in a file."
        )
    words = re.split(r"[\s;]+(?![^()]*\))", line.strip())
    return [_parse_code(word, settings) for word in words if word]


def spell(name: str, kind: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """One code as text: its kind's table (empty where the data say it) and the settings that are not default."""
    parts = [_spell_kind(kind)] if kind else []
    for key, value in asked.items():
        bare = value == (name if key == "given" else BARE.get(key))
        parts.append(key if bare else f"{key}={_short(value) if key in WEIGHTS else value}")
    return f"{name}:{','.join(parts)}"


def _spell_kind(kind: Mapping[str, Any]) -> str:
    if "low" in kind or "high" in kind:
        size = f"{kind['size']}," if kind.get("size", 1) > 1 else ""
        return f"uniform({size}{_short(kind.get('low', -1.0))},{_short(kind.get('high', 1.0))})"
    if kind.get("probs"):
        return f"{kind['kind']}({','.join(map(str, kind['probs']))})"
    return f"{kind['kind']}({kind['size']})" if "size" in kind else str(kind["kind"])


def _parse_code(word: str, settings: Sequence[str]) -> tuple[str, dict[str, Any]]:
    name, colon, rest = word.partition(":")
    if not colon or not rest:
        raise CodeError(
            f"{word!r} is not a code; write NAME:KIND(SIZE),… as in "
            f"'noise:gaussian(62) digit:given,shown slant:uniform,recognised=0.1'."
        )
    table: dict[str, Any] = {}
    for part in re.split(r",(?![^()]*\))", rest):
        key, equals, value = part.partition("=") if "(" not in part else (part, "", "")
        if part.count("(") != part.count(")"):
            raise CodeError(
                f"code {name!r}: {part!r} lacks a parenthesis; write KIND(SIZE), as gaussian(62)."
            )
        kind = re.fullmatch(r"([a-z]+)(?:\(([^()]*)\))?", part)
        if kind and kind[1] in KINDS:
            table |= _parse_kind(name, kind[1], kind[2])
        elif key in WEIGHTS:
            table[key] = _weight(name, key, value) if equals else 1.0
        elif key in ("given", "shown"):
            table[key] = value if equals else True
        elif key in settings and equals:
            table[key] = value
        elif key in WORDS:
            raise CodeError(f"code {name!r}: {key} needs a value; write it as {key}={WORDS[key]}.")
        else:
            raise CodeError(f"code {name!r}: {choose(key, (*KINDS, *settings), 'kind or setting')}")
    return name, table


def _weight(name: str, key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise CodeError(
            f"code {name!r}: {key} is a weight, a number of 0 or more, given {text!r}; give one, as {key}=0.1."
        ) from None


def _parse_kind(name: str, kind: str, arguments: str | None) -> dict[str, Any]:
    table: dict[str, Any] = {"kind": kind}
    try:
        numbers = [float(n) for n in re.split(r"[,\s]+", (arguments or "").strip()) if n]
    except ValueError:
        raise CodeError(
            f"code {name!r}: {kind} takes numbers, given {kind}({arguments}); write it as {EXAMPLES[kind]}."
        ) from None
    if kind == "uniform" and len(numbers) in (2, 3):
        table |= {"low": numbers[-2], "high": numbers[-1]}
        numbers = numbers[:-2]
    elif (kind in ("categorical", "binary") and len(numbers) > 1) or (
        kind == "binary" and "." in (arguments or "")
    ):
        return table | {"size": len(numbers), "probs": numbers}
    if len(numbers) > 1 or (numbers and not numbers[0].is_integer()):
        raise CodeError(
            f"code {name!r}: {arguments} is no size of a {kind} code, which is a whole number; write it as {EXAMPLES[kind]}."
        )
    return table | ({"size": int(numbers[0])} if numbers else {})


def _short(number: float) -> str:
    """The shortest text that reads back as the number."""
    return f"{number:g}" if float(f"{number:g}") == number else str(number)
