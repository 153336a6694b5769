"""The knobs page as a file: what it carries, what it says, and that no name of anybody becomes markup or script."""

import gzip
import hashlib
import json
from base64 import b64decode
from functools import cache
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import gander
import pages
import tiny
from gander import backbones, config, graph, kinds
from gander.codes import CodeSpec
from gander.errors import UseError
from gander.explore import page
from gander.kinds import Categorical
from pages import HOSTILE

VENDOR = resources.files("gander") / "explore" / "vendor"
LARGEST = 12_000_000  # bytes, of the page of a usual model


class Parts(HTMLParser):
    """Every tag with its attributes, and what each script holds."""

    def __init__(self, content):
        super().__init__(convert_charrefs=True)
        self.tags, self.scripts, self.words, self.inside = [], {}, [], None
        self.feed(content.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = dict(attributes).get("id", "module") if tag == "script" else None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.scripts[self.inside] = self.scripts.get(self.inside, "") + data
        else:
            self.words.append(data)

    def unpacked(self, name):
        return gzip.decompress(b64decode(self.scripts[name]))


@cache
def small():
    return pages.model("noise:gaussian(6) slant:uniform,recognised", backbone="mlp")


@cache
def usual():
    return page.document(small())


@pytest.fixture
def undrawn(monkeypatch):
    """A page that says everything and could not draw: making the graph takes the time."""
    monkeypatch.setattr(page, "light_graph", lambda _: b"a graph")


def halved(content):
    types = {tensor.data_type for tensor in onnx.load_from_string(content).graph.initializer}
    return onnx.TensorProto.FLOAT16 in types


# ---------------------------------------------------------------------- what it carries
def test_the_libraries_are_the_recorded_ones():
    record = json.loads((VENDOR / "vendored.json").read_text("utf-8"))
    listed = {name: digest for one in record.values() for name, digest in one["files"].items()}
    for name, digest in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
    others = {"vendored.json", "LICENCES.txt"}
    assert {path.name for path in VENDOR.iterdir()} == set(listed) | others
    licences = (VENDOR / "LICENCES.txt").read_text("utf-8")
    assert (
        "Permission is hereby granted, free of charge" in licences
        and 'THE SOFTWARE IS PROVIDED "AS IS"' in licences
    )
    for name, one in record.items():
        assert one["copyright"] in licences and one["licence"] == "MIT", name


def test_the_page_carries_the_libraries_their_licences_and_the_generator():
    parts = Parts(usual())
    assert parts.unpacked("runtime") == (VENDOR / "ort.wasm.bundle.min.mjs").read_bytes()
    assert parts.unpacked("gif") == (VENDOR / "gifenc.esm.js").read_bytes()
    packed = (VENDOR / "ort-wasm-simd-threaded.wasm.gz").read_bytes()
    assert parts.unpacked("runtime-wasm") == gzip.decompress(packed)
    inputs = [given.name for given in onnx.load_from_string(parts.unpacked("graph")).graph.input]
    assert inputs == ["noise", "slant"]
    assert (VENDOR / "LICENCES.txt").read_text("utf-8") in "".join(parts.words)


def test_nothing_in_the_page_is_somewhere_else():
    for tag, attributes in Parts(usual()).tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert attributes.get(name, "data:,") == "data:,", (tag, attributes)
    policies = [a["content"] for t, a in Parts(usual()).tags if a.get("http-equiv")]
    (policy,) = policies
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and "unsafe-eval'" not in policy.replace(
        "wasm-unsafe-eval'", ""
    )
    assert "http" not in policy and "*" not in policy and "connect-src" not in rules


def test_the_same_model_makes_the_same_page():
    assert page.document(small()) == usual()


def test_every_script_and_style_is_in_the_page():
    web = resources.files("gander") / "explore" / "web"
    assert {path.name for path in web.iterdir() if path.name.endswith(".js")} == {
        f"{name}.js" for name in page.SCRIPTS
    }
    assert set(page.DRAWN_BY_PAGE) == set(kinds.KINDS)


@pytest.mark.parametrize(
    "preset",
    [p if p == "infogan" else pytest.param(p, marks=pytest.mark.slow) for p in config.presets()],
)
def test_a_page_of_a_usual_model_is_not_too_large_to_send(preset):
    said = config.load(preset)
    codes = said.codes.resolve({"label": Categorical(10)}, "label")
    made = pages.model(
        codes,
        (1, 28, 28),
        said.model.backbone,
        width=said.model.width or backbones.find(said.model.backbone).WIDTH,
    )
    assert len(page.document(made)) < LARGEST


# ---------------------------------------------------------------------- half precision
def test_weights_are_halved_where_no_pixel_moves_by_more_than_a_level():
    assert halved(Parts(usual()).unpacked("graph"))


def test_weights_stay_whole_where_half_of_their_bits_would_show():
    made = pages.model(small().spec, backbone="mlp")
    with torch.no_grad():  # steep: a small change before the last function is a large one after it
        made.generator.body.leave.weight *= 100
    content = page.light_graph(made)
    assert not halved(content)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    told = made.spec.encode(made.values(range(200)))
    (pixels,) = session.run(None, {name: value.numpy() for name, value in told.items()})
    off = np.abs(pixels - made.render_told(told).permute(0, 2, 3, 1).numpy().astype(int))
    assert off.max() <= 1


# ---------------------------------------------------------------------- what it says
def test_no_name_becomes_markup_or_script(undrawn):
    made, said = pages.hostile(), Parts(page.document(pages.hostile()))
    harmless = pages.model(made.card.spec, backbone="mlp")
    assert [tag for tag, _ in said.tags] == [tag for tag, _ in Parts(page.document(harmless)).tags]
    for tag, attributes in said.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    facts = json.loads(said.scripts["model"])
    options = {code["name"]: code.get("options") for code in facts["codes"]}
    assert options["category"] == list(HOSTILE) and options["kind"][:2] == list(HOSTILE[:2])
    assert facts["codes"][3]["words"] == [HOSTILE[0], HOSTILE[2]]
    assert any(HOSTILE[0] in word for word in said.words)


def test_names_that_are_no_text_at_all_still_make_a_page(undrawn):
    lone = "\ud800 half of a pair"
    made = pages.model(small().spec, backbone="mlp", preset=lone, data=lone)
    assert "half of a pair" in page.document(made).decode("utf-8")


def test_the_page_does_not_say_where_the_run_is_kept(tmp_path, monkeypatch):
    folder = tmp_path / "secret-place" / "my run"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "secret-place")
    assert page.describe(small(), folder)["run"] == "my run"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    facts = page.describe(small(), folder)
    assert "secret-place" not in json.dumps(facts) and facts["name"] == "my run"


def test_a_trained_run_says_what_its_knobs_are_worth(tmp_path):
    run = tiny.run("acgan-infogan")
    facts = page.describe(gander.load(run), run)
    for code in facts["codes"]:
        told = {"noise": code["noise"], "worth": "worth" in code, "not": "unmeasured" in code}
        assert sum(told.values()) == 1, code
    assert any("worth" in code for code in facts["codes"])


# ---------------------------------------------------------------------- what is refused
def test_a_page_is_a_file_that_ends_in_html(tmp_path):
    with pytest.raises(UseError, match=r"ending in \.html"):
        page.write(small(), tmp_path / "page.txt")


def test_a_generator_too_large_for_a_page_is_refused_before_it_is_traced(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "LARGEST", 1000)
    with pytest.raises(UseError, match="gander explore"):
        page.write(small(), tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_a_kind_that_the_page_does_not_know_is_refused(monkeypatch):
    monkeypatch.setattr(page, "DRAWN_BY_PAGE", ("gaussian",))
    with pytest.raises(UseError, match="kind uniform"):
        page.document(small())


@pytest.mark.parametrize(
    "line", ["noise:gaussian(62)", "noise:gaussian(3) pixels:binary,recognised"]
)
def test_every_input_has_the_name_that_the_graph_gives_it(line):
    made = pages.model(CodeSpec.parse(line), backbone="mlp")
    names = graph.input_names(made.spec, "pixels")
    assert {c["name"]: c["input"] for c in page.describe(made, None)["codes"]} == names
