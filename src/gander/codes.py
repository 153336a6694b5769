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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from gander import ranks, rng, spelling
from gander.code import CODE_KEYS, Code, Told, Values, cheats, from_table, resolved_by, spelled
from gander.errors import CodeError, choose
from gander.kinds import Categorical, Kind


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
                raise CodeError(cheats(code.name, at_input[code.given].shown))

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

    @property
    def views(self) -> tuple[str, ...]:
        """The views of generated images in which codes are read, each as ``read_in`` names it: "view", or transformations."""
        places = dict.fromkeys(code.read_in for code in self.recognised)
        return tuple(place for place in places if place != "image")

    def where_read(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """The recogniser's outputs (B, P) for the same images and for views of them, put together: each code from where it is read."""
        parts = {place: self.split(output) for place, output in outputs.items()}
        return torch.cat([parts[code.read_in][code.name] for code in self.recognised], dim=1)

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

    def _misread(
        self, code: Code, params: Tensor, values: Tensor, present: Tensor | None = None
    ) -> Tensor:
        kind, partly = code.resolved, code.given is not None or present is not None
        present = ~kind.missing(values) if present is None else present
        if partly:  # rows that lack the value: any will do, then masked
            fill = torch.zeros_like(values)
            shape = (-1,) + (1,) * (values.dim() - 1)
            values = torch.where(present.view(shape), values, fill)
        if code.scored == "profile":
            some = ranks.all_reduce(present.sum()) > 0
            return torch.where(some, kind.profile(params, values, present), 0.0)
        if code.scored == "elementwise":
            loss = kind.elementwise(params, values)
        else:
            loss = -kind.posterior(params).log_prob(values)
        # where, not a product: a masked row's loss may be infinite, and 0 · inf is NaN
        return ranks.ratio(torch.where(present, loss, 0.0).sum(), present.sum())

    def self_labelled(
        self, own: Values, viewed: Tensor, known: Values, weights: Tensor, sure: float
    ) -> dict[str, Tensor]:
        """The same of each code with ``self_label`` where its value is not known but read with confidence.

        ``own`` are the params (B, P) of each code as they are read in real images, without a gradient, ``viewed`` (B, P) of all in transformed views of them. Of each row whose one of the ``weights`` (B,) is not 0 and that lacks
        the value, what is read with a confidence above ``sure`` is the value that must be read from the view. Averaged over all rows, so that
        few confident ones count little (Lee, 2013; Sohn et al., "FixMatch", 2020).
        """
        view, terms = self.split(viewed), {}
        for code in self.recognised:
            if code.self_label > 0:
                kind, read = code.resolved, own[code.name]
                taken = (weights > 0) & (kind.confidence(read) > sure)
                if code.name in known:
                    taken = taken & kind.missing(known[code.name])
                values = kind.estimate(read)
                rows = taken.view(-1, *[1] * (values.dim() - 1))
                values = torch.where(rows, values, torch.full_like(values, kind.MISSING))
                loss = self._misread(code, view[code.name], values, taken)
                share = ranks.mean(weights * taken)
                terms[code.name] = code.recognised * code.self_label * share * loss
        return terms

    def imbalance(
        self, params: Tensor, weights: Tensor, shares: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """How far the readings (B, P) of rows whose one of the ``weights`` (B,) is not 0 are, on average, from each class being as frequent as among those drawn.

        ``shares`` (K,) are how often the classes of a code are drawn, where that is not its kind's to say.

        Of each code with ``self_label`` that states what it doubts, weighted likewise (Hu et al., "Learning Discrete Representations via
        Information Maximizing Self-Augmented Training", 2017).
        """
        parts = self.split(params)
        return {
            code.name: code.recognised
            * code.self_label
            * ranks.mean(weights)
            * code.resolved.imbalance(parts[code.name], weights > 0, shares.get(code.name))
            for code in self.recognised
            if code.self_label > 0 and code.resolved.discrete
        }

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
        return CodeSpec(tuple(resolved_by(code, columns, label) for code in self.codes))

    def drawn_as(self, shares: Mapping[str, Sequence[float]]) -> CodeSpec:
        """The same with these categories drawn that often."""
        kinds = {name: Categorical(len(each), tuple(each)) for name, each in shares.items()}
        return CodeSpec(
            tuple(replace(c, kind=kinds[c.name]) if c.name in kinds else c for c in self.codes)
        )

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
        return cls(tuple(from_table(name, table) for name, table in tables.items()))

    @classmethod
    def parse(cls, line: str) -> CodeSpec:
        """The one-line form, as ``noise:gaussian(62) digit:given,shown slant:uniform,recognised=0.1``."""
        return cls(tuple(from_table(*said) for said in spelling.parse(line, CODE_KEYS)))

    def __str__(self) -> str:
        return " ".join(spelled(code) for code in self.codes)
