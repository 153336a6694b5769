"""Sets published as the four IDX files of MNIST: the user's own copy, else a download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from gander.data import Column, Data
from gander.data.reading import idx
from gander.data.reading.download import fetch
from gander.data.reading.places import cache_folder, own_folder


def four_files(
    name: str,
    label: str,
    classes: Sequence[str],
    urls: Sequence[str],
    checksum: Mapping[str, str],
    split: str,
) -> Data:
    """The set of that name with its one label column; own files need no checksum but must parse."""
    own = own_folder(name)
    folder = own or fetch(name, tuple(checksum), urls, checksum, cache_folder() / name)
    images, labels = idx.canonical(folder, split)
    column = Column(label, "categorical", torch.from_numpy(labels.astype("int64")), tuple(classes))
    return Data(
        name=name,
        source=name,
        split=split,
        images=images,
        columns={label: column},
        label=label,
        found=(f"read from {folder}",),
    )
