"""``gander read``: the recogniser's word on every image, beside what the data recorded."""

import csv
from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from gander import cli, reading, uncertainty
from gander.errors import DataError
from gander.model import load


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(uncertainty, "DRAWN", 64)
    return tmp_path


def read(*words, preset="acgan-infogan"):
    return cli.run(["read", str(tiny.run(preset)), *map(str, words)])


def arrays(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def right(preset="acgan-infogan", count=tiny.IMAGES):
    images = torch.from_numpy(tiny.pictures()[0]).permute(0, 3, 1, 2)
    return {n: r.numpy() for n, r in load(tiny.run(preset)).read(images[:count]).items()}


def test_an_npz_holds_probabilities_and_means_beside_every_recorded_column(here):
    assert read("--data", tiny.source(), "--out", "x.npz") == 0
    file, _ = arrays("x.npz"), tiny.pictures()
    _, labels, slants = tiny.pictures()
    sure = ["label_class", "label_entropy", "c1_sd", "c2_sd", "c3_sd"]
    assert sorted(file) == sorted(["label", "label_true", "c1", "c2", "c3", "slant", *sure])
    assert file["label"].shape == (96, 4) and np.allclose(file["label"].sum(1), 1)
    assert file["c1"].shape == (96, 1)
    assert all(np.array_equal(file[name], array) for name, array in right().items())
    assert np.array_equal(file["label_true"], labels)
    assert np.array_equal(file["slant"], slants)


def test_a_discovered_category_stands_beside_the_label_under_its_own_name(here):
    assert read("--data", tiny.source(), "--out", "x.npz", preset="infogan") == 0
    file = arrays("x.npz")
    assert file["category"].shape == (96, 10) and file["c1"].shape == (96, 1)
    assert np.array_equal(file["label"], tiny.pictures()[1])


def test_the_main_label_is_also_there_as_label(here, tmp_path):
    pixels, labels, _ = tiny.pictures()
    np.savez("digits.npz", images=pixels, digit=labels)
    assert read("--data", "digits.npz", "--out", "x.npz", preset="infogan") == 0
    file = arrays("x.npz")
    assert np.array_equal(file["label"], labels) and np.array_equal(file["digit"], labels)


def test_a_csv_has_a_row_an_image_and_a_column_a_part(here):
    assert read("--data", tiny.source(), "--out", "x.csv") == 0
    with open("x.csv", newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    parts = [f"label.{k}" for k in range(4)]
    sure = ["label_class", "label_entropy", "c1_sd.0", "c2_sd.0", "c3_sd.0"]
    assert head == [*parts, "c1.0", "c2.0", "c3.0", *sure, "label_true", "slant"]
    assert len(rows) == 96
    read_back = np.array([[float(cell) for cell in row] for row in rows])
    assert np.allclose(read_back[:, :4], right()["label"])
    assert np.array_equal(read_back[:, head.index("label_true")], tiny.pictures()[1])


@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_files_are_read_one_by_one_and_named(ending, here):
    for k in range(3):
        Image.fromarray(tiny.pictures()[0][k, :, :, 0]).save(f"{k} é,.png")
    assert read("0 é,.png", "2 é,.png", "--out", f"x.{ending}") == 0
    if ending == "csv":
        with open("x.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["file"] for row in rows] == ["0 é,.png", "2 é,.png"]
        assert [float(r["c1.0"]) for r in rows] == pytest.approx(right()["c1"][[0, 2], 0].tolist())
    else:
        file = arrays("x.npz")
        assert file["file"].tolist() == ["0 é,.png", "2 é,.png"]
        assert np.array_equal(file["label"], right()["label"][[0, 2]])


@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_a_source_among_the_files_names_itself_on_each_of_its_rows(ending, here):
    Image.new("RGB", (40, 30), (200, 0, 0)).save("large.jpg")
    assert read("large.jpg", tiny.source(), "--out", f"x.{ending}") == 0
    if ending == "csv":
        with open("x.csv", newline="", encoding="utf-8") as file:
            names = [row["file"] for row in csv.DictReader(file)]
    else:
        names = arrays("x.npz")["file"].tolist()
    assert names == ["large.jpg"] + [tiny.source()] * 96


WRONG = [
    (["acgan-infogan"], "give what to read"),
    (["acgan-infogan", "x.png", "--data", "glyphs"], "give what to read"),
    (["acgan-infogan", "nosuch.png"], "nosuch.png"),
    (["acgan-infogan", "broken.png"], "cannot be read as an image"),
    (["acgan-infogan", "empty.png"], "cannot be read as an image"),
    (["acgan-infogan", "notes.txt"], "cannot be read as an image"),
    (["acgan-infogan", "good.png", "--out", "x.xyz"], ".npz or .csv"),
    (["acgan-infogan", "good.png", "--out", "x"], ".npz or .csv"),
    (["acgan-infogan", "good.png", "--sheets", "good.png"], "give a folder"),
    (["acgan-infogan", "good.png", "--device", "tpu"], "no device"),
    (["acgan-infogan", "--data", "nosuch"], "nosuch"),
    (["acgan-infogan", "--data", "glyphs:tset"], "Did you mean 'test'"),
    (["gan", "good.png"], "no recogniser"),
    (["cgan", "good.png"], "no recogniser"),
]


@pytest.mark.parametrize(("words", "says"), WRONG)
def test_a_wrong_request_is_one_message_exit_two_and_no_file(words, says, here, capsys):
    Image.new("L", (16, 16)).save("good.png")
    whole = (here / "good.png").read_bytes()
    (here / "broken.png").write_bytes(whole[:40])
    (here / "empty.png").write_bytes(b"")
    (here / "notes.txt").write_text("hello")
    before = sorted(p.name for p in here.iterdir())
    preset, *rest = words
    code = read(*rest, preset=preset)
    said = capsys.readouterr()
    assert code == 2 and said.err.startswith("gander: ") and says in said.err
    assert said.err.count("\n") == 1 and said.out == ""
    assert sorted(p.name for p in here.iterdir()) == before


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_an_image_of_any_mode_and_size_is_fitted(mode, here):
    Image.new(mode, (33, 17)).save("x.png" if mode in ("1", "L", "LA", "P", "RGB") else "x.tiff")
    assert read(*map(str, here.iterdir()), "--out", "x.csv") == 0


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "turned"]
)
@pytest.mark.parametrize("size", [(16, 16), (50, 33), (9, 12)])
def test_a_file_is_the_image_that_a_folder_with_it_holds(mode, size, here):
    numbers = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    if mode == "I;16":
        picture = Image.fromarray(numbers[:, :, 0].astype(np.uint16) * 257)
    elif mode == "F":
        picture = Image.fromarray(numbers[:, :, 0].astype(np.float32) / 255)
    else:
        picture = Image.fromarray(numbers).convert("RGB" if mode == "turned" else mode)
    rotated = Image.Exif()
    rotated[274] = 6
    (here / "folder").mkdir()
    picture.save(here / "folder" / "x.tiff", exif=rotated if mode == "turned" else Image.Exif())
    model = load(tiny.run())
    one = reading.load_fitting(model, str(here / "folder" / "x.tiff"))
    assert torch.equal(one.images, reading.load_fitting(model, str(here / "folder")).images)


def test_a_damaged_file_is_one_message(here, capsys):
    Image.fromarray(tiny.pictures()[0][0, :, :, 0]).save("x.png")
    content = (here / "x.png").read_bytes()
    chance = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        for place in chance.integers(8, len(content), 4):
            damaged[place] = chance.integers(256)
        (here / "x.png").write_bytes(damaged[: chance.integers(1, len(content) + 1)])
        with suppress(DataError):
            reading.load_fitting(load(tiny.run()), "x.png")
    (here / "x.png").write_bytes(content[:40])
    assert read("x.png") == 2 and capsys.readouterr().err.count("\n") == 1
