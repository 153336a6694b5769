"""The generator's input, part by part: the one idea of gander.

Of every *code* three things are asked. Is it **given** by the data? Is it **shown** to the critic? Must it be
**recognised**, read back from the image, and with what weight? Noise is a code of which nothing is asked.

    given  shown  recognised    it is                with noise alone it makes
    no     no     no            noise                GAN      (Goodfellow et al., 2014)
    no     no     λ             a discovered code    InfoGAN  (Chen et al., 2016)
    column form   no            a condition          CGAN     (Mirza & Osindero, 2014)
    column no     λ             a class              ACGAN    (Odena et al., 2017)
    column projection λ         condition and class  projection + classifier
    column no     no            refused: the generator may ignore it
    no     form   any           refused: nothing to show beside a real image

Shapes: B batch; S one value; W what a network is told of it; P what a recogniser says of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from gander import kinds, rng, spelling
from gander.errors import CodeError, choose
from gander.kinds import Kind

Values = dict[str, Tensor]
"""Code name -> values (B, *S)."""

Shown = Literal["projection", "hidden", "concat", "multiply", "embed"]
BEHIND = ("projection", "hidden")
"""Ways to be shown behind the trunk, where the recogniser, which reads the trunk's features, cannot look."""
Fed = Literal["concat", "multiply", "embed", "normalisation"]
Learns = Literal["real", "both"]
Scored = Literal["likelihood", "profile", "elementwise"]
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
    fed: Fed | None = None
    """How the generator gets it; default: `normalisation` for what is shown behind the trunk, else as it is shown, else `concat`."""
    learns: Learns = "real"
    """For a given code: whether its recogniser learns from real images alone, or from fakes too (ACGAN's own recipe)."""
    scored: Scored = "likelihood"
    """`likelihood`: numbers under a fixed variance, as the InfoGAN authors' code; `profile`: under the variance that fits the batch best;
    `elementwise`: the tutorials' squared error, and binary cross-entropy per element of the softmax."""
    frequencies: str | None = None
    """A column whose class frequencies a drawn category takes; it is not given."""

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
        if not 0 <= self.recognised < float("inf"):
            raise CodeError(
                f"{say}: recognised is a weight, a number of 0 or more, given {self.recognised:g}; give one, as recognised=0.1."
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
            raise CodeError(_cheats(self.name, self.shown))
        if self.kind is None and self.given is None and self.frequencies is None:
            raise CodeError(
                f"{say} needs a kind, one of {', '.join(kinds.KINDS)}; give it, as {self.name}:uniform, or add given where the data supply it."
            )

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


def _cheats(name: str, shown: str | None) -> str:
    return (
        f"code {name!r} is shown at the trunk's input ({shown}) and must also be recognised: the "
        f"recogniser would read it from what it was shown, not from the image; "
        f"show it by 'projection', after the trunk, or drop one of the two."
    )


@dataclass(frozen=True)
class CodeSpec:
    """The generator's whole input: its codes, in order."""

    codes: tuple[Code, ...]
    by_name: Mapping[str, Code] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {code.name: code for code in self.codes})
        if not self.codes:
            raise CodeError(
                "there are no codes, and the generator needs at least one; add noise:gaussian(62)."
            )
        if len(self.by_name) != len(self.codes):
            names = [code.name for code in self.codes]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise CodeError(
                f"two codes are named {', '.join(map(repr, twice))}; give each a name of its own."
            )
        if all(code.enters == "normalisation" for code in self.codes):
            raise CodeError(
                "every code enters by normalisation, so there is nothing for the generator to start from; "
                "add noise:gaussian(62)."
            )
        if any(code.enters == "multiply" for code in self.codes) and not self.multiplied:
            raise CodeError(
                "a code is fed by 'multiply', an embedding times the noise, but there is no noise; "
                "add noise:gaussian(100)."
            )
        at_input = {c.given: c for c in self.codes if c.at_input}
        for code in self.recognised:
            if code.given in at_input:
                raise CodeError(_cheats(code.name, at_input[code.given].shown))

    # ------------------------------------------------------------------ who is who
    @property
    def multiplied(self) -> tuple[Code, ...]:
        """The noise codes that enter by concatenation, which a `multiply` embedding scales."""
        return tuple(c for c in self.codes if c.is_noise and c.enters == "concat")

    @property
    def recognised(self) -> tuple[Code, ...]:
        return tuple(code for code in self.codes if code.recognised > 0)

    @property
    def given(self) -> tuple[Code, ...]:
        return tuple(code for code in self.codes if code.given is not None)

    @property
    def knobs(self) -> tuple[Code, ...]:
        """Everything a person may want to turn: all but the noise."""
        return tuple(code for code in self.codes if not code.is_noise)

    @property
    def params(self) -> int:
        """Columns the recogniser emits, P."""
        return sum(code.resolved.params for code in self.recognised)

    @property
    def family(self) -> str:
        """The member of the family this specification spells: GAN, CGAN, ACGAN, InfoGAN or a mixture."""
        parts = []
        if any(c.given and c.shown for c in self.codes):
            parts.append("CGAN")
        if any(c.given and c.recognised for c in self.codes):
            parts.append("ACGAN")
        if any(c.is_discovered for c in self.codes):
            parts.append("InfoGAN")
        return "+".join(parts) or "GAN"

    def code(self, name: str) -> Code:
        if name not in self.by_name:
            raise CodeError(choose(name, self.by_name, "code of this model"))
        return self.by_name[name]

    # ------------------------------------------------------------------ values
    def draw(self, seed: int, stream: str, first: int, count: int) -> Values:
        """Every code's values for the images at positions ``first …`` of a training stream."""
        return {
            c.name: c.resolved.draw(
                rng.uniforms(seed, f"{stream}/{c.name}", first, count, c.resolved.uniforms)
            )
            for c in self.codes
        }

    def draw_at(self, seeds: Sequence[int]) -> Values:
        """Every code's values for the given drawing seeds: one seed, one image, on any machine."""
        return {
            c.name: c.resolved.draw(rng.uniforms_at(seeds, f"draw/{c.name}", c.resolved.uniforms))
            for c in self.codes
        }

    def known(self, columns: Values) -> Values:
        """The given codes' values of a batch of rows; rows without a label hold MISSING."""
        return {
            c.name: columns[c.given].reshape(-1, *c.resolved.shape)
            for c in self.codes
            if c.given is not None
        }

    def overlay(self, drawn: Values, known: Values) -> Values:
        """What is known over what is drawn, row by row: the whole control interface."""
        values = dict(drawn)
        for name, given in known.items():
            missing = self.code(name).resolved.missing(given)
            shape = (-1,) + (1,) * (given.dim() - 1)
            values[name] = torch.where(missing.view(shape), drawn[name], given)
        return values

    def encode(self, values: Values) -> dict[str, Tensor]:
        """What the generator is told, code by code, (B, W) each."""
        return {c.name: c.resolved.encode(values[c.name]) for c in self.codes}

    def reveal(self, values: Values, known: Values) -> dict[str, Told]:
        """What the critic is told of each shown code, for the real and the fake of a row alike.

        A row that lacks its label is judged without it, the real and the fake: the value drawn in its place belongs to the
        fake only, and a critic shown it beside the real image would learn that the pair belongs together.
        """
        told = {}
        for code in self.codes:
            if code.shown is not None:
                encoding = code.resolved.encode(values[code.name])
                present = torch.ones(len(encoding), 1, device=encoding.device)
                if code.name in known:
                    absent = code.resolved.missing(known[code.name])
                    present = (~absent).to(encoding.dtype).unsqueeze(1)
                told[code.name] = Told(encoding, present)
        return told

    # ------------------------------------------------------------------ reading back
    def split(self, params: Tensor) -> dict[str, Tensor]:
        """The recogniser's output (B, P), code by code."""
        sizes = [code.resolved.params for code in self.recognised]
        parts = torch.split(params.float(), sizes, dim=1)
        return {c.name: part for c, part in zip(self.recognised, parts, strict=True)}

    def recognition(
        self, params: Tensor, values: Values, asked: Callable[[Code], bool] = lambda _: True
    ) -> dict[str, Tensor]:
        """λ·E[-log q(value | image)] of each recognised code that is asked and whose value is known.

        Summed over a code's dimensions, averaged over the rows that have a value (0 where none has).
        """
        terms = {}
        for code in self.recognised:
            if code.name in values and asked(code):
                terms[code.name] = code.recognised * self._misread(
                    code, self.split(params)[code.name], values[code.name]
                )
        return terms

    def _misread(self, code: Code, params: Tensor, values: Tensor) -> Tensor:
        kind = code.resolved
        present = ~kind.missing(values)
        if code.given is not None:  # rows that lack the label: any value will do, then masked
            fill = torch.zeros_like(values)
            shape = (-1,) + (1,) * (values.dim() - 1)
            values = torch.where(present.view(shape), values, fill)
        if code.scored == "profile":
            return torch.where(present.any(), kind.profile(params, values, present), 0.0)
        if code.scored == "elementwise":
            loss = kind.elementwise(params, values)
        else:
            loss = -kind.posterior(params).log_prob(values)
        # where, not a product: a masked row's loss may be infinite, and 0 · inf is NaN
        return torch.where(present, loss, 0.0).sum() / present.sum().clamp_min(1)

    def information(self, params: Tensor, values: Values) -> dict[str, float]:
        """What the recogniser knows of each code whose values are given; see ``Kind.information``."""
        parts = self.split(params)
        return {
            c.name: c.resolved.information(parts[c.name], values[c.name])
            for c in self.recognised
            if c.name in values
        }

    # ------------------------------------------------------------------ the data's part
    def resolve(self, columns: Mapping[str, Kind], label: str | None) -> CodeSpec:
        """Fills what the data know: each given code's kind and frequencies, and what "label" stands for."""
        return CodeSpec(tuple(_resolve(code, columns, label) for code in self.codes))

    # ------------------------------------------------------------------ as text
    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The ``[codes]`` tables of a specification file."""
        return {code.name: code.to_dict() for code in self.codes}

    @classmethod
    def from_dict(cls, tables: Mapping[str, Mapping[str, Any]]) -> CodeSpec:
        """The inverse of ``to_dict``."""
        if not isinstance(tables, Mapping):
            raise CodeError(
                f"codes is a table for each code, given {tables!r}; write [codes.noise] and under it kind = 'gaussian'."
            )
        return cls(tuple(_code(name, table) for name, table in tables.items()))

    @classmethod
    def parse(cls, line: str) -> CodeSpec:
        """The one-line form, as ``noise:gaussian(62) digit:given,shown slant:uniform,recognised=0.1``."""
        return cls(tuple(_code(*said) for said in spelling.parse(line, CODE_KEYS)))

    def __str__(self) -> str:
        return " ".join(_spell(code) for code in self.codes)


def _resolve(code: Code, columns: Mapping[str, Kind], label: str | None) -> Code:
    wanted = code.given or code.frequencies
    if wanted is None:
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


def _code(name: str, table: Mapping[str, Any]) -> Code:
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
        if key == "recognised":
            if not isinstance(value, int | float):
                raise CodeError(
                    f"code {name!r}: recognised is a weight, a number of 0 or more, given {value!r}; give one, as recognised=0.1."
                )
            own[key] = float(value)
        elif value is not None and not isinstance(value, str):
            raise CodeError(
                f"code {name!r}: {key} is a word, given {value!r}; write it in quotes, as {key} = 'label'."
            )
    if "kind" not in rest and rest:
        unknown = next(iter(rest))
        raise CodeError(
            f"code {name!r}: {choose(unknown, (*CODE_KEYS, 'kind'), 'setting of a code')}"
        )
    kind = kinds.from_dict(rest, f"code {name!r}") if rest else None
    return Code(name, kind, **own)


def _spell(code: Code) -> str:
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
