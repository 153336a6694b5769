"""One code: a named part of the generator's input, the three questions that are asked of it, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple, get_args

from torch import Tensor

from gander import augmentations, kinds, spelling
from gander.errors import CodeError, ConfigError, choose
from gander.kinds import Kind

Values = dict[str, Tensor]
"""Code name -> values (B, *S)."""

Shown = Literal["projection", "hidden", "concat", "multiply", "embed"]
BEHIND = ("projection", "hidden")
"""Ways to be shown behind the trunk, where the recogniser, which reads the trunk's features, cannot look."""
Fed = Literal["concat", "multiply", "embed", "normalisation"]
Learns = Literal["real", "both"]
READ_IN = ("image", "view")
"""Places to be read in; any other is a view of the code's own, its transformations joined by +."""
Scored = Literal["likelihood", "profile", "elementwise"]
LEARNED = "learned"
"""Instead of a column's name, where a category's frequencies come from: how often real images are read as each class."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Told(NamedTuple):
    """What a network is told of one code: its encoding and which rows may be told, both per row."""

    encoding: Tensor  # (B, W)
    known: Tensor  # (B, 1), 1 where the value may be shown, 0 where the row lacks its label


@dataclass(frozen=True)
class Code:
    """One named part of the generator's input, and what is asked of it."""

    name: str
    kind: Kind | None = None
    """What it is; None while a given code waits for its column."""
    given: str | None = None
    """The data set's column that supplies it; "label" means the main one."""
    shown: Shown | None = None
    """How the critic sees it; `projection` (Miyato & Koyama, 2018) and `hidden` (Mirza & Osindero, 2014) behind the trunk, the others at its input."""
    recognised: float = 0.0
    """λ, the weight of reading it back."""
    self_label: float = 0.0
    """How much, as a share of λ, it is also learned from real images that lack the value: what the recogniser is sure of there, it must
    read from a transformed view of the image as well."""
    fed: Fed | None = None
    """How the generator gets it; default: `normalisation` for what is shown behind the trunk, else as it is shown, else `concat`."""
    learns: Learns = "real"
    """For a given code: whether its recogniser learns from real images alone, or from fakes too (ACGAN's own recipe)."""
    read_in: str = "image"
    """Where in a generated image it is read: in the `image` itself, in a transformed `view` of it (`game.views`), or in one of its own,
    as `shift*3+scale`, so that it can be nothing that those transformations change."""
    scored: Scored = "likelihood"
    """`likelihood`: numbers under a fixed variance, as the InfoGAN authors' code; `profile`: under the variance that fits the batch best;
    `elementwise`: the tutorials' squared error, and binary cross-entropy per element of the softmax."""
    frequencies: str | None = None
    """A column whose class frequencies a drawn category takes; it is not given. Or ``learned``: what real images are read as."""

    def __post_init__(self) -> None:
        say = f"code {self.name!r}"
        if not NAME.fullmatch(self.name):
            raise CodeError(
                f"{say}: a name is letters, digits, '_' and '-', beginning with a letter; call it for example slant."
            )
        for key, options in (
            ("shown", get_args(Shown)),
            ("fed", get_args(Fed)),
            ("learns", get_args(Learns)),
            ("scored", get_args(Scored)),
        ):
            value = getattr(self, key)
            if value is not None and value not in options:
                raise CodeError(f"{say}: {choose(str(value), options, f'way to be {key}')}")
        self._place(say)
        if not 0 <= self.recognised < float("inf"):
            raise CodeError(
                f"{say}: recognised is a weight, a number of 0 or more, given {self.recognised:g}; give one, as recognised=0.1."
            )
        if not 0 <= self.self_label < float("inf"):
            raise CodeError(
                f"{say}: self_label is a weight, a number of 0 or more, given {self.self_label:g}; give one, as self_label=1."
            )
        if self.self_label and not self.recognised:
            raise CodeError(
                f"{say} is to be learned from what the recogniser reads in real images (self_label), but it is not recognised; "
                f"add recognised=1, or drop self_label."
            )
        if self.read_in != "image" and not self.recognised:
            raise CodeError(
                f"{say} is to be read in a view of each generated image (read_in={self.read_in}), but it is not recognised; "
                f"add recognised=1, or drop read_in."
            )
        if self.shown is not None and self.given is None:
            raise CodeError(
                f"{say} is shown to the critic but no column of the data supplies it, so there is "
                f"nothing to show beside a real image; add given, or given=COLUMN where the column is called otherwise, or drop shown."
            )
        if self.given is not None and self.shown is None and self.recognised == 0:
            raise CodeError(
                f"{say} is given, but the critic neither sees it (shown) nor must read it back "
                f"(recognised), so the generator may ignore it; add shown or recognised, as {self.name}:given,shown."
            )
        if self.at_input and self.recognised:
            raise CodeError(cheats(self.name, self.shown))
        category = self.kind is not None and self.kind.name == "categorical"
        if self.frequencies == LEARNED and not (category and self.is_discovered):
            raise CodeError(
                f"{say} is to learn how often each class is drawn (frequencies=learned) from what real images are read as, and only a "
                f"category that is recognised and not given can; write it as {self.name}:categorical(10),recognised,frequencies=learned."
            )
        if self.kind is None and self.given is None and self.frequencies is None:
            raise CodeError(
                f"{say} needs a kind, one of {', '.join(kinds.KINDS)}; give it, as {self.name}:uniform, or add given where the data supply it."
            )

    def _place(self, say: str) -> None:
        """Checks where it is read, and spells the transformations of a view of its own in one way."""
        if self.read_in in READ_IN:
            return
        told, first = "", re.split(r"[+*]", str(self.read_in))[0].strip()
        try:
            own = augmentations.own(str(self.read_in))
        except ConfigError as error:
            own, told = {}, str(error)
        if not own:
            if first not in augmentations.AUGMENTATIONS:
                told = choose(str(self.read_in), READ_IN, "place to be read in")
            raise CodeError(
                f"{say}: {told} A view of its own is transformations of `gander list augmentations`, joined by +, as shift*3+scale."
            )
        object.__setattr__(self, "read_in", augmentations.written(own, "+"))

    @property
    def enters(self) -> Fed:
        """How the generator gets it, the default resolved."""
        if self.fed is not None:
            return self.fed
        if self.shown == "projection" or self.shown == "hidden":
            return "normalisation"
        return self.shown or "concat"

    @property
    def at_input(self) -> bool:
        """Whether it is shown at the trunk's input."""
        return self.shown is not None and self.shown not in BEHIND

    @property
    def is_noise(self) -> bool:
        return self.given is None and self.recognised == 0

    @property
    def is_discovered(self) -> bool:
        return self.given is None and self.recognised > 0

    @property
    def resolved(self) -> Kind:
        """Its kind, once the data are known."""
        if self.kind is None:
            raise CodeError(f"code {self.name!r} still waits for the data to say what it is.")
        return self.kind

    def to_dict(self) -> dict[str, Any]:
        """What a specification file says of it, without what is default."""
        said = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in ("name", "kind") and getattr(self, f.name) != f.default
        }
        return (self.kind.to_dict() if self.kind else {}) | said


def cheats(name: str, shown: str | None) -> str:
    return (
        f"code {name!r} is shown at the trunk's input ({shown}) and must also be recognised: the "
        f"recogniser would read it from what it was shown, not from the image; "
        f"show it by 'projection', after the trunk, or drop one of the two."
    )


def resolved_by(code: Code, columns: Mapping[str, Kind], label: str | None) -> Code:
    wanted = code.given or code.frequencies
    if wanted is None or (code.given is None and wanted == LEARNED):
        return code
    say = f"code {code.name!r} takes its {'value' if code.given else 'frequencies'} from the data"
    if wanted == "label" and "label" not in columns:
        if label is None:
            raise CodeError(
                f"{say}, but these images have no labels: put each class in a sub-folder, lay a CSV "
                f"beside them, or train a model that needs none (gan, dcgan, infogan)."
            )
        wanted = label
    if wanted not in columns:
        raise CodeError(f"{say}: {choose(wanted, columns, 'column of this data set')}")
    column = columns[wanted]
    if code.given is None:
        if not isinstance(column, kinds.Categorical):
            raise CodeError(
                f"{say}, but column {wanted!r} has no classes; name one that has, or drop frequencies."
            )
        return replace(code, kind=kinds.Categorical(column.size, column.probs), frequencies=wanted)
    if code.kind is not None and code.kind.name != column.name:
        raise CodeError(
            f"{say}: column {wanted!r} is {column.name}, but the code says {code.kind.name}; "
            f"leave the kind out, the data know it."
        )
    name = wanted if code.name == "label" and NAME.fullmatch(wanted) else code.name
    return replace(code, name=name, given=wanted, kind=column)


# ---------------------------------------------------------------------- text to codes and back
CODE_KEYS = tuple(f.name for f in fields(Code) if f.name not in ("name", "kind"))


def from_table(name: str, table: Mapping[str, Any]) -> Code:
    if not isinstance(table, Mapping):
        raise CodeError(
            f"code {name!r} is a table of settings, given {table!r}; write [codes.{name}] and under it kind = 'gaussian'."
        )
    own = {k: v for k, v in table.items() if k in CODE_KEYS}
    rest = {k: v for k, v in table.items() if k not in CODE_KEYS}
    if own.get("given") is True:
        own["given"] = name
    if own.get("shown") is True:
        own["shown"] = "projection"
    if own.get("shown") is False:
        own["shown"] = None
    for key, value in own.items():
        if key in ("recognised", "self_label"):
            if not isinstance(value, int | float):
                raise CodeError(
                    f"code {name!r}: {key} is a weight, a number of 0 or more, given {value!r}; give one, as {key}=0.1."
                )
            own[key] = float(value)
        elif value is not None and not isinstance(value, str):
            raise CodeError(
                f"code {name!r}: {key} is a word, given {value!r}; write it in quotes, as {key} = '{spelling.WORDS.get(key, 'label')}'."
            )
    if "kind" not in rest and rest:
        unknown = next(iter(rest))
        raise CodeError(
            f"code {name!r}: {choose(unknown, (*CODE_KEYS, 'kind'), 'setting of a code')}"
        )
    kind = kinds.from_dict(rest, f"code {name!r}") if rest else None
    return Code(name, kind, **own)


def spelled(code: Code) -> str:
    """One code in the one-line form; a given code's kind is the data's to say."""
    kind = code.kind.to_dict() if code.kind is not None and code.given is None else {}
    if code.frequencies:
        kind.pop("probs", None)
    asked = {
        key: value
        for key in CODE_KEYS
        if (value := getattr(code, key)) not in (None, 0.0)
        and value != Code.__dataclass_fields__[key].default
    }
    return spelling.spell(code.name, kind, asked)
