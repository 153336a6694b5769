"""A run that goes wrong is caught: by name and step, with the way on; each mishap is caused, none is only described."""

import re
import subprocess
import sys

import pytest
import torch

import tiny
from gander import cli, mishaps, provenance, states, stepping, weights
from gander.errors import Diverged, RunError, TrainingFailed, is_out_of_memory
from gander.players import make_players
from gander.runs import Run
from gander.stepping import Steps
from gander.tally import Tally

OFTEN = ("save_seconds=0", "log_images=32", "sample_images=100000")


def poisoned(monkeypatch, at, who="critic"):
    """From one position on a weight of a player is no number, once."""
    plain, done = stepping.iterate, []

    def iterate(plan, players, tally, dealt):
        if players.images_seen == at and not done:
            done.append(at)
            with torch.no_grad():
                next(players.networks[who].parameters()).view(-1)[0] = float("nan")
        plain(plan, players, tally, dealt)

    monkeypatch.setattr(stepping, "iterate", iterate)
    return done


# ---------------------------------------------------------------------- no numbers any more
@pytest.mark.parametrize("preset", ["gan", "cgan", "acgan", "infogan", "infogan-lsgan"])
@pytest.mark.parametrize("who", ["critic", "generator"])
def test_the_term_and_its_step_are_named_however_much_later_the_report_is(
    preset, who, tmp_path, monkeypatch
):
    each = 32 if preset == "infogan-lsgan" else 16
    poisoned(monkeypatch, 3 * each, who)
    with pytest.raises(Diverged) as stopped:
        tiny.train(preset, "log_images=100000", out=tmp_path / "run", steps=20)
    said = str(stopped.value)
    assert re.match(rf"the term '[a-z0-9/]+' became nan in step 4, after {4 * each} images", said)
    assert "No state was saved yet" in said and "--new --set critic_rate=" in said
    assert stopped.value.exit_code == 1


def test_dealt_by_the_block_the_same_step_is_named(monkeypatch):
    plan = tiny.plan("infogan", images=320)
    players, tally = make_players(plan), Tally()
    steps = Steps(plan, players, tally)
    for number in range(6):
        if number == 4:
            with torch.no_grad():
                next(players.game.critic.parameters()).view(-1)[0] = float("nan")
        steps.step()
    steps.close()
    with pytest.raises(Diverged, match="in step 5, after 80 images"):
        tally.means(plan.config, players.images_seen)


def test_a_run_that_diverged_goes_back_to_its_last_good_state_with_lower_rates(
    tmp_path, monkeypatch, capfd
):
    run = Run(tmp_path / "run")
    poisoned(monkeypatch, 96)
    with pytest.raises(Diverged) as stopped:
        tiny.train("gan", *OFTEN, "critic_rate=4e-4", out=run.path, steps=10)
    said = str(stopped.value)
    assert f"The last good state, at 96 images, is kept in {run.path}" in said
    advice = re.search(r"--roll-back --set (\S+) (\S+);", said)
    assert advice and advice[1] == "critic_rate=0.0002"
    tiny.train(
        "gan", *OFTEN, advice[1], advice[2], out=run.path, steps=10, roll_back=True, quiet=False
    )
    said = capfd.readouterr().err
    assert "rolled back" in said and "the last saved state, at 96 images" in said
    assert tiny.state(run.path)["images_seen"] == 160
    assert run.read_config().optimiser.critic_rate == 2e-4
    (change,) = run.origin()["provenance"]["changes"]
    assert change.startswith("from 96 images on: optimiser.critic_rate: 0.0004 -> 0.0002")
    seen = [line["images_seen"] for line in run.lines()]
    assert seen == sorted(set(seen)) and seen[-1] == 160


def test_a_run_may_go_back_by_itself_as_often_as_it_is_allowed(tmp_path, monkeypatch, capfd):
    run = Run(tmp_path / "run")
    poisoned(monkeypatch, 96)
    tiny.train("gan", *OFTEN, "rescues=1", out=run.path, steps=10, quiet=False)
    said = capfd.readouterr().err
    assert "became nan in step 7, after 112 images" in said
    assert "back to 96 images, with 0.5 of the rates from there on" in said
    _, facts = weights.read(run.state_file)
    assert facts["images_seen"] == 160 and facts["rate_scale"] == 0.5
    (change,) = run.origin()["provenance"]["changes"]
    assert change.startswith("from 96 images on: 0.5 of every rate, since the term")
    # it is what a run with half the rates from there on would have been
    monkeypatch.undo()
    right = tiny.train("gan", *OFTEN, out=tmp_path / "right", steps=6)
    config = Run(right).read_config().optimiser
    rates = [f"{who}_rate={getattr(config, f'{who}_rate') / 2}" for who in ("critic", "generator")]
    tiny.train("gan", *OFTEN, *rates, out=right, steps=10, roll_back=True)
    assert tiny.same(tiny.state(right), tiny.state(run.path))
    # and resumed it keeps to the lower rates, with the same command
    tiny.train("gan", *OFTEN, "rescues=1", out=run.path, steps=12)
    tiny.train("gan", *OFTEN, *rates, out=right, steps=12)
    assert tiny.same(tiny.state(right), tiny.state(run.path))


def test_where_it_goes_wrong_again_at_once_it_goes_one_state_further_back(tmp_path, capfd):
    """A state may be sound by its numbers and sick all the same."""
    run = Run(tiny.train("gan", *OFTEN, out=tmp_path / "run", steps=4))
    plan = tiny.plan("gan", "rescues=3", *OFTEN)
    players, say = make_players(plan), []
    error = Diverged("the term 'critic' became nan")
    for back_to, scale in ((64, 0.5), (48, 0.25), (32, 0.125)):
        plan = mishaps.rescued(plan, players, run, error, say.append)
        assert (players.images_seen, plan.rate_scale) == (back_to, scale)
    with pytest.raises(Diverged, match="critic"):
        mishaps.rescued(plan, players, run, error, say.append)
    assert len(say) == 3 and states.read(run, say.append)[1]["images_seen"] == 32


# ---------------------------------------------------------------------- alarms, caused
MANY = ("sample_images=100000", "generator_rate=3e-3")


def source():
    """Enough images for large batches, which pass the thresholds that users have in few steps."""
    return {"data": tiny.source(count=600), "quiet": False}


def test_a_generator_that_is_driven_into_one_picture_raises_the_alarm(tmp_path, capfd):
    """At 500 times its rate it saturates; thresholds are those that users have."""
    wide = ("backbone=mlp", "batch=512", "log_images=2048")
    run = tiny.train(
        "gan", *wide, "generator_rate=0.5", MANY[0], out=tmp_path / "run", images=34_816, **source()
    )
    lines = Run(run).lines()
    raised = [line["images_seen"] for line in lines if "collapse" in line["alarms"]]
    assert raised and min(raised) >= 30_000
    assert "the samples have collapsed" in capfd.readouterr().err


def test_a_code_that_nobody_asks_for_raises_the_alarm_and_one_that_is_asked_for_does_not(
    tmp_path, capfd
):
    codes = "codes=noise:gaussian(4) c1:uniform,recognised=1e-9 c2:uniform,recognised"
    weak = ("backbone=mlp", "width=16", "batch=512", "critic_rate=2e-4", "log_images=25600", codes)
    run = tiny.train("infogan", *weak, *MANY, out=tmp_path / "run", images=51_200, **source())
    alarms = Run(run).lines()[-1]["alarms"]
    assert "dead_code/c1" in alarms and "dead_code/c2" not in alarms
    assert "code 'c1' is dead" in capfd.readouterr().err


# ---------------------------------------------------------------------- no memory
def too_much(monkeypatch, most, error):
    """A machine on which no batch above ``most`` fits."""
    plain = stepping.iterate

    def iterate(plan, players, tally, dealt):
        if plan.config.training.batch > most:
            raise error
        plain(plan, players, tally, dealt)

    monkeypatch.setattr(stepping, "iterate", iterate)


LITTLE = "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: not enough memory"


def test_out_of_memory_names_the_batch_that_fits(tmp_path, monkeypatch, capsys):
    too_much(monkeypatch, 30, RuntimeError(LITTLE))
    words = ["train", "gan", "--data", tiny.source(), "--out", str(tmp_path / "run"), "--set"]
    assert cli.run([*words, *tiny.SMALL, "batch=96"]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "not enough memory for a batch of 96" in said
    assert "A batch of 24 fits, as was tried just now: --new --set batch=24." in said
    too_much(monkeypatch, 0, MemoryError())
    with pytest.raises(TrainingFailed, match=r"Use smaller networks"):
        tiny.train("gan", "batch=2", out=tmp_path / "none", steps=2)


def test_too_little_memory_is_known_however_it_is_said():
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(RuntimeError(LITTLE))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried 20.00 MiB."))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


@pytest.mark.slow
def test_a_process_that_may_take_little_memory_says_which_batch_fits(tmp_path):
    """Not staged: an address space that a batch of 1,500 does not fit into."""
    words = ["train", "infogan", "--data", "glyphs", "--out", str(tmp_path / "run"), "--images"]
    words += ["6000", "--set", "batch=3000", "threads=1", "precision=fp32", "width=128"]
    limited = ["bash", "-c", 'ulimit -v 3500000; exec "$@"', "_", sys.executable, "-m", "gander"]
    done = subprocess.run([*limited, *words], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "not enough memory for a batch of 3000" in last, done.stderr
    fits = re.search(r"--new --set batch=(\d+)\.", last)
    assert fits, last
    words[words.index("batch=3000")] = f"batch={fits[1]}"
    assert subprocess.run([*limited, *words, "--new"], capture_output=True).returncode == 0


# ---------------------------------------------------------------------- where a run came from
def test_what_decides_bits_is_kept_and_a_change_of_it_is_said_and_kept(
    tmp_path, monkeypatch, capfd
):
    run = Run(tiny.train("gan", *OFTEN, out=tmp_path / "run", steps=2))
    made = run.origin()["provenance"]
    assert {"gander", "torch", "numpy", "machine", "device", "python", "command"} <= made.keys()
    assert made["device"] == "cpu" and len(run.origin()["resolved"]["fingerprint"]) == 64
    tiny.train("gan", *OFTEN, out=run.path, steps=3, quiet=False)
    assert "not as it began" not in capfd.readouterr().err
    elsewhere = provenance.here(tiny.plan("gan")) | {"torch": "9.9", "processor": "abacus"}
    monkeypatch.setattr(provenance, "here", lambda plan: elsewhere)
    tiny.train("gan", *OFTEN, out=run.path, steps=4, quiet=False)
    said = capfd.readouterr().err
    assert f"PyTorch {torch.__version__} -> 9.9" in said and "-> abacus" in said
    assert "no longer to the bits of a run that was never stopped" in said
    (change,) = run.origin()["provenance"]["changes"]
    assert change.startswith("from 48 images on: PyTorch")
    tiny.train("gan", *OFTEN, out=run.path, steps=5, quiet=False)  # said once
    assert "not as it began" not in capfd.readouterr().err
    assert len(run.origin()["provenance"]["changes"]) == 1


def test_the_commit_is_that_of_a_checkout_and_of_no_other(tmp_path):
    module = tmp_path / "tree" / "src" / "gander" / "provenance.py"
    store = tmp_path / "tree" / ".git"
    assert provenance.commit(module) == ""
    (store / "refs" / "heads").mkdir(parents=True)
    (store / "HEAD").write_text("ref: refs/heads/main\n")
    assert provenance.commit(module) == ""
    (store / "packed-refs").write_text("# pack\n" + "b" * 40 + " refs/heads/main\n")
    assert provenance.commit(module) == "b" * 12
    (store / "refs" / "heads" / "main").write_text("a" * 40 + "\n")
    assert provenance.commit(module) == "a" * 12
    (store / "HEAD").write_text("c" * 40 + "\n")
    assert provenance.commit(module) == "c" * 12
    installed = tmp_path / "tree" / "lib" / "gander" / "provenance.py"
    assert provenance.commit(installed) == ""  # somebody's own repository around it


def test_images_that_have_changed_are_refused(tmp_path):
    import numpy as np

    source = tmp_path / "own.npz"
    images, labels, _ = tiny.pictures()
    np.savez(source, images=images, label=labels)
    run = tiny.train("gan", out=tmp_path / "run", data=str(source), steps=2)
    images[5, 3, 3] ^= 1
    np.savez(source, images=images, label=labels)
    with pytest.raises(RunError, match="was trained on other images"):
        tiny.train("gan", out=run, data=str(source), steps=4)


def test_the_same_command_gives_the_same_bits_and_so_does_its_configuration(tmp_path):
    """In this process, in one of its own, and by config.toml alone."""
    words = ["train", "infogan", "--data", tiny.source(), "--images", "64", "--deterministic"]
    words += [
        "--quiet",
        "--set",
        "width=4",
        "batch=16",
        "threads=1",
        "tensorboard=false",
        "decay=linear",
    ]
    places = [tmp_path / name for name in ("one", "other", "again")]
    assert cli.run([*words, "--out", str(places[0])]) == 0
    alone = [sys.executable, "-m", "gander", *words, "--out", str(places[1])]
    subprocess.run(alone, check=True)
    (tmp_path / "own.toml").write_bytes((places[0] / "config.toml").read_bytes())
    assert cli.run(["train", str(tmp_path / "own.toml"), "--quiet", "--out", str(places[2])]) == 0
    first = tiny.state(places[0])
    assert all(tiny.same(first, tiny.state(place)) for place in places)
    one, other, again = ([line["terms"] for line in Run(place).lines()] for place in places)
    assert one == other == again
