"""The judge: a network of the data's own domain, trained on real images alone, that says what an image shows.

It never sees a generated image, so what it says of them is independent of the game. It is a function of the data's fingerprint
and its own settings, is kept in the cache as safetensors, and states its accuracy on the real test split, the ceiling
of everything measured with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gander import engine, rng, runs
from gander.data import Column, Data
from gander.errors import DataError, RunError
from gander.images import to_unit

VERSION = 3
BATCH, STEPS = 128, 700
RATE = 3e-3
SHIFT = 1  # pixels images are moved by while it learns
CHUNK = 500


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
        layers += [nn.Flatten(), nn.Linear(128 * side[0] * side[1], 256), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.out = nn.Linear(256, sum(head.width for head in heads))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
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
        for batch in torch.split(images, CHUNK):
            for column, said in self(to_unit(batch)).items():
                parts[column].append(said)
        named = {}
        for head in self.heads:
            said = torch.cat(parts[head.column])
            named[head.column] = (
                said.argmax(1) if head.classes else said[:, 0] * head.deviation + head.mean
            )
        return named


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
    """The judge of a training split, from the cache or trained now (700 steps). Raises ``DataError`` without labels."""
    heads = heads_of(data)
    if not heads:
        raise DataError(
            f"{data.source!r} records nothing about its images, so nothing can judge them."
        )
    judge = Judge(data.shape, heads)
    digest = hashlib.sha256(recipe(data.fingerprint).encode()).hexdigest()[:32]
    path = cache() / "judges" / f"{digest}.safetensors"
    if path.is_file():
        with contextlib.suppress(RunError, RuntimeError):  # a damaged one is trained again
            judge.load_state_dict(runs.read_tensors(path)[0])
            return judge.eval()
    _train(judge, data)
    with contextlib.suppress(RunError):  # a cache that cannot be written costs time, not the answer
        runs.write_tensors(path, dict(judge.state_dict()), {"data": data.name, "version": VERSION})
    return judge.eval()


def recipe(fingerprint: str) -> str:
    """All that a judge of the data with that fingerprint depends on."""
    return f"{VERSION}/{BATCH}/{STEPS}/{RATE}/{SHIFT}/{fingerprint}"


def cache() -> Path:
    """Where what can be made again is kept: ``$GANDER_CACHE``, else ~/.cache/gander."""
    return Path(os.environ.get("GANDER_CACHE") or Path.home() / ".cache" / "gander")


def _train(judge: Judge, data: Data) -> None:
    """Adam under a one-cycle rate, on shifted real images; everything random is a function of the step."""
    rng.seed_torch(0, "judge", 0)
    for module in judge.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            module.reset_parameters()
    machine = engine.start("cpu", "auto", torch.get_num_threads())
    judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    adam = machine.adam(list(judge.parameters()), RATE, (0.9, 0.99))
    cycle = torch.optim.lr_scheduler.OneCycleLR(adam, RATE, STEPS, pct_start=0.2)
    judge.train()
    for step in range(STEPS):
        rows = torch.from_numpy(rng.raw(0, "judge/rows", step, 1, BATCH)[0] % len(data)).long()
        down, across = (int(v) for v in rng.raw(0, "judge/shift", step, 1, 2)[0] % (2 * SHIFT + 1))
        images = torch.roll(to_unit(data.images[rows]), (down - SHIFT, across - SHIFT), (2, 3))
        with machine.arithmetic():
            said = judge(images)
        loss = sum(
            (
                _loss(head, said[head.column], data.columns[head.column], rows)
                for head in judge.heads
            ),
            torch.zeros(()),
        )
        machine.step(adam, {"loss": loss})
        cycle.step()


def _loss(head: Head, said: Tensor, column: Column, rows: Tensor) -> Tensor:
    """Cross-entropy of a class, squared error of a scaled number, over the rows that are labelled."""
    known = column.known[rows]
    if not bool(known.any()):
        return said.sum() * 0
    truth, said = column.values[rows][known], said[known]
    if head.classes:
        return F.cross_entropy(said, truth)
    return F.mse_loss(said[:, 0], (truth - head.mean) / head.deviation)
