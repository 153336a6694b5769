"""Evaluations while a run trains disturb nothing and are never lost or doubled; the best weights outlive every kill; rolling back."""

import contextlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import gander
import tiny
from gander import appraisal, best, cli, evaluation, folders, health, history, rng, rounds, training
from gander.errors import ConfigError, RunError
from gander.evaluation import Evaluation
from gander.players import make_players
from gander.runs import Run
from gander.study import Figure

EVERY = ("evaluate_images=32", "evaluate_metrics=label_accuracy,r2", "evaluate_n=20")
BY = (*EVERY, "best=label_accuracy")
CURVE = {32: 0.5, 64: 0.75, 96: 0.6, 128: 0.75, 160: 0.7, 192: 0.1}
"""A made-up accuracy by images seen: the best is at 64, and 128 is no better."""


class Killed(BaseException):
    """What no clause of the code can catch, as a kill."""


@pytest.fixture(autouse=True)
def stub(monkeypatch):
    """Measuring without a judge, as rudely as a measurement can be: it spends random numbers, changes threads and weights."""
    calls = []

    def measured(model, train, test, *, metrics, n, seed, **_):
        torch.rand(1000)
        rng.seed_torch(1, "elsewhere", len(calls))
        torch.set_num_threads(2)
        assert not model.generator.training and not model.critic.training
        drawn = model.draw(4, seed=seed)
        with torch.no_grad():
            next(model.generator.parameters()).zero_()
        calls.append((model.images_seen, tuple(metrics), n, train.split, test.split))
        figures = {
            "label_accuracy/label": Figure(CURVE.get(model.images_seen, 0.2), 0.1, 1.0),
            "r2/c1": Figure(float(drawn.float().mean()), 0.0, 1.0),
            "r2/c2": Figure(0.5, 0.0, 1.0),
            "frechet": Figure(model.images_seen + 1.0, 2.0, floor_is="real"),
            "density": Figure(1.0, 1.0, floor_is="real"),
        }
        asked = {k: f for k, f in figures.items() if k.partition("/")[0] in metrics}
        missing = {m: "it has no class" for m in metrics if m == "ari"}
        return Evaluation("", train.source, n, asked, missing)

    monkeypatch.setattr(evaluation, "measured", measured)
    monkeypatch.setattr(training.sheets, "write_samples", lambda *_: [])
    monkeypatch.setattr(training.health, "examine", lambda *_: health.Check({}, {}, {}, ()))
    return calls


def lines(run):
    """What is in metrics.jsonl, less the name of the run."""
    return [{**line, "run": ""} for line in Run(Path(run)).lines("metrics.jsonl")]


def values(folder):
    """The weights a folder draws and reads with, and where they are from."""
    model = gander.load(folder)
    weights = {f"generator.{k}": v for k, v in model.generator.state_dict().items()}
    weights |= {f"critic.{k}": v for k, v in model.critic.state_dict().items()}
    return weights | {"images_seen": torch.tensor(model.images_seen)}


# ---------------------------------------------------------------------- evaluations change nothing
@pytest.mark.parametrize("preset", ["acgan-infogan", "infogan-lsgan"])
def test_a_run_ends_in_the_same_bits_with_evaluations_and_without(preset, tmp_path):
    plain = tiny.train(preset, out=tmp_path / "plain", steps=4)
    often = ("evaluate_images=1", "evaluate_metrics=r2", "evaluate_n=20", "best=r2/c1")
    watched = tiny.train(preset, *often, out=tmp_path / "watched", steps=4)
    assert tiny.same(tiny.state(plain), tiny.state(watched))
    assert len(lines(watched)) >= 2 and lines(plain) == []
    assert torch.get_num_threads() == 1  # as tiny runs say
    assert [x["terms"] for x in Run(plain).lines()] == [x["terms"] for x in Run(watched).lines()]
    assert not (plain / "best").exists() and (watched / "best").is_dir()


def test_what_is_measured_is_a_copy_and_torch_is_left_as_it_was():
    plan = tiny.plan("acgan-infogan", *BY)
    players = make_players(plan)
    players.game.generator.train()
    before = {k: v.clone() for k, v in players.averaged.state_dict().items()}
    watch = appraisal.prepare(plan, Run(tiny.home() / "none"), print)
    torch.manual_seed(5)
    right = torch.rand(3)
    torch.manual_seed(5)
    appraisal.measured(watch, appraisal.model_of(plan, players), ["label_accuracy"])
    assert torch.equal(torch.rand(3), right)
    assert players.game.generator.training
    assert all(torch.equal(before[k], v) for k, v in players.averaged.state_dict().items())


def test_an_evaluation_is_due_by_position_and_at_the_end(tmp_path, stub):
    settings = ("evaluate_images=40", "evaluate_metrics=label_accuracy", "evaluate_n=33")
    run = tiny.train("acgan-infogan", *settings, out=tmp_path / "run", steps=7)
    assert [line["images_seen"] for line in lines(run)] == [48, 80, 112]
    assert all(line["during"] is True and line["seed"] == 0 for line in lines(run))
    assert stub[-1] == (112, ("label_accuracy",), 33, "train", "test")
    assert lines(run)[0]["metrics"]["label_accuracy/label"]["value"] == 0.2
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[0])["run"] == str(run)
    figures = history.figures(lines(run)[0])
    assert figures["label_accuracy/label"].floor == 0.1
    assert "label_accuracy/label" in (run / "report.html").read_text()


def test_nothing_is_evaluated_unless_asked(tmp_path, stub):
    run = tiny.train("acgan", out=tmp_path / "run", steps=3)
    assert stub == [] and not (run / "metrics.jsonl").exists()


def test_one_line_says_what_was_measured_and_the_end_says_where_the_best_is(tmp_path, capfd):
    run = tiny.train("acgan-infogan", *BY, out=tmp_path / "run", steps=8, quiet=False)
    said = [x for x in capfd.readouterr().err.splitlines() if "evaluated at" in x]
    assert [x.rpartition("; ")[2] for x in said] == [
        "the best so far",
        "the best so far",
        "the best is still 0.75 at 64",
        "the best is still 0.75 at 64",
    ]
    assert said[0].startswith("evaluated at 32 images: label_accuracy/label 0.5 of 1, r2/c1 ")
    tiny.train("acgan-infogan", *BY, out=run, steps=8, quiet=False)
    said = capfd.readouterr().err
    assert f"the best: label_accuracy/label 0.75 at 64 images, kept in {run}/best" in said
    assert f"gander sample {run}/best" in said and "--roll-back" in said


def test_time_spent_on_evaluations_is_not_time_spent_training(tmp_path, monkeypatch):
    monkeypatch.setattr(appraisal, "appraise", lambda *_: 1e6)
    run = tiny.train("acgan", "evaluate_images=16", "log_images=64", out=tmp_path / "r", steps=4)
    (line,) = Run(run).lines()
    assert line["seconds"] < 0  # the clock was moved on by as much as an evaluation said it took


def test_an_evaluation_that_fails_does_not_stop_the_training(tmp_path, monkeypatch, capfd):
    def failing(*_, **__):
        raise RunError("the cache is full.")

    monkeypatch.setattr(evaluation, "measured", failing)
    run = tiny.train("acgan", *EVERY, out=tmp_path / "run", steps=4, quiet=False)
    assert "! not evaluated at 32 images: the cache is full." in capfd.readouterr().err
    plain = tiny.train("acgan", out=tmp_path / "plain", steps=4)
    assert tiny.same(tiny.state(run), tiny.state(plain)) and lines(run) == []


# ---------------------------------------------------------------------- stopped and resumed
def stopped_at(monkeypatch, module, name, when):
    """Kills the process, as it were, at the ``when``-th call of a function, before it does anything."""
    plain, count = getattr(module, name), []

    def counted(*given, **named):
        count.append(1)
        if len(count) == when:
            raise Killed
        return plain(*given, **named)

    monkeypatch.setattr(module, name, counted)


PLACES = [
    (rounds, "step", 3),
    (training, "save", 1),
    (training, "save", 2),
    (best, "keep", 2),
    (folders, "swap_in", 2),
    (Run, "append", 1),
    (Run, "append", 4),
    (os, "replace", 9),
    (os, "replace", 19),
]


@pytest.mark.parametrize(("module", "name", "when"), PLACES)
def test_a_killed_run_gone_on_with_has_the_lines_and_the_best_of_one_that_was_not(
    module, name, when, tmp_path, monkeypatch
):
    whole = whole_run()
    with monkeypatch.context() as killing:
        stopped_at(killing, module, name, when)
        with pytest.raises(Killed):
            tiny.train("acgan-infogan", *BY, out=tmp_path / "run", steps=6)
    run = tiny.train("acgan-infogan", *BY, out=tmp_path / "run", steps=6)
    assert tiny.same(tiny.state(run), tiny.state(whole))
    assert lines(run) == lines(whole) and len(lines(run)) == 3
    assert best.read(Run(run)) == best.read(Run(whole))
    assert tiny.same(tiny.state(run / "best"), tiny.state(whole / "best"))
    assert tiny.same(values(run / "best"), values(whole / "best"))
    assert lines(run / "best") == lines(whole / "best")


def whole_run():
    """A run without a kill, made once; to be looked at or copied."""
    path = tiny.home() / "best-whole"
    if not (path / "report.html").exists():
        tiny.train("acgan-infogan", *BY, out=path, steps=6)
    return path


def copied(to):
    """A copy of it."""
    return shutil.copytree(whole_run(), to)


def test_an_evaluation_that_ctrl_c_put_off_is_made_on_resuming(tmp_path, monkeypatch, stub):
    step = rounds.step

    def interrupted(plan, players, tally):
        step(plan, players, tally)
        if players.images_seen == 64:
            os.kill(os.getpid(), 2)

    with monkeypatch.context() as stopping:
        stopping.setattr(rounds, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tiny.train("acgan-infogan", *BY, out=tmp_path / "run", steps=6)
    assert [x["images_seen"] for x in lines(tmp_path / "run")] == [32]
    run = tiny.train("acgan-infogan", *BY, out=tmp_path / "run", steps=6)
    assert [x["images_seen"] for x in lines(run)] == [32, 64, 96]
    assert best.read(Run(run)).images_seen == 64


def test_evaluations_of_work_that_will_be_done_again_are_dropped_and_those_by_hand_are_kept(
    tmp_path,
):
    run = Run(tiny.train("acgan-infogan", *BY, out=tmp_path / "run", steps=4))
    right = lines(run.path)
    run.append("metrics.jsonl", {"images_seen": 64, "metrics": {}, "seed": 7})
    run.append("metrics.jsonl", {**right[0], "images_seen": 96})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"images_seen": 128, "met')
    tiny.train("acgan-infogan", *BY, out=run.path, steps=4)
    assert [(x["images_seen"], x["seed"]) for x in lines(run.path)] == [(32, 0), (64, 0), (64, 7)]


def test_a_best_from_beyond_the_restored_state_is_forgotten_and_found_again(tmp_path):
    run = Run(copied(tmp_path / "run"))
    early = tiny.train("acgan-infogan", *BY, out=tmp_path / "early", steps=3)
    run.state_file.write_bytes(Run(early).state_file.read_bytes())  # as from a copy made earlier
    best.forget_future(run, 64)
    assert best.read(run).images_seen == 64
    best.forget_future(run, 48)
    assert best.read(run) is None and not run.best.exists()
    tiny.train("acgan-infogan", *BY, out=run.path, steps=6)
    assert best.read(run).images_seen == 64


# ---------------------------------------------------------------------- the best is a run
def test_the_best_is_a_run_directory_with_the_weights_of_that_moment(tmp_path, monkeypatch):
    run = copied(tmp_path / "run")
    then = tiny.train("acgan-infogan", out=tmp_path / "then", steps=4)
    assert tiny.same(tiny.state(run / "best"), tiny.state(then))
    assert tiny.same(values(run / "best"), values(then))
    assert gander.load(run / "best").draw(2, label=1).shape == (2, 1, tiny.SIDE, tiny.SIDE)
    assert json.loads((run / "best" / "best.json").read_text()) == {
        "figure": "label_accuracy/label",
        "value": 0.75,
        "better": "higher",
        "images_seen": 64,
        "n": 20,
        "judge": "",
    }
    assert [x["images_seen"] for x in lines(run / "best")] == [32, 64]
    monkeypatch.chdir(tmp_path)
    assert cli.run(["sample", str(run / "best"), "--out", "sheet.png"]) == 0
    result = gander.evaluate(run / "best", metrics=["r2"], n=20)
    kept = history.figures(lines(run / "best")[1])["r2/c1"].value
    assert result.figures["r2/c1"].value == kept  # to the last bit: the same images are drawn


def test_the_best_answers_to_the_names_of_its_run_until_it_has_its_own(tmp_path):
    run = copied(tmp_path / "run")
    assert cli.run(["name", str(run), "--set", "c1=slant"]) == 0
    best = gander.load(run / "best")
    assert torch.equal(best.draw(3, slant=0.5), best.draw(3, c1=0.5))
    assert cli.run(["name", str(run / "best"), "--set", "c1=width"]) == 0
    assert gander.load(run / "best").names.label("c1") == "width"
    assert gander.load(run).names.label("c1") == "slant"


def test_a_copy_of_the_best_goes_on_by_itself(tmp_path):
    run = whole_run()
    shutil.copytree(run / "best", tmp_path / "fork")
    fork = tiny.train("acgan-infogan", *BY, out=tmp_path / "fork", steps=6)
    assert tiny.same(tiny.state(fork), tiny.state(run)) and lines(fork) == lines(run)


@pytest.mark.parametrize(("figure", "where"), [("frechet", 32), ("r2/c2", 32)])
def test_less_is_better_of_a_distance_and_the_first_of_equals_stays(figure, where, tmp_path):
    run = tiny.train("acgan-infogan", *EVERY, f"best={figure}", out=tmp_path / "run", steps=6)
    assert best.read(Run(run)).images_seen == where
    assert "frechet" in lines(run)[0]["metrics"] or figure != "frechet"


def test_another_figure_or_number_of_images_begins_a_new_comparison(tmp_path, capfd):
    run = tiny.train("acgan-infogan", *BY, out=tmp_path / "run", steps=4)
    assert best.read(Run(run)).value == 0.75
    settings = (*BY, "evaluate_n=21")
    tiny.train("acgan-infogan", *settings, out=run, steps=6, quiet=False)
    assert best.read(Run(run)) == best.Best("label_accuracy/label", 0.6, "higher", 96, 21)
    assert (
        "measured in another way: label_accuracy/label 0.75 at 64 images" in capfd.readouterr().err
    )


def all_kills(monkeypatch, act):
    """Runs ``act`` once for every write, rename and removal it makes, killed before it; yields after each."""
    plain = {
        (os, "replace"): os.replace,
        (os, "rename"): os.rename,
        (shutil, "rmtree"): shutil.rmtree,
        (Path, "unlink"): Path.unlink,
    }
    for when in range(1, 100):
        left = [None] * when

        def counted(*given, function, left=left, **named):
            if left:
                left.pop()
            if not left:  # the dead stay dead
                raise Killed
            return function(*given, **named)

        with monkeypatch.context() as killing:
            for (module, name), function in plain.items():
                # a plain function, so that it is bound where it stands in for a method
                stand_in = lambda *a, f=function, c=counted, **k: c(*a, function=f, **k)  # noqa: E731
                killing.setattr(module, name, stand_in)
            try:
                act(when)
            except Killed:
                pass
            else:
                assert when > 8
                return
        yield when


@pytest.mark.parametrize("before", [True, False], ids=["an old one", "none before"])
def test_a_kill_between_any_two_writes_leaves_the_old_best_or_the_new_one(
    before, tmp_path, monkeypatch
):
    settings = (*BY, "save_seconds=0")
    source = tiny.train("acgan-infogan", *settings, out=tmp_path / "run", steps=3)
    plan = tiny.plan("acgan-infogan", *settings, images=48)
    players = make_players(plan)
    training.restore(players, Run(source), print)
    fresh = best.Best("label_accuracy/label", 0.9, "higher", 48, 20)
    old = best.read(Run(source)) if before else None
    right = values(source / "best") if before else None
    new = values(source)
    if not before:
        shutil.rmtree(source / "best")

    def act(when):
        copy = tmp_path / f"copy-{when}"
        shutil.copytree(source, copy)
        best.keep(plan, players, Run(copy), fresh, {"images_seen": 48})

    for when in all_kills(monkeypatch, act):
        copy = Run(tmp_path / f"copy-{when}")
        if before or best.read(copy):
            there = values(copy.best)  # as `gander sample RUN/best` finds it
            kept = best.read(copy)
            assert kept in (old, fresh)
            assert tiny.same(there, right if kept == old else new)
            assert gander.runs.open_run(copy.best).read_config() == plan.config
        else:
            with pytest.raises(RunError):
                gander.load(copy.best)
        best.keep(plan, players, copy, fresh, {"images_seen": 48})  # and the next one works
        assert best.read(copy) == fresh and tiny.same(values(copy.best), new)
        left = {p.name for p in copy.path.iterdir()}
        assert not left & {"best.new", "best.old"}


def test_a_kill_while_a_best_is_dropped_leaves_it_whole_or_gone(tmp_path, monkeypatch):
    source = tiny.train("acgan-infogan", *BY, out=tmp_path / "run", steps=2)
    right = values(source / "best")
    for when in range(1, 9):
        copy = tmp_path / f"copy-{when}"
        shutil.copytree(source, copy)
        for module, name in ((os, "rename"), (shutil, "rmtree")):
            with monkeypatch.context() as killing:
                stopped_at(killing, module, name, when)
                with contextlib.suppress(Killed):
                    best.forget_future(Run(copy), 16)
            if best.read(Run(copy)):
                assert tiny.same(values(copy / "best"), right)


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"figure": "r2"}', '{"value": "x"}'])
def test_a_damaged_best_is_one_message_that_says_what_to_do(damage, tmp_path):
    run = copied(tmp_path / "run")
    (run / "best" / "best.json").write_text(damage)
    with pytest.raises(RunError, match=r"best\.json cannot be read .*move .*best away"):
        tiny.train("acgan-infogan", *BY, out=run, steps=6)


# ---------------------------------------------------------------------- rolling back
def test_rolling_back_puts_the_best_state_back_and_stops_where_going_on_would_repeat(
    tmp_path, capfd
):
    run = tiny.train("acgan-infogan", *BY, "log_images=32", out=tmp_path / "run", steps=10)
    end = tiny.state(run)
    (run / "samples").mkdir(exist_ok=True)
    sheets = ["images-000000064.png", "images-000000160.png", "sweep-c1-000000065.png", "mine.png"]
    for sheet in sheets:
        (run / "samples" / sheet).write_bytes(b"x")
    again = {"out": run, "steps": 10, "quiet": False}
    tiny.train("acgan-infogan", *BY, "log_images=32", **again, roll_back=True)
    said = capfd.readouterr().err
    assert "to the best: label_accuracy/label 0.75 at 64 images" in said and "repeat" in said
    assert tiny.same(tiny.state(run), tiny.state(run / "best"))
    assert tiny.same(values(run), values(run / "best"))
    assert [x["images_seen"] for x in lines(run)] == [32, 64]
    assert [x["images_seen"] for x in Run(run).lines()] == [32, 64]
    there = {p.name for p in (run / "samples").iterdir()}
    assert there == {"images-000000064.png", "mine.png"}
    assert "changes" not in Run(run).origin()["provenance"]
    tiny.train("acgan-infogan", *BY, "log_images=32", **again)  # and the future is the same one
    assert tiny.same(tiny.state(run), end)


def test_rolling_back_with_another_rate_goes_on_with_it_and_says_so_for_ever(tmp_path, capfd):
    out = {"out": tmp_path / "run", "steps": 6}
    run = tiny.train("acgan-infogan", *BY, "critic_rate=4e-4", **out)
    old = tiny.state(run)
    slower = (*BY, "critic_rate=1e-4", "r1=0.5", "beta1=0.4")
    tiny.train("acgan-infogan", *slower, **out, roll_back=True, quiet=False)
    change = "optimiser.critic_rate: 0.0004 -> 0.0001"
    assert change in capfd.readouterr().err
    assert Run(run).read_config().optimiser.critic_rate == 1e-4
    (said,) = Run(run).origin()["provenance"]["changes"]
    assert (
        said.startswith("from 64 images on: ") and change in said and "game.r1: 0.0 -> 0.5" in said
    )
    assert tiny.state(run)["images_seen"] == 96 and not tiny.same(tiny.state(run), old)
    assert [x["images_seen"] for x in lines(run)] == [32, 64, 96]
    # the command with the new rate resumes; the old one is refused; a second roll back replaces the change
    tiny.train("acgan-infogan", *slower, **out)
    with pytest.raises(RunError, match=r"critic_rate: 0\.0001 -> 0\.0004"):
        tiny.train("acgan-infogan", *BY, "critic_rate=4e-4", **out)
    tiny.train("acgan-infogan", *BY, "critic_rate=2e-4", **out, roll_back=True)
    (said,) = Run(run).origin()["provenance"]["changes"]
    assert "critic_rate: 0.0004 -> 0.0002" in said and "r1" not in said
    tiny.train("acgan-infogan", *BY, "critic_rate=4e-4", **out, roll_back=True)
    assert "changes" not in Run(run).origin()["provenance"]
    assert tiny.same(tiny.state(run), old)


def test_a_run_without_a_number_is_found_for_rolling_back_with_another_rate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["train", "acgan-infogan", "--data", tiny.source(), "--images", "96", "--quiet"]
    command += ["--set", *tiny.SMALL, *BY]
    assert cli.run(command) == 0
    assert cli.run([*command, "critic_rate=1e-4", "--roll-back"]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert Run(run).read_config().optimiser.critic_rate == 1e-4
    assert cli.run([*command, "critic_rate=1e-4"]) == 0
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_kill_while_rolling_back_leaves_a_run_that_goes_on(tmp_path, monkeypatch):
    source = whole_run()
    end, right = tiny.state(source), lines(source)
    plan = tiny.plan("acgan-infogan", *BY, images=96)

    for number, (module, when) in enumerate([(os, 1), (os, 2), (os, 4), (os, 5), (os, 6)]):
        copy = copied(tmp_path / f"copy-{number}")
        with monkeypatch.context() as killing:
            stopped_at(killing, module, "replace", when)
            with pytest.raises(Killed):
                best.roll_back(Run(copy), plan.config)
        run = tiny.train("acgan-infogan", *BY, out=copy, steps=6)
        assert tiny.same(tiny.state(run), end) and lines(run) == right


def test_without_a_best_a_run_goes_back_to_its_last_saved_state(tmp_path, monkeypatch, capsys):
    with pytest.raises(RunError, match=r"nothing to roll back: .*not there yet"):
        tiny.train("acgan", out=tmp_path / "none", steps=2, roll_back=True)
    assert not (tmp_path / "none").exists()
    run = tiny.train("acgan", out=tmp_path / "run", steps=2)
    tiny.train("acgan", out=run, steps=2, roll_back=True, quiet=False)
    said = capsys.readouterr().err
    assert "rolled back" in said and "the last saved state, at 32 images" in said
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(RunError, match=r"training\.batch: 16 -> 8") as refused:
        tiny.train("acgan", "batch=8", "critic_rate=1", out=run, steps=2, roll_back=True)
    assert "critic_rate" not in str(refused.value)
    with pytest.raises(ConfigError, match="--roll-back is for a run that is there"):
        tiny.train("acgan", out=run, steps=2, roll_back=True, new=True)
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_a_dry_run_says_what_would_be_rolled_back_and_does_nothing(tmp_path, capsys):
    run = copied(tmp_path / "run")
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    command = ["train", "acgan-infogan", "--data", tiny.source(), "--out", str(run), "--dry-run"]
    command += ["--roll-back", "--set", *tiny.SMALL, *BY]
    assert cli.run(command) == 0
    assert "back to the best: label_accuracy/label 0.75 at 64 images" in capsys.readouterr().out
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


# ---------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (("evaluate_metrics=label_acuracy",), "Did you mean 'label_accuracy'"),
        (("evaluate_images=32", "evaluate_metrics= , "), "names no metric"),
        (("best=frechet",), "add --set evaluate_images="),
        (("evaluate_images=32", "best=frechett"), "report.best: .*Did you mean 'frechet'"),
        (("evaluate_images=32", "best=r2/c9"), "report.best: 'c9' is not a code of this run"),
        (("evaluate_n=19",), "report.evaluate_n is a whole number from 20"),
        (("evaluate_images=-1",), "report.evaluate_images is a whole number, 0 or more"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_is_done(settings, reason, tmp_path):
    with pytest.raises(ConfigError, match=reason):
        tiny.train("acgan-infogan", *settings, out=tmp_path / "run", steps=2)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("figure", "reason"),
    [
        ("ari", "ari cannot be measured in this run: it has no class"),
        ("r2", "r2 cannot be measured in this run: measured here: r2/c1, r2/c2"),
        ("r2/c3", "r2/c3 cannot be measured in this run: measured here: r2/c1, r2/c2"),
        ("density", "of density neither more nor less is better"),
    ],
)
def test_a_best_that_does_not_apply_is_found_out_before_training(figure, reason, tmp_path):
    with pytest.raises(ConfigError, match=reason):
        tiny.train("acgan-infogan", *EVERY, f"best={figure}", out=tmp_path / "run", steps=2)
    assert not (tmp_path / "run").exists()


def test_a_best_that_is_missing_once_is_said_and_the_best_stays(tmp_path, monkeypatch, capfd):
    plain = evaluation.measured

    def hidden(model, *given, **named):
        result = plain(model, *given, **named)
        if model.images_seen != 96:
            return result
        return replace(result, figures={}, missing={"label_accuracy": "all is black"})

    monkeypatch.setattr(evaluation, "measured", hidden)
    run = tiny.train("acgan-infogan", *BY, out=tmp_path / "run", steps=6, quiet=False)
    assert "label_accuracy is missing, so this is not compared" in capfd.readouterr().err
    assert best.read(Run(run)).images_seen == 64 and len(lines(run)) == 3


def test_a_run_is_looked_at_before_it_begins_and_not_again_when_it_goes_on(tmp_path, stub):
    tiny.train("acgan-infogan", *BY, out=tmp_path / "run", steps=4)
    assert [call[:2] for call in stub] == [
        (0, ("label_accuracy",)),
        (32, ("label_accuracy", "r2")),
        (64, ("label_accuracy", "r2")),
    ]
    stub.clear()
    tiny.train("acgan-infogan", *BY, out=tmp_path / "run", steps=6)
    assert [call[0] for call in stub] == [96]
