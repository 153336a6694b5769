"""The reading job: the recogniser as an encoder of images, to .npz or .csv, to a table and to contact sheets."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gander import contact, outputs, uncertainty
from gander import data as sources
from gander import images as pictures
from gander.code import Code
from gander.conditioning import Shape
from gander.data import Data
from gander.errors import DataError, UseError
from gander.model import Model, believed
from gander.uncertainty import Doubt

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = (".npz", ".csv")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
ARRAYS = (".npz", ".zip", ".csv", ".gz")  # files that are a whole source and not one image
MOST_FILES = 10_000
MOST_LINES = 60  # of a printed table


@dataclass(frozen=True)
class Reading:
    """What the recogniser says of each of N images."""

    model: Model
    images: Tensor
    """(N, C, H, W) uint8."""
    said: dict[str, Tensor]
    """Code -> probabilities (N, K) or means (N, d), as ``Model.read`` gives them."""
    doubt: dict[str, Tensor]
    """Code -> entropy in nats, (N,) or (N, d), or standard deviation in the code's own unit (N, d)."""

    def classes(self, code: Code) -> np.ndarray:
        """What each image's class is called, or its index where classes have no names, (N,) unicode."""
        indices = self.said[code.name].argmax(1).numpy()
        words = getattr(code.resolved, "names", ()) or map(str, range(code.resolved.width))
        named: np.ndarray = np.array(list(words), dtype=str)[indices]
        return named


def read_images(model: Model, images: Tensor, known: Doubt | None = None) -> Reading:
    """Reads (N, C, H, W) uint8 images and says how sure that is; ``known`` is ``uncertainty.calibrated``, where it was asked before."""
    raw = model.read_raw(images)
    known = known or uncertainty.calibrated(model)
    said = {name: believed(model.spec.code(name), params) for name, params in raw.items()}
    doubt = {}
    for name, params in raw.items():
        code = model.spec.code(name)
        discrete = code.resolved.discrete
        doubt[name] = uncertainty.entropy(code, params) if discrete else known.of(code, params)
    return Reading(model, images, said, doubt)


def read(
    model: Model,
    out: str | Path | None,
    *,
    data: str | None = None,
    files: Sequence[str] = (),
    sheets: str | Path | None = None,
) -> str:
    """Reads every image of a source, or the files given, and writes what the recogniser says of each.

    A categorical code gives its probabilities (N, K), the others their means (N, d); further NAME_class, NAME_entropy (nats) and
    NAME_sd; beside them ``label`` and every recorded column of the data. ``out`` may be left out where files are given.
    ``sheets`` is a folder for contact sheets. Returns what to tell: a table of the files, and what was written. Raises ``UseError``.
    """
    if bool(data) == bool(files):
        raise UseError("give what to read: either --data SRC[:split] or image files.")
    if out is None and data:
        out = "read.npz"
    if out is not None and Path(out).suffix.lower() not in ENDINGS:
        raise UseError(f"--out {out}: give a file ending in .npz or .csv.")
    if sheets is not None and Path(sheets).is_file():
        raise UseError(f"--sheets {sheets} is a file; give a folder.")
    if len(files) > MOST_FILES:
        raise UseError(f"at most {MOST_FILES:,} files at once, given {len(files):,}; give --data.")
    if out is not None:
        outputs.check(Path(out), [data] if data else files)
    model.reader()
    loaded = [load_fitting(model, source) for source in ([data] if data else files)]
    reading = read_images(model, torch.cat([each.images for each in loaded]))
    rows = np.repeat(list(files), [len(each) for each in loaded]) if files else None
    told = [] if rows is None else [*table(reading, rows)]
    columns = arrays(reading, loaded, rows)
    written = []
    if out is not None:
        path = Path(out)
        binary = path.suffix.lower() == ".npz"
        pictures.write(path, pictures.npz(columns) if binary else _csv(columns))
        written.append(path)
    if sheets is not None:
        label = contact.label_of(loaded)
        written += contact.write_sheets(model, reading.images, reading.said, label, Path(sheets))
    return "\n".join([*told, *map(str, written)])


# ---------------------------------------------------------------------- what is read
def load_fitting(model: Model, source: str) -> Data:
    """A source, or one image file, in the size and the channels of the model's own images. Raises ``DataError``."""
    channels, height, width = model.card.shape
    size = height if height == width else None
    if Path(source).is_file() and Path(source).suffix.lower() not in ARRAYS:
        return _single(model, source)
    if Path(source).suffix.lower() in PICTURES and not Path(source).exists():
        raise DataError(f"there is no file {source!r}. Give an image file that is there.")
    loaded = sources.load(source, size=size, channels=channels)
    if loaded.shape != model.card.shape:
        raise DataError(
            f"{source!r} has images of shape {loaded.shape} (channels, height, width), the model draws {model.card.shape}; "
            f"give images of that size."
        )
    return loaded


def _single(model: Model, source: str) -> Data:
    """One image file as a data set of one."""
    from PIL import UnidentifiedImageError

    from gander.data.reading.pictures import opened

    try:
        with (
            warnings.catch_warnings()
        ):  # Pillow warns of odd metadata; what is too large is refused in words
            warnings.simplefilter("ignore")
            images = fitted(opened(Path(source).read_bytes()), model.card.shape)
    except Exception as error:  # a damaged file can fail anywhere in a decoder, in any way
        why = str(error).partition("\n")[0]
        if isinstance(error, UnidentifiedImageError):
            why = "it is in no known format; give an image that is, as PNG or JPEG"
        raise DataError(f"{source!r} cannot be read as an image: {why}.") from None
    return Data(source, source, "all", images, {}, None, ())


def fitted(picture: Image.Image, shape: Shape) -> Tensor:
    """An opened picture as a model of that shape sees it: upright, its middle, its channels; (1, C, H, W) uint8.

    By the very steps in which a folder of pictures is read, so that one file is one image wherever it is given.
    """
    from PIL import Image, ImageOps

    from gander.data.reading.pictures import upright
    from gander.data.reading.pixels import converted, squared

    channels, height, width = shape
    whole = upright(picture)
    if height != width:
        whole = ImageOps.fit(whole, (width, height), Image.Resampling.LANCZOS)
    elif whole.size != (width, height):
        whole = squared(whole, height)
    array = np.asarray(whole).reshape(height, width, -1)
    return converted(torch.from_numpy(array.copy()).permute(2, 0, 1).unsqueeze(0), channels)


# ---------------------------------------------------------------------- as arrays
def arrays(
    reading: Reading, loaded: Sequence[Data], files: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Every column of the file, each under a name of its own: what is read, how sure, what is recorded, and the files."""
    columns = {name: said.numpy() for name, said in reading.said.items()}
    for name, doubt in reading.doubt.items():
        code = reading.model.spec.code(name)
        if code.resolved.name == "categorical":
            columns[_free(columns, f"{name}_class")] = reading.classes(code)
        ending = "entropy" if code.resolved.discrete else "sd"
        columns[_free(columns, f"{name}_{ending}")] = doubt.numpy()
    if files is not None:
        columns[_free(columns, "file")] = files
    first = loaded[0]
    for name in first.columns:
        if all(name in each.columns for each in loaded):
            values = torch.cat([each.columns[name].values for each in loaded])
            columns[_free(columns, name, "_true")] = _narrow(values)
    if len(loaded) == 1 and first.label:
        columns.setdefault("label", _narrow(first.columns[first.label].values))
    return columns


def _free(columns: dict[str, np.ndarray], name: str, ending: str = "_read") -> str:
    """The name, with endings as long as a column has it already."""
    while name in columns:
        name += ending
    return name


def _narrow(values: Tensor) -> np.ndarray:
    narrow = values[:, 0] if values.dim() == 2 and values.shape[1] == 1 else values
    return narrow.cpu().numpy()


def _csv(columns: dict[str, np.ndarray]) -> bytes:
    """One row an image; a wide code has one column for each part, NAME.0, NAME.1 …"""
    flat: dict[str, np.ndarray] = {}
    for name, values in columns.items():
        if values.ndim == 1:
            flat[_free(flat, name, "_true")] = values
        else:
            for k in range(values.shape[1]):
                flat[_free(flat, f"{name}.{k}", "_true")] = values[:, k]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(flat)
    writer.writerows(zip(*(column.tolist() for column in flat.values()), strict=True))
    return buffer.getvalue().encode()


# ---------------------------------------------------------------------- for people
def table(reading: Reading, files: np.ndarray) -> list[str]:
    """A line for each image: its file, each class with its probability, each number with its deviation."""
    codes = [reading.model.spec.code(name) for name in reading.said]
    heads = ["file", *(reading.model.names.label(code.name) for code in codes)]
    shown = min(len(files), MOST_LINES)
    cells = [[str(file) for file in files[:shown]]]
    cells += [in_words(reading, code, shown) for code in codes]
    lines = aligned([heads, *map(list, zip(*cells, strict=True))])
    if shown < len(files):
        lines.append(f"… and {len(files) - shown:,} more; --out FILE.csv has all")
    return lines


def in_words(reading: Reading, code: Code, shown: int) -> list[str]:
    """What is read of one code in each of the first images, in words."""
    said, doubt = reading.said[code.name][:shown], reading.doubt[code.name][:shown]
    if code.resolved.name == "categorical":
        classes = reading.classes(code)
        return [
            f"{name} ({p:.0%})" for name, p in zip(classes, said.amax(1).tolist(), strict=False)
        ]
    if code.resolved.name == "binary":
        names = getattr(code.resolved, "names", ()) or map(str, range(said.shape[1]))
        heads = [f"{name} " if said.shape[1] > 1 else "" for name in names]
        return [
            ", ".join(f"{h}{'on' if p > 0.5 else 'off'} ({max(p, 1 - p):.0%})" for h, p in row)
            for row in (zip(heads, one, strict=True) for one in said.tolist())
        ]
    return [
        ", ".join(f"{value:+.2f} ± {error:.2f}" for value, error in zip(v, e, strict=True))
        for v, e in zip(said.tolist(), doubt.tolist(), strict=True)
    ]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a table as lines with straight columns; what cannot be printed is a question mark."""
    plain = [["".join(c if c.isprintable() else "?" for c in cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*plain, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in plain
    ]
