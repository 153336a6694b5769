"""A generator as an ONNX graph: ONNX Runtime draws what PyTorch draws, whatever the codes, the network and the shape."""

import copy
import json
import logging
import sys
from itertools import cycle, product

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from gander import backbones, config, graph, kinds
from gander.codes import CodeSpec
from gander.errors import UseError
from gander.images import to_bytes
from gander.model import Card, Model
from gander.names import Called, Names

BATCHES = (1, 2, 7)
NOISE = "noise:gaussian(6)"
QUANTILES = (2.0, 2.5, 4.0, 5.0)
KINDS = {
    "gaussian": "gaussian(2)",
    "uniform": "uniform(2.0,5.0)",
    "categorical": "categorical(3)",
    "binary": "binary(2)",
    "circular": "circular",
}
WAYS = ("concat", "multiply", "embed", "normalisation")
PLAIN = {  # operators that runtimes on the processor have, in browsers too
    *("Add", "Mul", "Sub", "Div", "Clip", "Cast", "Concat", "Reshape", "Transpose", "Slice"),
    *("Unsqueeze", "Squeeze", "Expand", "Shape", "Gather", "Split", "Resize", "Round", "Equal"),
    *("Gemm", "MatMul", "Conv", "ConvTranspose", "BatchNormalization", "OneHot", "Identity"),
    *("Relu", "LeakyRelu", "Tanh", "Cos", "Sin"),
}


def spec_of(line):
    """Codes written as a line; what is uniform from 2 to 5 is drawn by quantiles."""
    tables = CodeSpec.parse(line).to_dict()
    for table in tables.values():
        if table.get("low") == QUANTILES[0]:
            table["quantiles"] = QUANTILES
    return CodeSpec.from_dict(tables)


def model(spec, backbone="dcgan", channels=1, size=(20, 17), names=None):
    """An untrained model whose weights and running statistics are anything but those of a fresh one."""
    card = Card(spec, (channels, *size), backbone, 4, "none", "custom", "noise")
    generator = card.build_generator()
    numbers = torch.Generator().manual_seed(5)
    state = generator.state_dict()
    for name, tensor in state.items():
        if name.endswith("running_var"):
            tensor.uniform_(0.3, 3.0, generator=numbers)
        elif name.endswith("gain"):
            tensor.uniform_(0.5, 1.5, generator=numbers)
        elif tensor.dim() < 2 and tensor.is_floating_point():
            tensor.normal_(0.0, 0.5, generator=numbers)
        elif tensor.is_floating_point():
            inward = 4 * len(tensor) if "ups" in name else tensor[0].numel()  # numbers in one sum
            tensor.normal_(0.0, inward**-0.5, generator=numbers)
    generator.load_state_dict(state)
    return Model(card, generator, None, 1000, names)


def run(content, inputs):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda n: session.run(None, {name: array[:n] for name, array in inputs.items()})[0]


def agree(made, told=(False, True)):
    """Each graph of a model draws the same as PyTorch in every batch; its operators are plain ones."""
    values_agree(made, graph.values_graph(made))
    for half in told:
        told_agree(made, graph.told_graph(made, half), half)


def drawn(made):
    """Values for the largest batch and what PyTorch draws of them, which must be able to show a difference."""
    values = made.spec.draw_at(range(max(BATCHES)))
    with torch.no_grad():
        right = made.generator(values)
    assert right.abs().lt(0.98).float().mean() > 0.5, "saturated pixels would hide a difference"
    assert right.std(0).max() > 0.1, "images that are all the same would hide one too"
    return values, right


def values_agree(made, content):
    values, right = drawn(made)
    draw = run(content, graph.inputs(made.spec, values))
    for n in BATCHES:
        images = draw(n)
        assert images.dtype == np.float32 and images.shape == (n, *made.card.shape)
        assert np.abs(images - right[:n].numpy()).max() <= 1e-4
    sound(content)


def told_agree(made, content, half):
    values, right = drawn(made)
    names = graph.input_names(made.spec, "pixels")
    draw = run(content, {names[name]: e.numpy() for name, e in made.spec.encode(values).items()})
    expected = to_bytes(right).permute(0, 2, 3, 1).numpy().astype(int)
    for n in BATCHES:
        pixels = draw(n)
        assert pixels.dtype == np.uint8 and pixels.shape == expected[:n].shape
        assert np.abs(pixels - expected[:n]).max() <= 1
        assert np.mean(pixels != expected[:n]) < (0.1 if half else 0.002)
    sound(content)


def sound(content):
    made = onnx.load_from_string(content)
    onnx.checker.check_model(made, full_check=True)
    assert {(each.domain, each.version <= 21) for each in made.opset_import} == {("", True)}
    assert {node.op_type for node in made.graph.node} <= PLAIN
    assert all(each.type.tensor_type.shape.dim[0].dim_param == "N" for each in made.graph.input)
    for trace in (b".py", b"site-packages", b"torch", b"/gander"):
        assert trace not in content, "a place of the machine it was made on"


# ---------------------------------------------------------------------- the law
def every_way(number):
    """All kinds in one line, each by another way; four numbers make every kind go every way."""
    codes = [
        f"{name}:{said},recognised,fed={WAYS[(i + number) % len(WAYS)]}"
        for i, (name, said) in enumerate(KINDS.items())
    ]
    return spec_of(" ".join([NOISE, *codes]))


SIZES = {"resnet": (32, 32)}  # and odd ones for the others


@pytest.mark.parametrize(
    "number", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1, 2, 4))]
)
def test_every_kind_by_every_way_on_every_backbone(number):
    backbone = backbones.names()[number]
    size = SIZES.get(backbone, (28, 20))
    made = model(every_way(number), backbone, number + 1, size)
    agree(made, told=(True,) if backbone == "dcgan" else ())


def test_every_kind_is_in_the_law():
    assert set(KINDS) == set(kinds.KINDS) and len(backbones.names()) == 5


def presets():
    lines = {}
    for name in config.presets():
        spec = config.load(name).codes
        lines[name] = spec.resolve({"label": kinds.Categorical(3)}, "label")
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("backbone", backbones.names())
@pytest.mark.parametrize("preset", sorted(presets()))
def test_every_preset_on_every_backbone(preset, backbone):
    agree(model(presets()[preset], backbone, 3, (45, 38)))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", backbones.names())
def test_every_kind_by_every_way_at_every_shape(backbone):
    sides = [low := max(17, backbones.find(backbone).SIZES[0]), low + 3, 2 * low - 1]
    for number, channels, (height, width) in zip(
        cycle(range(4)), cycle((1, 2, 3, 4)), product(sides, sides), strict=False
    ):
        agree(model(every_way(number), backbone, channels, (height, width)))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "way"), list(product(KINDS, WAYS)))
def test_each_kind_alone_by_each_way(kind, way):
    agree(model(spec_of(f"{NOISE} knob:{KINDS[kind]},recognised,fed={way}")))


# ---------------------------------------------------------------------- the file
@pytest.fixture(scope="module")
def one():
    """A model whose codes have names of people, and are called as what is inside or comes out; its values graph, and both told graphs."""
    line = "images:gaussian(6) relu:categorical(3),recognised pixels:uniform(2.0,5.0),recognised N:circular(2),recognised"
    names = Names(
        {
            "relu": Called(classes=("zero", "#1", "zwö")),
            "pixels": Called("slant", "left", "right"),
        },
        {"relu": {"labels": 9}},
    )
    made = model(spec_of(line), "mlp", 3, (40, 36), names)
    return made, graph.values_graph(made), *(graph.told_graph(made, h) for h in (False, True))


def test_codes_may_be_called_as_what_is_inside_or_comes_out(one):
    made, values, whole, half = one
    for content, inputs, output in (
        (values, ["images_code", "relu", "pixels", "N"], "images"),
        (whole, ["images", "relu", "pixels_code", "N"], "pixels"),
    ):
        file = onnx.load_from_string(content)
        assert [i.name for i in file.graph.input] == inputs
        assert [o.name for o in file.graph.output] == [output]
    values_agree(made, values)
    told_agree(made, whole, half=False)
    told_agree(made, half, half=True)


def test_the_file_says_what_it_is_and_what_people_call_its_codes(one):
    made, values, *_ = one
    file = onnx.load_from_string(values)
    said = json.loads({p.key: p.value for p in file.metadata_props}["gander"])
    assert file.producer_name == "gander" and file.producer_version == said["gander"]
    assert (said["family"], said["images_seen"], said["data"]) == ("InfoGAN", 1000, "noise")
    noise, category, slant, angles = said["codes"]
    assert (noise["name"], noise["input"], noise["is"]) == ("images", "images_code", "noise")
    assert category["classes"] == ["zero", "#1", "zwö"] and category["type"] == "int64"
    assert slant["called"] == "slant" and slant["ends"] == ["left", "right"]
    assert slant["usual"] == [2.0, 5.0] and slant["shape"] == ["N"]
    assert angles["shape"] == ["N", 2] and angles["is"] == "discovered"
    assert CodeSpec.from_dict(said["spec"]) == made.card.spec
    assert Names.from_dict(said["names"], made.card.spec, "here").codes == made.names.codes


def test_the_inputs_are_as_they_are_declared(one):
    made, values, *_ = one
    session = onnxruntime.InferenceSession(values)
    types = {"int64": "tensor(int64)", "float32": "tensor(float)"}
    for given, fact in zip(session.get_inputs(), graph.facts(made)["codes"], strict=True):
        assert (given.name, given.type) == (fact["input"], types[fact["type"]])
        assert list(given.shape) == fact["shape"]


def test_the_lines_of_python_in_the_file_run(one, tmp_path, monkeypatch):
    made, values, *_ = one
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE.onnx").write_bytes(values)
    scope = {}
    exec(graph.how_to_run(made), scope)
    assert scope["images"].shape == (8, *made.card.shape)


def test_an_export_is_silent_repeats_itself_and_leaves_everything_as_it_was(one, capfd):
    made, _, whole, _ = one
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "")]
    before = [(each.level, each.disabled, list(each.filters)) for each in loggers]
    weights, state = copy.deepcopy(made.generator.state_dict()), torch.get_rng_state()
    assert graph.told_graph(made, half=False) == whole
    assert capfd.readouterr() == ("", "")
    assert before == [(each.level, each.disabled, list(each.filters)) for each in loggers]
    assert torch.equal(state, torch.get_rng_state())
    after = made.generator.state_dict()
    assert all(torch.equal(weights[name], after[name]) for name in weights)


def test_half_the_bits_are_half_the_file_unless_a_weight_does_not_fit(one):
    made, _, whole, half = one
    wide = [p.numel() for p in made.generator.parameters() if p.dim() > 1 and p.numel() > 64]
    assert len(whole) - len(half) > 2 * sum(wide) - 200 * len(wide) > 20_000
    for scale in (1e6, 1e-8):  # the same images by weights that have no half
        other = model(made.spec, "mlp", 3, (40, 36))
        with torch.no_grad():
            other.generator.body.leave.weight *= scale
            other.generator.body.middle.weight /= scale
            other.generator.body.middle.bias /= scale
        told_agree(other, graph.told_graph(other, half=True), half=True)


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_without_the_packages_one_message_says_what_to_install(package, one, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UseError, match=rf"needs {package}: pip install 'gander\[export\]'"):
        graph.told_graph(one[0], half=True)
