"""Where data files are kept, and how a file is written so that it is never half there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gander.errors import DataError


def own_folder(name: str) -> Path | None:
    """The user's own copy of a named set, ``$GANDER_DATA/NAME``; None when there is none."""
    root = os.environ.get("GANDER_DATA")
    folder = Path(root).expanduser() / name if root else None
    return folder if folder is not None and folder.is_dir() else None


def cache_folder() -> Path:
    """Where downloads and rendered sets go: ``$GANDER_CACHE``, else ``~/.cache/gander``."""
    given = os.environ.get("GANDER_CACHE")
    return Path(given).expanduser() if given else Path("~/.cache/gander").expanduser()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Says of a folder of the cache, where nothing can be written into it, what to do. Raises ``DataError``."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}. What is fetched or found is kept there; $GANDER_CACHE names another place."
        ) from None


def write_whole(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Writes a file under a temporary name beside it and renames it once it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
