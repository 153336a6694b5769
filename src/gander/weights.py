"""Weight files: safetensors with facts in their header, a schema version and a checksum.

Everything that learns is kept in such files, and nothing in them is ever executed. They come from strangers too, so what a header claims
is held against limits and the file's own size before memory is taken, and the content against the SHA-256 that was written with it.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gander.errors import DamagedFile, RunError
from gander.images import write as write_bytes

SCHEMA = 3
"""Of run directories and weight files. 1: images between linear layers and convolutions lay channels first; 2: no checksums."""
READS = (2, 3)
"""The schemas that are read. A file of schema 2 is one of schema 3 whose content cannot be checked."""
OTHER = "it is damaged, or another kind of file. Give a run, or a .safetensors file of its weights folder."
LARGEST = 32 << 30  # bytes of one file
LARGEST_HEADER = 16 << 20  # bytes that name tensors and tell facts
Facts = dict[str, Any]


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Replaces a safetensors file with facts (anything JSON can say) in its header. Raises ``UnwritableFile``."""
    write_bytes(path, packed(tensors, facts))


def packed(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> bytes:
    """Such a file's content."""
    from safetensors.torch import save as to_safetensors

    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    said = {"schema": SCHEMA, **json.loads(json.dumps(dict(facts)))}
    said["sha256"] = checksum(plain, said)
    return to_safetensors(plain, {"gander": json.dumps(said)})


def unpacked(content: bytes) -> tuple[dict[str, Tensor], Facts]:
    """The tensors and the facts of what ``packed`` made in this same run: nothing of it is checked."""
    from safetensors.torch import load

    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return load(content), json.loads(header["__metadata__"]["gander"])


def read(path: Path) -> tuple[dict[str, Tensor], Facts]:
    """The tensors and the facts of a file written by ``write``.

    Raises ``DamagedFile`` where the content is not what was written, ``RunError`` for a file of another sort or schema.
    """
    from safetensors import SafetensorError, safe_open

    _look_at(path)
    try:
        with safe_open(path, framework="pt") as file:
            facts = _facts(path, file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None
    written = facts.pop("sha256", None)
    if written != (checksum(tensors, facts) if facts["schema"] > 2 else None):
        raise DamagedFile(
            f"{path} is damaged: its SHA-256 is not the one that was written with it; take it again from "
            f"where it came from, or go on training, which writes it anew."
        )
    return tensors, facts


def read_facts(path: Path) -> Facts:
    """The facts alone, unchecked but for their form; quick, whatever the size of the file. Raises ``RunError``."""
    from safetensors import SafetensorError, safe_open

    _look_at(path)
    try:
        with safe_open(path, framework="pt") as file:
            return _facts(path, file.metadata())
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None


def checksum(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over the facts and every tensor's name, type, shape and bytes; tensors are contiguous and on the host."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_schema(schema: Any, what: object) -> int:
    """The schema of a file or a run, where it is one that is read. Raises ``RunError``."""
    if isinstance(schema, int) and not isinstance(schema, bool):
        if schema in READS:
            return schema
        if schema > SCHEMA:
            raise RunError(
                f"{what} was written by a newer gander (schema {schema}, this one reads up to {SCHEMA}); "
                f"install the newer one to use it."
            )
        if schema == 1:
            raise RunError(
                f"{what} was written with schema 1, and this gander reads {READS[0]} to {SCHEMA}: its networks are laid out "
                f"otherwise; train the run again."
            )
    said = "no schema" if schema is None else f"schema {schema!r}"
    raise RunError(
        f"{what} says {said}, and this gander reads {READS[0]} to {SCHEMA}; give one that gander wrote."
    )


def _facts(path: Path, metadata: Mapping[str, str] | None) -> Facts:
    facts = json.loads((metadata or {}).get("gander", "null"))
    if not isinstance(facts, dict):
        raise RunError(
            f"{path} is a safetensors file, but not one that gander wrote; give a run, or a file of its weights folder."
        )
    return {
        **facts,
        "schema": check_schema(facts.get("schema", READS[0]), path),
    }  # not all of schema 2 say theirs


def _look_at(path: Path) -> None:
    """Refuses what is no file of its own, or claims more than it is, before anything of it is believed."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # to open a pipe would wait for its other end
            raise RunError(
                f"{path} is not a plain file; give a run, or a .safetensors file of its weights folder."
            )
        with path.open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}.") from None
    if about.st_size < 8 or header > about.st_size - 8:
        raise DamagedFile(f"{path} cannot be read as gander weights: {OTHER}")
    if header > LARGEST_HEADER or about.st_size > LARGEST:
        most = f"{LARGEST_HEADER:,} bytes of header and {LARGEST:,} in all"
        raise RunError(
            f"{path} is refused: {header:,} bytes of header, {about.st_size:,} in all; at most {most}."
        )


def _damaged(path: Path, error: Exception) -> DamagedFile:
    said = error.strerror if isinstance(error, OSError) and error.strerror else OTHER
    return DamagedFile(f"{path} cannot be read as gander weights: {said}")
