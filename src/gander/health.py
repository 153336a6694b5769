"""How a game is going, in numbers and in plain words: what each code carries, and what looks wrong."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gander.data import Data
from gander.images import to_unit
from gander.memorising import SURE, Gap
from gander.memorising import on_real as on_real_rows
from gander.model import Model

SAMPLE = 256  # images looked at
COLLAPSED = 0.3  # of the spread of real images, below which samples count as collapsed
WON = 0.9995  # of the pairs (real, fake) told apart, above which the critic has won
DEAD = 0.05  # of its ceiling, below which a code carries nothing
BY_HEART = (
    0.5  # of the way from training images down to drawn ones, above which unseen real images lie
)
COLLAPSE_AFTER, WON_AFTER, DEAD_AFTER = 30_000, 50_000, 50_000  # images seen before each is said
BY_HEART_AFTER = 30_000
ALARMS = {
    "collapse": (
        "the samples have collapsed",
        "they differ much less than real images do",
        "Try a lower generator_rate, a penalty (--set r1=1) or a larger batch.",
    ),
    "critic_won": (
        "the critic has won",
        "it tells nearly all real images from generated ones, so the generator hears little",
        "Try a lower critic_rate, a penalty (--set r1=1) or, on few images, --set augment=rotate,scale,shift.",
    ),
    "by_heart": (
        "the critic knows its images by heart",
        "to it real images that it never saw are nearly as generated ones, so the generator hears of the training images alone",
        "Try --set augment=rotate,scale,shift augment_target=0.3 (transformations that suit the images), or more images.",
    ),
    "dead_code": (
        "code {code} is dead",
        "the recogniser reads next to nothing of it",
        "Try a larger weight (--set {code}.recognised=…) or fewer codes.",
    ),
}
"""Alarm -> what looks wrong, how it shows and what to try."""


@dataclass(frozen=True)
class Alarm:
    """Something that looks wrong, and what to try."""

    name: str
    text: str


@dataclass(frozen=True)
class Check:
    """One look at a game."""

    information: dict[str, float]
    """Per recognised code: nats if discrete, else R²."""
    ceilings: dict[str, float]
    signs: dict[str, float]
    """diversity: spread of the samples over that of real images; told_apart: share of (real, fake) pairs in order; critic_gap: with
    images held out, how far they score below training images, as a share of the way to generated ones (``memorising``)."""
    alarms: tuple[Alarm, ...]


@torch.no_grad()
def examine(model: Model, data: Data, images_seen: int, held_out: Data | None = None) -> Check:
    """Draws at fixed seeds with the averaged generator and asks the critic; changes nothing.

    ``held_out`` are real images that are not trained on, where there are such.
    """
    spec, device = model.spec, model.device
    critic = model.critic
    assert critic is not None
    values = {k: v.to(device) for k, v in spec.draw_at(range(SAMPLE)).items()}
    fake = model.generator(values)
    rows = some_rows(data)
    real = to_unit(data.images[rows].to(device))
    known = spec.known({n: c.values[rows].to(device) for n, c in data.columns.items()})
    paired = {k: v[: len(real)] for k, v in values.items()}
    on_fake = critic(fake, spec.reveal(values, {}), real=False)
    on_real = critic(real, spec.reveal(spec.overlay(paired, known), known), real=True)
    information = spec.information(on_fake.params, values) if spec.recognised else {}
    ceilings = {code.name: code.resolved.ceiling for code in spec.recognised}
    spread = float(fake.float().std(0).mean() / real.std(0).mean().clamp_min(1e-6))
    apart = float((on_real.logit[:, None] > on_fake.logit[None]).float().mean())
    signs = {"diversity": round(spread, 4), "told_apart": round(apart, 4)}
    alarms = list(_alarms(images_seen, spread, apart))
    if held_out is not None:
        unseen = on_real_rows(critic, spec, held_out, some_rows(held_out))
        gap = Gap(on_real.logit.double().cpu(), unseen, on_fake.logit.double().cpu())
        if gap.told:
            share, error = gap.share
            signs["critic_gap"] = round(share, 4)
            if images_seen >= BY_HEART_AFTER and share - SURE * error > BY_HEART:
                alarms.append(_alarm("by_heart", _far(share)))
    alarms += [
        _dead(name, ceilings[name])
        for name, value in information.items()
        if images_seen >= DEAD_AFTER and value < DEAD * ceilings[name]
    ]
    rounded = {name: round(value, 4) for name, value in information.items()}
    return Check(rounded, {k: round(v, 4) for k, v in ceilings.items()}, signs, tuple(alarms))


def some_rows(data: Data) -> Tensor:
    """Which images of a set are looked at, from all through it, (N,)."""
    return torch.linspace(0, len(data) - 1, min(SAMPLE, len(data))).long()


def meaning(name: str, shows: str = "") -> str:
    """An alarm in plain words; ``shows`` says it in numbers. Empty for a name there is not."""
    about, _, code = name.partition("/")
    wrong, plainly, advice = ALARMS.get(about, ("", "", ""))
    said = f"{wrong}: {shows or plainly}. {advice}" if wrong else ""
    return said.replace("{code}.", f"{code}.").replace("{code}", repr(code))


def _alarm(name: str, shows: str) -> Alarm:
    return Alarm(name, meaning(name, shows))


def _alarms(images_seen: int, spread: float, apart: float) -> list[Alarm]:
    alarms = []
    if images_seen >= COLLAPSE_AFTER and spread < COLLAPSED:
        alarms.append(_alarm("collapse", f"they differ {spread:.0%} as much as real images do"))
    if images_seen >= WON_AFTER and apart > WON:
        shows = (
            f"it tells {apart:.2%} of real and generated pairs apart, so the generator hears little"
        )
        alarms.append(_alarm("critic_won", shows))
    return alarms


def _far(share: float) -> str:
    return f"real images that it never saw lie {share:.0%} of the way from those it saw down to generated ones"


def _dead(name: str, ceiling: float) -> Alarm:
    shows = f"the recogniser reads less than {DEAD:.0%} of it (ceiling {ceiling:.2f})"
    return _alarm(f"dead_code/{name}", shows)
