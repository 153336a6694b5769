"""The thousand modes of stacked MNIST: which digits a judge of single ones sees in the three colours of an image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gander import data as sources
from gander import rng
from gander.judge import Judge, judge_of
from gander.study import CannotMeasure, Study

SAMPLES = 26_000
MODES = 1_000
COLOURS = 3


@dataclass(frozen=True)
class Modes:
    """How many of the same number of images show each mode, (1000,) int64 each."""

    drawn: Tensor
    real: Tensor


def modes(study: Study) -> Modes:
    """Counted once for all metrics that ask. Raises ``CannotMeasure`` for other data."""
    if study.train.name != "stacked-mnist":
        raise CannotMeasure("only of stacked-mnist are the modes known")
    return study.once("modes", lambda: _counted(study))


def _counted(study: Study) -> Modes:
    side = study.train.shape[1]
    judge = judge_of(sources.load("mnist", "train", size=side))
    seeds = range(study.seed, study.seed + SAMPLES)
    drawn = study.model.render(study.model.values(seeds))
    rows = rng.permutation(0, "modes/real", 0, len(study.train))[:SAMPLES]
    real = study.train.images[torch.from_numpy(rows)]
    return Modes(histogram(judge, drawn), histogram(judge, real))


def histogram(judge: Judge, images: Tensor) -> Tensor:
    """How many of the images (N, 3, H, W) show each of the modes 000 to 999, (1000,)."""
    digits = [judge.name(images[:, c : c + 1])["digit"] for c in range(COLOURS)]
    return torch.bincount(100 * digits[0] + 10 * digits[1] + digits[2], minlength=MODES)
