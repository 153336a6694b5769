"""Fully connected layers: the network of the first GAN tutorials, for images up to 64 px."""

from __future__ import annotations

import math

from torch import Tensor, nn

from gander.norms import ConditionalNorm

SIZES = (4, 64)
WIDTH = 256
NORM = "none"


class Generator(nn.Module):
    """Three linear layers with ReLU; a condition enters by normalisation of the hidden ones."""

    def __init__(
        self, latent: int, condition: int, shape: tuple[int, int, int], width: int
    ) -> None:
        super().__init__()
        self.shape = shape
        self.enter = nn.Linear(latent, width, bias=not condition)
        self.middle = nn.Linear(width, width, bias=not condition)
        self.leave = nn.Linear(width, math.prod(shape))
        self.norms = nn.ModuleList(
            [ConditionalNorm(width, condition) for _ in range(2)] if condition else []
        )

    def forward(self, latent: Tensor, condition: Tensor) -> Tensor:
        x = latent
        for i, layer in enumerate((self.enter, self.middle)):
            x = layer(x)
            if self.norms:
                x = self.norms[i](x, condition)
            x = x.relu()
        images: Tensor = self.leave(x).tanh().view(-1, *self.shape)
        return images


class Trunk(nn.Module):
    """Two linear layers with LeakyReLU; the critic's head is the third."""

    def __init__(self, channels: int, size: tuple[int, int], width: int, normed: bool) -> None:
        super().__init__()
        self.features = width
        self.reader_hidden = 128
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * size[0] * size[1], width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
        )

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features
