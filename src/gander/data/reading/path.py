"""Which reader a path needs, decided by what lies there."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gander.data import Column, Data
from gander.data.reading import arrays, idx, shards, tars, tree
from gander.data.reading.pictures import KEPT, REDUCED
from gander.data.reading.pixels import resized
from gander.data.reading.shards import MANIFEST, UNFINISHED, is_packed
from gander.data.reading.store import Zip, is_image, natural
from gander.data.reading.stored import kept
from gander.data.reading.streamed import Streamed
from gander.data.reading.walking import TO_ALLOW, leads_out
from gander.errors import DataError


def read(
    path: Path,
    split: str,
    size: int | None,
    channels: int | None,
    limit: int | None,
    links: bool = False,
) -> Data:
    """The set at an existing path: a folder, CSV, zip, npz, npy, IDX or tar file; ``links`` may lead out of a folder."""
    try:
        data = _read(path, split, size, channels, limit, links)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    if size is None and max(data.shape[1:]) > KEPT and not isinstance(data.images, Streamed):
        said = f"large images were cut to their central square, {REDUCED} x {REDUCED}"
        images = resized(data.images, REDUCED)
        data = replace(data, images=images, found=(*data.found, said))
    return replace(data, name=data.name or short(path), source=str(path))


def _read(
    path: Path,
    split: str,
    size: int | None,
    channels: int | None,
    limit: int | None,
    links: bool,
) -> Data:
    ending = path.suffix.lower()
    if path.is_dir():
        if (path / "config.toml").is_file() and (path / "weights").is_dir():
            raise DataError(
                f"{path} is a run, not images to learn from. Give images: a named set (`gander list data`), a folder or "
                f"a file; what the run drew is in {path / 'samples'}."
            )
        if idx.is_canonical(path):
            names = [name for both in idx.CANONICAL.values() for name in both]
            _stay_inside([idx.either(path, name) for name in names], links)
            pictures, classes = idx.canonical(path, split)
            return _labelled(pictures, classes, split, f"the four IDX files in {path}")
        if is_packed(path):
            return shards.read_folder(path, split, size, channels)
        if found := _tars(path):
            return tars.read(found, split, size, channels)
        return tree.read_folder(path, split, size, channels, limit, links)
    if not path.is_file():
        raise DataError(
            f"{path} is no plain file and no folder (a pipe or a device), and no images can be read from it; write "
            f"what it gives to a file first."
        )
    if path.name == MANIFEST:
        return shards.read_folder(path.parent, split, size, channels)
    if ending == ".tar":
        return tars.read([path], split, size, channels)
    if ending == ".csv":
        return tree.read_csv(path, split, size, channels, limit, links)
    if ending == ".zip":
        return tree.read_zip(path, split, size, channels, limit)
    if ending == ".npz":
        return arrays.read_npz(path, split)
    if ending == ".npy":
        return arrays.read_npy(path, split)
    if idx.is_idx(path):
        return _idx_file(path, split, links)
    raise DataError(
        f"{path} is no data source. Give a folder of images (for one image, the folder it is in), a .csv, a .zip, an "
        f".npz, an .npy, a .tar or an IDX file (...images-idx3-ubyte, perhaps .gz)."
    )


def _tars(folder: Path) -> list[Path]:
    """The tar files in a folder that holds nothing else to learn from; in any other they are no source."""
    names = [entry.name for entry in os.scandir(folder)]
    if UNFINISHED in names:
        raise DataError(
            f"{folder} was not packed to its end; give the same `gander data pack` again, which begins anew."
        )
    tar = sorted((name for name in names if name.lower().endswith(".tar")), key=natural)
    mixed = any((folder / name).is_dir() or is_image(name) for name in names if name != "index")
    return [] if mixed else [folder / name for name in tar]


def listing(source: str, links: bool) -> tree.Listing | None:
    """The image files of a folder, a table or a zip before any is decoded; None for what is no such thing."""
    try:
        path = Path(source).expanduser()
        if path.suffix.lower() == ".zip" and path.is_file():
            return tree.listed(Zip(path))
        if path.suffix.lower() == ".csv" and path.is_file():
            return tree.listed(*tree.named_in(path, links))
        run = (path / "config.toml").is_file() and (path / "weights").is_dir()
        if path.is_dir() and not (run or idx.is_canonical(path) or is_packed(path) or _tars(path)):
            return tree.listed(*tree.folder(path, links))
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}.") from None
    except RuntimeError:  # of a user who is not there
        return None
    return None


def _stay_inside(files: Sequence[Path | None], links: bool) -> None:
    """Refuses files that are links out of the folder they lie in. Raises :class:`DataError`."""
    for file in files:
        if file is not None and not links and leads_out(file):
            raise DataError(f"{file} is a link that leads out of its folder ({TO_ALLOW}).")


def _idx_file(path: Path, split: str, links: bool) -> Data:
    """One file of images with its labels beside it, when they are there."""
    if "images" not in path.name or "idx3" not in path.name:
        raise DataError(
            f"{path}: give the file of the images (...images-idx3-ubyte), not of the labels."
        )
    plain = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    labels = idx.either(path.parent, plain)
    _stay_inside([labels], links)
    pictures, classes = idx.pair(path, labels) if labels else (idx.pictures(path), None)
    rows, said = tree.held_out_rows(len(pictures), split)
    data = _labelled(
        pictures, classes, split, f"one IDX file, {'with' if labels else 'without'} labels"
    )
    columns = {
        n: replace(c, values=c.values[torch.from_numpy(rows)]) for n, c in data.columns.items()
    }
    images = kept(data.images, rows)
    return replace(data, images=images, columns=columns, found=(*data.found, said))


def _labelled(images: Tensor, classes: np.ndarray | None, split: str, said: str) -> Data:
    """Gray images (N, 1, H, W) and their classes as a set with one column."""
    columns = {}
    if not len(images) or 0 in images.shape:
        raise DataError(f"{said}: holds no images.")
    if classes is not None:
        names = tuple(str(i) for i in range(int(classes.max()) + 1))
        values = torch.from_numpy(classes.astype(np.int64))
        columns["class"] = Column("class", "categorical", values, names)
    return Data(
        name="",
        source="",
        split=split,
        images=images,
        columns=columns,
        label="class" if columns else None,
        found=(said,),
    )


def short(path: Path) -> str:
    """A short name for run names: the folder's, or the file's without its ending."""
    path = path.resolve()
    stem = path.name if path.is_dir() else path.stem
    if path.is_file() and (idx.is_idx(path) or path.name.lower() == "labels.csv"):
        stem = path.parent.name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "data"
