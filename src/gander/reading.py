"""The reading job: the recogniser as an encoder of images, to .npz or .csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gander import data as sources
from gander import images as pictures
from gander.data import Data
from gander.errors import DataError, UseError
from gander.model import Model

ENDINGS = (".npz", ".csv")


def read(
    model: Model, out: str | Path, *, data: str | None = None, files: Sequence[str] = ()
) -> Path:
    """Reads every image of a source, or the files given, and writes what the recogniser says of each.

    A categorical code gives its probabilities (N, K), the others their means (N, d); beside them
    ``label`` and every recorded column of the data. Raises ``UseError``.
    """
    out = Path(out)
    if out.suffix.lower() not in ENDINGS:
        raise UseError(f"--out {out}: give a file ending in .npz or .csv.")
    if bool(data) == bool(files):
        raise UseError("give what to read: either --data SRC[:split] or image files.")
    loaded = [_load(model, source) for source in ([data] if data else files)]
    columns: dict[str, np.ndarray] = {}
    read = model.read(torch.cat([each.images for each in loaded]))
    for name, reading in read.items():
        columns[name] = reading.numpy()
    first = loaded[0]
    for name in first.columns:
        if all(name in each.columns for each in loaded):
            key = f"{name}_true" if name in columns else name
            columns[key] = _narrow(torch.cat([each.columns[name].values for each in loaded]))
    if data and first.label:
        columns.setdefault("label", _narrow(first.columns[first.label].values))
    if files:
        columns["file"] = np.repeat(list(files), [len(each) for each in loaded])
    pictures.write(out, pictures.npz(columns) if out.suffix.lower() == ".npz" else _csv(columns))
    return out


def _load(model: Model, source: str) -> Data:
    channels, height, width = model.card.shape
    size = height if height == width else None
    if Path(source).is_file() and Path(source).suffix.lower() not in (
        ".npz",
        ".zip",
        ".csv",
        ".gz",
    ):
        return _single(model, source)
    loaded = sources.load(source, size=size, channels=channels)
    if loaded.shape != model.card.shape:
        raise DataError(
            f"{source!r} has images of shape {loaded.shape}, the model {model.card.shape}."
        )
    return loaded


def _single(model: Model, source: str) -> Data:
    """One image file as a data set of one."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    channels, height, width = model.card.shape
    try:
        with Image.open(source) as file:
            mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
            upright = ImageOps.exif_transpose(file).convert(mode)
            fitted = ImageOps.fit(upright, (width, height), Image.Resampling.LANCZOS)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{source!r} cannot be read as an image: {error}") from None
    array = np.asarray(fitted).reshape(height, width, channels)
    images = torch.from_numpy(array.copy()).permute(2, 0, 1).unsqueeze(0)
    return Data(source, source, "all", images, {}, None, ())


def _narrow(values: Tensor) -> np.ndarray:
    narrow = values[:, 0] if values.dim() == 2 and values.shape[1] == 1 else values
    return narrow.cpu().numpy()


def _csv(columns: dict[str, np.ndarray]) -> bytes:
    """One row an image; a wide code has one column for each part, NAME.0, NAME.1 …"""
    flat: dict[str, np.ndarray] = {}
    for name, values in columns.items():
        if values.ndim == 1:
            flat[name] = values
        else:
            flat |= {f"{name}.{k}": values[:, k] for k in range(values.shape[1])}
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(flat)
    writer.writerows(zip(*(column.tolist() for column in flat.values()), strict=True))
    return buffer.getvalue().encode()
