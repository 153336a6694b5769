"""Two-player objectives over logits: what the critic and the generator each want.

Losses are per sample, (B,), from logits (B,); probabilities never cross a boundary, so nothing saturates or takes the
logarithm of a rounded zero. An entry in ``OBJECTIVES`` is the setting, the listing and the law tests of an objective.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import relu, softplus


class Objective(NamedTuple):
    """A two-player game over logits; both losses are minimised."""

    critic: Callable[[Tensor, Tensor], Tensor]
    """(fake, real) -> (B,)"""
    generator: Callable[[Tensor, Tensor], Tensor]
    """(fake, real) -> (B,); ``real`` is empty unless ``paired``"""
    about: str
    middle: float | None = None
    """The logit halfway between what real and generated images shall score; None where only differences of logits count."""
    paired: bool = False
    """Whether the generator's loss needs the critic's view of real images."""


OBJECTIVES: dict[str, Objective] = {
    "minimax": Objective(
        critic=lambda fake, real: softplus(fake) + softplus(-real),  # -log(1 - D(x̃)) - log D(x)
        generator=lambda fake, real: -softplus(fake),  # log(1 - D(x̃))
        about="the zero-sum game; the generator's gradient fades as the critic wins (Goodfellow et al., 2014)",
        middle=0.0,
    ),
    "nonsaturating": Objective(
        critic=lambda fake, real: softplus(fake) + softplus(-real),
        generator=lambda fake, real: softplus(-fake),  # -log D(x̃)
        about="the generator maximises log D instead; the usual choice (Goodfellow et al., 2014)",
        middle=0.0,
    ),
    "least-squares": Objective(
        critic=lambda fake, real: 0.5 * (fake.square() + (real - 1).square()),
        generator=lambda fake, real: 0.5 * (fake - 1).square(),
        about="targets 0, 1 and 1 under squared error (Mao et al., 2017)",
        middle=0.5,
    ),
    "hinge": Objective(
        critic=lambda fake, real: relu(1 + fake) + relu(1 - real),
        generator=lambda fake, real: -fake,
        about="margins of one (Lim & Ye, 2017; Miyato et al., 2018)",
        middle=0.0,
    ),
    "wasserstein": Objective(
        critic=lambda fake, real: fake - real,
        generator=lambda fake, real: -fake,
        about="the dual of the earth mover's distance; needs a gradient penalty (Arjovsky et al., 2017)",
    ),
    "relativistic": Objective(
        critic=lambda fake, real: softplus(fake - real),
        generator=lambda fake, real: softplus(real - fake),
        about="real beside fake, pair by pair (Jolicoeur-Martineau, 2018; Huang et al., 2024)",
        paired=True,
    ),
}
