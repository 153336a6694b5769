"""Runs small enough to train inside a test, made once for each process and kept in a folder that goes with it."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch

import gander
from gander import weights
from gander.data import Column, Data
from gander.plan import configured, make_plan

SIDE, IMAGES, BATCH = 16, 96, 16  # px, in the data set, a step
SMALL = ("width=4", f"batch={BATCH}", "threads=1", "precision=fp32")
SMALL = (*SMALL, "decay=none", "tensorboard=false")


@cache
def home() -> Path:
    path = Path(tempfile.mkdtemp(prefix="gander-tiny-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def pictures(count=IMAGES, channels=1, side=SIDE, classes=4):
    """Squares whose brightness is a number (slant) and whose place is a class: (images, labels, slants)."""
    generator = np.random.default_rng(7)
    labels = np.arange(count) % classes
    slants = generator.uniform(-1, 1, count).astype(np.float32)
    images = generator.integers(0, 20, (count, side, side, channels), dtype=np.uint8)
    half = side // 2
    for image, label, slant in zip(images, labels, slants, strict=True):
        down, across = (label // 2 % 2) * half, label % 2 * half
        image[down : down + half, across : across + half] = round(170 + 80 * slant)
    return images, labels, slants


@cache
def source(channels=1, side=SIDE, count=IMAGES, labelled=True):
    """An .npz of such pictures, as the command line takes it."""
    path = home() / f"squares-{channels}-{side}-{count}{'' if labelled else '-bare'}.npz"
    images, labels, slants = pictures(count, channels, side)
    columns = {"label": labels, "slant": slants} if labelled else {}
    np.savez(path, images=images, **columns)
    return str(path)


def data(count=IMAGES, channels=1, side=SIDE, classes=4, split="train"):
    """The same pictures as a data set whose slant is a recorded factor."""
    images, labels, slants = pictures(count, channels, side, classes)
    columns = {
        "label": Column(
            "label", "categorical", torch.from_numpy(labels), tuple(map(str, range(classes)))
        ),
        "slant": Column("slant", "continuous", torch.from_numpy(slants)),
    }
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return Data("squares", "squares", split, tensor, columns, "label", (), ("label", "slant"))


def plan(preset="infogan", *settings, data=None, images=None, seed=None):
    config = configured(
        preset, [*SMALL, *settings], data=data or source(), images=images, seed=seed
    )
    return make_plan(config)


def train(preset="infogan", *settings, out, steps=4, **options):
    """A run of so many generator steps (one critic step each, unless the settings say more)."""
    options = {"data": source(), "images": steps * BATCH, "quiet": True} | options
    return gander.train(preset, settings=[*SMALL, *settings], out=str(out), **options)


@cache
def run(preset="acgan-infogan", *settings, steps=4):
    """A run that tests may look at but not change."""
    number = len(list(home().glob("run-*")))
    return train(preset, *settings, out=home() / f"run-{number}", steps=steps)


def state(run):
    """Every saved tensor that training depends on, and the integer."""
    tensors, facts = weights.read(Path(run) / "state" / "state.safetensors")
    return tensors | {"images_seen": torch.tensor(facts["images_seen"])}


def same(one, other):
    """Whether two states are the same bits."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
