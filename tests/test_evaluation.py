"""Evaluation: images of any tool as well as runs, a feature network of one's own, bounds beside figures, one line for what is wrong."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

import tiny
from gander import cli, evaluation, judge
from gander import data as sources
from gander.data import taken
from gander.errors import DataError, RunError
from gander.evaluation import Evaluation, is_run, measured, named
from gander.study import Figure, Study
from gander.study.features import JudgeFeatures, kept
from gander.study.gallery import gallery


def images(path, count=120, labelled=True, side=tiny.SIDE, channels=1, shift=0):
    """An .npz of images as another tool may have drawn them."""
    drawn, labels, slants = tiny.pictures(count, channels, side)
    columns = {"label": (labels + shift) % 4, "slant": slants} if labelled else {}
    np.savez(path, images=drawn, **columns)
    return str(path)


def run(*words):
    return cli.run(["evaluate", *map(str, words)])


# ---------------------------------------------------------------------- galleries
def test_images_of_any_tool_are_measured_like_a_run(quick, capsys):
    drawn = images(quick / "drawn.npz")
    words = ("--data", tiny.source(), "--metrics", "label_accuracy,hungarian_accuracy", "--n", 100)
    assert run(drawn, *words, "--json", "m.json") == 0
    table = json.loads((quick / "m.json").read_text())
    assert table["run"] == drawn and table["n"] == 100 and "label_accuracy" in table["metrics"]
    said = capsys.readouterr().out
    assert "hungarian_accuracy: not measured" in said and "judge on" in said


def test_a_gallery_orders_what_it_holds():
    """An image of class k counts as drawn on the order k; one seed is one image; numbers come along as orders."""
    real = tiny.data(count=80)
    made = gallery(tiny.data(count=60), real)
    assert {code.name for code in made.spec.given} == {"label", "slant"}
    asked = [3, 3, 0, 1, 2, 0] * 10
    values = made.values(range(60), label=asked)
    assert values["label"].tolist() == asked
    shown = made.render(values)
    truth = tiny.data(count=60)
    for image, label, slant in zip(shown, values["label"], values["slant"], strict=True):
        (row,) = {
            k for k in range(60) if torch.equal(truth.images[k], image)
        }  # every image is another one
        assert truth.columns["label"].values[row] == label
        assert truth.columns["slant"].values[row] == slant[0]
    assert torch.equal(made.values([7])["row"], made.values([7 + 60])["row"])
    free = made.values(range(60))["row"]
    assert sorted(free.tolist()) == list(range(60))


def test_classes_are_matched_by_name_and_an_order_for_a_missing_one_is_not_obeyed():
    real, drawn = tiny.data(count=80), tiny.data(count=60)
    label = drawn.columns["label"]
    turned = replace(label, values=3 - label.values, names=label.names[::-1])
    same = gallery(replace(drawn, columns={"label": turned}), real)
    assert torch.equal(same.columns["label"].values, label.values)
    few = taken(drawn, (label.values != 2).nonzero()[:, 0])
    short = gallery(few, real)
    orders = short.values(range(8), label=[2, 2, 2, 2, 0, 1, 2, 3])
    shown = few.columns["label"].values[orders["row"]]
    assert orders["label"].tolist() == [2, 2, 2, 2, 0, 1, 2, 3] and not (shown == 2).any()
    assert (shown == orders["label"])[orders["label"] != 2].all()
    assert gallery(replace(drawn, columns={}, label=None), real).spec.given == ()


def test_what_is_a_run_and_what_are_images(quick):
    (quick / "folder").mkdir()
    assert is_run(tiny.run("acgan")) and is_run("3") and is_run("runs/nothing") and is_run("folder")
    (quick / "folder" / "a.png").write_bytes(b"")
    assert not is_run("folder") and not is_run("glyphs:test") and not is_run("mnist")
    assert not is_run(images(quick / "drawn.npz"))


# ---------------------------------------------------------------------- wrong use
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("IMAGES",), "say with --data SRC which real ones"),
        (("WIDE", "--data", "REAL"), "measure images of one size"),
        (("runs/nothing",), "there is no run"),
        (("RUN", "--data", "OTHER"), "the run draws (1, 16, 16)"),
        (("RUN", "--data", "gone.npz"), "Measuring needs the real images: --data SRC."),
        (("RUN", "--n", "19"), "--n is from 20"),
        (("RUN", "--metrics", "frechett"), "Did you mean 'frechet'"),
        (("RUN", "--json", "."), "yours to write in"),
        (("RUN", "--metrics", "r2,,parzen"), "is not a metric"),
        (("RUN", "--n", "99.5"), "--n is a whole number"),
        (("RUN", "--features", "gone.onnx"), "there is no file 'gone.onnx'"),
        (("RUN", "--features", "REAL"), "cannot be read as an ONNX model"),
    ],
)
def test_wrong_use_is_one_line(words, said, quick, capsys):
    stands = {
        "RUN": tiny.run("acgan"),
        "REAL": tiny.source(),
        "IMAGES": images(quick / "drawn.npz"),
        "WIDE": images(quick / "wide.npz", side=8),
        "OTHER": images(quick / "other.npz", side=12),
    }
    before = (tiny.run("acgan") / "metrics.jsonl").is_file()
    assert run(*(stands.get(w, w) for w in words)) == 2
    complaint = capsys.readouterr().err
    if "OTHER" not in words and "WIDE" not in words:
        assert complaint.count("\n") == 1
    assert said in complaint and "Traceback" not in complaint
    assert (tiny.run("acgan") / "metrics.jsonl").is_file() == before


def test_a_column_the_images_lack_costs_the_figure_and_not_the_others(quick, capsys):
    bare = images(quick / "bare.npz", labelled=False)
    words = ("--data", bare, "--metrics", "label_accuracy,mutual_information", "--n", 40)
    assert run(tiny.run("acgan"), *words) == 0
    said = capsys.readouterr().out
    assert "label_accuracy: not measured, these images do not record" in said
    assert "mutual_information/label" in said


# ---------------------------------------------------------------------- a network of one's own
def network(path, channels=3, side=8, kind="float", features=5):
    """An ONNX model: the mean over rows and columns of the image, and what a person wants besides."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    element = onnx.TensorProto.FLOAT if kind == "float" else onnx.TensorProto.UINT8
    entry = helper.make_tensor_value_info("image", element, ["n", channels, side, side])
    leaves = helper.make_tensor_value_info("said", onnx.TensorProto.FLOAT, ["n", None])
    weights = np.linspace(-1, 1, channels * side * side * features, dtype=np.float32)
    matrix = helper.make_tensor(
        "m", onnx.TensorProto.FLOAT, [channels * side * side, features], weights
    )
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "m"], ["said"]),
    ]
    graph = helper.make_graph(nodes, "features", [entry], [leaves], [matrix])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return str(path)


@pytest.mark.parametrize("kind", ["float", "uint8"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_feature_network_of_ones_own(kind, channels, quick):
    pytest.importorskip("onnxruntime")
    from gander.study.network import own_network

    made = own_network(network(quick / "f.onnx", kind=kind))
    flat = torch.full((3, channels, 16, 16), 51, dtype=torch.uint8)
    said = made.of_images(flat)
    weights = torch.linspace(-1, 1, 3 * 64 * 5).view(-1, 5)
    expected = weights.sum(0) * (51 if kind == "uint8" else 0.2)
    assert said.shape == (3, 5) and torch.allclose(said[0], expected, rtol=1e-4, atol=1e-3)


def test_distances_through_a_network_of_ones_own(quick, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torchmetrics")
    words = ("--features", network(quick / "f.onnx"), "--metrics", "frechet", "--n", 60)
    words = (*words, "--data", tiny.source(count=300))
    assert run(tiny.run("acgan"), *words) == 0
    said = capsys.readouterr().out
    assert "f.onnx" in said and "frechet" in said and "judge on" not in said
    line = json.loads((tiny.run("acgan") / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["features"].startswith("f.onnx (") and line["judge"] == ""


def test_a_network_that_takes_one_image_only_is_one_line(quick, capsys):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    fixed = onnx.load(network(quick / "f.onnx"))
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(fixed, str(quick / "one.onnx"))
    words = ("--features", "one.onnx", "--metrics", "frechet", "--data", tiny.source(count=300))
    assert run(tiny.run("acgan"), *words, "--n", 60) == 2
    said = capsys.readouterr().err
    assert "first dimension must be free" in said and said.count("\n") == 1


def test_a_set_too_small_to_be_split_is_compared_with_nothing(quick, capsys):
    words = ("--metrics", "frechet,recall,data_copying,parzen,label_accuracy", "--n", 40)
    assert run(tiny.run("acgan"), *words) == 0
    said = capsys.readouterr().out
    assert "frechet, recall, data_copying, parzen: not measured, these images are too few" in said
    assert "images it learned from" in said and "label_accuracy" in said


def test_an_interrupted_evaluation_keeps_what_it_has(quick, monkeypatch, capsys):
    from gander.metrics import mutual_information

    def interrupted(study):
        raise KeyboardInterrupt

    monkeypatch.setattr(mutual_information, "measure", interrupted)
    words = ("--metrics", "label_accuracy,mutual_information,r2", "--n", 40)
    assert run(tiny.run("acgan"), *words, "--json", "kept.json") == 130
    said = capsys.readouterr().out
    assert "mutual_information, r2: not measured, interrupted" in said
    assert "label_accuracy" in json.loads((quick / "kept.json").read_text())["metrics"]
    line = json.loads((tiny.run("acgan") / "metrics.jsonl").read_text().splitlines()[-1])
    assert list(line["metrics"]) == ["label_accuracy/label"]


# ---------------------------------------------------------------------- what is kept
def test_features_of_real_images_are_kept_by_fingerprint(quick, monkeypatch):
    data = tiny.data()
    plain, asked = judge.Judge.features, []
    monkeypatch.setattr(
        judge.Judge, "features", lambda self, x: asked.append(len(x)) or plain(self, x)
    )
    made = JudgeFeatures(judge.judge_of(data), data.fingerprint)
    first = made.of_data(data)
    assert torch.equal(first, made.of_data(data)) and asked == [len(data)]
    other = tiny.data(count=64)
    assert made.of_data(other).shape == (64, judge.FEATURES) and len(asked) == 2
    for file in (quick / "cache" / "features").iterdir():
        file.write_bytes(file.read_bytes()[:99])
    assert torch.equal(first, made.of_data(data)) and len(asked) == 3
    again = JudgeFeatures(made.judge, "of other images")
    again.of_data(data)
    assert len(asked) == 4


def test_the_real_side_is_the_same_choice_every_time():
    data = tiny.data()
    one, other = (Study(None, data, data, 40, seed) for seed in (0, 9))
    assert torch.equal(one.train_rows, other.train_rows) and len(set(one.test_rows.tolist())) == 40
    assert Study(None, data, data, 10_000).size == len(data)
    assert not torch.equal(one.train_rows, one.test_rows)


def test_kept_features_cannot_be_written_and_are_made_all_the_same(quick, monkeypatch):
    class Fixed:
        about = ""

        def of_images(self, shown):
            return shown.flatten(1).float()

    (quick / "file").write_text("")
    monkeypatch.setenv("GANDER_CACHE", str(quick / "file"))
    data = tiny.data()
    assert kept("key", data, Fixed()).shape == (len(data), tiny.SIDE**2)


# ---------------------------------------------------------------------- what is shown
def test_a_figure_alone_in_its_metric_has_the_metrics_name_too():
    figures = {"r2/c1": Figure(1.0), "r2/c2": Figure(2.0), "label_accuracy/digit": Figure(3.0)}
    assert list(named(figures)) == ["label_accuracy", "r2/c1", "r2/c2", "label_accuracy/digit"]
    assert Evaluation("", "", 20, figures, {})["label_accuracy"].value == 3.0


def test_ratios_are_to_what_real_images_score():
    assert Figure(3.0, 1.5, floor_is="real").ratio == 2.0
    assert Figure(3.0, 3e-15, floor_is="real").ratio is None  # rounding
    assert Figure(3.0, 1.5, floor_is="real", proportional=False).ratio is None
    assert Figure(3.0, 1.5).ratio is None and Figure(3.0, 0.0, floor_is="real").ratio is None


def test_the_table_shows_value_error_bounds_and_ratio():
    figures = {
        "frechet": Figure(3.0, 1.5, None, "as seen by the judge", 0.25, "real"),
        "label_accuracy/digit": Figure(0.9, 0.1, 0.99),
    }
    console = Console(width=120, record=True, file=io.StringIO())
    result = Evaluation("run", "mnist", 10_000, figures, {"mig": "no factors"}, "judge on x")
    evaluation.table(result, console)
    lines = console.export_text().splitlines()
    (frechet,) = [row.split() for row in lines if "frechet" in row]
    assert frechet[1:5] == ["3.000", "0.2500", "1.500r", "2.00"]
    assert any("0.9000" in row and "0.1000" in row and "0.9900" in row for row in lines)
    assert "mig: not measured, no factors" in lines and "10,000 images drawn" in lines[0]


def test_what_is_no_number_is_not_a_figure(quick, monkeypatch):
    from gander import metrics

    monkeypatch.setattr(
        metrics, "find", lambda name: lambda study: {"a": Figure(float("nan")), "b": Figure(1.0)}
    )
    data = tiny.data()
    made = measured(gallery(data, data), data, data, metrics=["a"], n=20)
    assert list(made.figures) == ["b"] and made.missing == {"a": "came out as nan"}


# ---------------------------------------------------------------------- real data against itself
def test_what_takes_minutes_is_measured_only_when_asked_for():
    from gander import metrics

    assert [name for name in metrics.names() if metrics.costly(name)] == ["dci"]


@pytest.mark.slow
def test_real_data_against_itself_is_floors_and_ones(tmp_path, monkeypatch):
    """Unseen real images in the place of drawn ones: every distance at its floor, every order obeyed as far as the judge can see."""
    for name in ("sklearn", "torchmetrics", "scipy"):
        pytest.importorskip(name)
    monkeypatch.setenv("GANDER_CACHE", str(tmp_path))
    whole = sources.load("glyphs", "train")
    drawn, train = taken(whole, slice(0, 10_000)), taken(whole, slice(10_000, None))
    made = measured(
        gallery(drawn, train), train, sources.load("glyphs", "test"), metrics=None, n=5000
    )
    for name, figure in made.figures.items():
        if figure.floor_is == "real" and name not in (
            "parzen_k_means",
            "intra_frechet_worst_class",
        ):
            # The judge has seen the images of the floor and not these, which may come out the nearer for it.
            allowed = 0.25 * abs(figure.floor) + 4 * (figure.error or 0) + 2e-3
            assert abs(figure.value - figure.floor) <= allowed, (name, figure)
    assert made["label_accuracy"].value > 0.99
    assert made["train_on_generated"].value > 0.98


def test_the_hash_of_a_network_is_its_name(quick):
    pytest.importorskip("onnxruntime")
    from gander.study.network import own_network

    path = network(quick / "f.onnx")
    assert own_network(path).fingerprint == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    for wrong in ({"channels": 7}, {"features": 9000}):
        with pytest.raises(RunError):
            own_network(network(quick / "g.onnx", **wrong)).of_images(
                torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
            )
    assert issubclass(DataError, Exception)
