"""The judge: a network of the data's own domain, trained on real images alone, that says what an image shows.

It never sees a generated image, so what it says of them is independent of the game. It is a function of the data's fingerprint
and its own settings, is kept in the cache as safetensors, and states its accuracy on the real test split, the ceiling
of everything measured with it. Where nothing is recorded about the images it learns to tell them apart instead (Chen et al., 2020), so
that its features still know the domain.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gander import engine, rng, weights
from gander.data import Column, Data, taken
from gander.errors import RunError
from gander.images import to_unit

VERSION = 8
BATCH, STEPS = 128, 600
FURTHER = 1400 / 600  # times as many steps again where so few were not enough
ENOUGH = {"class": 0.998, "number": 0.95, "view": 0.9}
"""Accuracy, R² and share of views found, on training images, with which so few steps are enough."""
LEAST_STEPS, EPOCHS = 100, 100  # a few images are known by heart in fewer steps
CHECKED = 2000  # training images this is asked of
RATE = 3e-3
SMOOTHING = 0.05  # of class labels
CHUNK = 500
FEATURES = 256
VIEW = 64  # numbers of a view's direction, where nothing is recorded
TEMPERATURE = 0.2  # of the contest between views
CONTEST = 1000  # test images among which a view must find its own
MOVED = (0.17, 0.1, 0.1, 2.0)
"""Turn (radians), stretch, slant and shift (pixels) of a view of an image of which only the class is to be named; where a number is
recorded, as its place or its slant, images stay as they are."""
PLAYED = (0.26, 0.25, 0.15, 3.0)
"""The same for telling images apart."""
GRAIN = 0.2
"""Standard deviation of the strongest noise, where black is -1 and white 1."""


@dataclass(frozen=True)
class Head:
    """One column the judge can name: a class, or a number with the mean and deviation it is scaled by."""

    column: str
    classes: int  # 0 for a number
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def width(self) -> int:
        return self.classes or 1


class Judge(nn.Module):
    """Images (B, C, H, W) in [-1, 1] -> what every recorded column is thought to be."""

    def __init__(self, shape: tuple[int, int, int], heads: tuple[Head, ...]) -> None:
        super().__init__()
        self.heads = heads
        channels, height, width = shape
        layers: list[nn.Module] = []
        side = (height, width)
        for before, after, stride in (
            (channels, 32, 2),
            (32, 64, 1),
            (64, 64, 2),
            (64, 128, 2),
        ):
            layers += [
                nn.Conv2d(before, after, 3, stride, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
            side = (-(-side[0] // stride), -(-side[1] // stride))
        layers += [nn.Flatten(), nn.Linear(128 * side[0] * side[1], FEATURES), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.out = nn.Linear(FEATURES, sum(head.width for head in heads) or VIEW)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """What is said of each column, (B, classes) or (B, 1), before softmax and scaling."""
        said: Tensor = self.out(self.trunk(images)).float()
        parts = torch.split(said, [head.width for head in self.heads], 1)
        return {head.column: part for head, part in zip(self.heads, parts, strict=True)}

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 -> the last hidden layer, (N, 256) float32."""
        self.eval()
        parts = [self.trunk(to_unit(batch)).float() for batch in torch.split(images, CHUNK)]
        return torch.cat(parts)

    @torch.no_grad()
    def name(self, images: Tensor) -> dict[str, Tensor]:
        """(N, C, H, W) uint8 -> column -> class (N,) int64, or number (N,) in the column's unit."""
        self.eval()
        parts: dict[str, list[Tensor]] = {head.column: [] for head in self.heads}
        for batch in torch.split(images, CHUNK) if self.heads else ():
            for column, said in self(to_unit(batch)).items():
                parts[column].append(said)
        named = {}
        for head in self.heads:
            said = torch.cat(parts[head.column])
            named[head.column] = (
                said.argmax(1) if head.classes else said[:, 0] * head.deviation + head.mean
            )
        return named

    def tested(self, data: Data) -> dict[str, str]:
        """How well it does on real images it did not learn from, column by column, in words."""
        if not self.heads:
            among = min(CONTEST, len(data))
            return {"finds an image among": f"{among:,} by a view of it: {self.found(data):.4f}"}
        sort = {head.column: "" if head.classes else "R² " for head in self.heads}
        return {name: f"{sort[name]}{score:.4f}" for name, score in self.scores(data).items()}

    def scores(self, data: Data) -> dict[str, float]:
        """Column -> accuracy, or R² for a number, over the labelled rows; 0 where there is none."""
        said, scores = self.name(data.images), {}
        for head in self.heads:
            column = data.columns[head.column]
            truth, answer = column.values[column.known], said[head.column][column.known]
            if not len(truth):
                scores[head.column] = 0.0
            elif head.classes:
                scores[head.column] = float((answer == truth).double().mean())
            else:
                spread = float((truth.double() - truth.double().mean()).square().mean())
                error = float((answer - truth).double().square().mean())
                scores[head.column] = 1 - error / spread if spread > 0 else 0.0
        return scores

    @torch.no_grad()
    def found(self, data: Data) -> float:
        """The share of images whose one view is the nearest to the other, among ``CONTEST`` others."""
        self.eval()
        images = to_unit(data.images[:CONTEST])
        one, other = (
            F.normalize(self.out(self.trunk(view(images, "judge/tested", k, PLAYED))).float())
            for k in range(2)
        )
        return float(((one @ other.T).argmax(1) == torch.arange(len(one))).double().mean())


def heads_of(data: Data) -> tuple[Head, ...]:
    """What can be judged: every class and number that varies."""
    heads = []
    for name, column in data.columns.items():
        if column.sort == "categorical" and len(column.names) > 1:
            heads.append(Head(name, len(column.names)))
        elif column.sort == "continuous" and (known := column.values[column.known]).numel():
            deviation = float(known.double().std(unbiased=False))
            if deviation > 0:
                heads.append(Head(name, 0, float(known.double().mean()), deviation))
    return tuple(heads)


def judge_of(data: Data) -> Judge:
    """The judge of a training split, from the cache or trained now."""
    judge = _fresh(data)
    digest = hashlib.sha256(recipe(data.fingerprint).encode()).hexdigest()[:32]
    path = cache() / "judges" / f"{digest}.safetensors"
    if path.is_file():
        with contextlib.suppress(RunError, RuntimeError):  # a damaged one is trained again
            judge.load_state_dict(weights.read(path)[0])
            return judge.eval()
    judge = train_judge(data)
    with contextlib.suppress(RunError):  # a cache that cannot be written costs time, not the answer
        weights.write(path, dict(judge.state_dict()), {"data": data.name, "version": VERSION})
    return judge


def recipe(fingerprint: str) -> str:
    """All that a judge of the data with that fingerprint depends on."""
    return f"{VERSION}/{BATCH}/{STEPS}/{RATE}/{fingerprint}"


def cache() -> Path:
    """Where what can be made again is kept: ``$GANDER_CACHE``, else ~/.cache/gander."""
    return Path(os.environ.get("GANDER_CACHE") or Path.home() / ".cache" / "gander")


# ---------------------------------------------------------------------- learning
def train_judge(data: Data) -> Judge:
    """A judge of these images, trained now: Adam under a one-cycle rate; everything random is a function of the step.

    Easy images are known after ``STEPS``; others get a second, longer cycle.
    """
    judge = _fresh(data)
    judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = min(STEPS, max(LEAST_STEPS, EPOCHS * len(data) // BATCH))
    threads = torch.get_num_threads()
    try:  # one thread: two round otherwise, and make so small a network little faster
        _cycle(judge, data, 0, steps)
        if not _knows(judge, data):
            _cycle(judge, data, steps, round(FURTHER * steps))
    finally:
        torch.set_num_threads(threads)
    # As read from a file: weights that lie otherwise in memory round otherwise.
    laid = _fresh(data)
    laid.load_state_dict(judge.state_dict())
    return laid.eval()


def _knows(judge: Judge, data: Data) -> bool:
    """Whether it has learned what there is to learn, by some of its own training images."""
    some = taken(data, slice(CHECKED))
    if not judge.heads:
        return judge.found(some) >= ENOUGH["view"]
    score = judge.scores(some)
    return all(
        score[head.column] >= ENOUGH["class" if head.classes else "number"] for head in judge.heads
    )


def _cycle(judge: Judge, data: Data, first: int, steps: int) -> None:
    """So many steps under a rate that rises and falls once."""
    machine = engine.start("cpu", "auto", 1)
    adam = machine.adam(list(judge.parameters()), RATE, (0.9, 0.99))
    cycle = torch.optim.lr_scheduler.OneCycleLR(adam, RATE, steps, pct_start=0.2)
    judge.train()
    for step in range(first, first + steps):
        rows = torch.from_numpy(rng.raw(0, "judge/rows", step, 1, BATCH)[0] % len(data)).long()
        learn = _named if judge.heads else _told_apart
        loss = learn(judge, data, rows, step, machine)
        machine.step(adam, {"loss": loss})
        cycle.step()


def _fresh(data: Data) -> Judge:
    """A judge that has learned nothing, always the same; the random numbers of others are left alone."""
    with torch.random.fork_rng(devices=[]):
        rng.seed_torch(0, "judge", 0)
        return Judge(data.shape, heads_of(data))


def _named(judge: Judge, data: Data, rows: Tensor, step: int, machine: engine.Engine) -> Tensor:
    """The loss of naming every recorded column of images that are moved a little where that leaves it true."""
    images = to_unit(data.images[rows]).contiguous(memory_format=torch.channels_last)
    if all(head.classes for head in judge.heads):
        images = view(images, "judge/view", step, MOVED)
    images = grainy(images, step)
    with machine.arithmetic():
        said = judge(images)
    losses = [
        _loss(head, said[head.column], data.columns[head.column], rows) for head in judge.heads
    ]
    return torch.stack(losses).sum()


def _told_apart(
    judge: Judge, data: Data, rows: Tensor, step: int, machine: engine.Engine
) -> Tensor:
    """The contest of Chen et al. (2020): of all views in a batch, an image's two must be nearest to each other."""
    images = to_unit(data.images[rows])
    views = [view(images, "judge/view", 2 * step + k, PLAYED) for k in range(2)]
    with machine.arithmetic():
        said = judge.out(judge.trunk(torch.cat(views)))
    direction = F.normalize(said.float())
    alike = direction @ direction.T / TEMPERATURE
    alike = alike.masked_fill(torch.eye(len(alike), dtype=torch.bool), -math.inf)
    return F.cross_entropy(alike, torch.arange(len(alike)).roll(len(rows)))


def grainy(images: Tensor, step: int) -> Tensor:
    """Images with a little noise, in each of another strength: what a person does not notice must not change the answer."""
    dice = torch.Generator().manual_seed(step)
    strength = GRAIN * torch.rand(len(images), 1, 1, 1, generator=dice)
    return (images + strength * torch.randn(images.shape, generator=dice)).clamp(-1, 1)


def view(images: Tensor, stream: str, step: int, how: tuple[float, float, float, float]) -> Tensor:
    """Images (B, C, H, W) in [-1, 1] as seen a little turned, stretched, slanted and shifted, each in its own way."""
    turn, stretch, slant, shift = how
    count, _, height, width = images.shape
    u = rng.tensor(rng.uniforms(0, stream, step * count, count, 5)) * 2 - 1
    angle, scale, lean = turn * u[:, 0], 1 + stretch * u[:, 1], slant * u[:, 2]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    across, down = 2 * shift * u[:, 3] / width, 2 * shift * u[:, 4] / height
    rows = [torch.stack([cos, lean * cos - sin, across], 1)]
    rows.append(torch.stack([sin, lean * sin + cos, down], 1))
    places = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    seen = F.grid_sample(images, places, padding_mode="border", align_corners=False)
    return seen.contiguous(memory_format=torch.channels_last)


def _loss(head: Head, said: Tensor, column: Column, rows: Tensor) -> Tensor:
    """Cross-entropy of a class, squared error of a scaled number, over the rows that are labelled."""
    known = column.known[rows]
    if not bool(known.any()):
        return said.sum() * 0
    truth, said = column.values[rows][known], said[known]
    if head.classes:
        return F.cross_entropy(said, truth, label_smoothing=SMOOTHING)
    return F.mse_loss(said[:, 0], (truth - head.mean) / head.deviation)
