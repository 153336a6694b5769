"""The InfoGAN of the MNIST tutorials in plain PyTorch, as fast as that recipe is: what gander's speed is compared with.

Written here from the recipe's published numbers. Every sample is a Pillow image when it is read, resized where its size differs, made a
tensor and normalised, one by one in the process that trains (``DataLoader`` without workers). The generator is a linear layer,
then twice upsampling and a convolution of 128 and 64 maps; the critic four strided convolutions of 16, 32, 64 and 128 maps
with dropout of whole maps; both normalise by batches. Noise of 62, ten categories as one-hot and two uniforms enter. Least squares,
three Adam optimisers of 2e-4 (0.5, 0.999): critic, generator, and a third over both that takes the information loss, binary cross-entropy on the
softmax element by element plus 0.2 times the squared error. Eager, fp32, the number of threads that PyTorch chooses.

An image counts when it, a real one, has gone through the critic's step. Nothing is held back: the critic's step has the
fakes detached, they are drawn without a graph where the generator does not move, and no loss is printed nor picture written while the clock runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from gander import rng
from gander.errors import UseError

NOISE, CATEGORIES, KNOBS = 62, 10, 2
SLOPE, DROPOUT = 0.2, 0.25
EPS = 0.8  # the tutorials' BatchNorm2d(features, 0.8): the second argument is eps
RATE, BETAS = 2e-4, (0.5, 0.999)
SQUARED_ERROR = 0.2  # its weight in the information loss


@dataclass(frozen=True)
class Recipe:
    """The numbers in which the variants of the recipe differ."""

    about: str
    batch: int
    size: int
    """Side of the images in px; 0 is that of the data."""
    generator_every: int
    """Critic steps for each step of the generator."""


RECIPES = {
    "tutorial": Recipe("batch 32, the generator moves every second step", 32, 0, 2),
    "script": Recipe("as public scripts have it: batch 64, 32 px, both move every step", 64, 32, 1),
}


class Digits(Dataset[Tensor]):
    """Rows (N, H, W) or (N, H, W, 3) uint8, read one at a time as (C, S, S) float in [-1, 1]."""

    def __init__(self, rows: np.ndarray, size: int) -> None:
        self.rows, self.size = rows, (size, size)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Tensor:
        picture = Image.fromarray(self.rows[index])
        if picture.size != self.size:
            picture = picture.resize(self.size, Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(picture))
        planes = pixels.unsqueeze(0) if pixels.dim() == 2 else pixels.permute(2, 0, 1)
        return planes.contiguous().float().div_(255).sub_(0.5).div_(0.5)


class Generator(nn.Module):
    """(B, 74) -> (B, C, S, S) in [-1, 1]."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.base = size // 4
        self.enter = nn.Linear(NOISE + CATEGORIES + KNOBS, 128 * self.base**2)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(128),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 128, 3, padding=1),
            nn.BatchNorm2d(128, EPS),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 64, 3, padding=1),
            nn.BatchNorm2d(64, EPS),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(64, channels, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, codes: Tensor) -> Tensor:
        images: Tensor = self.layers(self.enter(codes).view(-1, 128, self.base, self.base))
        return images


class Critic(nn.Module):
    """(B, C, S, S) -> verdict (B, 1), category probabilities (B, 10), knobs (B, 2)."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for after in (16, 32, 64, 128):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1)]
            layers += [nn.LeakyReLU(SLOPE, inplace=True), nn.Dropout2d(DROPOUT)]
            if before != channels:
                layers += [nn.BatchNorm2d(after, EPS)]
            before = after
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        features = 128 * (-(-size // 16)) ** 2
        self.verdict = nn.Linear(features, 1)
        self.category = nn.Sequential(nn.Linear(features, CATEGORIES), nn.Softmax(dim=1))
        self.knobs = nn.Linear(features, KNOBS)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen = self.trunk(images)
        return self.verdict(seen), self.category(seen), self.knobs(seen)


@dataclass
class Lesson:
    """A recipe under way: networks, three optimisers, and the endless shuffled batches."""

    recipe: Recipe
    generator: Generator
    critic: Critic
    optimisers: dict[str, torch.optim.Adam]
    batches: Iterator[Tensor]
    device: torch.device
    square: nn.MSELoss = field(default_factory=nn.MSELoss)
    entropy: nn.BCELoss = field(default_factory=nn.BCELoss)
    steps: int = 0


def begin(
    recipe: Recipe, rows: np.ndarray, size: int, device: torch.device, seed: int = 0
) -> Lesson:
    """Fresh networks for images of ``size`` px, to learn from rows (N, H, W[, 3]) uint8. Raises ``UseError`` for what they cannot."""
    if size % 4 or size < 16:
        raise UseError(
            f"the tutorial's networks draw images of a multiple of 4 px, at least 16, given {size}; say --sizes 28."
        )
    if len(rows) < recipe.batch:
        raise UseError(
            f"the tutorial takes {recipe.batch} images a step, and the data have {len(rows):,}."
        )
    rng.seed_torch(seed, "tutorial", 0)
    channels = 1 if rows.ndim == 3 else rows.shape[3]
    generator, critic = Generator(channels, size).to(device), Critic(channels, size).to(device)
    both = chain(generator.parameters(), critic.parameters())
    optimisers = {
        "generator": torch.optim.Adam(generator.parameters(), lr=RATE, betas=BETAS),
        "critic": torch.optim.Adam(critic.parameters(), lr=RATE, betas=BETAS),
        "information": torch.optim.Adam(both, lr=RATE, betas=BETAS),
    }
    loader = DataLoader(
        Digits(rows, size), recipe.batch, shuffle=True, num_workers=0, drop_last=True
    )
    batches = chain.from_iterable(iter(loader) for _ in iter(int, 1))
    return Lesson(recipe, generator, critic, optimisers, batches, device)


def step(lesson: Lesson) -> int:
    """One batch of the recipe; returns how many real images the critic saw."""
    generator, critic, square = lesson.generator, lesson.critic, lesson.square
    real = next(lesson.batches).to(lesson.device)
    count = len(real)
    lesson.steps += 1
    valid = torch.ones(count, 1, device=lesson.device)
    fake = torch.zeros(count, 1, device=lesson.device)
    moves = lesson.steps % lesson.recipe.generator_every == 0
    with torch.set_grad_enabled(moves):
        drawn = generator(torch.cat(draw(count, lesson.device), 1))
    if moves:
        lesson.optimisers["generator"].zero_grad()
        square(critic(drawn)[0], valid).backward()
        lesson.optimisers["generator"].step()

    lesson.optimisers["critic"].zero_grad()
    on_real, on_fake = critic(real)[0], critic(drawn.detach())[0]
    ((square(on_real, valid) + square(on_fake, fake)) / 2).backward()
    lesson.optimisers["critic"].step()

    lesson.optimisers["information"].zero_grad()
    noise, category, knobs = draw(count, lesson.device)
    _, read_category, read_knobs = critic(generator(torch.cat((noise, category, knobs), 1)))
    information = lesson.entropy(read_category, category)
    (information + SQUARED_ERROR * square(read_knobs, knobs)).backward()
    lesson.optimisers["information"].step()
    return count


def draw(count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Noise (B, 62), one-hot categories (B, 10) and two uniforms (B, 2)."""
    chosen = torch.randint(CATEGORIES, (count,), device=device)
    category = nn.functional.one_hot(chosen, CATEGORIES).float()
    knobs = torch.rand(count, KNOBS, device=device) * 2 - 1
    return torch.randn(count, NOISE, device=device), category, knobs
