"""Changes of size and of channels that apply to whole sets, (N, C, H, W) uint8."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gander.data.reading.elsewhere import Elsewhere

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
RED, GREEN, BLUE = 19595, 38470, 7471  # the luma of ITU-R 601 in 1/65536, as Pillow rounds it


def squared(image: Image.Image, size: int) -> Image.Image:
    """The central square of an image, antialiased to ``size`` pixels a side."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    if width != height:
        image = image.crop((left, top, left + side, top + side))
    filter = Image.Resampling.LANCZOS if side > size else Image.Resampling.BICUBIC
    # the gap lets Pillow shrink a photograph in cheap whole steps before the careful one
    return image.resize((size, size), filter, reducing_gap=3.0)


def resized(images: Tensor, size: int) -> Tensor:
    """Every image cut to its central square and resized, (N, C, size, size) uint8."""
    count, channels = images.shape[:2]
    if isinstance(images, Elsewhere):
        return images.changed(lambda part: resized(part, size), (channels, size, size))
    result = np.empty((count, size, size, channels), np.uint8)
    for row, pixels in enumerate(images.permute(0, 2, 3, 1).numpy()):
        plane = np.ascontiguousarray(pixels[:, :, 0] if channels == 1 else pixels)
        image = squared(Image.fromarray(plane), size)
        result[row] = np.asarray(image).reshape(size, size, channels)
    return torch.from_numpy(result).permute(0, 3, 1, 2).contiguous()


def gray(colour: Tensor) -> Tensor:
    """The luma of colour images, (N, 3, H, W) to (N, 1, H, W) uint8."""
    weights = torch.tensor([RED, GREEN, BLUE], dtype=torch.int32).view(3, 1, 1)
    luma = (colour.to(torch.int32) * weights).sum(dim=1, keepdim=True) + (1 << 15)
    return (luma >> 16).to(torch.uint8)


def on_white(painted: Tensor, alpha: Tensor) -> Tensor:
    """Transparent images laid on white, as on a page; ``alpha`` is (N, 1, H, W) uint8."""
    cover = alpha.to(torch.int32)
    mixed = painted.to(torch.int32) * cover + 255 * (255 - cover)
    return ((mixed + 127) // 255).to(torch.uint8)


def converted(images: Tensor, channels: int) -> Tensor:
    """The images in 1 (gray), 2 (gray, alpha), 3 (colour) or 4 (colour, alpha) channels, uint8."""
    has = images.shape[1]
    if has == channels:
        return images
    if isinstance(images, Elsewhere):
        shape = (channels, *images.shape[2:])
        return images.changed(lambda part: converted(part, channels), shape)
    painted, alpha = (images, None) if has in (1, 3) else (images[:, :-1], images[:, -1:])
    if alpha is not None and channels in (1, 3):
        painted, alpha = on_white(painted, alpha), None
    if channels in (1, 2) and painted.shape[1] == 3:
        painted = gray(painted)
    if channels in (3, 4) and painted.shape[1] == 1:
        painted = painted.expand(-1, 3, -1, -1)
    if channels in (2, 4):
        opaque = torch.full_like(images[:, :1], 255)
        painted = torch.cat([painted, opaque if alpha is None else alpha], dim=1)
    return painted.contiguous()
