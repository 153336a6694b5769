"""Pictures: tensors in [-1, 1] to PNG files, grids and sheets with headings."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gander.errors import UnwritableFile

if TYPE_CHECKING:  # a machine that only trains needs neither Pillow nor a font
    from PIL import Image

    from gander.headings import Heading

INK, PAPER = 60, 255  # gray levels of headings and of the sheet around the images
GAP = 2  # pixels between images
LEAST_LETTER, LARGEST_LETTER = 12, 22  # pixels, of headings
LEAST_SIDE = 56  # smaller images are enlarged by a whole factor for people to see


def to_bytes(images: Tensor) -> Tensor:
    """(…, C, H, W) in [-1, 1] -> uint8, rounded; the inverse of ``to_unit``."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_unit(images: Tensor) -> Tensor:
    """uint8 -> [-1, 1], what the networks see."""
    return images.float() / 127.5 - 1


def is_batch(images: object, shape: tuple[int, int, int]) -> bool:
    """Whether these are one or more images (N, C, H, W) uint8 of a shape (C, H, W)."""
    return (
        isinstance(images, Tensor)
        and images.dtype == torch.uint8
        and tuple(images.shape[1:]) == shape
        and len(images) > 0
    )


def described(images: object) -> str:
    """What was given for images, for a message: where it is no tensor, its type; else its shape and what its numbers are."""
    if not isinstance(images, Tensor):
        return f"a {type(images).__module__}.{type(images).__name__}"
    return f"{tuple(images.shape)} in {str(images.dtype).removeprefix('torch.')}"


def picture(image: Tensor) -> Image.Image:
    """One image (C, H, W) uint8 with 1 to 4 channels as a Pillow image."""
    from PIL import Image

    array = image.cpu().permute(1, 2, 0).contiguous().numpy()
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[array.shape[2]]
    size = (array.shape[1], array.shape[0])
    return Image.frombytes(mode, size, np.ascontiguousarray(array).tobytes())


def sheet(
    images: Tensor,
    columns: int,
    row_names: Heading = (),
    column_names: Heading = (),
    scale: int = 0,
) -> Image.Image:
    """Images (N, C, H, W) uint8 laid out in rows of ``columns``, with headings where given: names, or an ``Axis`` with a title.

    ``scale`` enlarges by a whole factor; 0 chooses one that lets a person see. The images end at the right and lower edge.
    """
    from PIL import Image

    from gander import headings

    count, channels, height, width = images.shape
    rows = -(-count // columns)
    scale = scale or max(1, -(-LEAST_SIDE // max(height, width)))
    step_x, step_y = width * scale + GAP, height * scale + GAP
    letter = min(LARGEST_LETTER, max(LEAST_LETTER, min(step_x, step_y) // 5))
    beside = headings.beside(row_names, rows, step_y, letter)
    above = headings.above(column_names, columns, step_x, letter)
    left, top = beside.width, above.height
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    size = (left + columns * step_x + GAP, top + rows * step_y + GAP)
    gray = 3 if channels > 2 else 1
    opaque = channels in (2, 4)
    paper = (PAPER,) * gray + (0,) * opaque  # see-through where the images may be
    ink = (INK,) * gray + (255,) * opaque
    canvas = Image.new(mode, size, paper)
    for i in range(count):
        one = picture(images[i]).resize((width * scale, height * scale), Image.Resampling.NEAREST)
        canvas.paste(one, (left + GAP + i % columns * step_x, top + GAP + i // columns * step_y))
    canvas.paste(ink, (0, top + GAP // 2), beside)
    canvas.paste(ink, (left + GAP // 2, 0), above)
    return canvas


def captioned(image: Image.Image, text: str, letter: int) -> Image.Image:
    """The picture with a line of words on paper under it, two letters high."""
    from PIL import Image, ImageDraw

    from gander import headings

    gray = len(image.mode.removesuffix("A"))
    opaque = image.mode.endswith("A")
    size = (image.width, image.height + 2 * letter)
    canvas = Image.new(image.mode, size, (PAPER,) * gray + (0,) * opaque)
    canvas.paste(image, (0, 0))
    pen = ImageDraw.Draw(canvas)
    words = headings.fitted(headings.plain(text), image.width - 8, letter)
    ink = (INK,) * gray + (255,) * opaque
    pen.text((4, image.height + letter), words, fill=ink, font=headings.font(letter), anchor="lm")
    return canvas


def write_png(path: Path, image: Image.Image) -> None:
    """Writes a PNG, whole or not at all."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    write(path, buffer.getvalue())


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays under any names as a compressed .npz (numpy's own writer refuses the name "file")."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


PART = ".part"
"""How the name of a file ends that is still being written, after the number of the process that writes it."""


def write(path: Path, content: bytes) -> None:
    """Replaces a file at once: never half-written, and the old one stays until the new one is whole and on the disk.

    Raises ``UnwritableFile``.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        name, ending = f".{path.name}.", f".{os.getpid()}{PART}"
        with NamedTemporaryFile(dir=path.parent, prefix=name, suffix=ending, delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        settle_folder(path.parent)
    except OSError as error:
        raise UnwritableFile(f"{path} cannot be written: {reason(error)}.") from None


def settle_folder(folder: Path) -> None:
    """Has the names in a folder reach the disk, where the system knows how; a power cut then leaves the new file or the old."""
    with contextlib.suppress(OSError):  # some file systems cannot, and some systems open no folder
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def reason(error: OSError) -> str:
    """Why a file could not be written, and what helps."""
    said = error.strerror or str(error)
    return f"{said}; {HELP[error.errno]}" if error.errno in HELP else said


HELP = {
    errno.ENOSPC: "free some space, then give the same command again",
    errno.EDQUOT: "free some of your quota, then give the same command again",
    errno.EROFS: "choose a place that can be written",
    errno.EACCES: "choose a place that you may write",
    errno.EPERM: "choose a place that you may write",
    errno.ENOTDIR: "there is a file where a folder is needed: move it away or choose another place",
    errno.EEXIST: "there is a file where a folder is needed: move it away or choose another place",
    errno.EFBIG: "the system allows no file that large; raise the limit (ulimit -f)",
}
