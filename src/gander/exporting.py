"""The export job: a trained game as one page, one ONNX file, or weights with what is needed to use them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gander import graph, handed, outputs, runs, weights
from gander import model as models
from gander import names as naming
from gander.errors import GanderError, RunError, UseError, choose
from gander.images import write
from gander.model import Model

ENDINGS = {"html": ".html", "onnx": ".onnx", "weights": ".safetensors"}
INSIDE = {"html": "index.html", "onnx": "model.onnx"}  # what it is called in a folder
FOREIGN = (".html", ".onnx", ".json", ".png", ".npz", ".zip", ".pt", ".pth", ".bin", ".ckpt", ".md")
CHECKED = 16  # seeds
LARGEST_DIFFERENCE = 1e-4  # of an image from -1 to 1; an eightieth of a gray level
FILES = frozenset(
    {"generator.safetensors", "critic.safetensors", naming.FILE, handed.FILE, "README.md"}
)


def export(
    run: str | Path | Model,
    to: str | None = None,
    out: str | Path | None = None,
    *,
    live: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """Writes a trained game in a form that travels; returns the file or folder written.

    ``run`` is what ``gander.load`` takes, or a model; ``live`` takes the generator itself and not its moving average.
    ``to`` is ``html`` (a page with sliders that needs no network), ``onnx`` (an ONNX file with an input for each code, compared with
    PyTorch before it is put in place) or ``weights`` (safetensors: a folder that ``gander.load`` takes, or
    FILE.safetensors); without it the ending of ``out`` decides. ``tell`` hears what was measured. Raises ``UseError``.
    """
    to = _form(to, out)
    if isinstance(run, Model):
        model, folder = run, None
        name = f"{model.card.preset}-{model.card.data or 'images'}"
    else:
        model = models.load(run, averaged=not live)
        folder, name = _origin(run)
    place = _place(to, out, _plain(name))
    if place.suffix:
        of_a_file = not isinstance(run, Model) and Path(run).is_file()
        outputs.check(place, [str(run)] if of_a_file else [])
    if to == "html":
        from gander.explore import page

        written: Path = page.write(model, place, folder)
        tell(f"{size(written.stat().st_size)}; it opens in any browser and needs no network")
        return written
    if to == "onnx":
        return _onnx(model, place, tell)
    if place.suffix.lower() == ENDINGS["weights"]:
        return _one_file(model, place, tell)
    return _folder(model, place, tell)


# ---------------------------------------------------------------------- what was asked
def _form(to: str | None, out: str | Path | None) -> str:
    """html, onnx or weights, from what was said or from the ending of the file."""
    suffix = Path(out).suffix.lower() if out is not None else ""
    if to is None:
        meant = [form for form, ending in ENDINGS.items() if ending == suffix]
        if not meant:
            raise UseError(
                "say what to export to: --to html (a page with sliders), --to onnx or --to weights."
            )
        return meant[0]
    if to not in ENDINGS:
        raise UseError(f"--to: {choose(to, ENDINGS, 'form of an export')}")
    return to


def _origin(run: str | Path) -> tuple[Path | None, str]:
    """The run directory or None, and what to call the export."""
    path = Path(run)
    if not path.is_file():
        folder = runs.open_run(path).path
        return folder, folder.resolve().name
    if path.name == handed.FILE:
        return None, path.resolve().parent.name
    return None, path.stem


def _plain(name: str) -> str:
    """A name as a file can have it."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".-") or "model"


def _place(to: str, out: str | Path | None, name: str) -> Path:
    """Where the export goes: the file or folder asked for, or one here that is named after the run."""
    if out is None:
        return _free(Path(name)) if to == "weights" else Path(f"{name}{ENDINGS[to]}")
    place = Path(out)
    suffix = place.suffix.lower()
    if to == "weights":
        if suffix != ENDINGS[to] and not place.is_dir():
            if suffix in FOREIGN:
                raise UseError(f"--out {out}: weights go to a folder or to FILE.safetensors.")
            if place.exists():
                raise UseError(f"--out {out} is a file; give a folder or FILE.safetensors.")
        return place if suffix == ENDINGS[to] and not place.is_dir() else _free(place)
    if place.is_dir() or not suffix:
        if place.is_file():
            raise UseError(f"--out {out} is a file; give FILE{ENDINGS[to]} or a folder.")
        return place / INSIDE[to]
    if suffix != ENDINGS[to]:
        raise UseError(f"--out {out}: --to {to} writes FILE{ENDINGS[to]}; give that, or a folder.")
    return place


def _free(place: Path) -> Path:
    """A folder that may be replaced: none yet, an empty one, or an earlier export and nothing else."""
    if not place.is_dir():
        if place.exists():
            raise UseError(f"{place} is a file; give --out with another folder.")
        return place
    there = {path.name for path in place.iterdir()}
    if there and not (handed.is_export(place / handed.FILE) and there <= FILES):
        other = ", ".join(sorted(there - FILES)[:3]) or "weights without a model.json"
        raise UseError(
            f"{place} holds other things ({other}) and is not replaced; give --out with a folder that is "
            f"new, empty or an earlier export."
        )
    return place


# ---------------------------------------------------------------------- onnx
def _onnx(model: Model, place: Path, tell: Callable[[str], None]) -> Path:
    """The file, put in place once ONNX Runtime has drawn with it what PyTorch draws."""
    graph.needs("onnx", "onnxscript", "onnxruntime")
    content = graph.values_graph(model)
    difference = drawn_apart(model, content)
    if not difference <= LARGEST_DIFFERENCE:
        raise GanderError(
            f"{place} was not written: ONNX Runtime draws with it other images than PyTorch, by up to {difference:.2g} "
            f"(at most {LARGEST_DIFFERENCE:g} is rounding). Please report this model's card."
        )
    write(place, content)
    tell(
        f"{size(len(content))}; ONNX Runtime and PyTorch differ by at most {difference:.1e} over {CHECKED} seeds"
    )
    facts = graph.facts(model)
    for line in handed.input_lines(facts):
        tell(f"  {line}")
    channels, height, width = facts["shape"]
    tell(f"  gives images float32 (N, {channels}, {height}, {width}), from -1 to 1")
    return place


def drawn_apart(model: Model, content: bytes) -> float:
    """The largest difference between what ONNX Runtime and PyTorch draw, of images from -1 to 1."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    values = model.spec.draw_at(range(CHECKED))
    inputs = graph.inputs(model.spec, values)
    drawn = session.run(None, inputs)[0]
    with torch.no_grad():
        right = model.generator({k: v.to(model.device) for k, v in values.items()}).cpu().numpy()
    return float(np.abs(drawn - right).max())


# ---------------------------------------------------------------------- weights
def _folder(model: Model, place: Path, tell: Callable[[str], None]) -> Path:
    """DIR with weights, names, model.json and README.md, swapped in as a whole."""
    place = place.resolve() if place.is_symlink() else place
    files = {"generator": "generator.safetensors"}
    if model.critic is not None:
        files["critic"] = "critic.safetensors"
    fresh = _fresh(place)
    try:
        for who, name in files.items():
            network = model.generator if who == "generator" else model.critic
            assert network is not None
            _write_weights(model, network, fresh / name)
        if model.names.codes:
            naming.keep(fresh, model.names)
        said = describe(model, place.name, {who: fresh / name for who, name in files.items()})
        write(fresh / handed.FILE, handed.as_json(said))
        write(fresh / "README.md", handed.readme(said, place.name).encode())
        written = sorted(fresh.iterdir())
        total = sum(path.stat().st_size for path in written)
        _swap_in(fresh, place)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    tell(f"{size(total)}: {', '.join(path.name for path in written)}")
    tell(f"  {said['use'].replace(chr(10), chr(10) + '  ')}")
    return place


def _fresh(place: Path) -> Path:
    """An empty folder beside ``place``, of a name nobody else has."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
        fresh.chmod(0o755)
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error.strerror}.") from None
    return fresh


def _swap_in(fresh: Path, place: Path) -> None:
    """Puts the finished folder in the place of the earlier export, which goes once the new one is there."""
    try:
        if not place.is_dir() or not any(place.iterdir()):
            if place.is_dir():
                place.rmdir()
            os.rename(fresh, place)
            return
        old = _fresh(place)
        old.rmdir()
        os.rename(place, old)
        try:
            os.rename(fresh, place)
        except OSError:
            os.rename(old, place)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error.strerror}.") from None


def _one_file(model: Model, place: Path, tell: Callable[[str], None]) -> Path:
    """FILE.safetensors, enough to draw, and FILE.json that says how."""
    beside = place.with_suffix(".json")
    if beside.exists() and not handed.is_export(beside):
        raise UseError(f"{beside} is there and is not of an export; give another --out.")
    _write_weights(model, model.generator, place)
    said = describe(model, place.name, {"generator": place})
    write(beside, handed.as_json(said))
    tell(f"{size(place.stat().st_size)}; {beside.name} says how to use it")
    tell(f"  {said['use'].replace(chr(10), chr(10) + '  ')}")
    return place


def _write_weights(model: Model, network: nn.Module, path: Path) -> None:
    """One weight file that carries all that is needed to build its network, and the names."""
    facts: dict[str, Any] = {"card": model.card.to_dict(), "images_seen": model.images_seen}
    if model.names.codes:
        facts["names"] = model.names.to_dict()
    weights.write(path, dict(network.state_dict()), facts)


def describe(model: Model, name: str, files: dict[str, Path]) -> dict[str, Any]:
    """What model.json says: the model in plain words, its card, each file with its hash and tensors, and how to use it."""
    listed = {}
    for who, path in files.items():
        tensors, _ = weights.read(path)
        listed[who] = {
            "file": path.name,
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "tensors": {
                key: {"type": str(t.dtype).removeprefix("torch."), "shape": list(t.shape)}
                for key, t in tensors.items()
            },
        }
    facts = graph.facts(model)
    del facts["spec"]  # the card has it
    return {
        "format": handed.FORMAT,
        **facts,
        "card": model.card.to_dict(),
        "files": listed,
        "reads": [code.name for code in model.spec.recognised] if model.critic is not None else [],
        "use": handed.how_to_load(facts, name),
    }


def size(count: int) -> str:
    """A number of bytes, as people read it."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"
