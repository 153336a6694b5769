"""Resuming is exact: a run that was stopped and gone on with ends in the bits of one that was not."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import tiny
from gander import cli, provenance, rounds, training, weights
from gander.errors import RunError, TrainingFailed
from gander.runs import Run

MEMBERS = {
    "gan": ("gan",),
    "cgan": ("cgan",),
    "acgan": ("acgan",),
    "infogan": ("infogan",),
    "infogan-lsgan": ("infogan-lsgan",),  # dropout, two critic steps, a third optimiser
    "cgan-2014": ("cgan-2014", "momentum_images=300", "shrink=1.02", "least_rate=0.04"),
    "penalised": (
        "acgan-infogan",
        *("critic_norm=spectral", "r1=0.1", "r2=0.1", "gradient=1", "average_halflife=100"),
    ),
}


@pytest.mark.parametrize(
    ("member", "precision"), [*((m, "fp32") for m in MEMBERS), ("penalised", "bf16")]
)
def test_ten_steps_and_ten_more_are_twenty(member, precision, tmp_path, monkeypatch):
    monkeypatch.setattr(training.sheets, "write_samples", lambda *_: [])  # see below
    preset, *settings = MEMBERS[member]
    settings.append(f"precision={precision}")
    # colour and more than one halving: else no convolution's memory layout is other than plain
    colour = {"data": tiny.source(channels=3, side=20)}
    whole = tiny.train(preset, *settings, out=tmp_path / "whole", steps=20, **colour)
    tiny.train(preset, *settings, out=tmp_path / "parts", steps=10, **colour)
    first = tiny.state(tmp_path / "parts")
    parts = tiny.train(preset, *settings, out=tmp_path / "parts", steps=20, **colour)
    once, twice = tiny.state(whole), tiny.state(parts)
    assert once["images_seen"] == 20 * tiny.BATCH
    assert first["images_seen"] == 10 * tiny.BATCH
    assert not tiny.same(first, twice)  # the second half did something
    assert once.keys() == twice.keys()
    assert [name for name in once if not torch.equal(once[name], twice[name])] == []
    owners = {name.split(".")[0] for name in once}
    assert owners == {"generator", "averaged", "critic", "optimiser", "images_seen"}
    lines = Run(parts).lines()
    assert [line["images_seen"] for line in lines] == [10 * tiny.BATCH, 20 * tiny.BATCH]


def test_a_state_holds_every_optimiser_of_the_game(tmp_path):
    three = tiny.state(tiny.run("infogan-lsgan"))
    owners = {name.split(".")[1] for name in three if name.startswith("optimiser.")}
    assert owners == {"critic", "generator", "recogniser"}


def test_another_seed_is_another_run():
    assert not tiny.same(tiny.state(tiny.run("infogan")), tiny.state(tiny.run("infogan", "seed=1")))


@pytest.mark.parametrize("preset", ["acgan-infogan", "infogan-lsgan"])
def test_what_is_reported_does_not_change_the_bits(preset, tmp_path):
    often = ("log_images=1", "sample_images=16", "save_seconds=0", "tensorboard=true")
    seldom = tiny.train(preset, out=tmp_path / "seldom", steps=4)
    busy = tiny.train(preset, *often, out=tmp_path / "busy", steps=4)
    assert tiny.same(tiny.state(seldom), tiny.state(busy))
    assert len(Run(busy).lines()) > len(Run(seldom).lines()) == 1
    assert len(list((busy / "samples").iterdir())) > len(list((seldom / "samples").iterdir()))


def test_an_interrupted_command_saves_says_how_to_go_on_and_ends_in_the_same_bits(
    tmp_path, monkeypatch, capfd
):
    steps = 40
    command = ["train", "infogan", "--data", tiny.source()]
    command += ["--images", str(steps * tiny.BATCH), "--out", "stopped"]
    command += ["--set", *tiny.SMALL, "log_images=160", "sample_images=100000", "decay=linear"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "gander", *command],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = tmp_path / "stopped" / "log.jsonl"
    deadline = time.monotonic() + 60
    while not (log.is_file() and log.read_text().count("\n") >= 1) and process.poll() is None:
        assert time.monotonic() < deadline, "the run never wrote a report"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "Give the same command again to go on" in said and "stopped" in said
    saved = tiny.state(tmp_path / "stopped")
    assert 0 < saved["images_seen"] < steps * tiny.BATCH
    monkeypatch.chdir(tmp_path)
    assert cli.run(command) == 0
    assert f"resuming at {int(saved['images_seen']):,} images" in capfd.readouterr().err
    settings = ("log_images=160", "sample_images=100000", "decay=linear")
    whole = tiny.train("infogan", *settings, out=tmp_path / "whole", steps=steps)
    assert tiny.same(tiny.state(whole), tiny.state(tmp_path / "stopped"))
    seen = [line["images_seen"] for line in Run(tmp_path / "stopped").lines()]
    assert seen == sorted(set(seen)) and seen[-1] == steps * tiny.BATCH


def test_a_termination_request_inside_a_program_stops_after_the_step_and_saves(
    tmp_path, monkeypatch
):
    step, done = rounds.step, []

    def interrupted(plan, players, tally):
        step(plan, players, tally)
        done.append(players.images_seen)
        if len(done) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(rounds, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tiny.train("gan", out=tmp_path / "run", steps=8)
    assert tiny.state(tmp_path / "run")["images_seen"] == 3 * tiny.BATCH == done[-1]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_crash_between_log_and_state_leaves_no_line_twice_and_none_out(tmp_path, monkeypatch):
    """The log is ahead of the state, its last line is cut off: the work is done again, the lines are written again."""
    often = ("log_images=32",)
    whole = tiny.train("infogan", *often, out=tmp_path / "whole", steps=12)
    run = Run(tiny.train("infogan", *often, out=tmp_path / "run", steps=6))
    with run.log_file.open("a") as log:
        for seen in (128, 160):
            log.write(json.dumps({"images_seen": seen, "seconds": 9.0, "terms": {}}) + "\n")
        log.write('{"images_seen": 192, "sec')
    tiny.train("infogan", *often, out=tmp_path / "run", steps=12)
    lines, right = run.lines(), Run(whole).lines()
    assert [line["images_seen"] for line in lines] == [line["images_seen"] for line in right]
    assert [line["terms"] for line in lines] == [line["terms"] for line in right]
    assert run.log_file.read_text().count("\n") == len(lines)
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)


def test_a_run_killed_before_its_first_save_begins_again(tmp_path, monkeypatch):
    whole = tiny.train("cgan", out=tmp_path / "whole", steps=4)
    run = Run(tmp_path / "run")
    plan = tiny.plan("cgan", images=4 * tiny.BATCH)
    run.write_config(plan.config, provenance.of(plan))
    run.append("log.jsonl", {"images_seen": 16, "seconds": 1.0, "terms": {}})
    tiny.train("cgan", out=run.path, steps=4)
    assert tiny.same(tiny.state(whole), tiny.state(run.path))
    assert [line["images_seen"] for line in run.lines()] == [4 * tiny.BATCH]


def test_a_run_that_is_done_stays_as_it_is(tmp_path, capfd):
    run = tiny.train("gan", out=tmp_path / "run", steps=3)
    before = _kept(run)
    tiny.train("gan", out=run, steps=3, quiet=False)
    assert _kept(run) == before
    assert "is done" in capfd.readouterr().err


def _kept(run):
    """Every file but the one that says since when the run was last held."""
    return {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lock"}


def test_minutes_stop_a_run_and_the_same_command_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(training.sheets, "write_samples", lambda *_: [])
    whole = tiny.train("infogan", "decay=linear", out=tmp_path / "whole", steps=9)
    for _ in range(3):
        tiny.train("infogan", "decay=linear", out=tmp_path / "run", steps=9, minutes=1e-9)
    assert tiny.state(tmp_path / "run")["images_seen"] == 3 * tiny.BATCH
    tiny.train("infogan", "decay=linear", out=tmp_path / "run", steps=9)
    assert tiny.same(tiny.state(whole), tiny.state(tmp_path / "run"))


@pytest.mark.parametrize("damage", ["cut", "alien", "missing", "wrong shape", "no integer"])
def test_a_damaged_state_is_one_message_and_stays_where_it_is(damage, tmp_path):
    run = Run(tiny.train("gan", out=tmp_path / "run", steps=2))
    tensors, facts = weights.read(run.state_file)
    if damage == "cut":
        run.state_file.write_bytes(run.state_file.read_bytes()[:1000])
    elif damage == "alien":
        run.state_file.write_bytes(b"not safetensors at all")
    elif damage == "missing":
        del tensors["generator.body.enter.weight"]
    elif damage == "wrong shape":
        tensors["critic.judge.weight"] = torch.zeros(3, 3)
    else:
        del facts["images_seen"]
    if damage not in ("cut", "alien"):
        weights.write(run.state_file, tensors, facts)
    before = run.state_file.read_bytes()
    with pytest.raises(RunError, match=r"state\.safetensors"):
        tiny.train("gan", out=run.path, steps=4)
    assert run.state_file.read_bytes() == before


@pytest.mark.parametrize("preset", ["gan", "infogan", "cgan"])
def test_a_term_that_is_no_number_stops_the_run_by_name_and_keeps_the_last_good_state(
    preset, tmp_path
):
    run = tiny.train(preset, out=tmp_path / "run", steps=2)
    kept = {p: p.read_bytes() for p in run.rglob("*.safetensors")}
    assert len(kept) == 4
    config = run / "config.toml"
    config.write_text(re.sub("(?m)^critic_rate = .*", "critic_rate = 1e30", config.read_text()))
    with pytest.raises(
        TrainingFailed, match=r"the term '[a-z0-9/]+' became (nan|-?inf) in step [3-8], after"
    ):
        tiny.train(preset, "critic_rate=1e30", out=run, steps=8)
    assert {p: p.read_bytes() for p in run.rglob("*.safetensors")} == kept
    assert TrainingFailed.exit_code == 1


def test_a_state_that_is_no_number_never_replaces_a_good_one(tmp_path, monkeypatch):
    """The terms of a step may still be finite when its gradient was not: the weights are looked at before they are saved."""
    run = tiny.train("gan", out=tmp_path / "run", steps=2)
    kept = {p: p.read_bytes() for p in run.rglob("*.safetensors")}
    step = rounds.step

    def poisoned(plan, players, tally):
        step(plan, players, tally)
        with torch.no_grad():
            next(iter(players.game.critic.parameters())).view(-1)[0] = float("nan")

    monkeypatch.setattr(rounds, "step", poisoned)
    with pytest.raises(TrainingFailed, match=r"'critic\.trunk"):
        tiny.train("gan", out=run, steps=3)
    assert {p: p.read_bytes() for p in run.rglob("*.safetensors")} == kept


def test_a_save_between_reports_is_looked_at_too(tmp_path):
    """With a save after every step and one report at the end, no save may hold what is no number."""
    run = tmp_path / "run"
    with pytest.raises(TrainingFailed):
        tiny.train("gan", "critic_rate=1e30", "save_seconds=0", out=run, steps=30)
    if (Path(run) / "state").exists():
        assert all(bool(t.isfinite().all()) for t in tiny.state(run).values())
