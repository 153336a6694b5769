"""Handwritten digits (LeCun et al., 1998), 28 x 28 gray, 60,000 and 10,000; 12 MB to download."""

from __future__ import annotations

from gander.data import Data
from gander.data.reading.published import four_files

URLS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)
CHECKSUM = {
    "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
}


def load(split: str, size: int | None, limit: int | None) -> Data:
    """The canonical files, label column ``digit``."""
    return four_files("mnist", "digit", "0123456789", URLS, CHECKSUM, split)
