"""What people have written for them never takes the place of what a run needs, or of what it is made of."""

import pytest

import tiny
from gander import outputs
from gander.errors import RunError
from gander.runs import Run

CONFIG = 'preset = "gan"\nschema = 3\n'


@pytest.fixture
def run(tmp_path):
    """The files of a run, each with its own name for content."""
    names = (
        "config.toml",
        "log.jsonl",
        "weights/generator.safetensors",
        "state/earlier/1.safetensors",
    )
    for name in (*names, "best/config.toml", "best/weights/critic.safetensors", "samples/a.png"):
        file = tmp_path / "run" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(CONFIG if name.endswith("config.toml") else name)
    return tmp_path / "run"


@pytest.mark.parametrize(
    "name",
    [
        "config.toml",
        "log.jsonl",
        "names.json",  # not there yet, and meant all the same
        "weights/generator.safetensors",
        "weights/new.png",
        "state/earlier/1.safetensors",
        "best/config.toml",
        "best/weights/critic.safetensors",
        "samples/../config.toml",
    ],
)
def test_what_a_run_needs_is_no_place_for_anything_else(name, run):
    with pytest.raises(RunError, match="keeps what it needs; give another file, as "):
        outputs.check(run / name)


@pytest.mark.parametrize(
    "name", ["knobs.png", "evaluation.json", "samples/mine.png", "x/config.toml"]
)
def test_a_run_is_a_place_for_what_was_made_of_it(name, run):
    (run / "x").mkdir()
    outputs.check(run / name)


def test_a_config_of_another_program_makes_no_run(run):
    (run / "config.toml").write_text("[theme]\nname = 'ink'\n")
    outputs.check(run / "config.toml")
    outputs.check(run / "weights" / "mine.png")


def test_the_config_that_is_looked_for_is_as_runs_have_it():
    start = Run(tiny.run("gan")).config_file.read_bytes()[: outputs.HEAD]
    assert outputs.owner(tiny.run("gan") / "log.jsonl") is not None and b"schema" in start


def test_a_link_to_it_is_no_way_around(run, tmp_path):
    (tmp_path / "link.json").symlink_to(run / "config.toml")
    (tmp_path / "there").symlink_to(run / "weights")
    for place in ("link.json", "there/averaged.safetensors"):
        with pytest.raises(RunError, match="keeps what it needs"):
            outputs.check(tmp_path / place)


def test_folders_called_weights_are_anybodys_where_there_is_no_run(tmp_path):
    (tmp_path / "weights").mkdir()
    outputs.check(tmp_path / "weights" / "mine.png")
    outputs.check(tmp_path / "config.toml")


def test_nothing_takes_the_place_of_what_it_is_made_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("labels.csv", "a.png", "read.npz"):
        (photos / name).write_text("x")
    (tmp_path / "set.npz").write_text("x")
    for out, source in (
        ("set.npz", "set.npz"),
        ("photos/../set.npz", "set.npz:test"),
        ("set.npz", "set.npz#3"),
        ("photos/labels.csv", "photos"),
        ("photos/a.png", "photos:test[:20]#1"),
    ):
        with pytest.raises(RunError, match="would be replaced; give another file"):
            outputs.check(tmp_path / out, [source])
    for out, source in (
        ("other.npz", "set.npz"),
        ("photos/new.csv", "photos"),
        ("photos/read.npz", "photos"),  # arrays in a folder of images are no part of it
        ("set.npz", "mnist:test"),
        ("set.npz", ""),
    ):
        outputs.check(tmp_path / out, [source])
