"""Residual blocks (the networks of Miyato & Koyama, 2018), 32 to 128 px."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from gander.backbones import grid, stages
from gander.norms import ConditionalNorm

SIZES = (32, 128)
WIDTH = 64
NORM = "spectral"
SMALLEST = 4
LARGEST_FACTOR = 8  # channels grow at most eightfold towards the small end


class Generator(nn.Module):
    """A linear layer to 4 x 4, then residual blocks that double the image; (conditional) batch norm and ReLU."""

    def __init__(
        self, latent: int, condition: int, shape: tuple[int, int, int], width: int
    ) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        doublings = stages(self.height, self.width, SMALLEST)
        self.base = grid(self.height, self.width, doublings)
        widths = [width * min(LARGEST_FACTOR, 2**i) for i in reversed(range(doublings + 1))]
        self.enter = nn.Linear(latent, widths[0] * self.base[0] * self.base[1])
        self.blocks = nn.ModuleList([Grow(a, b, condition) for a, b in pairwise(widths)])
        self.norm = ConditionalNorm(widths[-1], 0)
        self.leave = nn.Conv2d(widths[-1], channels, 3, 1, 1)

    def forward(self, latent: Tensor, condition: Tensor) -> Tensor:
        x = self.enter(latent).unflatten(1, (-1, *self.base))
        for block in self.blocks:
            x = block(x, condition)
        x = self.norm(x, condition[:, :0]).relu()
        images: Tensor = self.leave(x).tanh()[:, :, : self.height, : self.width]
        return images


class Grow(nn.Module):
    """(B, a, H, W) -> (B, b, 2H, 2W)"""

    def __init__(self, before: int, after: int, condition: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(
            [ConditionalNorm(before, condition), ConditionalNorm(after, condition)]
        )
        self.convs = nn.ModuleList(
            [nn.Conv2d(features, after, 3, 1, 1, bias=False) for features in (before, after)]
        )
        self.skip = nn.Conv2d(before, after, 1, bias=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = interpolate(self.norms[0](x, condition).relu(), scale_factor=2)
        h = self.convs[1](self.norms[1](self.convs[0](h), condition).relu())
        grown: Tensor = h + interpolate(self.skip(x), scale_factor=2)
        return grown


class Trunk(nn.Module):
    """Residual blocks that halve the image, then the sum over what is left; no normalisation but the weights'."""

    def __init__(self, channels: int, size: tuple[int, int], width: int, normed: bool) -> None:
        super().__init__()
        halvings = stages(*size, SMALLEST)
        widths = [width * min(LARGEST_FACTOR, 2**i) for i in range(halvings)]
        self.blocks = nn.ModuleList(
            [
                Shrink(a, b, first=i == 0)
                for i, (a, b) in enumerate(zip([channels, *widths], widths, strict=False))
            ]
        )
        self.features = widths[-1]
        self.reader_hidden = 128

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for block in self.blocks:
            x = block(x)
        features: Tensor = (
            x.relu().mean((2, 3)) * 4.0
        )  # a mean is blind to the size; four keeps its scale
        return features


class Shrink(nn.Module):
    """(B, a, H, W) -> (B, b, H/2, W/2), rounded up; the first block does not begin with a ReLU."""

    def __init__(self, before: int, after: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.convs = nn.ModuleList(
            [nn.Conv2d(before, after, 3, 1, 1), nn.Conv2d(after, after, 3, 1, 1)]
        )
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.convs[1](self.convs[0](x if self.first else x.relu()).relu())
        shrunk: Tensor = _halve(h) + self.skip(_halve(x))
        return shrunk


def _halve(x: Tensor) -> Tensor:
    return avg_pool2d(x, 2, ceil_mode=True)
