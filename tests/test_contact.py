"""How sure a reading is, and the real images laid out by it: laws over every kind of code."""

import csv
import math

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from gander import cli, contact, reading, uncertainty
from gander.codes import CodeSpec
from gander.data import Column, Data
from gander.model import Card, Model
from gander.names import Called, Names

LINE = (
    "noise:gaussian(3) category:categorical(4),recognised style:gaussian(2),recognised "
    "width:uniform(2,6),recognised turn:circular(2),recognised on:binary(2),recognised"
)
SIDE = tiny.SIDE


class Telling(Model):
    """A model whose images hold their own codes, and whose recogniser reads them with a known error.

    ``errors`` is the standard deviation of each number's reading as a function of its value; an angle's is stated.
    """

    def render(self, values):
        self.last = values
        return torch.zeros(len(values["noise"]), 1, SIDE, SIDE, dtype=torch.uint8)

    def read_raw(self, images):
        dice = torch.Generator().manual_seed(len(images))
        raw = {}
        for code in self.spec.recognised:
            kind, values = code.resolved, self.last[code.name]
            hiss = torch.randn(values.shape, generator=dice)
            if kind.name == "circular":
                stated = torch.rand(values.shape, generator=dice) * 20 + 2
                # Twice as sure as it may be: what is stated is not what is found.
                angle = values + hiss * (2 / stated).sqrt()
                raw[code.name] = torch.cat([stated * angle.cos(), stated * angle.sin()], 1)
            elif kind.discrete:
                raw[code.name] = torch.randn(len(images), kind.params, generator=dice)
            else:
                raw[code.name] = kind.encode(values + hiss * self.error(values))
        return raw

    def error(self, values):
        return 0.1 + 0.1 * (values - 3).abs()


@pytest.fixture(scope="module")
def model():
    card = Card(CodeSpec.parse(LINE), (1, SIDE, SIDE), "mlp", 8, "none")
    named = Names({"width": Called("breadth", "thin", "thick")})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Telling(card, card.build_generator(), card.build_critic(), 0, named)


def fresh(model, count):
    """Codes of images that no error was learned from, and what is read of them."""
    values = model.values(range(10**6, 10**6 + count))
    return values, model.read_raw(model.render(values))


@pytest.fixture(scope="module")
def doubt(model):
    return uncertainty.calibrated(model)


@pytest.fixture(scope="module")
def many(model):
    return fresh(model, 4000)


# ---------------------------------------------------------------------- how sure
@pytest.mark.parametrize("name", ["style", "width", "turn"])
def test_the_deviation_of_a_number_is_the_error_that_drawn_images_show(model, doubt, many, name):
    values, raw = many
    code = model.spec.code(name)
    said = doubt.of(code, raw[name])
    assert said.shape == values[name].shape and bool((said > 0).all())
    error = code.resolved.estimate(raw[name]) - values[name]
    if name == "turn":
        error = torch.remainder(error + math.pi, 2 * math.pi) - math.pi
    for part in range(said.shape[1]):
        order = said[:, part].argsort()
        for third in order.chunk(
            3
        ):  # where little error is said there is little, and where much much
            found = error[third, part].square().mean().sqrt()
            assert float(said[third, part].mean()) == pytest.approx(float(found), rel=0.15)
        assert float(said[order[-1], part]) > 1.3 * float(said[order[0], part])


def test_nothing_is_drawn_where_no_code_is_a_number(monkeypatch):
    card = Card(
        CodeSpec.parse("noise:gaussian(3) a:categorical(3),recognised b:binary(2),recognised"),
        (1, SIDE, SIDE),
        "mlp",
        8,
        "none",
    )
    bare = Model(card, card.build_generator(), card.build_critic())
    monkeypatch.setattr(Model, "render", None)
    assert uncertainty.calibrated(bare).curves == {}


def test_entropies_are_those_of_the_probabilities_that_are_read(model):
    _, raw = fresh(model, 200)
    raw["category"][0] = torch.tensor([900.0, 0, 0, 0])
    raw["category"][1] = 0
    raw["on"][0] = 900
    raw["on"][1] = 0
    of = {
        name: uncertainty.entropy(model.spec.code(name), raw[name]) for name in ("category", "on")
    }
    p, on = raw["category"].softmax(1), raw["on"].sigmoid()
    assert torch.allclose(of["category"][1:], -(p * p.log()).sum(1)[1:], atol=1e-5)
    bare = -(on * on.log() + (1 - on) * (1 - on).log())[1:]
    assert torch.allclose(of["on"][1:], bare, atol=1e-5) and of["on"].shape == (200, 2)
    assert of["category"][0] == 0 and float(of["category"][1]) == pytest.approx(math.log(4))
    assert of["on"][0].sum() == 0 and float(of["on"][1, 0]) == pytest.approx(math.log(2))


def test_every_code_says_how_sure_it_is_in_one_column_of_its_own_shape(model, doubt):
    values, _ = fresh(model, 40)
    model.last = values
    read = reading.Reading(model, torch.zeros(40, 1, SIDE, SIDE), {}, {})
    raw = model.read_raw(torch.zeros(40))
    for code in model.spec.recognised:
        params = raw[code.name]
        read.said[code.name] = reading.believed(code, params)
        discrete = code.resolved.discrete
        read.doubt[code.name] = (
            uncertainty.entropy(code, params) if discrete else doubt.of(code, params)
        )
    taken = ("category_class", "style_sd", "style", "file", "width_sd_true", "on_entropy", "x")
    columns = {n: Column(n, "continuous", torch.arange(40.0)) for n in taken}
    data = Data("a", "a", "all", torch.zeros(40, 1, SIDE, SIDE).byte(), columns, None, ())
    arrays = reading.arrays(read, [data], np.array(["f.png"] * 40))
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes["category"] == (40, 4) and shapes["category_entropy"] == (40,)
    assert shapes["style_sd"] == shapes["style"] == (40, 2) and shapes["width_sd"] == (40, 1)
    assert shapes["on_entropy"] == (40, 2) and arrays["category_class"].dtype.kind == "U"
    assert arrays["category_class"].tolist() == [
        str(k) for k in arrays["category"].argmax(1).tolist()
    ]
    for name in taken:  # what is recorded is all there, beside what is read
        there = name if name in ("x", "width_sd_true") else f"{name}_true"
        assert arrays[there].tolist() == list(range(40))
    header = reading._csv(arrays).decode().splitlines()[0].split(",")
    assert len(set(header)) == len(header)


# ---------------------------------------------------------------------- on the command line
def test_files_are_told_in_a_table_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(uncertainty, "DRAWN", 64)
    for k in range(2):
        Image.fromarray(tiny.pictures()[0][k, :, :, 0]).save(f"{k}.png")
    run = str(tiny.run("acgan-infogan"))
    assert cli.run(["read", run, "0.png", "1.png"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "label", "c1", "c2", "c3"] and len(lines) == 2
    assert lines[1].startswith("1.png") and "%" in lines[1] and lines[1].count("±") == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.png", "1.png"]
    assert cli.run(["read", run, "0.png", "--out", "x.csv"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "x.csv"
    with open("x.csv", newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert row["label_class"] in "0123" and float(row["c1_sd.0"]) > 0


@pytest.mark.parametrize("preset", ["acgan-infogan", "infogan", "acgan"])
def test_each_code_has_a_contact_sheet(preset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(uncertainty, "DRAWN", 64)
    run = tiny.run(preset)
    assert cli.run(["read", str(run), "--data", tiny.source(), "--sheets", "s"]) == 0
    codes = {"acgan-infogan": "label c1 c2 c3", "infogan": "category c1 c2", "acgan": "label"}
    said = capsys.readouterr().out.splitlines()
    assert said == ["read.npz", *(f"s/{code}.png" for code in codes[preset].split())]
    for line in said[1:]:
        with Image.open(line) as sheet:
            assert sheet.size[0] > 300 and sheet.getextrema() != (255, 255)


# ---------------------------------------------------------------------- sheets
def test_a_row_holds_the_images_its_class_gathers_the_surest_first(model):
    said = torch.rand(200, 4, generator=torch.Generator().manual_seed(0)).softmax(1)
    classes = said.argmax(1)
    labels = torch.where(torch.arange(200) % 5 == 0, -1, classes % 2)
    label = Column("digit", "categorical", labels, ("one", "two"))
    rows = contact.class_rows(model, model.spec.code("category"), said, label)
    assert len(rows) == 4
    for k, row in enumerate(rows):
        assert set(classes[row.places].tolist()) == {k} and len(row.places) == contact.COLUMNS
        sure = said[row.places, k].tolist()
        assert sure == sorted(sure, reverse=True)
        assert sure[0] == said[classes == k, k].max()
        count = int((classes == k).sum())
        assert row.heading == f"#{k}: {count} images, 100% are {('one', 'two')[k % 2]}"
    mixed = Column("digit", "categorical", torch.arange(200) % 4 // 3, ("one", "two"))
    assert contact.commonest(mixed, torch.arange(200)) == ("one", 0.75)
    assert contact.commonest(None, torch.arange(3)) is None


@pytest.mark.parametrize("count", [1, 5, 23, 24, 500])
@pytest.mark.parametrize("name", ["style", "width", "turn"])
def test_a_number_grows_from_left_to_right(model, name, count):
    values = model.values(range(count))
    said = {name: values[name], "category": torch.nn.functional.one_hot(values["category"], 4)}
    rows, axis = contact.along(model, model.spec.code(name), 0, said, "title")
    reading = values[name][:, 0]
    columns = len(rows[0].places)
    assert columns == len(axis.names) == min(count, contact.COLUMNS)
    groups = values["category"] if count >= 24 else torch.zeros(count)
    for row in rows:
        there = [place for place in row.places if place >= 0]
        assert len(set(there)) == len(there)
        read = reading[there].tolist()
        assert read == sorted(read) and len(set(groups[there].tolist())) <= 1
    if count == 500:
        assert len(rows) == 4 and sum(p >= 0 for row in rows for p in row.places) >= 44
    if name == "width":
        assert (axis.low, axis.high) == ("thin", "thick")
        heads = [float(head) for head in axis.names]
        assert heads == sorted(heads)


def test_a_switch_has_two_rows(model):
    said = {"on": torch.tensor([[0.1, 0.9], [0.7, 0.2], [0.9, 0.4]])}
    rows, _ = contact.along(model, model.spec.code("on"), 0, said, "on.0")
    assert [row.places for row in rows] == [[0], [2, 1]]
    assert [row.heading for row in rows] == ["off: 1 images", "on: 2 images"]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_an_empty_place_is_paper_whatever_the_channels(channels):
    images = torch.zeros(1, channels, 8, 8, dtype=torch.uint8)
    sheet = contact.laid_out(images, [contact.Row("", [0]), contact.Row("", [-1])], 1, ())
    shades = np.asarray(sheet).reshape(sheet.size[1], sheet.size[0], -1)
    empty, full = shades[-8, sheet.size[0] // 2], shades[8, sheet.size[0] // 2]
    assert full.max() == 0
    assert empty[-1] == 0 if channels in (2, 4) else empty.min() == 255
