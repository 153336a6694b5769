"""How a game is going, in numbers and in plain words: what each code carries, and what looks wrong."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gander.data import Data
from gander.images import to_unit
from gander.model import Model

SAMPLE = 256  # images looked at
COLLAPSED = 0.3  # of the spread of real images, below which samples count as collapsed
WON = 0.9995  # of the pairs (real, fake) told apart, above which the critic has won
DEAD = 0.05  # of its ceiling, below which a code carries nothing
COLLAPSE_AFTER, WON_AFTER, DEAD_AFTER = 30_000, 50_000, 50_000  # images seen before each is said


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
    """diversity: spread of the samples over that of real images; told_apart: share of (real, fake) pairs in order."""
    alarms: tuple[Alarm, ...]


@torch.no_grad()
def examine(model: Model, data: Data, images_seen: int) -> Check:
    """Draws at fixed seeds with the averaged generator and asks the critic; changes nothing."""
    spec, device = model.spec, model.device
    critic = model.critic
    assert critic is not None
    values = {k: v.to(device) for k, v in spec.draw_at(range(SAMPLE)).items()}
    fake = model.generator(values)
    rows = torch.linspace(0, len(data) - 1, min(SAMPLE, len(data))).long()  # all through the set
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
    alarms += [
        _dead(name, ceilings[name])
        for name, value in information.items()
        if images_seen >= DEAD_AFTER and value < DEAD * ceilings[name]
    ]
    rounded = {name: round(value, 4) for name, value in information.items()}
    return Check(rounded, {k: round(v, 4) for k, v in ceilings.items()}, signs, tuple(alarms))


def _alarms(images_seen: int, spread: float, apart: float) -> list[Alarm]:
    alarms = []
    if images_seen >= COLLAPSE_AFTER and spread < COLLAPSED:
        alarms.append(
            Alarm(
                "collapse",
                f"the samples have collapsed: they differ {spread:.0%} as much as real images do. Try a "
                f"lower generator_rate, a penalty (--set r1=1) or a larger batch.",
            )
        )
    if images_seen >= WON_AFTER and apart > WON:
        alarms.append(
            Alarm(
                "critic_won",
                f"the critic has won: it tells {apart:.2%} of real and generated pairs apart, so the "
                f"generator hears little. Try a lower critic_rate or a penalty (--set r1=1).",
            )
        )
    return alarms


def _dead(name: str, ceiling: float) -> Alarm:
    return Alarm(
        f"dead_code/{name}",
        f"code {name!r} is dead: the recogniser reads less than {DEAD:.0%} of it (ceiling {ceiling:.2f}). "
        f"Try a larger weight (--set {name}.recognised=…) or fewer codes.",
    )
