"""The networks, one file each: the file name is the registry.

A backbone file has a first docstring line (shown by ``gander list backbones``), ``SIZES`` (the image sides it serves, in px), ``WIDTH``
(its default), ``NORM`` (its critic's default normalisation) and two modules:

    Generator(latent, condition, shape, width)   forward (B, latent), (B, condition) -> (B, C, H, W) in [-1, 1]
    Trunk(channels, (height, width_px), width, normed)    forward (B, channels, H, W) -> (B, features)

with ``Trunk.features`` and ``Trunk.reader_hidden`` (the recogniser's hidden units, 0 for a linear one). ``Trunk.Joint``, where there is one, stands
between the trunk and the judge in place of ``critic.Joint``, whether a code is shown ``hidden`` or not. Every layer in
front of a normalisation has no bias: its true gradient is zero and Adam would amplify the rounding noise.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Protocol, cast

from torch import nn

from gander.errors import ConfigError, choose


class Backbone(Protocol):
    """What a backbone file offers."""

    SIZES: tuple[int, int]
    WIDTH: int
    NORM: str
    Generator: type[nn.Module]
    Trunk: type[nn.Module]
    __doc__: str


def names() -> list[str]:
    """Every backbone there is."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Backbone:
    """The backbone of that name."""
    if name not in names():
        raise ConfigError(f"model.backbone: {choose(name, names(), 'backbone')}")
    module: ModuleType = importlib.import_module(f"{__name__}.{name}")
    return cast(Backbone, module)


def check_size(name: str, height: int, width: int) -> None:
    """Refuses an image a backbone cannot serve, naming one that can."""
    low, high = find(name).SIZES
    if low <= min(height, width) and max(height, width) <= high:
        return
    fits = [
        other
        for other in names()
        if find(other).SIZES[0] <= min(height, width) and max(height, width) <= find(other).SIZES[1]
    ]
    other = f"use model.backbone={fits[0]}, or " if fits else ""
    raise ConfigError(
        f"the {name} backbone serves images of {low} to {high} px a side, and these are "
        f"{height} x {width}; {other}resize them with data.size={min(max(height, low), high)}."
    )


def stages(height: int, width: int, smallest: int = 8) -> int:
    """How often an image is halved until its longer side is at most ``smallest`` px."""
    count = 0
    while max(height, width) > smallest * 2**count:
        count += 1
    return count


def grid(height: int, width: int, halvings: int) -> tuple[int, int]:
    """The size after ``halvings``, rounded up; doubling it back covers the image, which is cropped from it."""
    step = 2**halvings
    return -(-height // step), -(-width // step)
