"""Photographed garments (Xiao et al., 2017), 28 x 28 gray, 60,000 and 10,000; 31 MB to download."""

from __future__ import annotations

from gander.data import Data
from gander.data.reading.published import four_files

URLS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
)
CHECKSUM = {
    "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
}
GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load(split: str, size: int | None, limit: int | None) -> Data:
    """The canonical files, label column ``garment``."""
    return four_files("fashion-mnist", "garment", GARMENTS, URLS, CHECKSUM, split)
