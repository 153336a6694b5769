"""A generator as an ONNX graph, which runs where PyTorch is not: in a browser, in C#, on a phone.

``told_graph`` is for a page that knows the kinds and encodes by itself; ``values_graph`` is for people, who give every code its
plain value. Both take any number of images N at once and are the whole generator: its averages are folded into its weights.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gander import __version__
from gander.code import Code, Values
from gander.codes import CodeSpec
from gander.conditioning import SteeredGenerator
from gander.errors import UseError
from gander.images import to_bytes
from gander.model import Model

OPSET = 18  # of ONNX operators; ONNX Runtime, also the one for browsers, knows it since 2023
TRACED = 2  # images of the example: with one image the exporter would take the count for a constant
SMALLEST_HALVED = 64  # numbers; of smaller weights a half is no gain
HALF_ERROR = 1e-3  # of the largest weight; half precision of a usual layer is off by half of that
KEY = "gander"  # of our facts among the metadata of the file


class _ToPixels(nn.Module):
    """Encodings (N, W), one per code in order -> uint8 (N, H, W, C)."""

    def __init__(self, generator: SteeredGenerator, spec: CodeSpec) -> None:
        super().__init__()
        self.generator, self.names = generator, [code.name for code in spec.codes]

    def forward(self, told: list[Tensor]) -> Tensor:
        images = self.generator.told(dict(zip(self.names, told, strict=True)))
        return to_bytes(images).permute(0, 2, 3, 1)


class _ToImages(nn.Module):
    """Values as an .npz has them, one per code in order -> (N, C, H, W) in [-1, 1]."""

    def __init__(self, generator: SteeredGenerator, spec: CodeSpec) -> None:
        super().__init__()
        self.generator, self.spec = generator, spec

    def forward(self, values: list[Tensor]) -> Tensor:
        shaped = {
            code.name: value.unsqueeze(1) if is_narrow(code) else value
            for code, value in zip(self.spec.codes, values, strict=True)
        }
        images: Tensor = self.generator(shaped)
        return images


# ---------------------------------------------------------------------- the two graphs
def told_graph(model: Model, half: bool) -> bytes:
    """The generator for a page: an ONNX model from encodings to bytes.

    Inputs: per code, in the specification's order and under its name, its encoding (N, W) float32, what ``Kind.encode``
    gives. Output: ``pixels`` (N, H, W, C) uint8, rounded as ``images.to_bytes`` does (a code of that name is the input
    ``pixels_code``). With ``half`` the weights are kept in 16 bits; the arithmetic is in 32 bits either way.
    Raises ``UseError`` where the packages for it are absent.
    """
    encodings = model.spec.encode(model.spec.draw_at(range(TRACED)))
    network = _ToPixels(_on_cpu(model.generator), model.spec)
    made = _trace(network, list(encodings.values()))
    _rename(made, input_names(model.spec, "pixels"), "pixels")
    if half:
        _halve(made)
    return _finished(made, {"gander": __version__})


def values_graph(model: Model) -> bytes:
    """The generator for people: an ONNX model from the codes' values to images.

    Inputs: per code, under its name, its values in the shapes and types of ``gander sample --out FILE.npz``: a category
    int64 (N,), one number float32 (N,), more of them float32 (N, d). Output: ``images`` (N, C, H, W) float32 in [-1, 1].
    What a stranger must know of them is kept as JSON in the file's metadata, under "gander" (``facts``). Raises
    ``UseError`` where the packages for it are absent.
    """
    examples = inputs(model.spec, model.spec.draw_at(range(TRACED)))
    network = _ToImages(_on_cpu(model.generator), model.spec)
    made = _trace(network, [torch.from_numpy(array) for array in examples.values()])
    _rename(made, input_names(model.spec, "images"), "images")
    return _finished(made, facts(model) | {"use": how_to_run(model)})


def is_narrow(code: Code) -> bool:
    """Whether its value is one number, which files hold as (N,) and not as (N, 1)."""
    return code.resolved.shape == (1,)


def input_names(spec: CodeSpec, output: str) -> dict[str, str]:
    """Code name -> the name of its input: its own, but for a code that is called as the output is."""
    return {c.name: f"{c.name}_code" if c.name == output else c.name for c in spec.codes}


def inputs(spec: CodeSpec, values: Values) -> dict[str, np.ndarray]:
    """Values of every code as ``values_graph`` takes them: input -> (N,), or (N, d) where a value is several numbers."""
    narrow = {
        c.name: values[c.name].squeeze(1) if is_narrow(c) else values[c.name] for c in spec.codes
    }
    return {said: narrow[name].cpu().numpy() for name, said in input_names(spec, "images").items()}


# ---------------------------------------------------------------------- what a stranger must know
def facts(model: Model) -> dict[str, Any]:
    """A model in plain words, as JSON has them: who made it, of what, and each input with its type, shape and range."""
    card = model.card
    return {
        "gander": __version__,
        "family": model.spec.family,
        "preset": card.preset,
        "data": card.data,
        "images_seen": model.images_seen,
        "shape": list(card.shape),
        "codes": [_fact(model, code) for code in model.spec.codes],
        "spec": card.spec.to_dict(),
        "names": model.names.to_dict(),
    }


def _fact(model: Model, code: Code) -> dict[str, Any]:
    """One code: its input, what it is, its usual range or its classes, and what people call it."""
    kind, called = code.resolved, model.names.of(code.name)
    one = kind.name == "categorical"
    fact: dict[str, Any] = {
        "name": code.name,
        "input": input_names(model.spec, "images")[code.name],
        "type": "int64" if one else "float32",
        "shape": ["N"] if one or is_narrow(code) else ["N", *kind.shape],
        "kind": kind.name,
        "is": "noise" if code.is_noise else "given" if code.given else "discovered",
    }
    slider = kind.slider()
    if one:
        fact["classes"] = slider["options"]
    elif "low" in slider:
        fact["usual"] = [slider["low"], slider["high"]]
    if parts := list(getattr(kind, "names", ())) if not one else []:
        fact["parts"] = parts
    if called.name:
        fact["called"] = called.name
    if called.low or called.high:
        fact["ends"] = [called.low, called.high]
    return fact


def how_to_run(model: Model) -> str:
    """Lines of Python that draw eight images with ONNX Runtime, FILE.onnx in the place of the file."""
    lines = []
    for fact in facts(model)["codes"]:
        lines.append(f"    {fact['input']!r}: {_example(fact)},")
    return "\n".join(
        [
            "import numpy as np, onnxruntime",
            "",
            "inputs = {",
            *lines,
            "}",
            "session = onnxruntime.InferenceSession('FILE.onnx')",
            "images = session.run(None, inputs)[0]  # (N, channels, height, width) from -1 to 1",
        ]
    )


def _example(fact: dict[str, Any]) -> str:
    """Eight values of a code, as a Python expression."""
    if fact["kind"] == "categorical":
        return f"np.arange(8, dtype='int64') % {len(fact['classes'])}"
    shape = ", ".join(["8", *map(str, fact["shape"][1:])])
    if fact["kind"] == "gaussian":
        return f"np.random.randn({shape}).astype('float32')"
    low, high = fact.get("usual", (0, 0))
    return f"np.full(({shape},), {(low + high) / 2:g}, 'float32')"


# ---------------------------------------------------------------------- from PyTorch to ONNX
def _on_cpu(generator: SteeredGenerator) -> SteeredGenerator:
    return copy.deepcopy(generator).cpu().eval()


def needs(*packages: str) -> None:
    """Refuses, with what to install, where a package is absent (``UseError``)."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    if absent:
        raise UseError(f"an ONNX export needs {' and '.join(absent)}: pip install 'gander[export]'")


def _trace(network: nn.Module, examples: list[Tensor]) -> Any:
    """What the network does with the examples, as an ``onnx.ModelProto`` for any number of images."""
    needs("onnx", "onnxscript")
    count = torch.export.Dim("N")
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            network.eval(),
            (examples,),
            dynamo=True,
            dynamic_shapes=([{0: count} for _ in examples],),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's remarks about itself from people; everything is as before afterwards."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# ---------------------------------------------------------------------- the ONNX file
def _rename(made: Any, inputs: dict[str, str], output: str) -> None:
    """Gives inputs and output their names and drops what the exporter noted, as the places of source files.

    Everything inside gets a number: a dot cannot be in the name of a code, so no code is called as something inside.
    """
    graph = made.graph
    names = {"": ""}
    for given, name in zip(graph.input, inputs.values(), strict=True):
        names[given.name] = name
    names[graph.output[0].name] = output
    for tensor in graph.initializer:
        names.setdefault(tensor.name, f"weight.{len(names)}")
    for node in graph.node:
        for name in node.output:
            names.setdefault(name, f"inside.{len(names)}")
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type.lower()}.{number}"
        node.doc_string = ""
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
        del node.metadata_props[:]
    for named in (*graph.initializer, *graph.input, *graph.output):
        named.name = names[named.name]
        named.doc_string = ""
        del named.metadata_props[:]
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    del graph.value_info[:]
    del graph.metadata_props[:]
    del made.metadata_props[:]


def _halve(made: Any) -> None:
    """Keeps weights in 16 bits, each with a cast to 32 that a runtime does once, as it loads."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in list(made.graph.initializer):
        whole = numpy_helper.to_array(tensor)
        if whole.dtype != np.float32 or whole.ndim < 2 or whole.size <= SMALLEST_HALVED:
            continue
        with np.errstate(over="ignore"):
            half = whole.astype(np.float16)
        if np.abs(half - whole).max() > HALF_ERROR * np.abs(whole).max():
            continue  # numbers too large or too small for 16 bits
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        cast = helper.make_node("Cast", [f"{name}.half"], [name], f"{name}.cast")
        cast.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
        casts.append(cast)
    nodes = list(made.graph.node)
    del made.graph.node[:]
    made.graph.node.extend([*casts, *nodes])


def _finished(made: Any, facts: dict[str, Any]) -> bytes:
    """The bytes of the file, checked, with who made it and the facts."""
    from onnx import checker, helper

    made.graph.name = "generator"
    made.producer_name, made.producer_version = "gander", __version__
    helper.set_model_props(made, {KEY: json.dumps(facts, ensure_ascii=False)})
    checker.check_model(made)
    content: bytes = made.SerializeToString(deterministic=True)
    return content
