"""``gander export``: what is handed over draws what the run draws, keeps its names, and replaces nothing that is not its own."""

import json
import shlex
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import gander
import tiny
from gander import cli, config, exporting, graph, handed, names
from gander.errors import GanderError, RunError, UseError
from gander.names import Called, Names

CLASSES = ("a", "b", "c", "#3", "e", "f", "g", "h", "i", "j")
NAMES = Names({"c1": Called("slant", "left", "right"), "category": Called(classes=CLASSES)})


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def named(here):
    """A run whose codes have been given names."""
    return with_names(here / "runs" / "00007-mine")


def with_names(run):
    shutil.copytree(tiny.run("infogan"), run)
    names.keep(run, NAMES)
    return run


def export(*words):
    return cli.run(["export", *map(str, words)])


def same(one, other, reads=True):
    """Whether two models draw the same bits, say the same names and, where they can, read the same."""
    assert torch.equal(one.draw(40, seed=3), other.draw(40, seed=3))
    assert one.spec == other.spec and one.names == other.names and one.card == other.card
    assert one.images_seen == other.images_seen > 0
    if reads and one.critic is not None and one.spec.recognised:
        images = one.draw(5)
        first, second = one.read(images), other.read(images)
        assert all(torch.equal(first[name], second[name]) for name in first)
    return True


def refused(capsys, *words):
    """The message of a command that is wrong use; nothing else is said."""
    assert export(*words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("gander: ") and "Traceback" not in err
    return err


# ---------------------------------------------------------------------- weights
@pytest.mark.parametrize("preset", config.preset_names())
def test_exported_weights_draw_and_read_as_the_run_does(preset, here):
    run = tiny.run(preset)
    model = gander.load(run)
    folder = gander.export(run, "weights", "out")
    for way in (folder, "out", folder / "model.json"):
        other = gander.load(way)
        assert same(model, other) and (other.critic is None) == (model.critic is None)
    for way in (folder / "generator.safetensors", gander.export(run, "weights", "one.safetensors")):
        assert same(model, gander.load(way), reads=False)
    assert same(model, gander.load("one.json"), reads=False)


def test_names_travel_with_the_weights(named, here):
    model = gander.load(named)
    assert model.names == NAMES
    right = model.draw(3, category=torch.tensor(2), c1=0.5)
    gander.export(named, "weights", "out")
    gander.export(named, "weights", "one.safetensors")
    gander.export("out", "weights", "again")
    assert names.read(here / "again", model.card.spec) == NAMES
    for way in (
        "out",
        "out/model.json",
        "one.safetensors",
        "one.json",
        "again",
        "again/model.json",
    ):
        assert same(model, gander.load(way), reads=False)
        assert torch.equal(gander.load(way).draw(3, category="c", slant=0.5), right)
    readme = (here / "out" / "README.md").read_text("utf-8")
    assert "slant" in readme and "left to right" in readme and "0 a, 1 b, 2 c, 3 #3, 4 e" in readme


def test_names_taken_back_in_a_folder_stay_away(named, here):
    names.keep(gander.export(named, "weights", "out"), Names())
    assert gander.load("out").names == Names()


def test_live_weights_are_the_generator_itself(here, tmp_path):
    run = tiny.train("gan", out=tmp_path / "run")
    for live in (False, True):
        out = gander.export(run, "weights", f"out-{live}", live=live)
        assert same(gander.load(run, averaged=not live), gander.load(out))
    assert not torch.equal(gander.load("out-True").draw(4), gander.load("out-False").draw(4))


def test_model_json_says_what_a_stranger_must_know(named, here):
    gander.export(named, "weights", "out")
    said = json.loads((here / "out" / "model.json").read_bytes())
    assert said["family"] == "InfoGAN" and said["preset"] == "infogan"
    assert said["shape"] == [1, 16, 16] and said["images_seen"] == 64 and said["data"]
    assert [code["name"] for code in said["codes"]] == ["noise", "category", "c1", "c2"]
    assert said["codes"][1]["classes"] == list(CLASSES)
    assert said["codes"][2]["called"] == "slant" and said["codes"][2]["usual"] == [-1, 1]
    assert said["reads"] == ["category", "c1", "c2"]
    assert set(said["files"]) == {"generator", "critic"}
    from safetensors import safe_open

    for file in said["files"].values():
        path = here / "out" / file["file"]
        assert path.stat().st_size == file["bytes"]
        with safe_open(path, "np") as weights:
            shapes = {key: list(weights.get_slice(key).get_shape()) for key in weights.keys()}  # noqa: SIM118
        assert shapes == {key: tensor["shape"] for key, tensor in file["tensors"].items()}
    scope = {}
    exec(said["use"], scope)
    assert scope["images"].shape == (8, 1, 16, 16)


@pytest.mark.parametrize("preset", config.preset_names())
def test_the_lines_of_the_readme_run(preset, here, monkeypatch):
    folder = gander.export(tiny.run(preset), "weights", "for my friend's son")
    readme = (folder / "README.md").read_text("utf-8")
    python = readme.partition("```python\n")[2].partition("```")[0]
    exec(python, scope := {})
    assert len(scope["images"]) == 8
    from gander.images import picture, write_png

    write_png(here / "IMAGE.png", picture(scope["images"][0]))
    commands = readme.partition("```sh\n")[2].partition("```")[0].splitlines()
    assert len(commands) == 1 + bool(gander.load(folder).spec.recognised)
    for command in commands:
        assert cli.run(shlex.split(command)[1:]) == 0


# ---------------------------------------------------------------------- what is replaced and what is not
def test_an_earlier_export_is_replaced_whole(here, monkeypatch):
    first, second = tiny.run("acgan-infogan"), tiny.run("gan")
    gander.export(first, "weights", "out")
    monkeypatch.setattr(exporting, "describe", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        gander.export(second, "weights", "out")
    assert same(gander.load(first), gander.load("out"))
    monkeypatch.undo()
    monkeypatch.chdir(here)
    gander.export(second, "weights", "out")
    assert same(gander.load(second), gander.load("out"))
    gander.export("out", "weights", "out")
    assert same(gander.load(second), gander.load("out"))
    assert [path.name for path in here.iterdir()] == ["out"]
    assert not {path.name for path in (here / "out").iterdir()} - exporting.FILES


def test_the_demo_may_be_made_again_beside_the_run(named):
    """A page that lies in the run is a new one each time, and no part of what it is made of."""
    for _ in range(2):
        assert export(named, "--out", named / "knobs.html") == 0
        assert (
            cli.run(["sample", str(named), "--sweep", "all", "--out", str(named / "knobs.png")])
            == 0
        )
    model = named / "copy.safetensors"
    assert export(named, "--out", model) == 0 and export(named, "--out", model) == 0
    before = model.read_bytes()
    assert export(model, "--out", model) == 2 and model.read_bytes() == before


def test_what_is_not_an_export_is_left_alone(here, capsys):
    run = tiny.run("gan")
    gander.export(run, "weights", "out")
    (here / "out" / "thesis.txt").write_text("years of work")
    assert "thesis.txt" in refused(capsys, run, "--to", "weights", "--out", "out")
    (here / "bare").mkdir()
    shutil.copy(here / "out" / "generator.safetensors", here / "bare")
    assert "is not replaced" in refused(capsys, run, "--to", "weights", "--out", "bare")
    assert "is not replaced" in refused(capsys, run, "--to", "weights", "--out", run)
    (here / "file").write_text("mine")
    assert "is a file" in refused(capsys, run, "--to", "weights", "--out", "file")
    assert "is a file" in refused(capsys, run, "--to", "onnx", "--out", "file")
    (here / "note.json").write_text('{"format": "mine"}')
    assert "note.json is there" in refused(
        capsys, run, "--to", "weights", "--out", "note.safetensors"
    )
    assert (here / "file").read_text() == "mine"
    assert (here / "out" / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in here.iterdir()) == ["bare", "file", "note.json", "out"]


def test_without_out_the_export_is_named_after_the_run(named, here, capsys):
    for run in (named, "7"):
        assert export(run, "--to", "weights") == 0
        assert capsys.readouterr().out.splitlines()[0] == "00007-mine"
    assert same(gander.load(named), gander.load("00007-mine"))
    assert export("00007-mine/model.json", "--to", "weights", "--out", "x.safetensors") == 0
    assert gander.export(gander.load(named), "weights").name.startswith("infogan-")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "htlm"), "Did you mean 'html'?"),
        ((), "--to html"),
        (("--out", "x.png"), "--to html"),
        (("--to", "onnx", "--out", "x.html"), "FILE.onnx"),
        (("--to", "html", "--out", "x.onnx"), "FILE.html"),
        (("--to", "weights", "--out", "x.pt"), "FILE.safetensors"),
    ],
)
def test_a_request_that_makes_no_sense_is_one_message(words, said, here, capsys):
    assert said in refused(capsys, tiny.run("gan"), *words)
    assert not list(here.iterdir())


# ---------------------------------------------------------------------- loading what is not as it was
def test_weights_that_are_not_those_described_are_refused(here):
    gander.export(tiny.run("gan"), "weights", "a")
    gander.export(tiny.run("acgan-infogan"), "weights", "b")
    shutil.copy("a/generator.safetensors", "b/generator.safetensors")
    with pytest.raises(RunError, match="SHA-256"):
        gander.load("b/model.json")
    (here / "a" / "generator.safetensors").unlink()
    with pytest.raises(RunError, match="not beside it"):
        gander.load("a/model.json")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "another"},
        {"files": {}},
        {"files": {"generator": {"file": "../b/generator.safetensors", "sha256": ""}}},
        {"files": {"generator": {"file": "/etc/passwd", "sha256": ""}}},
        {"files": {"generator": {"file": "..", "sha256": ""}}},
        {"files": {"generator": {"file": 3, "sha256": ""}}},
        {"files": 7},
    ],
)
def test_a_strangers_model_json_is_looked_at_before_it_is_believed(change, here):
    gander.export(tiny.run("gan"), "weights", "a")
    shutil.copytree("a", "b")
    path = here / "a" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change))
    with pytest.raises(RunError, match=r"model\.json is not what"):
        gander.load(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"7", b"[" * 10_000, b'"format"'])
def test_a_file_that_is_no_model_json_is_refused(content, here):
    (here / "model.json").write_bytes(content)
    with pytest.raises(RunError, match=r"model\.json is not what"):
        gander.load("model.json")
    assert not handed.is_export(here / "model.json")


# ---------------------------------------------------------------------- onnx
@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A run's ONNX file, with names, and what the command printed."""
    from contextlib import redirect_stdout
    from io import StringIO

    folder = tmp_path_factory.mktemp("onnx")
    with_names(folder / "run")
    with redirect_stdout(StringIO()) as printed:
        assert export(folder / "run", "--to", "onnx", "--out", folder) == 0
    return folder / "model.onnx", folder / "run", printed.getvalue()


def test_the_arrays_of_sample_go_into_the_onnx_file_as_they_are(file, here):
    path, run, _ = file
    assert cli.run(["sample", str(run), "--n", "9", "--set", "slant=0.4", "--out", "x.npz"]) == 0
    session = onnxruntime.InferenceSession(path)
    with np.load("x.npz") as npz:
        inputs = {each.name: npz[each.name] for each in session.get_inputs()}
        images = session.run(None, inputs)[0]
        pixels = np.clip(np.round((images + 1) * 127.5), 0, 255).transpose(0, 2, 3, 1)
        assert np.abs(pixels - npz["images"]).max() <= 1


def test_the_command_says_what_was_written_and_measured(file):
    path, _, printed = file
    said = printed.splitlines()
    assert said[0] == str(path)
    assert "differ by at most" in said[1] and "kB" in said[1]
    inputs = [tuple(line.split()[:3]) for line in said[2:6]]
    assert inputs[0] == ("noise", "float32", "(N,") and inputs[1] == ("category", "int64", "(N,)")
    assert inputs[2][:2] == ("c1", "float32") and "images float32 (N, 1, 16, 16)" in said[6]
    assert "called slant" in printed and "left to right" in printed
    facts = {p.key: p.value for p in onnx.load(path).metadata_props}["gander"]
    assert (
        Names.from_dict(json.loads(facts)["names"], gander.load(tiny.run("infogan")).card.spec, "x")
        == NAMES
    )


def test_a_graph_that_draws_otherwise_is_not_put_in_place(file, here, monkeypatch, capsys):
    path, run, _ = file
    model = gander.load(run)
    content = path.read_bytes()
    assert exporting.drawn_apart(model, content) < exporting.LARGEST_DIFFERENCE
    made = onnx.load_from_string(content)
    weight = next(t for t in made.graph.initializer if len(t.dims) == 4)
    array = onnx.numpy_helper.to_array(weight).copy()
    array.flat[0] += 0.5
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    (here / "x.onnx").write_bytes(b"the earlier one")
    monkeypatch.setattr(graph, "values_graph", lambda _: made.SerializeToString())
    assert export(run, "--out", "x.onnx") == 1
    assert "was not written" in capsys.readouterr().err
    assert (here / "x.onnx").read_bytes() == b"the earlier one"
    monkeypatch.setattr(exporting, "drawn_apart", lambda *_: float("nan"))
    with pytest.raises(GanderError, match="was not written"):
        gander.export(run, "onnx", "x.onnx")


def test_an_onnx_file_is_not_a_run(file, capsys):
    with pytest.raises(RunError, match=r"onnxruntime\.InferenceSession"):
        gander.load(file[0])
    assert cli.run(["sample", str(file[0])]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_a_package_one_message_says_what_to_install(package, here, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UseError, match=rf"needs {package}: pip install 'gander\[export\]'"):
        gander.export(tiny.run("gan"), "onnx", "x.onnx")
    assert not list(here.iterdir())
