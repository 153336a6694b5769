"""Run directories: how they are numbered, found again and refused, and that no file is ever half-written."""

import json
import os
import tomllib

import numpy as np
import pytest
import torch

import gander
import tiny
from gander import images, runs, weights
from gander.errors import RunError, TrainingFailed
from gander.runs import Run, open_run, place


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settle(run):
    """A run directory that holds its configuration alone."""
    run.write_config(settle.config, {})
    return run


def config(*settings, preset="gan", **options):
    plan = tiny.plan(preset, *settings, **options)
    settle.config = plan.config
    return plan.config


# ---------------------------------------------------------------------- numbers and names
def test_runs_are_numbered_and_the_same_command_finds_its_own(here):
    made = []
    for options in ({}, {"seed": 1}, {"preset": "cgan"}):
        run, resumed = place(config(**options), "squares", None, False)
        assert not resumed
        made.append(settle(run).path)
    assert list(map(str, made)) == [
        "runs/00000-gan-squares-s0",
        "runs/00001-gan-squares-s1",
        "runs/00002-cgan-squares-s0",
    ]
    for options, path in zip(({}, {"seed": 1}, {"preset": "cgan"}), made, strict=True):
        assert place(config(**options), "squares", None, False) == (Run(path), True)


def test_commands_started_at_once_get_numbers_of_their_own(here):
    """Each has looked for its number before any of them has made its directory."""
    placed = [place(config(seed=seed), "squares", None, False)[0] for seed in range(3)]
    assert {run.path.name[:5] for run in placed} == {"00000"}
    made = [runs.claimed(run).path.name for run in placed]
    assert made == ["00000-gan-squares-s0", "00001-gan-squares-s1", "00002-gan-squares-s2"]
    again = runs.claimed(placed[0])  # its own name is no other's
    assert again == placed[0]
    # killed before it began, a command finds its directory again
    assert place(config(seed=2), "squares", None, False) == (Run(runs.ROOT / made[2]), False)
    own = Run(here / "mine")
    assert runs.claimed(own) == own and not own.path.exists()


def test_numbers_go_on_after_the_largest_even_past_gaps_and_strangers(here):
    for name in ("00007-x", "notes", "0008-short", "000009-long"):
        (here / "runs" / name).mkdir(parents=True)
    (here / "runs" / "00042-a-file").write_text("")
    run, _ = place(config(), "squares", None, False)
    assert run.path.name == "00008-gan-squares-s0"


def test_new_makes_a_fresh_run_each_time_and_the_last_is_resumed(here):
    first = settle(place(config(), "squares", None, False)[0])
    second, resumed = place(config(), "squares", None, True)
    assert not resumed and second.path.name == "00001-gan-squares-s0"
    settle(second)
    assert place(config(), "squares", None, False) == (second, True)
    out = settle(place(config(), "squares", "mine", False)[0])
    beside, resumed = place(config(), "squares", "mine", True)
    assert (beside.path.name, resumed) == ("mine-2", False)
    settle(beside)
    assert place(config(), "squares", "mine", True)[0].path.name == "mine-3"
    assert first.path.is_dir() and out.path.is_dir()


def test_of_two_runs_of_a_name_the_one_with_the_same_settings_is_found(here):
    settle(place(config("generator_rate=1e-4"), "squares", None, False)[0])
    other = settle(place(config("generator_rate=2e-4"), "squares", None, True)[0])
    assert place(config("generator_rate=1e-4"), "squares", None, False)[0].path.name[:5] == "00000"
    assert place(config("generator_rate=2e-4"), "squares", None, False) == (other, True)
    with pytest.raises(RunError, match=r"generator_rate: 0\.0002 -> 0\.0003"):
        place(config("generator_rate=3e-4"), "squares", None, False)


def test_a_changed_configuration_is_refused_with_every_difference(here):
    before = ("critic_rate=4e-4", "objective=nonsaturating", "c1.recognised=0.5", "batch=16")
    settle(place(config(*before, preset="infogan"), "squares", "mine", False)[0])
    changed = config(
        *("critic_rate=9e-4", "objective=hinge", "c1.recognised=3", "batch=8"),
        preset="infogan",
        seed=5,
    )
    with pytest.raises(RunError) as refused:
        place(changed, "squares", "mine", False)
    text = str(refused.value)
    for line in (
        "optimiser.critic_rate: 0.0004 -> 0.0009",
        "game.objective: nonsaturating -> hinge",
        "codes.c1.recognised: 0.5 -> 3.0",
        "training.batch: 16 -> 8",
        "training.seed: 0 -> 5",
    ):
        assert line in text
    assert "--new" in text and "->" in text and text.count(" -> ") == 5


def test_what_is_reported_may_change_between_commands(here):
    settle(place(config(), "squares", "mine", False)[0])
    reported = config("log_images=7", "sample_images=9", "save_seconds=1", "tensorboard=true")
    assert place(reported, "squares", "mine", False)[1] is True


def test_a_longer_run_goes_on_unless_its_rates_fall_over_its_length(here):
    for decay in ("none", "linear"):
        settle(place(config(f"decay={decay}", images=64), "squares", decay, False)[0])
    assert place(config("decay=none", images=640), "squares", "none", False)[1] is True
    with pytest.raises(RunError, match=r"training\.images: 64 -> 640"):
        place(config("decay=linear", images=640), "squares", "linear", False)


def test_a_folder_with_other_things_is_never_trained_into(here):
    foreign = here / "thesis"
    foreign.mkdir()
    (foreign / "chapter.txt").write_text("years of work")
    (here / "file").write_text("x")
    for new in (False, True):
        with pytest.raises(RunError, match="holds other things and no run"):
            place(config(), "squares", "thesis", new)
    with pytest.raises(RunError, match="is a file"):
        place(config(), "squares", "file", False)
    (here / "empty").mkdir()
    assert place(config(), "squares", "empty", False) == (Run(runs.Path("empty")), False)
    assert [p.name for p in foreign.iterdir()] == ["chapter.txt"]


def test_a_run_is_opened_by_path_or_number_and_a_wrong_one_names_those_there(here):
    run = settle(place(config(), "squares", None, False)[0])
    for name in (str(run.path), "0", "00000", run.path):
        assert open_run(name).path == run.path
    for wrong in ("1", "nosuch", "runs/00001-gan-squares-s0", "-1"):
        with pytest.raises(RunError, match="00000-gan-squares-s0"):
            open_run(wrong)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe", "cannot be read"),
        (b"a = ", "cannot be read"),
        (b"schema = 99\n", "schema 99"),
        (b"", "says no schema"),
        (b"schema = 2\n", r"needs \[codes"),
        (b"schema = 2\n[codes]\nnoise = 3\n", "noise"),
        (b"schema = 2\ncodes = 'noise:gaussian(4)'\n[wheels]\na=1\n", "wheels"),
    ],
)
def test_a_damaged_config_is_one_message(content, says, tmp_path):
    (tmp_path / "config.toml").write_bytes(content)
    with pytest.raises(gander.GanderError, match=says):
        Run(tmp_path).read_config()


def test_damaged_log_lines_are_left_out_one_by_one(tmp_path):
    run = Run(tmp_path)
    run.append("log.jsonl", {"images_seen": 1})
    with run.log_file.open("ab") as log:
        log.write(b'\xff\xfe garbage\n[1, 2]\n"text"\n\n{"images_seen": 2}\n{"images_seen": 3, "te')
    assert run.lines() == [{"images_seen": 1}, {"images_seen": 2}]
    run.rewind(1)
    assert run.log_file.read_text() == '{"images_seen": 1}\n'
    assert Run(tmp_path / "nosuch").lines() == []


# ---------------------------------------------------------------------- writing
@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("blow", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_dies_leaves_the_old_file_whole_and_nothing_beside_it(
    call, blow, tmp_path, monkeypatch
):
    file = tmp_path / "weights.safetensors"
    weights.write(file, {"a": torch.ones(3)}, {"n": 1})
    before = file.read_bytes()

    def dies(*_):
        raise blow

    monkeypatch.setattr(images.os, call, dies)
    with pytest.raises(RunError if isinstance(blow, OSError) else KeyboardInterrupt) as raised:
        weights.write(file, {"a": torch.zeros(300)}, {"n": 2})
    if isinstance(blow, OSError):
        said = f"{file} cannot be written: No space left on device; free some space"
        assert str(raised.value).startswith(said)
    monkeypatch.undo()
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [file.name]


def test_a_full_disk_in_mid_run_is_one_message_and_the_state_stays_whole(tmp_path, monkeypatch):
    run = Run(tiny.train("gan", out=tmp_path / "run", steps=2))
    before = tiny.state(run.path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(images.os, "fsync", full)
    with pytest.raises(TrainingFailed, match=r"No space left.*last good state, at 32 images"):
        tiny.train("gan", out=run.path, steps=4)
    monkeypatch.undo()
    assert tiny.same(before, tiny.state(run.path))


def test_tensors_and_facts_come_back_as_they_were(tmp_path):
    tensors = {
        "half": torch.randn(3, 2).bfloat16(),
        "layout": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "slice": torch.arange(10)[::2],
        "scalar": torch.tensor(3),
        "empty": torch.empty(0, 4),
    }
    facts = {"images_seen": 2**60, "text": "é\n'\"", "nested": {"a": [1, None]}}
    weights.write(tmp_path / "x.safetensors", tensors, facts)
    back, said = weights.read(tmp_path / "x.safetensors")
    assert said == {"schema": weights.SCHEMA, **facts} and back.keys() == tensors.keys()
    assert all(torch.equal(back[k], v) and back[k].dtype == v.dtype for k, v in tensors.items())


def test_nothing_in_a_run_is_a_pickle():
    for file in tiny.run("infogan").rglob("*"):
        if file.is_file():
            assert not file.read_bytes().startswith((b"\x80\x02", b"\x80\x04", b"\x80\x05"))


def test_files_are_readable_by_others(tmp_path):
    images.write(tmp_path / "deep" / "er" / "x", b"1")
    assert os.stat(tmp_path / "deep" / "er" / "x").st_mode & 0o777 == 0o644


# ---------------------------------------------------------------------- repeating a run
@pytest.mark.parametrize("preset", ["acgan-infogan", "infogan-lsgan", "cgan-multiply"])
def test_the_config_of_a_run_repeats_it(preset, tmp_path):
    run = tiny.run(preset, "seed=3", "beta1=0.4")
    again = gander.train(str(run / "config.toml"), out=str(tmp_path / "again"), quiet=True)
    assert tiny.same(tiny.state(run), tiny.state(again))
    one, two = (tomllib.loads((r / "config.toml").read_text()) for r in (run, again))
    assert one.pop("provenance").keys() == two.pop("provenance").keys()
    assert one == two


def test_a_config_says_what_was_resolved_and_where_it_came_from():
    table = tomllib.loads((tiny.run("acgan-infogan") / "config.toml").read_text())
    resolved = table["resolved"]
    assert resolved["family"] == "ACGAN+InfoGAN"
    assert resolved["shape"] == [1, tiny.SIDE, tiny.SIDE]
    assert resolved["codes"]["label"]["probs"] == [0.25] * 4
    assert len(resolved["fingerprint"]) == 64
    assert table["provenance"]["gander"] == gander.__version__
    assert table["provenance"]["torch"] == torch.__version__


# ---------------------------------------------------------------------- pictures
def test_bytes_and_units_are_inverse_over_every_gray_level():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(images.to_bytes(images.to_unit(levels)), levels)
    beyond = images.to_bytes(torch.tensor([-9.0, -1, 0, 1, 9]).view(1, 1, 1, 5))
    assert beyond.flatten().tolist() == [0, 0, 128, 255, 255]


def test_arrays_under_any_name_come_back(tmp_path):
    arrays = {"file": np.array(["a", "é"]), "self": np.arange(3), "x/y": np.eye(2)}
    (tmp_path / "a.npz").write_bytes(images.npz(arrays))
    with np.load(tmp_path / "a.npz") as back:
        assert sorted(back.files) == sorted(arrays)
        assert all(np.array_equal(back[k], v) for k, v in arrays.items())
    with pytest.raises(ValueError, match="allow_pickle"):
        images.npz({"objects": np.array([{}, None])})


def test_a_line_is_appended_whole(tmp_path):
    run = Run(tmp_path)
    for n in range(3):
        run.append("metrics.jsonl", {"n": n})
    text = (tmp_path / "metrics.jsonl").read_text()
    assert [json.loads(line)["n"] for line in text.splitlines()] == [0, 1, 2]
    with pytest.raises(RunError, match="cannot be written"):
        Run(tmp_path / "nosuch").append("log.jsonl", {})


def test_a_second_trainer_is_kept_out_and_told_who_holds_the_run(tmp_path):
    run = runs.Run(tmp_path)
    with run.held(), pytest.raises(RunError, match=f"process {os.getpid()}"), run.held():
        pass
    with run.held():
        pass


def test_weights_whose_networks_were_laid_out_otherwise_are_refused(tmp_path):
    """Their numbers fit by shape, and would draw noise."""
    run = tiny.run("infogan")
    old = tmp_path / "old.safetensors"
    tensors, facts = weights.read(run / "weights" / "averaged.safetensors")
    weights.write(old, tensors, facts | {"schema": 1})
    with pytest.raises(RunError, match="schema 1, and this gander reads 2 to 3"):
        gander.load(old)
