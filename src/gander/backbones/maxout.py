"""Maxout with dropout in the critic, ReLU in the generator: the networks of 2014 (Goodfellow et al.; Mirza & Osindero), 16 to 64 px.

``width`` is the critic's; the papers' is 240, and all else follows from it. The label of Mirza & Osindero has a hidden layer of its own in both
networks: a code that is ``shown = "hidden"``. Inputs are scaled as theirs: a uniform code to unit variance, pixels to [0, 1], so that a dropped
one is black. Weights begin uniform and offsets at zero, also that of the image, which theirs had from the mean of each pixel: here a network
is built without data. The judge's one layer begins as the house's critics do.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gander.norms import Dropout

SIZES = (16, 64)
WIDTH = 240
NORM = "none"
KEPT_PIXELS, KEPT = 0.8, 0.5  # the share of a layer's inputs that dropout keeps


class Generator(nn.Module):
    """Two layers of ReLU, 5 x ``width`` units, under a logistic output.

    With a condition its own hidden layer is five sixths of the first, the noise's the sixth that is left, and hidden units drop out.
    """

    def __init__(
        self, latent: int, condition: int, shape: tuple[int, int, int], width: int
    ) -> None:
        super().__init__()
        self.shape = shape
        wide = 5 * width
        own = 5 * wide // 6 if condition else 0
        self.enter = _linear(latent, wide - own, 0.05)
        self.beside = _linear(condition, own, 0.05) if condition else None
        self.middle = _linear(wide, wide, 0.05)
        self.leave = _linear(wide, math.prod(shape), 0.05)
        self.drop = Dropout(1 - KEPT if condition else 0.0)

    def forward(self, latent: Tensor, condition: Tensor) -> Tensor:
        x = self.enter(latent * math.sqrt(3))
        if self.beside is not None:
            x = torch.cat([x, self.beside(condition)], dim=1)
        x = self.drop(x.relu())
        x = self.drop(self.middle(x).relu())
        images: Tensor = (self.leave(x) / 2).tanh()  # the logistic function, from -1 to 1
        return images.view(-1, *self.shape)


class Maxout(nn.Module):
    """The largest of so many linear pieces, unit by unit (Goodfellow et al., 2013): (B, F) -> (B, ``units``). Inputs drop out."""

    def __init__(self, features: int, units: int, pieces: int, kept: float) -> None:
        super().__init__()
        self.pieces = pieces
        self.drop = Dropout(1 - kept)
        self.linear = _linear(features, units * pieces, 0.005)

    def forward(self, x: Tensor) -> Tensor:
        pieces: Tensor = self.linear(self.drop(x)).unflatten(1, (self.pieces, -1))
        return pieces.amax(1)


class Joint(nn.Module):
    """The critic's second layer: maxout of the trunk's features and of a condition's own hidden layer."""

    def __init__(self, features: int, condition: int) -> None:
        super().__init__()
        self.features = features
        own = -(-5 * features // 24) if condition else 0
        self.beside = Maxout(condition, own, 5, 1.0) if condition else None
        self.both = Maxout(features + own, features, 4 if condition else 5, KEPT)
        self.drop = Dropout(1 - KEPT)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        if self.beside is not None:
            features = torch.cat([features, self.beside(condition)], dim=1)
        joined: Tensor = self.drop(self.both(features))
        return joined


class Trunk(nn.Module):
    """One layer of maxout, ``width`` units; the second is ``Joint``, for the judge alone."""

    Joint = Joint

    def __init__(self, channels: int, size: tuple[int, int], width: int, normed: bool) -> None:
        super().__init__()
        self.features = width
        self.reader_hidden = 128
        self.layer = Maxout(channels * size[0] * size[1], width, 5, KEPT_PIXELS)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layer((images.flatten(1) + 1) / 2)
        return features


def _linear(features: int, units: int, most: float) -> nn.Linear:
    """A linear layer whose weights begin uniform in ± ``most`` and whose offsets are zero."""
    layer = nn.Linear(features, units)
    nn.init.uniform_(layer.weight, -most, most)
    nn.init.zeros_(layer.bias)
    return layer
