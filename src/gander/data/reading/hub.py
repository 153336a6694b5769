"""Sets of the Hugging Face hub, or saved by their library: ``hf:NAME``, ``hf:NAME/CONFIGURATION`` or ``hf:FOLDER``.

The library keeps a set as Arrow files which it maps, so that it need not fit into memory; images are decoded as they are needed.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gander.data import Column, Data
from gander.data.reading import pictures
from gander.data.reading.store import Few
from gander.data.reading.streamed import Streamed
from gander.data.reading.tree import FEWEST_TO_SPLIT, TESTED
from gander.errors import DataError, choose

SCHEME = "hf:"
EACH = 10_000
"""Images that are counted as a shard: few such stretches are read at a time."""
TESTS = ("test", "validation", "valid", "val")
MANY = 100  # different whole numbers above which they are quantities


class Rows:
    """The image files in a table of their library."""

    def __init__(self, table: Any, image: str, where: str) -> None:
        from datasets import Image

        self._table = table.select_columns([image]).cast_column(image, Image(decode=False))
        self._image, self.where = image, where
        count = len(table)
        self.counts = tuple(min(EACH, count - first) for first in range(0, count, EACH))
        said = [where, table._fingerprint, count]
        self.fingerprint = hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def contents(self, rows: np.ndarray) -> list[bytes | str]:
        """The files of these images; a text says why one cannot be had."""
        return [_content(cell) for cell in self._table[rows.tolist()][self._image]]

    def coming(self, shards: Sequence[int]) -> None:
        """They are here."""

    def named(self, row: int) -> str:
        """Its number."""
        return f"row {row}"

    def leave(self) -> None:
        """Nobody waits."""

    def close(self) -> None:
        """Nobody waits."""


def _content(cell: Any) -> bytes | str:
    if cell is None:
        return "no image"
    if cell["bytes"] is not None:
        return bytes(cell["bytes"])
    try:
        return Path(cell["path"]).read_bytes()
    except (OSError, TypeError) as error:
        return str(error)


def read(source: str, split: str, size: int | None, channels: int | None) -> Data:
    """One split of a set. Raises ``DataError``."""
    name = source.removeprefix(SCHEME)
    tables = _tables(name, source)
    table, notes = _split(tables, split, source)
    image = _image_of(table.features, source)
    columns = dict(_columns(table, image))
    classes = [c.name for c in columns.values() if c.sort == "categorical"]
    rows = Rows(table, image, source)
    if size and channels:
        shape = (channels, size, size)
    else:
        few = Few(source, len(table), lambda row: rows.contents(np.array([row]))[0])
        shape = pictures.detected(few, few.names, size, channels)
    label = "label" if "label" in columns else next(iter(classes), None)
    return Data(
        name=Path(name).name or "hub",
        source=source,
        split=split,
        images=Streamed(rows, shape),
        columns=columns,
        label=label,
        found=(f"images in the column {image!r}, read as they are needed", *notes),
    )


def _tables(name: str, source: str) -> dict[str, Any]:
    """Every split there is, by its name."""
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"{source!r} needs the library of the hub: pip install 'gander[hf]'."
        ) from None
    datasets.disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of every try
    folder = Path(name).expanduser()
    try:
        if folder.is_dir():
            found = datasets.load_from_disk(str(folder))
        else:
            parts = name.split("/")
            found = datasets.load_dataset("/".join(parts[:2]), *parts[2:3])
    except Exception as error:  # of any sort: network, permissions, scripts, formats
        said = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise DataError(
            f"{source!r} cannot be had: {said}. Give hf:OWNER/NAME, hf:OWNER/NAME/CONFIGURATION, or hf:FOLDER of a set that was "
            f"saved with save_to_disk."
        ) from None
    if isinstance(found, datasets.DatasetDict):
        return dict(found)
    return {"train": found}


def _split(tables: dict[str, Any], split: str, source: str) -> tuple[Any, list[str]]:
    import datasets

    test = next((name for name in TESTS if name in tables), None)
    if "train" not in tables:
        raise DataError(f"{source!r}: {choose('train', list(tables), 'split')}")
    train = tables["train"]
    if test is not None:
        if split == "all":
            return datasets.concatenate_datasets([train, tables[test]]), []
        return tables[test if split == "test" else "train"], []
    count = len(train)
    if count < FEWEST_TO_SPLIT or split == "all":
        few = f"nothing held out: fewer than {FEWEST_TO_SPLIT} images"
        return train, [few] if split != "all" else []
    cut = count - count // TESTED
    rows = range(cut, count) if split == "test" else range(cut)
    return train.select(rows), [f"held out as the test split: the last {count - cut:,} rows"]


def _image_of(features: Any, source: str) -> str:
    from datasets import Image

    found = [name for name, feature in features.items() if isinstance(feature, Image)]
    if not found:
        raise DataError(f"{source!r} has no column of images; there are: {', '.join(features)}.")
    return str(found[0])


def _columns(table: Any, image: str) -> Iterator[tuple[str, Column]]:
    """Classes, and numbers."""
    from datasets import ClassLabel, Value

    for name, feature in table.features.items():
        if isinstance(feature, ClassLabel):
            values = np.array(_values(table, name, -1), np.int64)
            yield name, Column(name, "categorical", torch.from_numpy(values), tuple(feature.names))
        elif isinstance(feature, Value) and feature.dtype.startswith(("int", "uint", "float")):
            numbers = np.array(_values(table, name, np.nan), np.float64)
            yield name, _number(name, numbers, "int" in feature.dtype)


def _values(table: Any, name: str, missing: float) -> list[float]:
    return [missing if value is None else value for value in table[name]]


def _number(name: str, numbers: np.ndarray, whole: bool) -> Column:
    """Whole numbers are classes where each comes twice on average, as in a table or a tar."""
    known = numbers[~np.isnan(numbers)]
    distinct = np.unique(known)
    if whole and len(known) and len(distinct) <= MANY and 2 * len(distinct) <= len(known):
        places = np.searchsorted(distinct, np.where(np.isnan(numbers), distinct[0], numbers))
        values = torch.from_numpy(np.where(np.isnan(numbers), -1, places))
        return Column(name, "categorical", values, tuple(str(int(one)) for one in distinct))
    return Column(name, "continuous", torch.from_numpy(numbers.astype(np.float32)))
