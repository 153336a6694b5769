"""Shards on a server: fetched whole into the cache when they are needed, checked, and let go of when others need the room."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urldefrag, urljoin

from gander.data import Data
from gander.data.reading import shards
from gander.data.reading.places import cache_folder, writing
from gander.data.reading.shards import LARGEST_MANIFEST, MANIFEST, File
from gander.errors import DataError

TRIES = 6
"""How often a server is asked for a file before it is given up."""
TRIES_AT_FIRST = 3
"""The same of its list, before anything has begun: an address is more often wrong than its server away."""
WAIT = 0.5
"""Seconds before the second try; each further one waits twice as long."""
PATIENCE = (10.0, 30.0)
"""Seconds for a connection, and without a byte arriving."""
SLOWEST = 2_000.0
"""Bytes a second, on average over ``PATIENCE``, below which it is tried anew."""
PIECE = 1 << 16  # bytes read at once
AT_ONCE = 2  # shards that are fetched at a time
ROOM = 16 << 30
"""Bytes of fetched shards that are kept, unless ``$GANDER_CACHE_GB`` says otherwise; those being read are kept in any case."""
PART = ".part"
GIVEN_UP = frozenset((400, 401, 403, 404, 405, 410, 416))  # asking again changes nothing


class Unanswered(Exception):
    """A try that failed, with why."""


class There:
    """A set on a server."""

    def __init__(self, base: str) -> None:
        self.where = base
        self.room = _room()
        self.leaving = threading.Event()
        self._turn = threading.BoundedSemaphore(AT_ONCE)
        self._coming: dict[str, Future[Path]] = {}
        self._lock = threading.Lock()
        self._needed: tuple[File, ...] = ()

    def file(self, file: File) -> Path:
        """It in the cache, once it has come. Raises ``DataError``."""
        path = _path(file)
        if _is_there(path, file):
            with contextlib.suppress(OSError):
                os.utime(path)  # the last that was needed is the last to go
            return path
        return self._fetched(file).result()

    def coming(self, files: Sequence[File]) -> None:
        """Begins to fetch those that are needed now and soon, if they are not here."""
        needed = tuple(files)
        if needed == self._needed or self.leaving.is_set():
            return
        self._needed = needed
        for file in files:
            if not _is_there(_path(file), file):
                self._fetched(file)

    def leave(self) -> None:
        """Nobody waits for the server any longer, nor asks it anything until :meth:`close`."""
        with self._lock:
            self.leaving.set()
            for future in self._coming.values():
                _settle(future, DataError(f"{self.where} is not waited for any longer."))

    def close(self) -> None:
        """The end of what was being fetched; whoever needs something later asks anew."""
        self.leave()
        self._coming, self._needed = {}, ()
        self.leaving, self._turn = threading.Event(), threading.BoundedSemaphore(AT_ONCE)

    def _fetched(self, file: File) -> Future[Path]:
        with self._lock:
            if self.leaving.is_set():
                raise DataError(f"{self.where} is not waited for any longer.")
            running = self._coming.get(file.file)
            if running is None or running.done():
                running = self._coming[file.file] = Future()
                # a server that hangs keeps such a thread, and it does not keep the process
                threading.Thread(
                    target=self._run,
                    args=(file, running, self.leaving, self._turn),
                    name="fetch",
                    daemon=True,
                ).start()
            return running

    def _run(
        self,
        file: File,
        future: Future[Path],
        leaving: threading.Event,
        turn: threading.BoundedSemaphore,
    ) -> None:
        try:
            with turn:
                found: Path | Exception = self._fetch(file, leaving)
        except Exception as error:  # whoever waits for it is told
            found = error
        with self._lock:
            _settle(future, found)

    def _fetch(self, file: File, leaving: threading.Event) -> Path:
        path = _path(file)
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _alone(path) as alone:  # of several processes one fetches it
                if not _is_there(path, file):
                    self._make_room(file)
                    # what a process that was killed had fetched is not fetched again
                    part = path.with_suffix(PART if alone else f".{os.getpid()}{PART}")
                    download(
                        urljoin(self.where, quote(file.file)),
                        part,
                        file.bytes,
                        file.sha256,
                        leaving,
                    )
                    os.replace(part, path)
        return path

    def _make_room(self, file: File) -> None:
        """Lets go of the shards that were not needed for longest."""
        needed, kept = {_path(one) for one in self._needed}, []
        for path in (cache_folder() / "shards").glob("*.tar"):
            with contextlib.suppress(OSError):
                kept.append((path.stat().st_mtime, path.stat().st_size, path))
        total = file.bytes + sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self.room:
                break
            if path not in needed:
                with contextlib.suppress(OSError):
                    path.unlink()  # whoever has it open reads on
                    total -= size


def _room() -> int:
    """Bytes of fetched shards that are kept. Raises ``DataError``."""
    told = os.environ.get("GANDER_CACHE_GB", "")
    try:
        return int(float(told) * 1e9) if told else ROOM
    except (ValueError, OverflowError):
        raise DataError(
            f"GANDER_CACHE_GB is how many GB of fetched shards are kept, as 16, given {told[:50]!r}."
        ) from None


def _path(file: File) -> Path:
    return cache_folder() / "shards" / f"{file.sha256[:32]}{Path(file.file).suffix}"


def _settle(future: Future[Path], found: Path | Exception) -> None:
    """Tells whoever waits, once."""
    if future.done():
        return
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)


def _is_there(path: Path, file: File) -> bool:
    try:
        return path.stat().st_size == file.bytes
    except OSError:
        return False


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """One process at a time, where the system knows how; whether it does."""
    try:
        import fcntl
    except ImportError:
        yield False
        return
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield True


# ---------------------------------------------------------------------- from a server
def download(url: str, into: Path, size: int, sha256: str, leaving: threading.Event) -> None:
    """A file of so many bytes with this checksum, tried several times; what has come is not asked for again. Raises ``DataError``."""
    why = ""
    for _ in _tries(TRIES, leaving):
        if leaving.is_set():
            raise DataError(f"{url} was not fetched: the training ends.")
        try:
            with into.open("ab") as file:
                _append(url, file, size)
                file.flush()
                os.fsync(file.fileno())
            if _digest(into) == sha256:
                return
            why = "the file there is not the one that was packed: its checksum differs"
            into.unlink()
        except Unanswered as error:
            why = str(error)
    raise DataError(
        f"{url} could not be had in {TRIES} tries: {why}. Give the same command again when it can."
    )


def _tries(most: int, leaving: threading.Event) -> Iterator[int]:
    """So many tries, before each but the first a wait twice as long as the last, which ends when nobody waits any longer."""
    for number in range(most):
        if number:
            leaving.wait(WAIT * 2 ** (number - 1))
        yield number


def _append(url: str, file: IO[bytes], size: int) -> None:
    """What is lacking of a file. Raises ``Unanswered``, and ``DataError`` where asking again is of no use."""
    have = file.seek(0, os.SEEK_END)
    if have > size:
        have = file.truncate(0)
    if have == size:
        return
    with _answer(url, have) as answer:
        came = answer.headers.get("Content-Range", "")
        if answer.status_code == 206 and came and not came.startswith(f"bytes {have}-"):
            raise Unanswered("it sends another part than it was asked for")
        if answer.status_code != 206 or not have:  # it sends all of it
            file.truncate(0)
            have = 0
        for piece in _pieces(answer):
            have += len(piece)
            if have > size:
                file.truncate(0)
                raise Unanswered(f"it is longer than the {size:,} bytes it should have")
            file.write(piece)
    if have < size:
        raise Unanswered(f"the connection ended after {have:,} of {size:,} bytes")


@contextlib.contextmanager
def _answer(url: str, have: int = 0) -> Iterator[Any]:
    """What a server answers, from a byte on. Raises ``Unanswered``, and ``DataError`` where asking again is of no use."""
    import requests
    from urllib3.exceptions import HTTPError

    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=PATIENCE) as answer:
            _check(url, answer.status_code)
            yield answer
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise DataError(f"{url} cannot be had: {_in_words(error)}.") from None
    except (requests.RequestException, HTTPError, TimeoutError) as error:
        raise Unanswered(_in_words(error)) from None
    except ValueError as error:  # of an address that a redirection names
        raise DataError(f"{url} cannot be had: {_in_words(error)}.") from None


def _pieces(answer: Any) -> Iterator[bytes]:
    """What comes, as it comes. Raises ``Unanswered`` for what comes too slowly."""
    begun, count = time.monotonic(), 0
    read = getattr(answer.raw, "read1", answer.raw.read)  # which waits for no whole piece
    while piece := read(PIECE, decode_content=True):
        count += len(piece)
        yield piece
        passed = time.monotonic() - begun
        if passed > PATIENCE[1] and count < SLOWEST * passed:
            raise Unanswered(f"no more than {count / passed:,.0f} bytes a second come")


def _check(url: str, status: int) -> None:
    if status in GIVEN_UP:
        raise DataError(f"{url} cannot be had: the server answers {status}.")
    if status not in (200, 206):
        raise Unanswered(f"the server answers {status}")


def _in_words(error: Exception) -> str:
    """Why a try failed, in a few words: the texts of these errors are paragraphs."""
    text = str(error)
    for sign, words in (
        ("NameResolution", "no such host, or no network"),
        ("Name or service not known", "no such host, or no network"),
        ("timed out", "no answer in time"),
        ("refused", "connection refused"),
        ("IncompleteRead", "the connection ended early"),
        ("Connection aborted", "the connection ended early"),
        ("reset by peer", "the connection ended early"),
    ):
        if sign in text:
            return words
    return text.partition("\n")[0][:160].rstrip(".")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---------------------------------------------------------------------- a set
def read(url: str, split: str, size: int | None, channels: int | None) -> Data:
    """One split of a packed set on a server: the address of its ``shards.json``, or of the folder it is in. Raises ``DataError``.

    ``#sha256=…`` behind the address says what that list must be; the list says it of everything else.
    """
    try:
        plain, fragment = urldefrag(url)
    except ValueError as error:
        raise DataError(f"{url[:200]!r} is no address: {error}.") from None
    whole = plain if plain.endswith(".json") else plain.rstrip("/") + "/" + MANIFEST
    content = _list(whole)
    found = hashlib.sha256(content).hexdigest()
    asked = fragment.removeprefix("sha256=")
    if fragment and asked != found:
        raise DataError(
            f"{whole} is not the list that was asked for: its SHA-256 is {found}, and #sha256={asked[:64]} was given."
        )
    manifest = shards.parsed(content, whole)
    files = [f for s in manifest.splits.values() for f in (*s.shards, *s.index)]
    if not all(file.sha256 for file in files):
        raise DataError(
            f"{whole} names files without a checksum, and none is fetched without; write it with `gander data index FOLDER`."
        )
    return shards.read(There(whole), manifest, split, size, channels)


def _list(url: str) -> bytes:
    """The content of a list of shards. Raises ``DataError``."""
    why = ""
    for _ in _tries(TRIES_AT_FIRST, threading.Event()):
        try:
            content = bytearray()
            with _answer(url) as answer:
                for piece in _pieces(answer):
                    content += piece
                    if len(content) > LARGEST_MANIFEST:
                        raise DataError(f"{url} is longer than a list of shards can be.")
            return bytes(content)
        except Unanswered as error:
            why = str(error)
            if "no such host" in why:
                break
    raise DataError(
        f"{url} could not be had: {why}. Check the address, or try again when its server answers."
    )
