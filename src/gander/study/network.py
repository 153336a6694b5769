"""A feature network of the user's own, as an ONNX file: an exported Inception, or whatever suits the images.

Nothing is downloaded and no code of the file is run: ONNX is a list of known operations. How to export one stands in
docs/measuring.md. Distances under different networks are different numbers, so every figure names its network.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gander.data import Data
from gander.errors import RunError
from gander.study.features import kept
from gander.study.libraries import library

CHUNK = 100  # images in one pass
LARGEST = 8192  # features of an image
KINDS = {"tensor(float)": torch.float32, "tensor(uint8)": torch.uint8}


@dataclass(frozen=True)
class OwnNetwork:
    """Images (N, C, H, W) uint8 to features (N, F) through an ONNX model with one image input.

    Images are resized to the input's own side (bicubic with antialiasing, as Parmar et al., 2022) and gray is repeated to three
    channels. An input of type uint8 is given bytes, one of type float numbers from 0 to 1; any further scaling belongs into the
    exported network. Its first output is taken.
    """

    path: Path
    fingerprint: str
    session: Any

    @property
    def about(self) -> str:
        return f"{self.path.name} ({self.fingerprint[:8]})"

    def of_images(self, images: Tensor) -> Tensor:
        entry = self.session.get_inputs()[0]
        parts = []
        for batch in torch.split(images, CHUNK):
            fitted = _fitted(batch, entry.shape, KINDS[entry.type])
            try:
                said = self.session.run(None, {entry.name: fitted.numpy()})[0]
                features = torch.from_numpy(said).float().flatten(1)
            except (
                Exception
            ) as error:  # onnxruntime has an exception class of its own for everything
                first = str(error).strip().splitlines()[0]
                raise RunError(
                    f"{self.path} cannot be run on {len(fitted)} images of {tuple(fitted.shape[1:])}; its first "
                    f"dimension must be free, its first output numbers: {first}"
                ) from None
            if len(features) != len(batch) or features.shape[1] > LARGEST:
                raise RunError(
                    f"{self.path} makes {tuple(said.shape)} of {len(batch)} images; a feature network gives one row of at most "
                    f"{LARGEST:,} numbers for each."
                )
            parts.append(features)
        return torch.cat(parts)

    def of_data(self, data: Data) -> Tensor:
        return kept(f"onnx/{self.fingerprint}/{data.fingerprint}", data, self)


def own_network(path: str | Path) -> OwnNetwork:
    """The feature network of an ONNX file. Raises ``RunError`` or ``CannotMeasure``."""
    runtime = library("onnxruntime")
    place = Path(path)
    if not place.is_file():
        raise RunError(
            f"there is no file {str(path)!r}; --features takes an ONNX model, give one as --features inception.onnx."
        )
    content = place.read_bytes()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception:  # onnxruntime has an exception class of its own for everything
        raise RunError(
            f"{place} cannot be read as an ONNX model: it is damaged, or another kind of file. Export it again."
        ) from None
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in KINDS:
        told = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        raise RunError(
            f"{place} is fed by {told}; a feature network has one input of images (N, C, H, W), float or uint8."
        )
    return OwnNetwork(place, hashlib.sha256(content).hexdigest(), session)


def _fitted(images: Tensor, shape: list[Any], kind: torch.dtype) -> Tensor:
    """The images as the network's input wants them."""
    channels, height, width = (side if isinstance(side, int) else None for side in shape[1:])
    opaque = images[:, : 1 if images.shape[1] < 3 else 3]
    if channels == 3 and opaque.shape[1] == 1:
        opaque = opaque.expand(-1, 3, -1, -1)
    elif channels == 1 and opaque.shape[1] == 3:
        opaque = opaque.float().mean(1, keepdim=True).round().to(torch.uint8)
    elif channels not in (None, opaque.shape[1]):
        raise RunError(f"the feature network wants {channels} channels; it may want 1 or 3.")
    side = (height or opaque.shape[2], width or opaque.shape[3])
    floats = opaque.float()
    if side != tuple(opaque.shape[2:]):
        floats = F.interpolate(floats, side, mode="bicubic", antialias=True).clamp(0, 255)
    if kind == torch.uint8:
        return floats.round().to(torch.uint8).contiguous()
    return (floats / 255).contiguous()
