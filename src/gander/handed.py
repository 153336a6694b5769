"""What lies beside weights that are handed to others: model.json, which a program reads, and README.md, which people read.

model.json says what the model is, how each input is called, which files there are with their SHA-256, and how to use them.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from keyword import iskeyword
from pathlib import Path
from typing import Any

from gander import strangers
from gander.errors import RunError

FILE = "model.json"
FORMAT = "gander weights"
MOST_BYTES = 4_000_000
ONE_LINE = 120  # characters
LONGEST_NAME = 255  # bytes of a file's name, on every system
ORDERED = ("n", "seed", "seeds")  # other words of ``Model.draw``
GENERATOR = "generator.safetensors"  # in a folder
Facts = Mapping[str, Any]
"""What model.json says, see ``exporting.describe``."""


def as_json(facts: Facts) -> bytes:
    return (_laid_out(facts) + "\n").encode()


def _laid_out(value: Any, margin: str = "\n") -> str:
    """JSON for people to read: what holds no table is one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, Mapping | list) or (len(flat) < ONE_LINE and "{" not in flat[1:]):
        return flat
    deeper = f"{margin}  "
    if isinstance(value, Mapping):
        rows = [
            f"{json.dumps(str(k), ensure_ascii=False)}: {_laid_out(v, deeper)}"
            for k, v in value.items()
        ]
        return f"{{{deeper}{f',{deeper}'.join(rows)}{margin}}}"
    if not any(isinstance(item, Mapping | list) for item in value):
        return flat
    return f"[{deeper}{f',{deeper}'.join(_laid_out(item, deeper) for item in value)}{margin}]"


def is_export(path: Path) -> bool:
    """Whether a file is the model.json of an export."""
    try:
        _read(path)
    except RunError:
        return False
    return True


def weights_of(path: Path) -> Path:
    """The folder or the weight file that a model.json is about, once its files are found to be those it describes.

    Raises ``RunError`` for another file and for weights whose SHA-256 is not the one written down.
    """
    listed = _read(path)
    for name, sha256 in listed.values():
        file = path.parent / name
        if not file.is_file():
            raise RunError(
                f"{path} tells of {name}, which is not beside it; copy the two together."
            )
        if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
            raise RunError(
                f"{file} is not the file {path.name} tells of: its SHA-256 is another. Copy or export it again, or give "
                f"the weights themselves to load them as they are."
            )
    generator = listed["generator"][0]
    together = path.name == FILE and generator == GENERATOR
    return path.parent if together else path.parent / generator


def _read(path: Path) -> dict[str, tuple[str, str]]:
    """Network -> its file and SHA-256, of a model.json that was looked at before it is believed."""
    try:
        table = strangers.from_json(strangers.content(path, MOST_BYTES))
        if table["format"] != FORMAT:
            raise ValueError(f"format {table['format']!r}")
        listed = {str(w): (f["file"], f["sha256"]) for w, f in table["files"].items()}
        for who, (name, sha256) in listed.items():
            if not isinstance(name, str) or not isinstance(sha256, str) or not _is_plain(name):
                raise ValueError(f"the file of the {who}, {name!r}")
        if "generator" not in listed:
            raise ValueError("no generator")
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path} is not what `gander export --to weights` writes beside the weights: {error}."
        ) from None
    return listed


def _is_plain(name: str) -> bool:
    """Whether it names a file of the same folder and of no other."""
    plain = bool(name) and not name.startswith(".") and not set(name) & set("/\\:\0")
    return plain and len(name.encode("utf-8", "replace")) <= LONGEST_NAME


# ---------------------------------------------------------------------- for people
def how_to_load(facts: Facts, name: str) -> str:
    """Three lines of Python that draw with the exported folder or file called ``name``."""
    channels, height, width = facts["shape"]
    return "\n".join(
        [
            "import gander",
            f"model = gander.load({name!r})",
            f"images = model.draw(8, seed=0{_setting(facts)})  # uint8 (8, {channels}, {height}, {width})",
        ]
    )


def _knob(facts: Facts) -> tuple[str, Any] | None:
    """A knob to show, and something to set it to."""
    for fact in facts["codes"]:
        if fact["is"] != "noise" and fact["name"] not in ORDERED:
            if fact["kind"] == "categorical":
                named = [word for word in fact["classes"] if not word.startswith("#")]
                word = named[min(3, len(named) - 1)]
                return fact["name"], int(word) if word.isdecimal() else word
            return fact["name"], fact["usual"][1] if "usual" in fact else 1
    return None


def _setting(facts: Facts) -> str:
    knob = _knob(facts)
    if knob is None:
        return ""
    name, value = knob[0], _short(knob[1])
    # A name that Python takes for a word of its own, as class, or cannot take at all, goes by a dictionary.
    plain = name.isidentifier() and not iskeyword(name)
    return f", {name}={value}" if plain else f", **{{{name!r}: {value}}}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else repr(value)


def input_lines(facts: Facts) -> list[str]:
    """The inputs of an ONNX file, one a line: name, type and shape, and what each may be."""
    rows = [(f["input"], f"{f['type']} ({_shape(f['shape'])})", meaning(f)) for f in facts["codes"]]
    wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return [f"{name:{wide[0]}}  {sort:{wide[1]}}  {said}" for name, sort, said in rows]


def _shape(shape: list[Any]) -> str:
    return ", ".join(map(str, shape)) + "," * (len(shape) == 1)


def meaning(fact: Facts) -> str:
    """What a code is and which values it takes, in a few words."""
    words = [fact["is"]]
    if "called" in fact:
        words.append(f"called {fact['called']}")
    if fact["kind"] == "categorical":
        words.append(_classes(fact["classes"]))
    elif fact["kind"] == "gaussian":
        words.append("standard normal")
    elif fact["kind"] == "circular":
        words.append("an angle from -π to π")
    elif fact["kind"] == "binary":
        words.append(f"each 0 or 1: {', '.join(fact['parts'])}" if "parts" in fact else "0 or 1")
    elif "usual" in fact:
        words.append("from {:.4g} to {:.4g}".format(*fact["usual"]))
    if "ends" in fact:
        words.append(" to ".join(end or "…" for end in fact["ends"]))
    return ", ".join(words)


def _classes(classes: list[str]) -> str:
    last = len(classes) - 1
    if classes == [str(k) for k in range(last + 1)]:
        return f"a class from 0 to {last}"
    shown = [f"{k} {name}" for k, name in enumerate(classes[:20])]
    return f"a class from 0 to {last}: {', '.join(shown)}{', …' if last >= 20 else ''}"


def readme(facts: Facts, name: str) -> str:
    """README.md of an exported folder: what the model is, its codes, and how to use it."""
    channels, height, width = facts["shape"]
    rows = [f"| `{f['name']}` | {_cell(meaning(f))} |" for f in facts["codes"]]
    knob = _knob(facts)
    order = ["--set", f"{knob[0]}={_bare(knob[1])}"] if knob else []
    commands = [["sample", name, *order, "--out", "sheet.png"]]
    if "critic" in facts["files"] and facts["reads"]:
        commands.append(["read", name, "IMAGE.png", "--out", "read.csv"])
    files = [
        f"| {f['file']} | the {who}'s weights | {f['bytes']:,} | `{f['sha256']}` |"
        for who, f in facts["files"].items()
    ]
    return "\n".join(
        [
            "---",
            "library_name: gander",
            "tags: [gan, image-generation]",
            "---",
            f"# {facts['family']} of {_cell(facts['data'] or 'images')}",
            "",
            f"A generator of images of {height} x {width} pixels and {channels} channel{'s' * (channels > 1)}, trained with gander's preset "
            f"{_cell(facts['preset'])} until it had seen {facts['images_seen']:,} real images; exported by gander {facts['gander']}.",
            "",
            "```python",
            *facts["use"].splitlines(),
            "```",
            "",
            "```sh",
            *(shlex.join(["gander", *words]) for words in commands),
            "```",
            "",
            "| code | what it is |",
            "|---|---|",
            *rows,
            "",
            "| file | holds | bytes | SHA-256 |",
            "|---|---|---|---|",
            *files,
            "",
            f"`{FILE}` says the same for programs, with every tensor's name and shape.",
            "",
        ]
    )


def _bare(value: Any) -> str:
    """A value as a word of a command line."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    """A stranger's words inside a Markdown table."""
    return "".join(f"\\{c}" if c in "|`<>*_[]" else c for c in text)
