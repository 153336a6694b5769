"""The MNIST tutorials' pair: upsampling and convolution in the generator, dropout in the critic; 28 to 64 px."""

from __future__ import annotations

from torch import Tensor, nn

from gander.backbones import grid
from gander.norms import ConditionalNorm, Dropout2d, SplitNorm

SIZES = (16, 64)
WIDTH = 64
NORM = "batch"
EPS = (
    0.8  # the tutorials write BatchNorm2d(features, 0.8): the second argument is eps, not momentum
)


class Generator(nn.Module):
    """One linear layer to a quarter of the size, then twice: double by repeating, convolve, normalise, LeakyReLU."""

    def __init__(
        self, latent: int, condition: int, shape: tuple[int, int, int], width: int
    ) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        self.base = grid(self.height, self.width, 2)
        wide = 2 * width
        self.enter = nn.Linear(latent, wide * self.base[0] * self.base[1])
        self.enter_norm = ConditionalNorm(wide, condition)
        self.convs = nn.ModuleList(
            [nn.Conv2d(wide, wide, 3, 1, 1), nn.Conv2d(wide, width, 3, 1, 1)]
        )
        self.norms = nn.ModuleList(
            [ConditionalNorm(wide, condition, EPS), ConditionalNorm(width, condition, EPS)]
        )
        self.leave = nn.Conv2d(width, channels, 3, 1, 1)
        _init(self)

    def forward(self, latent: Tensor, condition: Tensor) -> Tensor:
        x = self.enter_norm(self.enter(latent).unflatten(1, (-1, *self.base)), condition)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = nn.functional.interpolate(x, scale_factor=2)
            x = nn.functional.leaky_relu(norm(conv(x), condition), 0.2)
        images: Tensor = self.leave(x).tanh()[:, :, : self.height, : self.width]
        return images


class Trunk(nn.Module):
    """Four strided convolutions with LeakyReLU 0.2, dropout of whole maps 0.25 and, after the first, batch norm."""

    def __init__(self, channels: int, size: tuple[int, int], width: int, normed: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for after in (width // 4, width // 2, width, 2 * width):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.LeakyReLU(0.2), Dropout2d(0.25)]
            if normed and before != channels:
                layers.append(SplitNorm(after, EPS))
            before = after
        height, across = grid(*size, 4)
        self.features = before * height * across
        self.reader_hidden = 0
        self.layers = nn.Sequential(*layers, nn.Flatten())
        _init(self)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features


def _init(network: nn.Module) -> None:
    """Convolutions of deviation 0.02 and normalisation gains around one, as the tutorials."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, ConditionalNorm | SplitNorm):
            nn.init.normal_(module.gain, 1.0, 0.02)
