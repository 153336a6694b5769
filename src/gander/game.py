"""The paper and nothing else: two players, one code specification, one objective.

Tensors in, named terms out; the sum of the terms is the loss and the dictionary of terms is the log line. Here is no
device, optimiser, file or logger.

    critic's player     min over D, Q   ℓ_D(D(x̃), D(x)) + Σ λ·E[-log q(c | x̃)] + Σ_given λ·E[-log q(y | x)]
    generator's player  min over G      ℓ_G(D(x̃))       + Σ λ·E[-log q(c | x̃)]

A recogniser is asked only about codes whose value is known: on a fake image all are, on a real one the given ones. So ACGAN
and InfoGAN are the same term with no branch. The recogniser of a given code learns from real images alone unless the code
says ``learns = "both"``: taught on fakes as well, generator and recogniser can agree on a private language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from gander.codes import Code, CodeSpec, Values
from gander.conditioning import SteeredGenerator
from gander.critic import Critic, Verdict
from gander.objectives import Objective
from gander.penalties import PENALTIES

Terms = dict[str, Tensor]
"""Name -> scalar; their sum is the loss."""

Recogniser = Literal["critic", "heads", "joint"]
RECOGNISERS = get_args(Recogniser)
"""Who receives the recognition gradient, besides the generator.

critic: trunk and heads, in the critic's step (Chen et al.'s own code); heads: the heads alone, in the critic's step;
joint: a third optimiser over both networks, in a step of its own (the tutorials).
"""


@dataclass
class Game:
    """Two players, one specification, one objective. Knows no device, optimiser or file.

    ``real`` is (B, C, H, W) in [-1, 1]; ``known`` the given codes' values of its rows (missing ones marked);
    ``drawn`` every code's values, drawn for these rows.
    """

    spec: CodeSpec
    generator: SteeredGenerator
    critic: Critic
    objective: Objective
    recogniser: Recogniser = "critic"
    penalties: Mapping[str, float] = field(default_factory=dict)

    def critic_terms(self, real: Tensor, known: Values, drawn: Values) -> Terms:
        """What the critic's player minimises. The fakes carry no gradient to the generator."""
        values = self.spec.overlay(drawn, known)
        told = self.spec.reveal(values, known)
        with torch.no_grad():
            fake = self.generator(values)
        feels = self.recogniser == "critic"
        on_fake = self.critic(fake, told, real=False, trunk_feels=feels)
        on_real = self.critic(real, told, real=True, trunk_feels=feels)
        terms = {"critic": self.objective.critic(on_fake.logit, on_real.logit).mean()}
        if self.recogniser != "joint":
            terms |= self._readings(on_fake, values, on_real, known)
        for name, weight in self.penalties.items():
            terms[f"penalty/{name}"] = weight * PENALTIES[name](
                lambda images, of_real: self.critic(images, told, of_real).logit, real, fake
            )
        return terms

    def generator_terms(self, real: Tensor, known: Values, drawn: Values) -> Terms:
        """What the generator's player minimises; every recognised code, given or not, must be readable."""
        values = self.spec.overlay(drawn, known)
        told = self.spec.reveal(values, known)
        on_fake = self.critic(self.generator(values), told, real=False)
        on_real = on_fake.logit[:0]
        if self.objective.paired:
            with torch.no_grad():
                on_real = self.critic(real, told, real=True).logit
        terms = {"generator": self.objective.generator(on_fake.logit, on_real).mean()}
        if self.recogniser != "joint":
            terms |= _tagged("draws", self.spec.recognition(on_fake.params, values))
        return terms

    def recognition_terms(self, real: Tensor, known: Values, drawn: Values) -> Terms:
        """The third player's terms under ``joint``: both networks make the codes readable."""
        values = self.spec.overlay(drawn, known)
        told = self.spec.reveal(values, known)
        on_fake = self.critic(self.generator(values), told, real=False)
        terms = _tagged("draws", self.spec.recognition(on_fake.params, values))
        if any(code.recognised for code in self.spec.given):
            on_real = self.critic(real, told, real=True)
            terms |= _tagged("reads", self.spec.recognition(on_real.params, known))
        return terms

    def _readings(self, on_fake: Verdict, values: Values, on_real: Verdict, known: Values) -> Terms:
        """What the critic's step teaches the recogniser: on fakes what it may, on real images what is given."""
        terms = _tagged("fake", self.spec.recognition(on_fake.params, values, learns_from_fakes))
        return terms | _tagged("real", self.spec.recognition(on_real.params, known))


def learns_from_fakes(code: Code) -> bool:
    """A discovered code has no real values; a given one learns from fakes only when told to."""
    return code.is_discovered or code.learns == "both"


def _tagged(tag: str, terms: Terms) -> Terms:
    return {f"{tag}/{name}": term for name, term in terms.items()}
