"""Downloads with a checksum, from the first mirror that has the file as it should be."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gander.errors import DataError

TIMEOUT_SECONDS = 30.0  # without a byte arriving


class Progress:
    """One line on standard error that grows as bytes arrive; silent when nobody watches."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.total = 0
        self.seen = 0

    def update(self, count: int) -> None:
        """``count`` further bytes have come."""
        self.seen += count
        if sys.stderr.isatty():
            share = f" of {self.total / 1e6:.1f}" if self.total else ""
            sys.stderr.write(f"\r{self.name}: {self.seen / 1e6:.1f}{share} MB ")
            sys.stderr.flush()

    def reset(self) -> None:
        """Pooch counts from the start again to show the whole at the end."""
        self.seen = 0

    def close(self) -> None:
        """The line is finished."""
        if sys.stderr.isatty():
            sys.stderr.write("\n")


def fetch(
    name: str, files: Sequence[str], urls: Sequence[str], checksum: Mapping[str, str], folder: Path
) -> Path:
    """The folder with all ``files`` in it, each downloaded unless it is there with its checksum.

    ``urls`` are folders to try in order, ``checksum`` maps a file to ``md5:...`` or ``sha256:...``.
    A file has its final name only when it is whole. Raises :class:`DataError` when no mirror
    serves.
    """
    try:
        import pooch
    except ImportError:
        raise DataError(
            f"Downloading {name} needs pooch: pip install pooch. {_by_hand(name, files)}"
        ) from None
    pooch.get_logger().setLevel("WARNING")
    for file in files:
        if not _is_whole(pooch, folder / file, checksum[file]):
            _from_any(pooch, name, file, urls, checksum[file], folder, files)
    return folder


def _is_whole(pooch: Any, path: Path, checksum: str) -> bool:
    algorithm, _, expected = checksum.partition(":")
    return path.is_file() and pooch.file_hash(str(path), alg=algorithm) == expected


def _from_any(
    pooch: Any,
    name: str,
    file: str,
    urls: Sequence[str],
    checksum: str,
    folder: Path,
    files: Sequence[str],
) -> None:
    """One file from the first mirror that has it whole."""
    import requests

    reasons = []
    for base in urls:
        url = base.rstrip("/") + "/" + file
        progress = Progress(file)
        downloader = pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT_SECONDS)
        try:
            pooch.retrieve(url, checksum, fname=file, path=folder, downloader=downloader)
            return
        except (requests.RequestException, OSError, ValueError) as error:
            reasons.append(f"{url}: {_reason(error)}")
    tried = "\n  ".join(reasons)
    raise DataError(f"{name} could not be downloaded. Tried:\n  {tried}\n{_by_hand(name, files)}")


def _reason(error: Exception) -> str:
    """Why a mirror failed, in a few words: the texts of these errors are paragraphs."""
    text = str(error)
    if "does not match the known hash" in text:
        return "the file there is not the right one (its checksum differs)"
    for sign, words in (
        ("NameResolution", "no such host, or no network"),
        ("timed out", "no answer in time"),
        ("refused", "connection refused"),
    ):
        if sign in text:
            return words
    return text.partition("\n")[0][:160]


def _by_hand(name: str, files: Sequence[str]) -> str:
    return (
        f"Or put {', '.join(files)} into $GANDER_DATA/{name}/ yourself "
        f"(GANDER_DATA is any folder you choose)."
    )
