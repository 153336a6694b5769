"""A code is one code under whatever name it goes by, and may be called by any word: in commands, on sheets, in films, in exports."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import gander
import tiny
from gander import cli, names, sheets
from gander.model import load
from gander.names import Called, Names

NAMES = Names({"category": Called("digit"), "c1": Called("slant", "left", "right")})
ALIASES = {"category": "digit", "c1": "slant"}
WORDS = ("class", "self", "seeds", "seed", "values", "image", "real", "own", "n", "rows", "code")
CODES = " ".join(["noise:gaussian(3)", *(f"{word}:uniform,recognised" for word in WORDS)])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny.run("infogan"), "run")
    names.keep(tmp_path / "run", NAMES)
    return tmp_path


@pytest.fixture(scope="module")
def worded():
    """A run whose codes are called as words that mean something else to Python or to ``Model``."""
    return tiny.run("infogan", f"codes={CODES}")


def drawn(*words, run="run", out="x.npz"):
    assert cli.run(["sample", str(run), *words, "--out", out]) == 0
    if out.endswith(".npz"):
        with np.load(out) as file:
            return file["images"]
    return np.asarray(Image.open(out))


# ---------------------------------------------------------------------- by the name people gave it
ASKED = [
    ("--set", "{category}=7", "--sweep", "{c1}=-1:1:3"),
    ("--sweep", "{category}", "--set", "{c1}=0.5"),
    ("--sweep", "{category}", "--sweep", "{c1}=-1:1:3"),
    ("--set", "{c1}.0=1", "--n", "3"),
    ("--sweep", "all", "--set", "{category}=3"),
    ("--sweep", "all", "--set", "{c1}=0.5"),
]


@pytest.mark.parametrize("words", ASKED, ids=" ".join)
@pytest.mark.parametrize("out", ["x.png", "x.npz"])
def test_a_code_is_ordered_and_swept_alike_by_either_name(words, out, here):
    if "all" in words and out == "x.npz":
        pytest.skip("--sweep all is a sheet")
    own = drawn(*(word.format_map({name: name for name in ALIASES}) for word in words), out=out)
    called = drawn(*(word.format_map(ALIASES) for word in words), out=out)
    assert own.shape == called.shape and np.array_equal(own, called)


def test_a_sweep_of_a_named_category_shows_every_class(here):
    model = load("run")
    sheet = drawn("--sweep", "digit", "--seeds", "5", out="x.png")
    points = torch.arange(10)
    right = sheets.sweep_sheet(model, "category", points, {}, [5])
    assert np.array_equal(sheet, np.asarray(right))


@pytest.mark.parametrize("film", [(), ("--film", "x.gif")], ids=["picture", "film"])
@pytest.mark.parametrize("one", ["c1", "slant", "c1.0"])
@pytest.mark.parametrize("other", ["c1", "slant", "slant.0"])
def test_one_code_is_not_both_set_and_swept_by_two_names(one, other, film, here, capsys):
    words = [*film, "--set", f"{one}=1", "--sweep", other]
    assert cli.run(["sample", "run", *words]) == 2
    assert "c1 is both set and swept" in capsys.readouterr().err
    if not film:
        assert cli.run(["sample", "run", "--sweep", one, "--sweep", other]) == 2


# ---------------------------------------------------------------------- called as another word
@pytest.mark.parametrize("word", WORDS)
def test_a_code_may_be_called_by_any_word(word, worded, here):
    plain, turned = (
        drawn("--n", "2", run=worded),
        drawn("--n", "2", "--set", f"{word}=1", run=worded),
    )
    assert not np.array_equal(plain, turned)
    values = load(worded).values([0, 1], **{word: 1})
    assert values[word].tolist() == [[1.0], [1.0]]
    strip = drawn("--sweep", f"{word}=-1:1:3", run=worded, out="x.png")
    changed = load(worded).render(load(worded).values([0, 0], **{word: [-1, 1]}))
    assert not torch.equal(changed[0], changed[1]) and strip.std() > 0


def test_codes_called_as_what_an_edit_takes_are_edited(worded, here):
    Image.fromarray(tiny.pictures()[0][3, :, :, 0]).save("x.png")
    words = [text for word in WORDS for text in ("--set", f"{word}=0.5")]
    assert cli.run(["edit", str(worded), "x.png", "--quick", *words, "--json", "x.json"]) == 0
    with open("x.json", encoding="utf-8") as file:
        edited = json.load(file)["edited"]
    assert all(edited[word] == [0.5] for word in WORDS)


def test_the_lines_beside_weights_run_where_a_code_is_a_word_of_python(worded, here):
    gander.export(worded, "weights", "handed")
    with open("handed/model.json", encoding="utf-8") as file:
        use = json.load(file)["use"]
    assert "'class': " in use
    scope = {}
    exec(use, scope)
    assert scope["images"].shape == (8, 1, 16, 16)
