"""The paper and nothing else: two players, one code specification, one objective.

Tensors in, named terms out; the sum of the terms is the loss and the dictionary of terms is the log line. Here is no
device, optimiser, file or logger.

    critic's player     min over D, Q   ℓ_D(D(x̃), D(x)) + Σ λ·E[-log q(c | x̃)] + Σ_given λ·E[-log q(y | x)]
    generator's player  min over G      ℓ_G(D(x̃))       + Σ λ·E[-log q(c | x̃)]

A recogniser is asked only about codes whose value is known: on a fake image all are, on a real one the given ones. So ACGAN
and InfoGAN are the same term with no branch. The recogniser of a given code learns from real images alone unless the code
says ``learns = "both"``: taught on fakes as well, generator and recogniser can agree on a private language.

A critic that is shown what is given may also be asked to tell a real image beside its own label from the same one beside another
(``mismatched``): then what lies between two classes is worse than what is clearly one.

A third player may stand beside the generator and not against it (``contrast``): both minimise γ·E[-log H(i | x̃, x̃')], where i is the one
discovered code that the two images share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from gander import augmentations, ranks
from gander.adaptive import Adaptive
from gander.code import Code, Told, Values
from gander.codes import CodeSpec
from gander.conditioning import SteeredGenerator
from gander.contrast import Contrast, misjudged
from gander.critic import Critic, Verdict
from gander.following import Following
from gander.frequencies import PLACE, Frequencies
from gander.near import ASKED, ROWS, Near
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


class Fakes(NamedTuple):
    """Drawn images as the critic sees them and what they were drawn from; ``images`` still hang on the generator's graph."""

    values: Values
    told: dict[str, Told]
    images: Tensor


class Together(NamedTuple):
    """Both players' terms of one look at the same fakes, and what is needed to part their gradients."""

    critic: Terms
    readings: Terms
    """What the critic's step teaches the recogniser; apart from ``critic``, since under ``heads`` the trunk must not feel it."""
    generator: Terms
    fakes: Fakes
    on_fake: Tensor
    on_real: Tensor
    """The judge's logits (B,) of fakes and of real images."""


@dataclass
class Game:
    """Two players, one specification, one objective. Knows no device, optimiser or file.

    ``real`` is (B, C, H, W) in [-1, 1]; ``known`` the given codes' values of its rows (missing ones marked);
    ``drawn`` every code's values, drawn for these rows, and beside them the numbers of ``augment``: transformations under which the
    critic sees every image, real or generated. Penalties are on its slope at the images it sees, and what it sees is what the
    recogniser reads. With ``adaptive`` they are applied to some images only, and ``adapt`` after each iteration moves how many.
    """

    spec: CodeSpec
    generator: SteeredGenerator
    critic: Critic
    objective: Objective
    recogniser: Recogniser = "critic"
    penalties: Mapping[str, float] = field(default_factory=dict)
    penalty_share: float = 1.0
    """On which share of each batch, rows that lie evenly in it, they are taken; batch norm then has those rows' statistics, so it is not quite the same mean."""
    mismatched: float = 0.0
    """Weight of telling a real image beside what is given of it from the same one beside what is given of another."""
    augment: Mapping[str, float] = field(default_factory=dict)
    adaptive: Adaptive | None = None
    views: Mapping[str, float] = field(default_factory=dict)
    """Transformations, and their strengths, of the view in which a real image is read again, for codes with ``self_label``, and of that in
    which a generated one is read, for codes with ``read_in = "view"``."""
    sure: float = 0.0
    """How sure of a real image the recogniser must be to learn from itself."""
    balance: float = 0.0
    """Weight, a share of such a code's own, of reading its classes in real images as often as they are drawn."""
    near: Near | None = None
    """Knows what the images are read as that look like an image; where it is asked, a real image is taken for that."""
    settle_weight: float = 1.0
    """How many times as much it learns codes with ``self_label`` from real images then."""
    settle_fakes: float = 1.0
    """And how much, as a share, from generated ones."""
    contrast: Contrast | None = None
    """Who says which discovered code two images share."""
    contrast_weight: float = 0.0
    frequencies: Mapping[str, Frequencies] = field(default_factory=dict)
    """How often each class is drawn, of the codes that learn it; ``adapt`` after each iteration moves them."""

    def fakes(self, known: Values, drawn: Values) -> Fakes:
        """Images for both players to look at."""
        learned = {name: one.classes(drawn[PLACE + name]) for name, one in self.frequencies.items()}
        values = self.spec.overlay({**drawn, **learned}, known)
        images = self._seen(self.generator(values), drawn, "fake")
        return Fakes(values, self.spec.reveal(values, known), images)

    def reals(self, real: Tensor, drawn: Values) -> Tensor:
        """Real images as the critic sees them."""
        return self._seen(real, drawn, "real")

    def adapt(self) -> None:
        """Moves how often the critic sees images transformed, and each class is drawn, by what was said of real images since the last time."""
        for one in self.following.values():
            one.move()

    @property
    def following(self) -> dict[str, Following]:
        """All that moves so, by the name under which it is saved."""
        found: dict[str, Following] = {
            f"frequencies.{name}": one for name, one in self.frequencies.items()
        }
        if self.near is not None:
            found["near"] = self.near
        return found | ({"augment": self.adaptive} if self.adaptive is not None else {})

    def _seen(self, images: Tensor, drawn: Values, of: str) -> Tensor:
        probability = self.adaptive.probability if self.adaptive is not None else None
        return augmentations.seen(self.augment, images, drawn, of, probability=probability)

    def _notice(self, on_real: Verdict, drawn: Values) -> None:
        if self.adaptive is not None:
            self.adaptive.notice(on_real.logit)
        if self.frequencies:
            read = self.spec.split(on_real.params.detach())
            for name, frequencies in self.frequencies.items():
                frequencies.notice(read[name])
        if self.near is not None:
            self.near.notice(drawn[ROWS], on_real.params.detach())

    def critic_terms(
        self, real: Tensor, known: Values, drawn: Values, fakes: Fakes | None = None
    ) -> Terms:
        """What the critic's player minimises. The fakes, fresh ones or those given, carry no gradient to the generator."""
        if fakes is None:
            with torch.no_grad():
                fakes = self.fakes(known, drawn)
        values, told, fake = fakes.values, fakes.told, fakes.images.detach()
        real = self.reals(real, drawn)
        feels = self.recogniser == "critic"
        on_fake = self.critic(fake, told, real=False, trunk_feels=feels)
        on_real = self.critic(real, told, real=True, trunk_feels=feels)
        self._notice(on_real, drawn)
        terms = {"critic": self.objective.critic(on_fake.logit, on_real.logit).mean()}
        terms |= self._mismatched(real, told, on_real)
        if self.recogniser != "joint":
            read = self._read(on_fake, fake, told, drawn, feels)
            terms |= self._readings(read, values, on_real, known, drawn)
            terms |= self._own(real, told, on_real, known, drawn)
        return terms | self._penalties(real, told, fake)

    def generator_terms(
        self, real: Tensor, known: Values, drawn: Values, fakes: Fakes | None = None
    ) -> Terms:
        """What the generator's player minimises; every recognised code, given or not, must be readable."""
        values, told, fake = self.fakes(known, drawn) if fakes is None else fakes
        on_fake = self.critic(fake, told, real=False)
        on_real = on_fake.logit[:0]
        if self.objective.paired:
            with torch.no_grad():
                on_real = self.critic(self.reals(real, drawn), told, real=True).logit
        terms = {"generator": self.objective.generator(on_fake.logit, on_real).mean()}
        if self.recogniser != "joint":
            read = self._read(on_fake, fake, told, drawn)
            terms |= _tagged("draws", self.spec.recognition(read, values))
        return terms

    def terms_together(self, real: Tensor, known: Values, drawn: Values) -> Together:
        """Both players' terms from one look of the critic at the same fakes.

        Every term hangs on both networks: whoever steps must take the gradient of its own parameters alone (``schedules``).
        """
        fakes, real = self.fakes(known, drawn), self.reals(real, drawn)
        on_fake = self.critic(fakes.images, fakes.told, real=False)
        on_real = self.critic(real, fakes.told, real=True)
        self._notice(on_real, drawn)
        critic = {"critic": self.objective.critic(on_fake.logit, on_real.logit).mean()}
        critic |= self._mismatched(real, fakes.told, on_real)
        critic |= self._penalties(real, fakes.told, fakes.images.detach())
        beside = on_real.logit.detach() if self.objective.paired else on_real.logit[:0]
        generator = {"generator": self.objective.generator(on_fake.logit, beside).mean()}
        readings: Terms = {}
        if self.recogniser != "joint":
            read = self._read(on_fake, fakes.images, fakes.told, drawn)
            readings = self._readings(read, fakes.values, on_real, known, drawn)
            readings |= self._own(real, fakes.told, on_real, known, drawn)
            generator |= _tagged("draws", self.spec.recognition(read, fakes.values))
        return Together(critic, readings, generator, fakes, on_fake.logit, on_real.logit)

    def _mismatched(self, real: Tensor, told: dict[str, Told], on_real: Verdict) -> Terms:
        """A real image beside what is given of the next one is no better than a fake (Reed et al., 2016); where both are the same, nothing."""
        if not self.mismatched:
            return {}
        other = {name: Told(*(ranks.next_rows(part) for part in one)) for name, one in told.items()}
        differ = [(one.encoding != other[name].encoding).any(1) for name, one in told.items()]
        there = [(one.known * other[name].known > 0).any(1) for name, one in told.items()]
        counts = torch.stack([a & b for a, b in zip(differ, there, strict=True)]).any(0)
        if self.critic.entry.codes:
            beside = self.critic(real, other, real=True).logit
        else:  # the trunk has seen no label
            beside = self.critic.judged(on_real.features, other)
        loss = self.objective.critic(beside, on_real.logit) * counts
        return {"mismatched": self.mismatched * loss.mean()}

    def _penalties(self, real: Tensor, told: dict[str, Told], fake: Tensor) -> Terms:
        if self.penalties and self.penalty_share < 1:
            whole = ranks.group().size * len(real)
            # two at least: batch norm has no statistics of one
            count = max(2, round(self.penalty_share * whole))
            few = ranks.spread(count, len(real), real.device)
            if few is not None:
                real, fake = real[few], fake[few]
                told = {name: Told(*(each[few] for each in one)) for name, one in told.items()}
        return {
            f"penalty/{name}": weight
            * PENALTIES[name](
                lambda images, of_real: self.critic(images, told, of_real).logit, real, fake
            )
            for name, weight in self.penalties.items()
        }

    def recognition_terms(self, real: Tensor, known: Values, drawn: Values) -> Terms:
        """The third player's terms under ``joint``: both networks make the codes readable."""
        values, told, fake = self.fakes(known, drawn)
        on_fake = self.critic(fake, told, real=False)
        read = self._read(on_fake, fake, told, drawn)
        terms = _tagged("draws", self.spec.recognition(read, values))
        if any(code.recognised for code in self.spec.given):
            on_real = self.critic(self.reals(real, drawn), told, real=True)
            terms |= _tagged("reads", self.spec.recognition(on_real.params, known))
        return terms

    def contrast_terms(self, pairs: Values) -> Terms:
        """What the generator and ``contrast`` both minimise, on ``pairs`` as ``contrast.draw`` draws them; none without the latter."""
        if self.contrast is None:
            return {}
        lost = misjudged(self.contrast, self.generator, pairs)
        return {"contrast": self.contrast_weight * lost}

    def _read(
        self,
        on_fake: Verdict,
        fake: Tensor,
        told: dict[str, Told],
        drawn: Values,
        trunk_feels: bool = True,
    ) -> Tensor:
        """What is read of fakes, (B, P): of each code in the image, on which the verdict is, or in a view of it."""
        outputs = {"image": on_fake.params}
        for place in self.spec.views:
            strengths = self.views if place == "view" else augmentations.own(place)
            view = augmentations.viewed(strengths, fake, drawn, "fake", place)
            on_view = self.critic(view, told, real=False, trunk_feels=trunk_feels)
            outputs[place] = on_view.params
        return self.spec.where_read(outputs) if self.spec.views else on_fake.params

    def _readings(
        self, read: Tensor, values: Values, on_real: Verdict, known: Values, drawn: Values
    ) -> Terms:
        """What the critic's step teaches the recogniser: on fakes what it may, on real images what is given."""
        fake = self.spec.recognition(read, values, learns_from_fakes)
        if augmentations.SETTLED in drawn:
            for name in fake:
                if self.spec.code(name).self_label:
                    fake[name] = self.settle_fakes * fake[name]
        real = self.spec.recognition(on_real.params, known)
        return _tagged("fake", fake) | _tagged("real", real)

    def _own(
        self, real: Tensor, told: dict[str, Told], on_real: Verdict, known: Values, drawn: Values
    ) -> Terms:
        """What the recogniser learns from itself: of a real image it is sure of, a view must be read as the same."""
        if not any(code.self_label for code in self.spec.recognised):
            return {}
        view = augmentations.viewed(self.views, real, drawn, "real")
        feels = self.recogniser == "critic"
        on_view = self.critic(view, told, real=True, trunk_feels=feels).params
        weights = drawn[augmentations.WEIGHT]
        own, settles = self.spec.split(on_real.params.detach()), augmentations.SETTLED in drawn
        if self.near is not None and ASKED in drawn:
            own |= self.near.opinion(drawn[ASKED])
        times = self.settle_weight if settles else 1.0
        read = self.spec.self_labelled(own, on_view, known, times * weights, self.sure)
        terms = _tagged("self", read)
        if self.balance:
            both = torch.cat([on_real.params, on_view])
            shares = {name: one.shares for name, one in self.frequencies.items()}
            apart = self.spec.imbalance(both, torch.cat([weights, weights]), shares)
            terms |= {f"balance/{name}": self.balance * far for name, far in apart.items()}
        return terms


def learns_from_fakes(code: Code) -> bool:
    """A discovered code has no real values; a given one learns from fakes only when told to."""
    return code.is_discovered or code.learns == "both"


def _tagged(tag: str, terms: Terms) -> Terms:
    return {f"{tag}/{name}": term for name, term in terms.items()}
