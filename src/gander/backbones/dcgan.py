"""Strided convolutions (Radford et al., 2015; the InfoGAN authors' MNIST networks at half width), 28 to 64 px."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from gander.backbones import grid, stages
from gander.norms import ConditionalNorm, SplitNorm

SIZES = (16, 64)
WIDTH = 32
NORM = "batch"
HIDDEN = 16  # units of the fully connected layer, in widths: 1024 for the authors' 64


class Generator(nn.Module):
    """Two linear layers, then transposed convolutions that double the image; ReLU and (conditional) batch norm."""

    def __init__(
        self, latent: int, condition: int, shape: tuple[int, int, int], width: int
    ) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        doublings = max(1, stages(self.height, self.width))
        self.base = grid(self.height, self.width, doublings)
        inside = [width * 2**i for i in reversed(range(doublings))]
        hidden = HIDDEN * width
        self.enter = nn.Linear(latent, hidden, bias=False)
        self.enter_norm = ConditionalNorm(hidden, condition)
        self.spread = nn.Linear(hidden, inside[0] * self.base[0] * self.base[1], bias=False)
        self.norms = nn.ModuleList([ConditionalNorm(w, condition) for w in inside])
        self.ups = nn.ModuleList(
            [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False) for a, b in pairwise(inside)]
        )
        self.ups.append(nn.ConvTranspose2d(inside[-1], channels, 4, 2, 1))
        _init(self)

    def forward(self, latent: Tensor, condition: Tensor) -> Tensor:
        x = self.enter_norm(self.enter(latent), condition).relu()
        # channels last, as the convolutions like it: a view instead of a copy, forward and back
        x = self.spread(x).unflatten(1, (*self.base, -1)).permute(0, 3, 1, 2)
        for norm, up in zip(self.norms, self.ups, strict=True):
            x = up(norm(x, condition).relu())
        images: Tensor = x[:, :, : self.height, : self.width].tanh()
        return images


class Trunk(nn.Module):
    """Convolutions that halve the image, then one linear layer; LeakyReLU of slope 0.1."""

    def __init__(self, channels: int, size: tuple[int, int], width: int, normed: bool) -> None:
        super().__init__()
        halvings = max(1, stages(*size))
        height, across = grid(*size, halvings)
        layers: list[nn.Module] = []
        before = channels
        for i in range(halvings):
            after = width * 2**i
            norm = normed and i > 0
            # padding 1 rounds an odd side down, 2 rounds it up: the sizes match grid()
            layers.append(_Halve(before, after, bias=not norm))
            if norm:
                layers.append(SplitNorm(after))
            layers.append(nn.LeakyReLU(0.1))
            before = after
        self.features = HIDDEN * width
        self.reader_hidden = 128
        layers += [
            _Flatten(),
            nn.Linear(before * height * across, self.features, bias=not normed),
        ]
        if normed:
            layers.append(SplitNorm(self.features))
        self.layers = nn.Sequential(*layers, nn.LeakyReLU(0.1))
        _init(self)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features


class _Flatten(nn.Module):
    """(B, C, H, W) -> (B, H·W·C), channels last: what the convolutions leave in memory, as it lies there."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


class _Halve(nn.Conv2d):
    """A 4 x 4 convolution of stride 2 whose output is half the input, rounded up."""

    def __init__(self, before: int, after: int, bias: bool) -> None:
        super().__init__(before, after, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        odd = (0, x.shape[3] % 2, 0, x.shape[2] % 2)
        return super().forward(nn.functional.pad(x, odd) if any(odd) else x)


def _init(network: nn.Module) -> None:
    """Normal weights of deviation 0.02, as the DCGAN and InfoGAN authors."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, ConditionalNorm) and module.steer is not None:
            nn.init.normal_(module.steer.weight, std=0.1)
