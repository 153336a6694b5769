"""Many seeds side by side: each its own command, heard by its seed, and none in another's way."""

import sys
import time

import pytest

import tiny
from gander import cli
from gander.abreast import own_command, train_each

SAYS = "import sys, time, os, signal\n"


def jobs(*programs):
    return {seed: [sys.executable, "-c", SAYS + program] for seed, program in enumerate(programs)}


def test_runs_are_printed_in_the_order_of_the_seeds(capfd):
    slow, fast = "time.sleep(0.5); print('runs/a')", "print('runs/b')"
    assert train_each(jobs(slow, fast), 2) == 0
    assert capfd.readouterr().out == "runs/a\nruns/b\n"


def test_what_each_says_has_its_seed_in_front(capfd):
    program = "print('halfway', file=sys.stderr); print('runs/x')"
    assert train_each(jobs(program, program), 1) == 0
    assert capfd.readouterr().err == "seed 0: halfway\nseed 1: halfway\n"


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_so_many_run_at_a_time(tmp_path, at_once):
    log = tmp_path / "log"
    program = f"""
for word in ("begin", "end"):
    with open({str(log)!r}, "a") as file:
        file.write(word + chr(10))
    time.sleep(0.3)
"""
    assert train_each(jobs(*[program] * 4), at_once) == 0
    running, most = 0, 0
    for line in log.read_text().split():
        running += 1 if line == "begin" else -1
        most = max(most, running)
    assert most <= at_once


def test_one_that_fails_is_named_and_the_others_finish(capfd):
    fails = "print('gander: it diverged.', file=sys.stderr); sys.exit(1)"
    assert train_each(jobs(fails, "time.sleep(0.3); print('runs/b')"), 2) == 1
    out, err = capfd.readouterr()
    assert (out, err) == ("runs/b\n", "gander: seed 0: it diverged.\n")


def test_wrong_use_is_said_once_and_no_more_are_begun(capfd):
    wrong = "print('gander: no such thing.\\nGive another.', file=sys.stderr); sys.exit(2)"
    began = time.monotonic()
    assert train_each(jobs(*[wrong] * 40), 2) == 2
    assert time.monotonic() - began < 20
    assert capfd.readouterr().err == "gander: seed 0: no such thing.\nGive another.\n"


def test_an_interrupted_one_ends_all(capfd):
    assert train_each(jobs("sys.exit(130)", "print('runs/b')", "print('runs/c')"), 1) == 130
    assert capfd.readouterr().out == ""


def test_a_killed_one_is_named(capfd):
    assert train_each(jobs("os.kill(os.getpid(), signal.SIGKILL)"), 1) == 1
    assert capfd.readouterr().err == "gander: seed 0: it was ended by signal 9.\n"


def test_each_has_a_command_of_its_own():
    words = ["gander", "train", "gan", "--seeds", "0-3", "--out=x/y", "--at-once", "2", "--quiet"]
    assert own_command(words, 3, "x/y", True) == [
        *["gander", "train", "gan", "--quiet", "--seed", "3", "--out", "x/y-s3"]
    ]
    beside = own_command(["gander", "train", "--seeds=1,2"], 1, None, False)
    assert beside == ["gander", "train", "--seed", "1", "--set", "threads=1"]
    told = own_command(["gander", "train", "--seeds=1", "--set", "threads=2"], 1, None, False)
    assert told == ["gander", "train", "--set", "threads=2", "--seed", "1"]


@pytest.mark.slow
def test_each_run_is_what_its_own_command_makes(tmp_path, capfd):
    words = ["train", "gan", "--data", tiny.source(), "--images", "64", "--set", *tiny.SMALL]
    assert cli.run([*words, "--seeds", "3,1", "--out", str(tmp_path / "both")]) == 0
    runs = [tmp_path / "both-s3", tmp_path / "both-s1"]
    assert capfd.readouterr().out.split() == [str(run) for run in runs]
    for seed, run in zip((3, 1), runs, strict=True):
        alone = tmp_path / f"alone-{seed}"
        assert cli.run([*words, "--seed", str(seed), "--out", str(alone)]) == 0
        assert tiny.same(tiny.state(run), tiny.state(alone))
