"""``gander edit``: one picture in, a sheet out, and never a word more than was found."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from gander import cli, editing, inversion, names
from gander.model import load


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder with a picture, and a search of a few steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inversion, "DRAWS", 48)
    monkeypatch.setattr(inversion, "NEAR", 8)
    monkeypatch.setattr(inversion, "STAGES", ((2, 4), (1, 6)))
    Image.fromarray(tiny.pictures()[0][5, :, :, 0]).save("picture.png")
    return tmp_path


def edit(*words, preset="acgan-infogan", image="picture.png", run=None):
    return cli.run(["edit", str(run or tiny.run(preset)), image, *map(str, words)])


def table():
    with open("x.json", encoding="utf-8") as file:
        return json.load(file)


# ---------------------------------------------------------------------- every member
@pytest.mark.parametrize("preset", ["gan", "cgan", "acgan", "infogan", "acgan-infogan"])
def test_every_member_of_the_family_finds_a_picture_and_says_how_near(preset, capsys):
    assert edit("--out", "x.png", "--json", "x.json", preset=preset) == 0
    told, said = table(), capsys.readouterr()
    model = load(tiny.run(preset))
    assert set(told["values"]) == set(model.spec.by_name) and told["edited"] == told["values"]
    assert set(told["read"]) == {code.name for code in model.spec.recognised}
    assert len(told["references"]["drawn"]) == inversion.OWN
    assert len(told["references"]["real"]) > 0
    assert ("OUTSIDE" in told["verdict"]) == told["outside"]
    assert told["verdict"] in (said.err if told["outside"] else said.out)
    assert ("no knobs" in said.err) == (preset == "gan")
    with Image.open("x.png") as sheet:
        assert sheet.width >= 3 * editing.PANEL and sheet.mode == "RGB"


# ---------------------------------------------------------------------- what is asked for
def test_codes_are_set_and_everything_else_is_as_found():
    assert edit("--set", "c1=1", "label=2", "--quick", "--json", "x.json") == 0
    told = table()
    assert told["edited"]["c1"] == [1.0] and told["edited"]["label"] == 2
    rest = set(told["values"]) - {"c1", "label"}
    assert all(told["edited"][name] == told["values"][name] for name in rest)
    assert told["references"] == {"real": [], "drawn": []}


def test_one_image_of_a_source_is_asked_for_by_its_place(capsys):
    assert edit("--quick", "--json", "x.json", image=f"{tiny.source()}#7") == 0
    assert table()["image"].endswith("#7") and "label 3" in capsys.readouterr().out
    model = load(tiny.run())
    picture, _ = editing.open_picture(model, f"{tiny.source()}#7")
    assert torch.equal(picture[0], torch.from_numpy(tiny.pictures()[0][7, :, :, 0]))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
def test_any_picture_is_fitted_to_the_model(mode):
    Image.open("picture.png").resize((90, 60)).convert(mode).save("odd.png")
    picture, _ = editing.open_picture(load(tiny.run()), "odd.png")
    assert picture.shape == (1, 16, 16) and picture.dtype == torch.uint8


def test_inverting_swaps_light_and_dark_but_nothing_that_is_see_through():
    image = torch.arange(4 * 6, dtype=torch.uint8).view(4, 2, 3)
    swapped = editing._inverted(image)
    assert torch.equal(swapped[:3], 255 - image[:3]) and torch.equal(swapped[3], image[3])
    assert edit("--invert", "--quick", "--json", "x.json") == 0
    turned = Image.fromarray(255 - tiny.pictures()[0][5, :, :, 0])
    turned.save("turned.png")
    first = table()["values"]
    assert edit("--quick", "--json", "x.json", image="turned.png") == 0
    assert table()["values"] == first


@pytest.mark.parametrize(
    ("asked", "count", "place"),
    [("c1", 10, None), ("c1=1:-1:4", 5, None), ("label", 4, 3), ("label=0:1", 3, 2)],
)
def test_a_strip_turns_a_code_through_the_found_picture(asked, count, place):
    model = load(tiny.run())
    found = model.edit(torch.from_numpy(tiny.pictures()[0][5:6, :, :, 0]), own=0)
    found.values["c1"][:] = found.edited["c1"][:] = 0.123
    found.values["label"].fill_(3)
    found.edited["label"].fill_(3)
    strip = editing._strip(model, found, editing.sampling.parse_sweep(model, asked))
    assert len(strip.points) == len(strip.images) == count and strip.found is not None
    rows = {n: v.unsqueeze(0) for n, v in found.edited.items()}
    assert torch.equal(strip.images[strip.found], model.render(rows)[0])
    steps = strip.points.diff()
    assert (steps > 0).all() or (steps < 0).all()
    assert place is None or strip.found == place


def test_a_wide_code_is_swept_without_a_place_of_its_own_and_a_part_with_one():
    from test_model import fresh

    model = fresh()
    found = model.edit(model.draw(1)[0], own=0)
    whole = editing._strip(model, found, editing.sampling.parse_sweep(model, "style=-1:1:3"))
    part = editing._strip(model, found, editing.sampling.parse_sweep(model, "style.1=-4:4:3"))
    assert whole.found is None and len(whole.points) == 3
    assert part.found is not None and len(part.points) == 4
    assert editing._sheet(model, found, "", whole).width > 400


def test_a_sheet_with_a_strip_is_higher_and_names_are_understood(tmp_path):
    assert edit("--quick", "--out", "a.png") == 0
    assert edit("--quick", "--sweep", "c1", "--set", "c1=1", "--out", "b.png") == 0
    with Image.open("a.png") as low, Image.open("b.png") as high:
        assert high.height > low.height + editing.SMALL
    run = shutil.copytree(tiny.run(), tmp_path / "named")
    spec = load(run).card.spec
    (run / names.FILE).write_text('{"schema": 1, "codes": {"c1": {"name": "slant"}}}')
    assert load(run).names.find("slant", spec) == "c1"
    assert edit("--set", "slant=1", "--quick", "--json", "x.json", run=run) == 0
    assert table()["edited"]["c1"] == [1.0]


# ---------------------------------------------------------------------- honesty
@pytest.mark.parametrize("outside", [True, False])
def test_the_sheet_warns_in_red_exactly_when_the_picture_was_not_found(
    outside, monkeypatch, capsys
):
    monkeypatch.setattr(inversion, "judged", lambda *_: (outside, "the verdict"))
    assert edit("--out", "x.png") == 0
    said = capsys.readouterr()
    assert ("the verdict" in said.err) == outside and ("the verdict" in said.out) != outside
    with Image.open("x.png") as sheet:
        pixels = np.asarray(sheet).reshape(-1, 3)
    assert (pixels == editing.WARNING).all(1).any() == outside


def test_the_picture_itself_is_not_among_those_it_is_compared_with():
    model = load(tiny.run())
    every, _ = editing.real_images(model, tiny.run(), torch.zeros(1, 16, 16, dtype=torch.uint8))
    assert every is not None
    others, _ = editing.real_images(model, tiny.run(), every[0])
    assert not (others == every[0]).flatten(1).all(1).any()
    again, _ = editing.real_images(model, tiny.run(), every[0])
    assert torch.equal(others, again)


def test_weights_alone_say_that_nothing_real_is_at_hand(capsys):
    assert edit("--out", "x.png", run=f"{tiny.run()}/weights/generator.safetensors") == 0
    assert "Without real images to compare with" in capsys.readouterr().err


def test_an_inverted_picture_is_recognised_as_one():
    dark = torch.full((9, 1, 4, 4), 30, dtype=torch.uint8)
    assert editing._looks_inverted(255 - dark[0], dark)
    for mean in (30, 60, 127):
        assert not editing._looks_inverted(torch.full((1, 4, 4), mean, dtype=torch.uint8), dark)


def test_the_difference_is_red_where_the_picture_is_lighter_and_blue_where_darker():
    black, white = torch.zeros(1, 1, 1, dtype=torch.uint8), torch.full((1, 1, 1), 255).byte()
    assert editing._difference(white, black).flatten().tolist() == [255, 0, 0]
    assert editing._difference(black, white).flatten().tolist() == [0, 0, 255]
    assert editing._difference(white, white).flatten().tolist() == [255, 255, 255]


# ---------------------------------------------------------------------- wrong use
@pytest.mark.parametrize(
    ("words", "image", "says"),
    [
        (["--out", "x.jpg"], "picture.png", "ending in .png"),
        (["--json", "x.png"], "picture.png", "ending in .json"),
        (["--set", "c9=1"], "picture.png", "c9"),
        (["--set", "c1"], "picture.png", "code=value"),
        (["--set", "label=9"], "picture.png", "index from 0 to 3"),
        (["--sweep", "c1=-1:1:65"], "picture.png", "at most 64"),
        ([], "nothing.png", "no file"),
        ([], "broken.png", "cannot be read as an image"),
        ([], "SOURCE", "holds many images"),
        ([], "SOURCE#960", "#0 to #95"),
        ([], "mnost:test#1", "mnost"),
    ],
)
def test_wrong_use_is_one_clear_message(words, image, says, capsys, here):
    (here / "broken.png").write_bytes(b"not a picture")
    assert edit(*words, image=image.replace("SOURCE", tiny.source())) == 2
    said = capsys.readouterr().err
    assert says in said and "Traceback" not in said
    assert not (here / "edit.png").exists()
