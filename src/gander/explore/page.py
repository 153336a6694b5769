"""The knobs page as one file: the model, its codes, what each is worth, and the engine that draws."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from gander import __version__, graph, history, rng
from gander.charts import text
from gander.code import Code
from gander.errors import UseError
from gander.history import Measured
from gander.images import write as write_file
from gander.kinds import Binary, Categorical, Uniform
from gander.model import Model
from gander.runs import Run

SCRIPTS = (
    "model",
    "random",
    "kinds",
    "engines",
    "paint",
    "knobs",
    "state",
    "views",
    "live",
    "start",
)
DRAWN_BY_PAGE = ("gaussian", "uniform", "categorical", "binary", "circular")  # web/kinds.js
NAMED = 5  # codes that the first sentences name
LEAST_CORRELATION = 0.7  # with a recorded factor, to be said to follow it
CHECKED = 64  # images on which half precision must be right
OFFLINE = "default-src 'none'; script-src 'unsafe-inline' blob: 'wasm-unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
SERVED = "default-src 'none'; script-src 'unsafe-inline' blob:; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'"
LARGEST = 400_000_000  # bytes of weights in a page


def write(model: Model, out: Path, folder: Path | None = None) -> Path:
    """One file that runs the generator offline, in any current browser; ``folder`` is the run, for what its knobs are worth."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise UseError(f"--out {out}: a page is a file ending in .html.")
    weights = sum(p.numel() for p in model.generator.parameters()) * 2
    if weights > LARGEST:
        raise UseError(
            f"this generator has {weights >> 20:,} MB of weights, too many for a page; use gander explore."
        )
    write_file(out, document(model, folder))
    return out


def document(
    model: Model, folder: Path | None = None, server: Mapping[str, Any] | None = None
) -> bytes:
    """The page. With ``server`` (what it can do) the drawing is asked of it, else the page carries the generator."""
    card = model.card
    title = f"{card.preset} on {Path(card.data).name}" if card.data else card.preset
    facts = describe(model, folder) | {"server": server}
    _, height, width = card.shape
    bare = (
        ""
        if model.spec.knobs
        else (
            '<p class="soft">A plain GAN has no knobs: its only input is noise, so all you can choose is the seed.</p>'
        )
    )
    parts = {
        "title": text(title),
        "maker": text(f"gander {__version__}"),
        "policy": SERVED if server else OFFLINE,
        "style": f":root {{ --ratio: {width} / {height}; }}\n{_read('page.css', '.')}{_read('style.css')}",
        "lead": text(_lead(model)),
        "size": f"{width} × {height}",
        "bare": bare,
        "foot": _foot(server is not None),
        "model": json.dumps(facts, allow_nan=False).replace("<", "\\u003c"),
        "assets": "".join(_asset(*one) for one in _assets(model, server is not None)),
        "script": "\n".join(_read(f"{name}.js") for name in SCRIPTS),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read("index.html"))
    return page.encode("utf-8", "replace")


def _read(name: str, where: str = "explore/web") -> str:
    return (resources.files("gander") / where / name).read_text("utf-8")


def _lead(model: Model) -> str:
    """What a person is looking at, in two sentences."""
    given = [model.names.label(c.name) for c in model.spec.knobs if c.given]
    found = [model.names.label(c.name) for c in model.spec.knobs if not c.given]
    said = [f"you order {_listed(given)}"] if given else []
    said += [f"it discovered {_listed(found)} by itself"] if found else []
    seen = f"{model.spec.family}, trained on {model.images_seen:,} images"
    turn = " Turn a knob: everything you leave alone follows the seed." if given or found else ""
    return f"{seen}{': ' + ', '.join(said) if said else ''}.{turn}"


def _listed(words: list[str]) -> str:
    if len(words) > NAMED + 1:
        words = [*words[:NAMED], f"{len(words) - NAMED} more"]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _foot(served: bool) -> str:
    made = f"Made by gander {text(__version__)}."
    if served:
        return f"{made} Drawn by PyTorch on this machine."
    licences = _read("LICENCES.txt", "explore/vendor")
    return (
        f"{made} The generator runs inside this file: nothing is sent anywhere, and it works without a network. It runs in "
        f"ONNX Runtime Web; animations are written by gifenc.</p>\n<details><summary>Licences</summary><pre>{text(licences)}"
        f"</pre></details>\n<p>"
    )


# ---------------------------------------------------------------------- the model
def describe(model: Model, folder: Path | None) -> dict[str, Any]:
    """What the page's script knows of the model, as JSON."""
    run = Run(folder) if folder is not None else None
    figures = history.latest(history.evaluations(run))[0] if run else {}
    lines = history.placed(run.lines()) if run else []
    log = lines[-1] if lines else {}
    name = folder.resolve().name if folder else model.card.preset
    return {
        "name": name,
        "run": _as_typed(folder) if folder else name,
        "shape": list(model.card.shape),
        "images_seen": model.images_seen,
        "codes": [_code(model, code, figures, log) for code in model.spec.codes],
    }


def _as_typed(folder: Path) -> str:
    """How to name the run in a command, without telling a colleague where this machine keeps it."""
    try:
        here, place = Path.cwd(), folder.resolve()
    except OSError:  # the folder in which the server was started is gone
        return folder.name
    return place.relative_to(here).as_posix() if place.is_relative_to(here) else place.name


def _code(
    model: Model, code: Code, figures: Mapping[str, Measured], log: Mapping[str, Any]
) -> dict[str, Any]:
    kind = code.resolved
    if kind.name not in DRAWN_BY_PAGE:
        raise UseError(
            f"the page cannot draw codes of the kind {kind.name} ({code.name}): explore/web/kinds.js does not know it. "
            f"gander sample and gander export --to onnx can."
        )
    slider = kind.slider()
    called = model.names.of(code.name)
    facts: dict[str, Any] = {
        "name": code.name,
        "input": graph.input_names(model.spec, "pixels")[code.name],
        "label": model.names.label(code.name),
        "kind": kind.name,
        "noise": code.is_noise,
        "size": int(getattr(kind, "size", 1)),
        "uniforms": kind.uniforms,
        "key": str(rng.stream_key(f"draw/{code.name}")),
    }
    if isinstance(kind, Categorical):
        facts["edges"] = kind.edges().tolist()
    if isinstance(kind, Binary):
        facts["chances"] = kind.chances().tolist()
    if isinstance(kind, Uniform):
        facts |= {"low": kind.low, "high": kind.high, "quantiles": kind.quantiles}
    if code.is_noise:
        return facts
    facts["points"] = model.points(code.name)[:1000].tolist()
    if "options" in slider:
        facts["options"] = list(slider["options"])
    else:
        facts["ends"] = [slider["low"], slider["high"]]
    if called.low or called.high:
        facts["words"] = [called.low, called.high]
    if called.confidence:
        facts["confidence"] = list(called.confidence)
    return facts | _worth(code, figures, log) | _follows(code, figures)


def _follows(code: Code, figures: Mapping[str, Measured]) -> dict[str, Any]:
    """The recorded factor of the images that a discovered slider turned out to be, where evaluation found one."""
    figure = figures.get(f"correlation/{code.name}")
    if figure is None or figure.value < LEAST_CORRELATION:
        return {}
    factor = figure.about.partition(",")[0]
    return {"follows": f"follows {factor}, r {figure.value:.2f}"}


def _worth(code: Code, figures: Mapping[str, Measured], log: Mapping[str, Any]) -> dict[str, Any]:
    """What a knob is worth: measured by ``gander evaluate`` where it was, else as the training's last report read it back."""
    discrete = code.resolved.discrete
    wanted = ["mutual_information", "r2"] if not code.given else ["label_accuracy", "r2"]
    for metric in wanted:
        figure = figures.get(f"{metric}/{code.name}")
        if figure is not None:
            floor = figure.floor if figure.floor is not None and not figure.real else 0.0
            ceiling = figure.ceiling if figure.ceiling is not None else 1.0
            about = f"{metric} of {code.name}: {figure.about}. Measured on {figure.how}."
            return {"worth": _said(metric, figure.value, floor, ceiling, about)}
    value = history.number(history.table(log.get("information")).get(code.name))
    if value is None:
        return {"unmeasured": f"gander evaluate measures what {code.name} is worth"}
    metric = "mutual_information" if discrete else "r2"
    ceiling = history.number(history.table(log.get("ceilings")).get(code.name)) or 1.0
    about = f"{metric} of {code.name}, as the recogniser read it back from drawn images at the end of training."
    return {"worth": _said(metric, value, 0.0, ceiling, about)}


def _said(metric: str, value: float, floor: float, ceiling: float, about: str) -> dict[str, Any]:
    words = {
        "mutual_information": f"{value:.2f} of {ceiling:.2f} nats",
        "r2": f"R² {value:.2f}",
        "label_accuracy": f"{100 * value:.1f} % drawn as ordered",
    }
    return {
        "value": value,
        "floor": floor,
        "ceiling": ceiling,
        "text": words[metric],
        "about": about,
    }


# ---------------------------------------------------------------------- what the page carries
def _assets(model: Model, served: bool) -> list[tuple[str, bytes]]:
    """Gzip-packed files under the names the page's script knows."""
    vendor = resources.files("gander") / "explore" / "vendor"
    packed = {"gif": _packed((vendor / "gifenc.esm.js").read_bytes())}
    if not served:
        packed["runtime"] = _packed((vendor / "ort.wasm.bundle.min.mjs").read_bytes())
        packed["runtime-wasm"] = (vendor / "ort-wasm-simd-threaded.wasm.gz").read_bytes()
        packed["graph"] = _packed(light_graph(model))
    return list(packed.items())


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, 9, mtime=0)


def _asset(name: str, packed: bytes) -> str:
    return f'<script type="text/plain" id="{name}">{base64.b64encode(packed).decode()}</script>\n'


def light_graph(model: Model) -> bytes:
    """The generator for the page: weights in half precision where no pixel moves by more than one gray level, else in full."""
    half = graph.told_graph(model, half=True)
    told = model.spec.encode(model.values(range(CHECKED)))
    graph.needs("onnxruntime")
    import onnxruntime

    session = onnxruntime.InferenceSession(half, providers=["CPUExecutionProvider"])
    names = graph.input_names(model.spec, "pixels")
    (pixels,) = session.run(None, {names[code]: value.numpy() for code, value in told.items()})
    right = model.render_told(told).permute(0, 2, 3, 1)
    off = (torch.from_numpy(pixels).int() - right.int()).abs().max()
    return half if int(off) <= 1 else graph.told_graph(model, half=False)
