"""What people call the knobs of a run: names for discovered classes, and for sliders with what their ends mean.

They are kept beside the weights, in RUN/names.json, and never change a random number or a weight: a name is a way to say a value.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gander import strangers
from gander.code import NAME, Code
from gander.codes import CodeSpec
from gander.errors import CodeError, RunError, choose
from gander.images import write
from gander.kinds import Categorical

FILE = "names.json"
SCHEMA = 1
LONGEST = 60  # characters of a name
LONGEST_SAID = 1000  # of a word on how names were found, as a path
MOST_BYTES = 4_000_000
RESERVED = ("all", "code", "n", "own", "real", "rows", "seed", "seeds", "self", "settings")
"""What a code may not be called: ``--sweep all`` is every slider, and ``model.draw(n=…, seed=…)`` says something else."""
Found = Mapping[str, Any]
"""How one code's names were found: the data, the number of labels, the images seen by then."""


@dataclass(frozen=True)
class Called:
    """What one code is called. Everything may be left out."""

    name: str = ""
    """Of the code itself, as ``slant`` for ``c1``; ``--set slant=1`` is then ``--set c1=1``."""
    low: str = ""
    """What the low end of a slider looks like, as ``left``."""
    high: str = ""
    classes: tuple[str, ...] = ()
    """Of a category, a name for each class; ``#4`` where class 4 has none."""
    confidence: tuple[float, ...] = ()
    """How sure each class name is, 0 to 1; 0 where there is none."""


@dataclass(frozen=True)
class Names:
    """The names of a run: code -> what it is called, and how they were found."""

    codes: Mapping[str, Called] = field(default_factory=dict)
    found: Mapping[str, Found] = field(default_factory=dict)
    """Code -> how its names were found."""

    def of(self, code: str) -> Called:
        return self.codes.get(code, Called())

    def find(self, name: str, spec: CodeSpec) -> str:
        """The code that is called ``name``: its own name, or the one people gave it."""
        if name in spec.by_name:
            return name
        given = {called.name: code for code, called in self.codes.items() if called.name}
        if name not in given:
            raise unknown(name, spec, given)
        return given[name]

    def label(self, code: str) -> str:
        """What to show for a code."""
        return self.of(code).name or code

    def applied(self, spec: CodeSpec) -> CodeSpec:
        """The specification with the class names where the kinds keep them."""
        codes = []
        for code in spec.codes:
            classes, kind = self.of(code.name).classes, code.kind
            if classes and isinstance(kind, Categorical):
                kind = replace(kind, names=classes)
            codes.append(replace(code, kind=kind))
        return CodeSpec(tuple(codes))

    def with_code(self, code: str, called: Called, found: Found) -> Names:
        """The names with one code called otherwise."""
        return Names({**self.codes, code: called}, {**self.found, code: found})

    def without(self, code: str) -> Names:
        """The names with one code called nothing but what the specification calls it."""
        return Names(
            {c: called for c, called in self.codes.items() if c != code},
            {c: found for c, found in self.found.items() if c != code},
        )

    # ------------------------------------------------------------------ as JSON
    def to_dict(self) -> dict[str, Any]:
        said = {
            code: {k: v for k, v in dataclasses.asdict(called).items() if v}
            for code, called in self.codes.items()
        }
        found = {
            code: {key: _printed(value) for key, value in how.items()}
            for code, how in self.found.items()
        }
        return {"schema": SCHEMA, "codes": said, "found": found}

    @classmethod
    def from_dict(cls, table: Any, spec: CodeSpec, where: str) -> Names:
        """The inverse of ``to_dict``; what a stranger's file says is checked against the model's codes."""
        try:
            if table["schema"] != SCHEMA:
                raise RunError(
                    f"{where}: schema {table['schema']!r}, and this gander reads {SCHEMA}; install a matching version."
                )
            codes = {str(code): _called(code, said, spec) for code, said in table["codes"].items()}
            found = {str(c): _found(how) for c, how in table.get("found", {}).items()}
            check_apart(codes, spec)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise RunError(
                f"{where}: not the names of this model's codes ({_wrong(error)}); correct it, or delete it for a run without names."
            ) from None
        return cls(codes, found)


def _wrong(error: Exception) -> str:
    """What is wrong with a file of names, without the name of an exception."""
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r}"
    ours = type(error) is ValueError
    return str(error) if ours else "its parts are not tables of words"


def unknown(name: str, spec: CodeSpec, more: Mapping[str, str]) -> CodeError:
    """What to say of a code the model does not have: those it has."""
    knobs = [code.name for code in spec.knobs] + list(more)
    if not knobs:
        return CodeError(
            f"this {spec.family} has no knob {name!r}: its only input is noise. Train a cgan, an acgan "
            f"or an infogan to order what is drawn."
        )
    return CodeError(choose(name, knobs, "code of this model"))


def _called(name: str, said: Mapping[str, Any], spec: CodeSpec) -> Called:
    """One entry of a file, checked."""
    code = spec.by_name[name]
    called = Called(
        name=_word(said.get("name", "")),
        low=_word(said.get("low", "")),
        high=_word(said.get("high", "")),
        classes=tuple(_word(word) for word in said.get("classes", ())),
        confidence=tuple(float(c) for c in said.get("confidence", ())),
    )
    check(code, called)
    return called


def check(code: Code, called: Called) -> None:
    """Refuses names a code cannot have (``ValueError``)."""
    kind = code.resolved
    if called.name and not NAME.fullmatch(called.name):
        raise ValueError(
            f"{code.name} cannot be called {called.name!r}: the name of a code is letters, digits, '_' and '-', "
            f"beginning with a letter, so that --set can say it; call it {_sayable(called.name)}"
        )
    if called.name in RESERVED:
        raise ValueError(
            f"{code.name} cannot be called {called.name!r}, which means something else; give another name"
        )
    if (called.low or called.high) and kind.name in ("categorical", "circular"):
        why = "an angle comes round again" if kind.name == "circular" else "a category is no slider"
        raise ValueError(
            f"{code.name} has no low and high end: {why}; give a name alone, as {code.name}=turn"
        )
    if called.classes:
        if kind.name != "categorical" or len(called.classes) != kind.width:
            raise ValueError(
                f"{len(called.classes)} class names for {code.name}; give one for each of its classes"
            )
        if not code.is_discovered:
            raise ValueError(
                f"{code.name} is given by the data, which name its classes; name what was discovered"
            )
        for k, word in enumerate(called.classes):
            if not word:
                raise ValueError(f"class #{k} of {code.name} has an empty name; give it a word")
            if word.startswith("#") and word != f"#{k}":
                raise ValueError(
                    f"class #{k} of {code.name} cannot be called {word!r}, an index; give it a word"
                )
            if word in called.classes[:k]:
                other = called.classes.index(word)
                raise ValueError(
                    f"classes #{other} and #{k} of {code.name} are both called {word!r}; give each a name of its own"
                )
    if len(called.confidence) not in (0, len(called.classes)):
        raise ValueError(f"{len(called.confidence)} confidences for {code.name}")


def _sayable(name: str) -> str:
    """The nearest name that a code can have."""
    return re.sub("[^A-Za-z0-9_-]+", "_", name).strip("_-0123456789") or "slant"


def check_apart(codes: Mapping[str, Called], spec: CodeSpec) -> None:
    """Refuses names by which two codes could not be told apart (``ValueError``)."""
    taken = {name: name for name in spec.by_name}
    for code, called in codes.items():
        other = taken.setdefault(called.name, code) if called.name else code
        if other != code or called.name == code:
            say = (
                "that is a code of this model" if called.name in spec.by_name else f"so is {other}"
            )
            raise ValueError(f"{code} cannot be called {called.name!r}: {say}; give another name")


def _word(word: Any) -> str:
    if not isinstance(word, str) or len(word) > LONGEST or not word.isprintable():
        raise ValueError(
            f"{str(word)[: 2 * LONGEST]!r} is no name: give at most {LONGEST} letters that can be printed"
        )
    return word


def _printed(value: Any) -> Any:
    """A path or another text as a file of names may hold it: what cannot be printed is a question mark."""
    if not isinstance(value, str):
        return value
    return "".join(c if c.isprintable() else "?" for c in value)[:LONGEST_SAID]


def _found(how: Any) -> dict[str, Any]:
    """How names were found, as a file says it: short words and numbers, which may be printed."""
    for key, value in how.items():
        parts = value if isinstance(value, list) else [value]
        sound = all(part is None or isinstance(part, str | int | float) for part in parts)
        said = [str(key), *map(str, parts)]
        sound = sound and all(word.isprintable() and len(word) <= LONGEST_SAID for word in said)
        if not sound:
            raise ValueError(f"how the names were found: {str(key)[:LONGEST]!r}")
    return dict(how)


# ---------------------------------------------------------------------- by hand
def by_hand(names: Names, spec: CodeSpec, settings: Sequence[str], images_seen: int) -> Names:
    """Names as a person gives them: ``c1=slant``, ``c1=slant:left:right`` (what the ends look like), ``category.4=seven``.

    Nothing after the ``=`` takes the name away. Raises ``CodeError``.
    """
    for text in settings:
        left, equals, right = text.partition("=")
        name, dot, part = left.strip().partition(".")
        if not equals:
            raise CodeError(
                f"--set takes code=name, code=name:low:high or code.class=name, given {text!r}; "
                f"as --set c1=slant:left:right or --set category.4=seven."
            )
        code = spec.code(names.find(name, spec))
        if code.is_noise:
            raise unknown(name, spec, {})
        called = names.of(code.name)
        how = {**names.found.get(code.name, {}), "images_seen": images_seen}
        try:
            if dot:
                called, k = _class_called(code, called, part, _word(right.strip()))
                hand = {*how.get("hand", ()), k} if right.strip() else {*how.get("hand", ())} - {k}
                how |= {"hand": sorted(hand)}
            else:
                called = _code_called(code, called, right)
        except ValueError as error:
            raise CodeError(f"{error}.") from None
        kept = called != Called()
        names = names.with_code(code.name, called, how) if kept else names.without(code.name)
    try:  # at the end, so that two names can be exchanged
        for code_name, called in names.codes.items():
            check(spec.code(code_name), called)
        check_apart(names.codes, spec)
    except ValueError as error:
        raise CodeError(f"{error}.") from None
    return names


def _code_called(code: Code, called: Called, right: str) -> Called:
    """A code's own name and, after colons, what its ends look like."""
    words = [_word(word.strip()) for word in right.split(":")]
    if len(words) not in (1, 3):
        raise ValueError(
            f"--set {code.name}={right}: give a name alone or with both ends, as {code.name}=slant:left:right"
        )
    name = "" if words[0] == code.name else words[0]
    if len(words) == 3:
        return replace(called, name=name, low=words[1], high=words[2])
    return replace(called, name=name) if name else replace(called, name="", low="", high="")


def _class_called(code: Code, called: Called, part: str, word: str) -> tuple[Called, int]:
    """One class of a category called otherwise, and its index; without a word its name is taken away."""
    if code.resolved.name != "categorical":
        raise ValueError(
            f"{code.name} has no classes to name; name the whole code, as --set {code.name}=slant"
        )
    size, index = code.resolved.width, part.removeprefix("#")
    if not (index.isascii() and index.isdecimal() and len(index) < 7 and int(index) < size):
        raise ValueError(
            f"{code.name}.{part}: give the index of a class, #0 to #{size - 1}, left of the ="
        )
    k = int(index)
    classes = list(called.classes or (f"#{i}" for i in range(size)))
    sure = list(called.confidence or (0.0,) * size)
    classes[k], sure[k] = word or f"#{k}", 1.0 if word and word != f"#{k}" else 0.0
    return with_classes(called, classes, sure), k


def with_classes(called: Called, classes: Sequence[str], confidence: Sequence[float]) -> Called:
    """The same code with its classes called otherwise; where none has a name, none is kept."""
    if all(word == f"#{k}" for k, word in enumerate(classes)):
        return replace(called, classes=(), confidence=())
    return replace(called, classes=tuple(classes), confidence=tuple(confidence))


# ---------------------------------------------------------------------- files
def read(folder: Path, spec: CodeSpec) -> Names:
    """The names kept in a folder of weights or a run; none where there are none."""
    path = folder / FILE
    if not path.is_file():
        return Names()
    try:
        table = strangers.from_json(strangers.content(path, MOST_BYTES))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} is damaged{_place(error)}; correct it, or delete it for a run without names."
        ) from None
    return Names.from_dict(table, spec, str(path))


def _place(error: Exception) -> str:
    """Where a file stops to be JSON."""
    if isinstance(error, json.JSONDecodeError):
        return f" at line {error.lineno}, column {error.colno}"
    return ""


def keep(folder: Path, names: Names) -> Path:
    """Writes the names beside the weights, at once."""
    path = folder / FILE
    write(path, (json.dumps(names.to_dict(), indent=1, ensure_ascii=False) + "\n").encode())
    return path
