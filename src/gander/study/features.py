"""Images to features: the judge's last hidden layer, or a network of the user's own; those of real images are kept.

The cache key is what made them: the network's own fingerprint and the data's.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from gander import weights
from gander.data import Data
from gander.errors import RunError
from gander.judge import Judge, cache, recipe


class Features(Protocol):
    """Anything that turns images (N, C, H, W) uint8 into features (N, F) float32."""

    @property
    def about(self) -> str: ...
    def of_images(self, images: Tensor) -> Tensor: ...
    def of_data(self, data: Data) -> Tensor: ...


@dataclass(frozen=True)
class JudgeFeatures:
    """The judge's last hidden layer."""

    judge: Judge
    fingerprint: str
    """Of the images the judge learned from."""

    @property
    def about(self) -> str:
        return "the judge's last hidden layer"

    def of_images(self, images: Tensor) -> Tensor:
        return self.judge.features(images)

    def of_data(self, data: Data) -> Tensor:
        return kept(f"{recipe(self.fingerprint)}/{data.fingerprint}", data, self)


def kept(key: str, data: Data, features: Features) -> Tensor:
    """The features of a whole split, from the cache or computed now and put there."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    path = cache() / "features" / f"{digest}.safetensors"
    if path.is_file():
        with contextlib.suppress(RunError, KeyError):  # a damaged file is made again
            return weights.read(path)[0]["features"]
    made = features.of_images(data.images)
    with contextlib.suppress(RunError, OSError):  # a cache that cannot be written costs time
        weights.write(path, {"features": made}, {"data": data.name, "split": data.split})
    return made
