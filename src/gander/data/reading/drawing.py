"""Characters drawn with recorded factors.

Each character of Pillow's embedded font is kept as a field of signed distances to its outline, in
units of its own height. An image is that field looked up through a shear, a scale and a shift, with
the outline moved out or in until the stroke has the wanted width; so every factor acts continuously
and alike on every character. The size is that of the finished outline: a bolder glyph is no taller.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from gander import rng
from gander.data import Column, Data
from gander.data.reading.places import cache_folder, write_whole
from gander.errors import DataError

VERSION = 2  # raised whenever the same factors would draw other pixels
COUNTS = {"train": 60_000, "test": 10_000}
SIDE = 28  # pixels, unless told
SMALLEST, LARGEST = 16, 128  # pixels a side

SLANT = (-20.0, 20.0)  # degrees from upright, positive leans right
STROKE = (1.15, 3.2)  # pixels at 28 a side; in proportion otherwise
SIZE = (0.6, 1.0)  # height over the largest height at which nothing is ever clipped
SHIFT = (-0.25, 0.25)  # pixels at 28 a side; in proportion otherwise
FACTORS = ("slant", "stroke", "size", "x", "y")

EDGE = 1.25  # pixels at 28 a side or less that stay black all around, for a soft edge to end in

FONT_SIZE = 256  # of the outlines the distances are measured on; a digit is about 0.7 of it high
WIDEST = 1.0  # width over height; wider characters (W) are condensed so that they cost no size
MARGIN = 0.25  # of the height, around a field: more than any stroke grows
SUPERSAMPLE = 2  # samples a side in every pixel; the soft edge does the rest
AT_ONCE = 128  # images drawn together; few enough to stay in the cache of the processor


@dataclass(frozen=True, eq=False)
class Outline:
    """One shape: signed distances (h, w) float32, negative inside, in heights of the shape."""

    distance: Tensor
    height: int  # of the character within the field, in samples
    aspect: float  # its width over its height
    stem: float  # its mean stroke width in heights, twice its area over its perimeter


def drawn(
    name: str, label: str, characters: str, split: str, size: int | None, limit: int | None
) -> Data:
    """A set of drawn characters; each image is a function of (name, split, position)."""
    side = size or SIDE
    if not SMALLEST <= side <= LARGEST:
        raise DataError(
            f"{name} can be drawn at {SMALLEST} to {LARGEST} pixels a side, not at {side}."
        )
    masks = [_mask(character) for character in characters]
    parts, notes = [], []
    for part in ("train", "test") if split == "all" else (split,):
        count = COUNTS[part] if limit is None else min(limit, COUNTS[part])
        u = rng.uniforms(0, f"{name}/{part}", 0, count, 1 + len(FACTORS))
        which = (u[:, 0] * len(characters)).astype(np.int64)
        factors = _factors(u[:, 1:], side)
        draw = partial(_draw, masks, which, factors, side)
        if count == COUNTS[part]:
            images, note = _cached(f"{name}-{part}-{side}", masks, u, side, draw)
            notes += note
        else:
            images = draw()
        parts.append((images, which, factors))
    images, which, factors = (np.concatenate(one) for one in zip(*parts, strict=True))
    columns = {label: Column(label, "categorical", torch.from_numpy(which), tuple(characters))}
    for position, factor in enumerate(FACTORS):
        columns[factor] = Column(factor, "continuous", rng.tensor(factors[:, position]))
    return Data(
        name=name,
        source=name,
        split=split,
        images=torch.from_numpy(images)[:, None],
        columns=columns,
        label=label,
        found=tuple(notes),
        factors=(label, *FACTORS),
    )


def _draw(masks: list[np.ndarray], which: np.ndarray, factors: np.ndarray, side: int) -> np.ndarray:
    """What :func:`render` makes of masks; their distances are measured only when needed."""
    return render([outline(mask) for mask in masks], which, factors, side)


def _factors(u: np.ndarray, side: int) -> np.ndarray:
    """Uniforms (N, 5) as factors in their units; float32, so that the record is what is drawn."""
    scale = side / SIDE
    lows, highs = np.array([SLANT, STROKE, SIZE, SHIFT, SHIFT]).T
    units = np.array([1.0, scale, 1.0, scale, scale])
    return np.asarray((lows + u * (highs - lows)) * units, dtype=np.float32)


def _mask(character: str) -> np.ndarray:
    """The inside of a character, cut to its outline, (h, w) bool at the font's own resolution."""
    try:
        font = ImageFont.load_default(FONT_SIZE)
    except (ImportError, OSError) as error:
        raise DataError(
            f"This Pillow cannot draw text ({error}); install one with FreeType."
        ) from None
    canvas = Image.new("L", (2 * FONT_SIZE, 2 * FONT_SIZE))
    ImageDraw.Draw(canvas).text((FONT_SIZE // 2, FONT_SIZE // 2), character, fill=255, font=font)
    glyph = canvas.crop(canvas.getbbox())
    glyph = glyph.resize((min(glyph.width, round(WIDEST * glyph.height)), glyph.height))
    return np.asarray(glyph) > 127


def outline(mask: np.ndarray) -> Outline:
    """The distance field and the proportions of a character's inside."""
    height, width = mask.shape
    margin = round(MARGIN * height)
    inside = np.pad(mask, margin)
    distance = (_nearest(inside, margin) - _nearest(~inside, margin)) / height
    near = 0.02  # of the height: the strip around the outline whose area measures the perimeter
    perimeter = float((np.abs(distance) < near).sum()) / height**2 / (2 * near)
    stem = 2 * float(mask.sum()) / height**2 / perimeter
    return Outline(torch.from_numpy(distance), height, width / height, stem)


def _nearest(target: np.ndarray, reach: int) -> np.ndarray:
    """Samples from each centre to the edge of the nearest one in ``target``, up to ``reach``."""
    along = np.where(target, 0.0, float(reach)).astype(np.float32)
    for step in (1, -1):  # within a row: distances grow by one a sample, in either direction
        columns = range(1, along.shape[1]) if step == 1 else range(along.shape[1] - 2, -1, -1)
        for column in columns:
            np.minimum(along[:, column], along[:, column - step] + 1, out=along[:, column])
    squares = along**2
    best = squares.copy()
    for away in range(1, reach):  # between rows: Pythagoras with every row within reach
        np.minimum(best[away:], squares[:-away] + away**2, out=best[away:])
        np.minimum(best[:-away], squares[away:] + away**2, out=best[:-away])
    return np.maximum(np.minimum(np.sqrt(best), reach) - 0.5, 0.0)


def tallest(outlines: list[Outline], side: int) -> float:
    """Pixels of height at which the widest character just fits, at the extremes of all factors."""
    stroke, shift = STROKE[1] * side / SIDE, SHIFT[1] * side / SIDE
    lean = math.tan(math.radians(SLANT[1]))
    room = side - 2 * shift - 2 * EDGE * max(1.0, side / SIDE)
    heights = [room]
    for one in outlines:
        # across = base width + what the stroke adds, where base height = (height - stroke) / (1 -
        # stem)
        slope = (one.aspect - one.stem) / (1 - one.stem)
        heights.append((room - stroke * (1 - slope)) / (slope + lean))
    return min(heights)


def render(
    outlines: list[Outline], which: np.ndarray, factors: np.ndarray, side: int
) -> np.ndarray:
    """Characters ``which`` (N,) with ``factors`` (N, 5), as (N, side, side) uint8."""
    height = tallest(outlines, side)
    images = np.empty((len(which), side, side), np.uint8)
    for character, one in enumerate(outlines):
        rows = np.flatnonzero(which == character)
        for start in range(0, len(rows), AT_ONCE):
            chosen = rows[start : start + AT_ONCE]
            images[chosen] = _drawn_alike(one, torch.from_numpy(factors[chosen]), height, side)
    return images


def _drawn_alike(one: Outline, factors: Tensor, tallest: float, side: int) -> np.ndarray:
    """One character at every row of ``factors``, (n, side, side) uint8."""
    slant, stroke, size, x, y = factors.double().unbind(dim=1)
    scale = (size * tallest - stroke) / (
        1 - one.stem
    )  # pixels of a height before the outline moves
    grow = (stroke - one.stem * scale) / 2  # pixels the outline moves outwards
    upright, lean = torch.ones_like(slant), torch.tan(torch.deg2rad(slant))
    turn = torch.stack([upright, lean, torch.zeros_like(slant), upright], dim=1).view(-1, 2, 2)
    return looked_up(one, turn, scale, grow, torch.stack([x, y], dim=1), side, SUPERSAMPLE)


def looked_up(
    one: Outline, turn: Tensor, scale: Tensor, grow: Tensor, centre: Tensor, side: int, samples: int
) -> np.ndarray:
    """An outline seen through n affine maps, antialiased, (n, side, side) uint8.

    ``turn`` (n, 2, 2) takes an offset from the centre in the frame to one in the shape; ``scale``
    (n,) is the shape's height and ``grow`` (n,) what its outline moves outwards, in pixels;
    ``centre`` (n, 2) is in pixels right and down from the middle of the frame. ``samples`` a side
    are taken in every pixel.
    """
    count, (rows, columns) = len(scale), one.distance.shape
    # a pixel in the shape, in units of the field's own -1 .. 1 across and down
    unit = 2 * one.height / (torch.tensor([columns, rows]) * scale[:, None])
    linear = turn * unit[:, :, None]
    shift = -(linear @ centre[:, :, None])
    to_field = torch.cat([linear * side / 2, shift], dim=2).float()
    fine = side * samples
    grid = functional.affine_grid(to_field, [count, 1, fine, fine], align_corners=False)
    field = one.distance.expand(count, 1, rows, columns)
    distance = functional.grid_sample(field, grid, padding_mode="border", align_corners=False)
    pixels = distance * scale.float()[:, None, None, None] - grow.float()[:, None, None, None]
    # a soft edge one sample wide, then the mean of the samples
    shades = functional.avg_pool2d((0.5 - pixels * samples).clamp_(0, 1), samples)
    return (shades[:, 0] * 255).round_().to(torch.uint8).numpy()


def _cached(
    stem: str, masks: list[np.ndarray], u: np.ndarray, side: int, draw: partial[np.ndarray]
) -> tuple[np.ndarray, list[str]]:
    """The drawn images, from the cache when they are there and whole, and lines on what failed.

    The name carries a digest of all that decides the pixels, the random numbers ``u`` among them, so that
    another font, version or stream is another file.
    """
    count = len(u)
    decides = repr(
        (VERSION, SLANT, STROKE, SIZE, SHIFT, WIDEST, MARGIN, SUPERSAMPLE, EDGE, count, side)
    )
    key = hashlib.sha256(decides.encode())
    key.update(u.tobytes())
    for mask in masks:
        key.update(repr(mask.shape).encode() + mask.tobytes())
    path = cache_folder() / "drawn" / f"{stem}-{key.hexdigest()[:16]}.npz"
    notes = []
    if path.exists():
        images = _whole(path, (count, side, side))
        if images is not None:
            return images, []
        notes = [f"the cached file {path} was damaged: drawn again"]
    images = draw()

    def write(file: IO[bytes]) -> None:
        np.savez(file, images=images)

    try:
        write_whole(path, write)
    except OSError as error:
        notes.append(f"could not keep the drawn images in {path.parent}: {error.strerror or error}")
    return images, notes


def _whole(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The images in a cached file (the zip's own checksum covers them); None when it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images: np.ndarray = arrays["images"]
    except (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile):
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None
