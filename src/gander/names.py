"""What people call the knobs of a run: names for discovered classes, and for sliders with what their ends mean.

They are kept beside the weights, in RUN/names.json, and never change a random number or a weight: a name is a way to say a value.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gander.codes import Code, CodeSpec
from gander.errors import CodeError, RunError, choose
from gander.images import write
from gander.kinds import Categorical

FILE = "names.json"
SCHEMA = 1
LONGEST = 60  # characters of a name
MOST_BYTES = 4_000_000


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
    found: Mapping[str, Any] = field(default_factory=dict)
    """How: the data, the number of labels, the images seen by then."""

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

    def with_code(self, code: str, called: Called, **found: Any) -> Names:
        """The names with one code called otherwise."""
        return Names({**self.codes, code: called}, {**self.found, **found})

    # ------------------------------------------------------------------ as JSON
    def to_dict(self) -> dict[str, Any]:
        said = {
            code: {k: v for k, v in dataclasses.asdict(called).items() if v}
            for code, called in self.codes.items()
        }
        return {"schema": SCHEMA, "codes": said, "found": dict(self.found)}

    @classmethod
    def from_dict(cls, table: Any, spec: CodeSpec, where: str) -> Names:
        """The inverse of ``to_dict``; what a stranger's file says is checked against the model's codes."""
        try:
            if table["schema"] != SCHEMA:
                raise RunError(
                    f"{where}: schema {table['schema']!r}, and this gander reads {SCHEMA}; install a matching version."
                )
            codes = {str(code): _called(code, said, spec) for code, said in table["codes"].items()}
            found = dict(table.get("found", {}))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(f"{where}: not the names of this model's codes: {error!r}.") from None
        labels = [c.name for c in codes.values() if c.name]
        if len(set(labels)) != len(labels) or set(labels) & set(spec.by_name) - set(codes):
            raise RunError(f"{where}: two codes have the same name.")
        return cls(codes, found)


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
    if called.classes:
        if kind.name != "categorical" or len(called.classes) != kind.width:
            raise ValueError(f"{len(called.classes)} class names for {code.name}")
        if len(set(called.classes)) != len(called.classes) or "" in called.classes:
            raise ValueError(f"class names of {code.name} that are empty or the same")
        for k, word in enumerate(called.classes):
            if word.startswith("#") and word != f"#{k}":
                raise ValueError(f"class {k} of {code.name} called {word!r}")
    if len(called.confidence) not in (0, len(called.classes)):
        raise ValueError(f"{len(called.confidence)} confidences for {code.name}")


def _word(word: Any) -> str:
    if not isinstance(word, str) or len(word) > LONGEST or not word.isprintable():
        raise ValueError(f"the name {word!r}")
    return word


# ---------------------------------------------------------------------- files
def read(folder: Path, spec: CodeSpec) -> Names:
    """The names kept in a folder of weights or a run; none where there are none."""
    path = folder / FILE
    if not path.is_file():
        return Names()
    try:
        if path.stat().st_size > MOST_BYTES:
            raise RunError(f"{path} is too large to be a file of names.")
        table = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    return Names.from_dict(table, spec, str(path))


def keep(folder: Path, names: Names) -> Path:
    """Writes the names beside the weights, at once."""
    path = folder / FILE
    write(path, (json.dumps(names.to_dict(), indent=1, ensure_ascii=False) + "\n").encode())
    return path
