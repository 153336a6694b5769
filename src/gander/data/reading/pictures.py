"""Image files of every sort as equally sized pixels."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from gander.data.reading.pixels import MODES, converted, squared
from gander.data.reading.store import Store, batches
from gander.errors import DataError

Made = TypeVar("Made")
KEPT = 64  # pixels: images of one size with no longer side stay as they are
REDUCED = 32  # pixels a side of everything else, unless told
MOST_PIXELS = 64_000_000  # in one image
ALONE = 4_000_000  # pixels from which on an image is decoded with no other one beside it
HUGE = threading.Lock()
AT_ONCE = 256  # files in memory together
MOST_AT_ONCE = 64 << 20  # bytes of files in memory together; one larger file alone
NAMED = 5  # unreadable files named one by one
# Content decides, not the ending. Formats that run programs (EPS) or have no signature (TGA) are
# out.
FORMATS = (
    "PNG",
    "JPEG",
    "MPO",
    "BMP",
    "DIB",
    "GIF",
    "WEBP",
    "TIFF",
    "PPM",
    "ICO",
    "JPEG2000",
    "AVIF",
)


@dataclass(frozen=True, eq=False)
class Decoded:
    """What became of a list of files: ``images`` (n, C, H, W) uint8 of those at ``rows``."""

    images: Tensor
    rows: list[int]
    notes: list[str]


def decoded(
    store: Store, names: Sequence[str], size: int | None, channels: int | None, limit: int | None
) -> Decoded:
    """The named files as pixels of one size and one number of channels, both detected when None.

    Raises :class:`DataError` when none or fewer than half can be read.
    """
    small: list[np.ndarray] = []
    rows: list[int] = []
    skipped: list[str] = []
    shrunk = False
    for row, result in enumerate(_each(store, names, size)):
        if isinstance(result, str):
            skipped.append(f"{names[row]}: {result}")
        else:
            small.append(result[0])
            rows.append(row)
            shrunk = shrunk or result[1]
            if limit is not None and len(small) >= limit:
                break
    if not small or len(skipped) > len(small):
        raise _unreadable(store, skipped[:NAMED], len(skipped), len(skipped) + len(small))
    notes = []
    if skipped:
        notes.append(f"skipped {len(skipped):,} unreadable images: {'; '.join(skipped[:NAMED])}")
    shapes = {one.shape[:2] for one in small}
    if size is None and (shrunk or len(shapes) > 1):
        small = [_square(one, REDUCED) for one in small]
        notes.append(
            f"images of other sizes were cut to their central square, {REDUCED} x {REDUCED}"
        )
    return Decoded(_stacked(small, channels), rows, notes)


def _each(
    store: Store, names: Sequence[str], size: int | None
) -> Iterator[tuple[np.ndarray, bool] | str]:
    """In order, every file's pixels and whether they were shrunk, or why it cannot be read."""
    return _through(store, names, partial(_pixels, size=size))


def each(store: Store, names: Sequence[str], shape: tuple[int, int, int]) -> Iterator[Tensor | str]:
    """In order, every file as (C, H, W) uint8 of a shape, or why it cannot be read; few of them in memory at a time."""
    return _through(store, names, partial(fitted, shape=shape))


def _through(
    store: Store, names: Sequence[str], make: Callable[[bytes | str], Made]
) -> Iterator[Made]:
    """What is made of every file's content, in order."""
    with warnings.catch_warnings(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        # Pillow warns of odd metadata and of large images; the latter are refused below
        warnings.simplefilter("ignore")
        for some in batches(store, names, AT_ONCE, MOST_AT_ONCE):
            read = (_content(store, name) for name in some)
            yield from list(pool.map(make, read))


def detected(
    store: Store, names: Sequence[str], size: int | None, channels: int | None
) -> tuple[int, int, int]:
    """The shape (C, H, W) that :func:`decoded` would give these files, found with few of them in memory. Raises :class:`DataError`."""
    shapes, colour, alpha, shrunk, bad = set[tuple[int, ...]](), False, False, False, 0
    skipped: list[str] = []
    good = 0
    for name, result in zip(names, _each(store, names, size), strict=True):
        if isinstance(result, str):
            bad += 1
            skipped = skipped if len(skipped) == NAMED else [*skipped, f"{name}: {result}"]
            continue
        pixels, small = result
        good, shrunk = good + 1, shrunk or small
        shapes.add(pixels.shape[:2])
        colour = colour or _has_colour(pixels)
        alpha = alpha or _has_alpha(pixels)
    if not good or bad > good:
        raise _unreadable(store, skipped, bad, bad + good)
    side = REDUCED if size is None and (shrunk or len(shapes) > 1) else size
    height, width = (side, side) if side else next(iter(shapes))
    return channels or (3 if colour else 1) + alpha, height, width


def _content(store: Store, name: str) -> bytes | str:
    try:
        return store.read(name)
    except OSError as error:
        return error.strerror or str(error)


def _pixels(content: bytes | str, size: int | None) -> tuple[np.ndarray, bool] | str:
    """One file as (h, w, c) uint8 and whether it was shrunk; a text says why it cannot be."""
    if isinstance(content, str):
        return content
    try:
        image = _told(content)
        with HUGE if image.width * image.height > ALONE else nullcontext():
            image = upright(image)
            large = max(image.size) > KEPT
            if size is not None or large:
                image = squared(image, size or REDUCED)
            pixels = np.asarray(image)
    except Exception as error:  # a damaged file can fail anywhere in a decoder, in any way
        return _reason(error)
    return pixels.reshape(image.height, image.width, -1), large


def fitted(content: bytes | str, shape: tuple[int, int, int]) -> Tensor | str:
    """One file as (C, H, W) uint8 of this shape, its central square if it has another; a text says why it cannot be."""
    if isinstance(content, str):
        return content
    channels, height, width = shape
    try:
        image = _told(content)
        with HUGE if image.width * image.height > ALONE else nullcontext():
            image = upright(image)
            if image.size != (width, height):
                if height != width:
                    return f"{image.width} x {image.height} pixels instead of {width} x {height}"
                image = squared(image, height)
        pixels = np.array(image).reshape(height, width, -1)
    except Exception as error:  # a damaged file can fail anywhere in a decoder, in any way
        return _reason(error)
    return converted(torch.from_numpy(pixels).permute(2, 0, 1)[None], channels)[0]


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image in a known format"
    return str(error).partition("\n")[0][:120] or type(error).__name__


def opened(content: bytes) -> Image.Image:
    """The first frame, upright, as 8-bit gray or colour, with alpha where the file has any."""
    return upright(_told(content))


def _told(content: bytes) -> Image.Image:
    """A file of which only the head has been read, if its head says that there is room for it."""
    Image.init()
    image: Image.Image = Image.open(
        io.BytesIO(content), formats=[f for f in FORMATS if f in Image.OPEN]
    )
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels are too many")
    return image


def upright(image: Image.Image) -> Image.Image:
    """An open file's first frame, upright, as 8-bit gray or colour, with alpha where the file has any."""
    image.load()
    try:
        image = ImageOps.exif_transpose(image)
    except (
        Exception
    ):  # Pillow raises whatever damaged metadata trips; the pixels are sound all the same
        image = image.copy()
    return _in_bytes(image)


def _in_bytes(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes as L, LA, RGB or RGBA."""
    mode = image.mode
    if mode.startswith("I;16") or mode in ("I", "F"):
        return _deep(image)
    if mode in ("L", "RGB", "P", "1") and "transparency" in image.info:
        return image.convert("LA" if mode in ("L", "1") else "RGBA")
    if mode in MODES.values():
        return image
    target = {"1": "L", "La": "LA", "PA": "RGBA", "RGBa": "RGBA"}.get(mode, "RGB")
    return image.convert(target)


def _deep(image: Image.Image) -> Image.Image:
    """Gray of more than 8 bits, scaled to 8: 65535 (or 1.0, for fractions) becomes 255."""
    values = np.asarray(image)
    full = 65535.0
    if image.mode == "F" and np.nanmax(values, initial=0.0) <= 1:
        full = 1.0
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > full:
        raise ValueError("gray values outside 0 .. 65535")
    scaled = np.empty(values.shape, np.uint8)
    for row, line in enumerate(values):  # eight bytes a pixel are needed for one row at a time
        scaled[row] = np.floor(line.astype(np.float64) * (255 / full) + 0.5)
    return Image.fromarray(scaled)


def _square(pixels: np.ndarray, size: int) -> np.ndarray:
    if pixels.shape[:2] == (size, size):
        return pixels
    plane = np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return np.asarray(squared(Image.fromarray(plane), size)).reshape(size, size, -1)


def _stacked(images: list[np.ndarray], channels: int | None) -> Tensor:
    """Images (h, w, 1 to 4) of one size, with the fewest channels that lose nothing."""
    if channels is None:
        colour = any(_has_colour(one) for one in images)
        alpha = any(_has_alpha(one) for one in images)
        channels = (3 if colour else 1) + alpha
    height, width = images[0].shape[:2]
    result = torch.empty((len(images), channels, height, width), dtype=torch.uint8)
    for row, one in enumerate(images):
        pixels = torch.from_numpy(one.transpose(2, 0, 1).copy())
        result[row] = converted(pixels[None], channels)[0]
    return result


def _unreadable(store: Store, some: Sequence[str], count: int, of: int) -> DataError:
    reasons = "\n  ".join(some) or "there is none"
    return DataError(
        f"{store.where}: {count:,} of {of:,} images cannot be read:\n  {reasons}\n"
        "Repair or remove them, or give images that can be opened, as PNG or JPEG."
    )


def _has_alpha(pixels: np.ndarray) -> bool:
    """Whether anything shines through."""
    return pixels.shape[2] in (2, 4) and bool((pixels[:, :, -1] < 255).any())


def _has_colour(pixels: np.ndarray) -> bool:
    """Whether the three colours differ anywhere: many gray images are saved as colour."""
    if pixels.shape[2] < 3:
        return False
    red, green, blue = (pixels[:, :, c] for c in range(3))
    return bool((red != green).any() or (green != blue).any())
