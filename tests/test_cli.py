"""The command line: quick, forgiving of forms, clear about mistakes, and never a traceback."""

import io
import json
import os
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gander
import tiny
from gander import cli, config, images, listing


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys, words, code):
    """What one command says; one message where it fails."""
    assert cli.run(words) == code
    spoken = capsys.readouterr()
    if code:
        assert spoken.err.startswith("gander: ") and spoken.out == ""
    return spoken.err if code else spoken.out


def python(*words, **options):
    return subprocess.run([sys.executable, *words], capture_output=True, timeout=60, **options)


# ---------------------------------------------------------------------- quick
def processor_seconds(*words, tries=3):
    """Of the quickest of a few: the clock would tell of the neighbours as well."""
    took = []
    for _ in range(tries):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = python(*words)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.returncode == 0, done.stderr
        if took[-1] < 1:
            break
    return min(took)


def test_importing_and_asking_for_help_take_less_than_a_second():
    assert processor_seconds("-c", "import gander; gander.__all__") < 1
    assert processor_seconds("-m", "gander", "--help") < 1


def test_importing_loads_nothing_heavy_and_the_library_loads_no_command_line():
    code = (
        "import sys, gander; print([m for m in ('torch', 'numpy', 'cyclopts') if m in sys.modules])"
    )
    assert python("-c", code).stdout.strip() == b"[]"
    code = "import sys; from gander import train; print('cyclopts' in sys.modules)"
    assert python("-c", code).stdout.strip() == b"False"


def test_the_public_names_are_these_and_no_others():
    assert gander.__all__ == sorted(gander.__all__, key=str)
    assert {"Code", "CodeSpec", "GanderError", "Model", "__version__"} <= set(gander.__all__)
    assert {"evaluate", "load", "train"} <= set(gander.__all__)
    for name in gander.__all__:
        assert getattr(gander, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        _ = gander.nosuch


# ---------------------------------------------------------------------- whole processes
def test_exit_codes_are_those_of_the_contract(tmp_path):
    """130 is in test_resume.py."""

    def code(*words):
        done = python("-m", "gander", *words, cwd=tmp_path)
        assert b"Traceback" not in done.stderr, done.stderr
        return done.returncode

    assert code("--version") == 0
    assert code("nosuch") == 2
    wrong = ("--images", "320", "--out", "r", "--data", tiny.source(), "--quiet")
    assert code("train", "gan", *wrong, "--set", *tiny.SMALL, "critic_rate=1e30") == 1
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == [".lock", "config.toml"]


def test_a_reader_that_goes_away_is_no_error(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)  # as in `gander list settings | head -1`
    with os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert cli.run(["list", "settings"]) == 0


def test_no_output_at_all_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)  # as in `gander list settings >&-`
    assert cli.run(["list", "settings"]) == 0


def test_a_terminal_of_ascii_is_no_error(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert cli.run(["list", "settings"]) == 0
    assert b"|?D|?" in terminal.buffer.getvalue()


# ---------------------------------------------------------------------- forms
def test_settings_may_be_given_one_after_another(monkeypatch):
    spread = cli._spread
    assert spread(["--set", "a=1", "b=2", "c=3"]) == [
        "--set",
        "a=1",
        "--set",
        "b=2",
        "--set",
        "c=3",
    ]
    assert spread(["--set=a=1", "b=2"]) == ["--set=a=1", "--set", "b=2"]
    assert spread(["--set", "a=1", "--out", "b=2"]) == ["--set", "a=1", "--out", "b=2"]
    assert spread(["--set", "a=1", "run"]) == ["--set", "a=1", "run"]
    assert spread(["--set", "a=1", "run", "b=2"]) == ["--set", "a=1", "run", "b=2"]
    assert spread(["--set", "--set", "a=1"]) == ["--set", "--set", "a=1"]
    assert spread(["x=1", "--set", "c1=-1", "c2=-2"]) == ["x=1", "--set", "c1=-1", "--set", "c2=-2"]


def test_every_form_of_a_setting_means_the_same(here, capsys):
    def resolved(*words):
        options = ["--data", tiny.source(), "--dry-run", "--set", "width=4", "threads=1"]
        text = said(capsys, ["train", "infogan", *options, *words], 0)
        return config.from_dict(tomllib.loads(text))

    one = resolved("--set", "batch=16", "beta1=0.3", "c1.recognised=2")
    assert one == resolved("--set", "batch=16", "--set", "beta1=0.3", "--set", "c1.recognised=2")
    assert one == resolved(
        "--set", "training.batch=16", "optimiser.beta1=0.3", "codes.c1.recognised=2"
    )
    assert one.training.batch == 16 and one.codes.code("c1").recognised == 2
    assert resolved("--images", "6e5", "--set", "batch=16").training.images == 600_000
    line = "codes=noise:gaussian(5) label:given,shown x:uniform,recognised=0.5"
    assert str(resolved("--set", line, "batch=16").codes) == line.removeprefix("codes=")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        *[
            "presets",
            "data",
            "metrics",
            "objectives",
            "backbones",
            "kinds",
            "schedules",
            "augmentations",
            "settings",
        ],
    ],
)
def test_every_topic_is_listed_with_a_line_each(topic, capsys):
    text = said(capsys, ["list", *([topic] if topic else [])], 0)
    if topic:
        first, *rows = text.rstrip().split("\n")
        assert first == topic and rows
        assert all(row.startswith("  ") and len(row.split(None, 1)) == 2 for row in rows)
    else:
        assert all(name in text for name in config.preset_names())
    assert listing.listing(topic) + "\n" == text


# ---------------------------------------------------------------------- mistakes: more are in test_wrong_uses.py
@pytest.mark.parametrize(
    "name", ["x" * 5000, "x/" * 3000, "🙂", "~nobody/x", "a\nb", "\x1b[31m", "%s{}", "-"]
)
@pytest.mark.parametrize(
    "words", [["sample"], ["evaluate"], ["read"], ["train"], ["train", "gan", "--data"]]
)
def test_a_path_of_any_text_is_one_message_that_does_not_steer_the_terminal(
    words, name, here, capsys
):
    text = said(capsys, [*words, name], 2)
    assert "\x1b" not in text and "Traceback" not in text
    assert list(here.iterdir()) == []


def test_an_out_of_any_length_is_one_message(here, capsys):
    run = str(tiny.run("gan"))
    small = ["--data", tiny.source(), "--quiet", "--images", "16", "--set", *tiny.SMALL]
    for words in (
        ["sample", run, "--out", "y" * 300 + ".png"],
        ["sample", run, "--out", "y" * 300],
    ):
        assert "name too long" in said(capsys, words, 2)
    assert "name too long" in said(capsys, ["train", "gan", "--out", "z" * 300, *small], 2)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
    ],
)
def test_too_little_memory_is_one_message_and_exit_one(error, capsys, monkeypatch):
    def greedy(*_, **__):
        raise error

    monkeypatch.setattr(listing, "listing", greedy)
    assert "not enough memory" in said(capsys, ["list"], 1)


def test_a_fault_of_ours_is_not_hidden(monkeypatch):
    def faulty(*_):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(listing, "listing", faulty)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        cli.run(["list"])


@pytest.mark.parametrize(
    "words",
    [
        "sample RUN --out d/x.png",
        "sample RUN --n 2 --out d/",
        "sample RUN --out x.npz",
        "read RUN --data SRC --out x.csv",
        "train gan --data SRC --out new",
    ],
)
def test_a_disk_that_takes_nothing_is_one_message(words, here, capsys, monkeypatch):
    names = {"RUN": str(tiny.run("acgan-infogan")), "SRC": tiny.source()}
    words = [names.get(word, word) for word in words.split()]
    if words[0] == "train":
        words += ["--quiet", "--images", "16", "--set", *tiny.SMALL]

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(images.os, "fsync", full)
    text = said(capsys, words, 2)
    assert "cannot be written: No space left on device; free some space" in text
    assert [p for p in here.rglob("*") if p.is_file()] == []


def test_a_whole_life_on_the_command_line(here, capsys):
    small = ["--set", *tiny.SMALL]
    train = ["train", "acgan-infogan", "--data", tiny.source(), "--images", "64", "--quiet", *small]
    run = said(capsys, train, 0).strip()
    name = tiny.source().rsplit("/", 1)[1].removesuffix(".npz")
    assert run == f"runs/00000-acgan-infogan-{name}-s0"
    assert said(capsys, train, 0).strip() == run
    assert said(capsys, [*train, "--new"], 0).strip() == run.replace("00000", "00001")
    assert said(capsys, ["sample", "0", "--set", "label=1", "--out", "x.png"], 0) == "x.png\n"
    assert said(capsys, ["sample", run, "--n", "3", "--out", "d"], 0) == "3 files in d\n"
    assert said(capsys, ["read", "1", "--data", tiny.source(), "--out", "r.npz"], 0) == "r.npz\n"
    again = ["train", f"{run}/config.toml", "--quiet"]
    assert said(capsys, again, 0).strip() == run.replace("00000", "00001")
    text = said(capsys, [*train, "--set", "beta1=0.1"], 2)
    assert "optimiser.beta1" in text and "--new" in text
    assert json.loads(Path(f"{run}/log.jsonl").read_text())["images_seen"] == 64
