"""Layers that look at a whole batch: normalisations and dropout, right also where a batch is spread over processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gander import ranks


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
        assert norm.running_mean is not None and norm.running_var is not None
        normal = batch_norm(
            x,
            (norm.running_mean, norm.running_var),
            (self.gain, self.offset) if plain else (None, None),
            self.training,
            norm.eps,
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
        self.taking = 0.0
        """Within ``settling``: the share of the kept statistics that those of the next batch replace."""
        for domain in ("fake", "real"):
            self.register_buffer(f"{domain}_mean", torch.zeros(features))
            self.register_buffer(f"{domain}_var", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        domain = "real" if self.real else "fake"
        running = self.get_buffer(f"{domain}_mean"), self.get_buffer(f"{domain}_var")
        affine = self.gain, self.offset
        if self.taking:
            return nn.functional.batch_norm(x, *running, *affine, True, self.taking, self.eps)
        return batch_norm(x, running, affine, self.training, self.eps)


def batch_norm(
    x: Tensor,
    running: tuple[Tensor, Tensor],
    affine: tuple[Tensor | None, Tensor | None],
    training: bool,
    eps: float,
    momentum: float = 0.1,
) -> Tensor:
    """PyTorch's, with the statistics of a batch that is spread over processes where it is: (B, F, …) -> the same shape.

    One exchange each time it is computed: the means and the spreads of all are put together (Chan et al., 1979).
    """
    if not training or ranks.group().size == 1:
        return nn.functional.batch_norm(x, *running, *affine, training, momentum, eps)
    across = [0, *range(2, x.dim())]
    shape = (1, -1, *[1] * (x.dim() - 2))
    exact = x if x.dtype == torch.float64 else x.float()
    own = exact.mean(across)
    spread = (exact - own.view(shape)).square().sum(across)
    # a process may hold no row of those that are looked at
    count = exact.new_full((1,), x.numel() / max(1, x.shape[1]))
    own = torch.where(count > 0, own, torch.zeros_like(own))
    several = ranks.all_gather(torch.cat([count, own, spread]))
    counts, means, spreads = several[:, :1], several[:, 1 : 1 + len(own)], several[:, -len(own) :]
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    variance = (spreads + counts * (means - mean).square()).sum(0) / total
    with torch.no_grad():
        running[0].lerp_(mean.to(running[0].dtype), momentum)
        unbiased = variance * (total / (total - 1).clamp_min(1))
        running[1].lerp_(unbiased.to(running[1].dtype), momentum)
    normal = (exact - mean.view(shape)) * (variance + eps).rsqrt().view(shape)
    gain, offset = affine
    if gain is not None and offset is not None:
        normal = torch.addcmul(offset.view(shape), normal, gain.view(shape))
    same: Tensor = normal.to(x.dtype)
    return same


def look_at(network: nn.Module, real: bool) -> None:
    """Tells every ``SplitNorm`` of a critic which images come next."""
    for module in network.modules():
        if isinstance(module, SplitNorm):
            module.real = real


@contextmanager
def settling(network: nn.Module, batch: int) -> Iterator[None]:
    """Within, every ``SplitNorm`` normalises by the batch it is shown, and what it keeps is the mean over such batches; ``batch`` is which, from 0 on.

    The rest of the network is as it was, and no other process is asked: each computes the same.
    """
    norms = [module for module in network.modules() if isinstance(module, SplitNorm)]
    for norm in norms:
        norm.taking = 1 / (batch + 1)
    try:
        yield
    finally:
        for norm in norms:
            norm.taking = 0.0


def spectral(modules: Iterable[nn.Module]) -> None:
    """Keeps the largest singular value of every linear layer and convolution among these at one (Miyato et al., 2018)."""
    for module in modules:
        if isinstance(module, nn.Linear | nn.Conv2d):
            spectral_norm(module)


class Dropout(nn.Dropout):
    """PyTorch's; of a batch that is spread over processes what is dropped is what one process would have dropped."""

    MAPS = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or ranks.group().size == 1 or not self.p:
            drop = nn.functional.dropout2d if self.MAPS else nn.functional.dropout
            return drop(x, self.p, self.training, self.inplace)
        shape = (*x.shape[1:2], *[1] * (x.dim() - 2)) if self.MAPS else x.shape[1:]
        last = x.dim() == 4 and not self.MAPS and x.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format

        def kept(rows: int) -> Tensor:
            noise = torch.empty(rows, *shape, dtype=x.dtype, device=x.device, memory_format=layout)
            return noise.bernoulli_(1 - self.p).div_(1 - self.p)

        return x * ranks.drawn(kept, len(x))


class Dropout2d(Dropout):
    """The same of whole maps."""

    MAPS = True
