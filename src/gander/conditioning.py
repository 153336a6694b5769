"""How a code reaches the two networks: the published forms of CGAN, and the modern one.

                 generator                                     critic
    concat       encoding beside the noise, (B, z + K)         K constant planes beside the image, (B, C + K, H, W)
    multiply     embedding times the noise, element by element embedding of C·H·W times the flattened image
    embed        embedding beside the noise                    embedding as one extra image plane, (B, C + 1, H, W)
    projection   conditional normalisation in every layer      <embedding, features> added to the logit
    hidden       as projection                                 a hidden layer of its own beside the trunk's features, under a joint one

An embedding is a linear map of the encoding, so that numbers and multi-label rows enter by the same doors as classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gander.code import Code, Told, Values
from gander.codes import CodeSpec

Shape = tuple[int, int, int]
"""Channels, height, width of an image."""


def embedding(code: Code, features: int, std: float = 1.0, mean: float = 0.0) -> nn.Linear:
    """A learned vector per class, or a line through numbers; (B, W) -> (B, features)."""
    layer = nn.Linear(code.resolved.width, features, bias=code.resolved.name != "categorical")
    straight = (
        layer.bias is not None
    )  # a line has its mean in the offset, a class in its own vector
    nn.init.normal_(layer.weight, 0.0 if straight else mean, std)
    if straight:
        nn.init.normal_(layer.bias, mean, std)
    return layer


class ByName(nn.ModuleDict):
    """Layers under the names of codes, which may be words a network uses itself, as "type" or "values"."""

    def add_module(self, name: str, module: nn.Module | None) -> None:
        if module is not None:
            self._modules[name] = module


class SteeredGenerator(nn.Module):
    """A generator backbone behind the code specification: values of every code -> images (B, C, H, W) in [-1, 1]."""

    def __init__(self, spec: CodeSpec, build: type[nn.Module], shape: Shape, width: int) -> None:
        super().__init__()
        self.spec = spec
        noise = sum(code.resolved.width for code in spec.multiplied)
        beside = noise or 64
        self.embeddings = ByName(
            {
                code.name: embedding(code, noise if code.enters == "multiply" else beside)
                for code in spec.codes
                if code.enters in ("multiply", "embed")
            }
        )
        latent = sum(
            {"concat": code.resolved.width, "embed": beside}.get(code.enters, 0)
            for code in spec.codes
        )
        condition = sum(c.resolved.width for c in spec.codes if c.enters == "normalisation")
        self.body = build(latent, condition, shape, width)

    def forward(self, values: Values) -> Tensor:
        return self.told(self.spec.encode(values))

    def told(self, told: dict[str, Tensor]) -> Tensor:
        """Images (B, C, H, W) from the encodings of every code, (B, W) each; they need not be those of any value."""
        noise = [told[code.name] for code in self.spec.multiplied]
        if noise:
            scaled = torch.cat(noise, dim=1)
            for code in self.spec.codes:
                if code.enters == "multiply":
                    scaled = scaled * self.embeddings[code.name](told[code.name])
            noise = [scaled]
        beside, condition = [], []
        for code in self.spec.codes:
            if code.enters == "concat" and code not in self.spec.multiplied:
                beside.append(told[code.name])
            elif code.enters == "embed":
                beside.append(self.embeddings[code.name](told[code.name]))
            elif code.enters == "normalisation":
                condition.append(told[code.name])
        latent = _joined([*noise, *beside], told)
        images: Tensor = self.body(latent, _joined(condition, told))
        return images


def _joined(parts: list[Tensor], told: dict[str, Tensor]) -> Tensor:
    """Columns side by side; (B, 0) where there are none."""
    return torch.cat(parts, dim=1) if parts else next(iter(told.values()))[:, :0]


class CriticInput(nn.Module):
    """What the critic's trunk sees: the image, changed by or beside the codes shown at its input.

    A row that lacks its label is shown as zero planes, or as the image unmultiplied.
    """

    def __init__(self, spec: CodeSpec, shape: Shape) -> None:
        super().__init__()
        self.codes = tuple(c for c in spec.codes if c.at_input)
        channels, height, width = shape
        pixels = height * width
        self.embeddings = ByName()
        for code in self.codes:
            if (
                code.shown == "multiply"
            ):  # around one: signs at random would tear the image to pieces
                self.embeddings[code.name] = embedding(code, channels * pixels, 0.25, mean=1.0)
            elif code.shown == "embed":
                self.embeddings[code.name] = embedding(code, pixels)
        planes = [c.resolved.width for c in self.codes if c.shown == "concat"]
        planes += [1 for c in self.codes if c.shown == "embed"]
        self.channels = channels + sum(planes)

    def forward(self, images: Tensor, told: dict[str, Told]) -> Tensor:
        planes = []
        height, width = images.shape[2:]
        for code in self.codes:
            encoding, known = told[code.name]
            if code.shown == "concat":
                flat = (encoding * known)[:, :, None, None]
                planes.append(flat.expand(-1, -1, height, width))
            elif code.shown == "embed":
                planes.append(
                    (self.embeddings[code.name](encoding) * known).view(-1, 1, height, width)
                )
            else:
                scale = self.embeddings[code.name](encoding) * known + (1 - known)
                images = images * scale.view_as(images)
        return torch.cat([images, *planes], dim=1) if planes else images
