"""Penalties on the critic's slope, which keep the game stable.

A penalty is ``(score, real, fake) -> scalar`` where ``score(images, of_real)`` gives logits (B,). All are exact second-order
terms: the gradient is taken with ``create_graph`` so that the critic learns from its own slope.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gander import ranks

Score = Callable[[Tensor, bool], Tensor]
"""(images (B, C, H, W), whether they are real) -> logits (B,)"""
Penalty = Callable[[Score, Tensor, Tensor], Tensor]


def slope(score: Score, images: Tensor, of_real: bool) -> Tensor:
    """The gradient of each image's logit with respect to the image, (B, C, H, W)."""
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(score(images, of_real).sum(), images, create_graph=True)
    return gradient


def r1(score: Score, real: Tensor, fake: Tensor) -> Tensor:
    """½ E|∇D(x)|² on real images (Mescheder et al., 2018)."""
    return 0.5 * ranks.average(slope(score, real, True).square().flatten(1).sum(1))


def r2(score: Score, real: Tensor, fake: Tensor) -> Tensor:
    """½ E|∇D(x̃)|² on generated images (Mescheder et al., 2018)."""
    return 0.5 * ranks.average(slope(score, fake.to(real.dtype), False).square().flatten(1).sum(1))


def gradient(score: Score, real: Tensor, fake: Tensor) -> Tensor:
    """E(|∇D(x̂)| - 1)² between real and fake (Gulrajani et al., 2017)."""
    mix = ranks.drawn(lambda rows: torch.rand(rows, 1, 1, 1, device=real.device), len(real))
    steep = slope(score, torch.lerp(real, fake.to(real.dtype), mix), False).flatten(1).norm(dim=1)
    return ranks.average((steep - 1).square())


PENALTIES: dict[str, Penalty] = {"r1": r1, "r2": r2, "gradient": gradient}
