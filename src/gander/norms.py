"""Normalisations the players need: two that PyTorch does not have, and one put on layers of a network."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class ConditionalNorm(nn.Module):
    """Batch normalisation whose gain and offset are linear in a condition (de Vries et al., 2017).

    (B, F) or (B, F, H, W) and a condition (B, W) -> the same shape. With no condition (W = 0) it is batch normalisation.
    """

    def __init__(self, features: int, condition: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features, eps, affine=False)
        self.gain = nn.Parameter(torch.ones(features))
        self.offset = nn.Parameter(torch.zeros(features))
        self.steer = nn.Linear(condition, 2 * features, bias=False) if condition else None
        if self.steer is not None:
            nn.init.normal_(self.steer.weight, std=0.1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        norm = self.norm
        plain = self.steer is None
        normal = nn.functional.batch_norm(
            x,
            norm.running_mean,
            norm.running_var,
            self.gain if plain else None,
            self.offset if plain else None,
            training=self.training,
            momentum=norm.momentum or 0.0,
            eps=norm.eps,
        )
        if self.steer is None:
            return normal
        shape = (-1, x.shape[1]) + (1,) * (x.dim() - 2)
        gain, offset = self.steer(condition).chunk(2, dim=1)
        gain, offset = (self.gain + gain).view(shape), (self.offset + offset).view(shape)
        return torch.addcmul(offset, normal, gain.to(normal.dtype))


class SplitNorm(nn.Module):
    """Batch normalisation that never mixes real and generated images.

    A critic judges them in separate passes, so each batch is normalised by itself; here the running statistics are kept
    apart too, so that a single real image is later read under the statistics of real images (Chen et al.'s own code
    keeps two passes; Xie et al., 2020, keep two sets of statistics). (B, F, …) -> (B, F, …).
    """

    def __init__(self, features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))
        self.offset = nn.Parameter(torch.zeros(features))
        self.eps = eps
        self.real = False
        for domain in ("fake", "real"):
            self.register_buffer(f"{domain}_mean", torch.zeros(features))
            self.register_buffer(f"{domain}_var", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        domain = "real" if self.real else "fake"
        return nn.functional.batch_norm(
            x,
            self.get_buffer(f"{domain}_mean"),
            self.get_buffer(f"{domain}_var"),
            self.gain,
            self.offset,
            training=self.training,
            eps=self.eps,
        )


def look_at(network: nn.Module, real: bool) -> None:
    """Tells every ``SplitNorm`` of a critic which images come next."""
    for module in network.modules():
        if isinstance(module, SplitNorm):
            module.real = real


def spectral(modules: Iterable[nn.Module]) -> None:
    """Keeps the largest singular value of every linear layer and convolution among these at one (Miyato et al., 2018)."""
    for module in modules:
        if isinstance(module, nn.Linear | nn.Conv2d):
            spectral_norm(module)
