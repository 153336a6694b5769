"""Searching settings: what is tried is a function of the seed, what was cut off goes on, and every trial is counted once.

Most searches here are real but for the training itself: a process that writes in an instant the lines that a run would.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

import gander
import tiny
from gander import attempts, cli, config, runs, searching, space, training, trials
from gander.errors import ConfigError, RunError, TrainingFailed, UseError

IMAGES, EVERY = 1000, 200
OVER = ("critic_rate=1e-4:1e-1:log", "batch=16:64", "objective=hinge,nonsaturating")
TRAINS = """
import json, os, signal, sys, time
words = sys.argv[1:]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
out = words[words.index("--out") + 1]
said = dict(word.split("=", 1) for word in words if "=" in word)
os.makedirs(out, exist_ok=True)
open(os.path.join(out, "began"), "a").write("x")
fails, pause = os.environ.get("FAILS", ""), float(os.environ.get("PAUSE", "0"))
if fails.startswith("signal") and os.path.getsize(os.path.join(out, "began")) <= int(fails[6:]):
    os.kill(os.getpid(), signal.SIGKILL)
if fails.isdigit():
    print("gander: it went wrong.", file=sys.stderr)
    sys.exit(int(fails))
file = os.path.join(out, "metrics.jsonl")
there = open(file).read().count("\\n") if os.path.exists(file) else 0
rate, batch = float(said["critic_rate"]), int(said["batch"])
for k in range(there, 5):
    value = 100 * abs(rate - 0.01) + batch / 10 + 5 / (k + 1)
    seen = -(-(k + 1) * 200 // batch) * batch  # a batch goes beyond
    figure = {"value": value, "floor": 1.0, "ceiling": None, "floor_is": "real"}
    line = {"during": True, "images_seen": seen, "n": 20, "data": "x", "metrics": {"frechet": figure}}
    with open(file, "a") as lines:
        lines.write(json.dumps(line) + "\\n")
    time.sleep(pause)
open(os.path.join(out, "ended"), "w").write("x")
"""


@pytest.fixture
def pretended(quick, monkeypatch):
    """Training and measuring as quick as a line is written."""
    program = quick / "trains.py"
    program.write_text(TRAINS)
    monkeypatch.setattr(attempts, "command", lambda words: [sys.executable, program, *words])
    monkeypatch.setattr(attempts, "LOOK", 0.01)
    monkeypatch.setattr(searching, "_measurable", lambda asked, tell: ("frechet", "lower"))
    return quick


def search(out="found", over=OVER, **options):
    asked = {"by": "frechet", "trials": 4, "images": IMAGES, "at_once": 1, "data": tiny.source()}
    asked |= {"settings": ["width=4", "precision=fp32"], "preset": "gan"} | options
    return gander.search(asked.pop("preset"), over=over, out=str(out), **asked)


def told(found):
    """All that is to be the same when a search is made again."""
    return [(x.number, x.state, x.params, x.figures, x.value, x.why) for x in found.tried]


def read(*given, preset="infogan", settings=()):
    def configured(more):
        return config.load(preset, [*settings, *more])

    return space.read(given, settings, configured)


# ---------------------------------------------------------------------- what is searched
def test_a_setting_is_searched_as_what_it_is():
    rate, batch, weight, size, kind, looks = read(
        "critic_rate=1e-4:1e-2:log",
        "training.batch=32:1e2",
        "c1.recognised=0:1",
        "noise.size=8:64:log",
        "schedule=reuse, one-stage",
        "augment=|flip|flip,shift*0.5",
    )
    assert (rate.whole, rate.log, rate.name) == (False, True, "optimiser.critic_rate")
    assert (batch.whole, batch.log, batch.count) == (True, False, 69)
    assert (weight.whole, weight.name) == (False, "codes.c1.recognised")
    assert (size.whole, size.log) == (True, True)
    assert kind.values == ("reuse", "one-stage") and kind.count == 2
    assert looks.values == ("", "flip", "flip,shift*0.5")
    assert str(rate) == "optimiser.critic_rate=0.0001:0.01:log" and str(batch).endswith("=32:100")


def test_a_number_is_one_that_can_be_written_down_and_stays_in_its_range():
    (one,) = read("critic_rate=0.00012345:0.9876543")
    for value in (0.00012345, 0.000123449, 0.5, 1 / 3, 0.98765431, 0.9876543):
        rounded = one.rounded(value)
        assert one.low <= rounded <= one.high and abs(rounded - value) <= 1e-3 * value
        assert float(one.written(rounded)) == rounded
    assert one.written(one.rounded(1 / 3)) == "0.3333"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("batch=0.5:9", "ends at whole numbers"),
        ("batch=9:3", "given 9 and 3"),
        ("critic_rate=0:1:log", "begins above 0, given 0"),
        ("critic_rate=0:1:lin", "LOW:HIGH or LOW:HIGH:log"),
        ("critic_rate=0:nan", "'nan' is no number"),
        ("critic_rate=-1:1", "0 or more"),
        ("objective=1:2", "is no number and has no range"),
        ("objective=hinge,hinge", "gives one value, twice"),
        ("c1.recognised=high:1", "recognised"),
        ("data.source=mnist,glyphs", "other images"),
        ("images=5:9", "longer run"),
        ("training=5:9", "section of settings"),
    ],
)
def test_what_cannot_be_searched_is_refused(given, said):
    with pytest.raises(UseError, match="--over") as caught:
        read(given)
    assert said in str(caught.value)


def test_a_setting_is_given_once():
    with pytest.raises(ConfigError, match="given twice"):
        read("batch=16:32", "training.batch=16,64")
    with pytest.raises(ConfigError, match="drop one of the two"):
        read("batch=16:32", settings=["training.batch=32"])


# ---------------------------------------------------------------------- what is tried
def opened(file, seed=0, over=OVER):
    return trials.Trials(file, {"by": "it"}, "lower", read(*over, preset="gan"), seed, 250)


def played(study, count, end=True):
    """Trials that come to their end at once."""
    for _ in range(count):
        one = study.ask()
        figure = abs(one.params["optimiser.critic_rate"] - 0.01) + one.params["training.batch"]
        if end:
            study.report(one.number, IMAGES, figure)
            study.complete(one.number, figure)
    return [one.params for one in study.all()]


def test_what_is_tried_is_a_function_of_the_seed(tmp_path):
    one = played(opened(tmp_path / "a"), 16)
    assert one == played(opened(tmp_path / "b"), 16) != played(opened(tmp_path / "c", seed=1), 16)
    late = [x["training.batch"] for x in one[10:]]
    assert sum(late) / len(late) < 32, "it does not learn that few are better"
    assert {params["game.objective"] for params in one} == {"hinge", "nonsaturating"}
    for params in one:
        assert 1e-4 <= params["optimiser.critic_rate"] <= 0.1
        assert params["training.batch"] in range(16, 65)


def test_what_is_tried_does_not_depend_on_when_it_was_cut_off(tmp_path):
    whole = played(opened(tmp_path / "whole"), 13)
    for _ in range(13):  # another process each time
        cut = played(opened(tmp_path / "cut"), 1)
    assert cut == whole


def test_nothing_is_tried_twice_until_all_is(tmp_path):
    over = ("critic_steps=1:3", "objective=hinge,nonsaturating", "schedule=reuse,alternate")
    study = opened(tmp_path / "few", over=over)
    made = [study.ask().params for _ in range(12)]
    assert len({json.dumps(params) for params in made}) == 12
    assert study.ask().params in made


def test_what_is_kept_is_json_and_a_line_that_was_cut_off_is_dropped(tmp_path):
    file = tmp_path / "study"
    whole = played(opened(tmp_path / "whole"), 4)
    played(opened(file), 2)
    lines = file.read_bytes()
    for line in lines.splitlines():
        assert isinstance(json.loads(line), dict)
    for left in (b'{"op_code":4,"wor', b"junk\n", b"\0" * 4096):
        file.write_bytes(lines + left)
        assert trials.asked(file) == {"by": "it"}
        trials.mend(file)
        assert file.read_bytes() == lines
    assert played(opened(file), 2) == whole
    assert {p.name for p in tmp_path.iterdir()} == {"study", "whole"}, "a lock was left behind"


@pytest.mark.parametrize("content", [b"\0\0\n\0\n", b'{"op_code":4}\n', b"[]\n", b"hello\nyou\n"])
def test_a_strangers_file_is_refused(tmp_path, content):
    (tmp_path / "study").write_bytes(content)
    with pytest.raises(RunError, match="not what a search wrote"):
        trials.asked(tmp_path / "study")
    trials.mend(tmp_path / "study")
    assert (tmp_path / "study").read_bytes() == content


def test_another_programs_trial_is_refused(tmp_path):
    study = opened(tmp_path / "study")
    study.study.enqueue_trial({"training.batch": 20})
    with pytest.raises(RunError, match="no search of gander made"):
        opened(tmp_path / "study")


def test_one_that_went_wrong_keeps_the_sampler_away(tmp_path):
    study = opened(tmp_path / "study", over=("critic_rate=0:1",))
    for _ in range(30):
        one = study.ask()
        rate = one.params["optimiser.critic_rate"]
        if rate > 0.3:
            assert study.fail(one.number, "it diverged.").state == "failed"
        else:
            study.complete(one.number, 1.0)
    states = [one.state for one in study.all()]
    assert states[20:].count("failed") < states[:10].count("failed")


# ---------------------------------------------------------------------- a whole search
def test_a_search_trains_measures_cuts_short_and_finds_the_best(pretended, capsys):
    said = []
    found = search(trials=11, tell=said.append)
    assert [x.number for x in found.tried] == list(range(11)) and len(said) == 11
    states = [x.state for x in found.tried]
    assert set(states) == {"complete", "pruned"} and states[:5] == ["complete"] * 5
    for one in found.tried:
        folder = found.run(one.number)
        if one.state == "complete":
            assert list(one.figures) == [200, 400, 600, 800, 1000] and (folder / "ended").exists()
            assert one.value == one.figures[1000]
        else:
            assert 400 <= max(one.figures) < 1000, (
                "cut short at its first evaluation, or at its end"
            )
    assert found.best.value == min(x.value for x in found.tried if x.state == "complete")
    kept = json.loads(Path("found/study.json").read_text())
    assert kept == found.to_dict() and kept["best"]["number"] == found.best.number
    assert kept["best"]["command"][:3] == ["gander", "train", "gan"]
    assert capsys.readouterr() == ("", "")
    assert told(search("again", trials=11)) == told(found)
    assert told(search(trials=11)) == told(found), "what is done is done"
    assert told(search(trials=2)) == told(found)
    assert len(told(search(trials=12))) == 12


def test_without_pruning_all_come_to_their_end(pretended):
    found = search(trials=7, prune=False)
    assert {one.state for one in found.tried} == {"complete"}


def test_several_at_once_are_all_made(pretended, monkeypatch):
    monkeypatch.setenv("PAUSE", "0.03")
    found = search(trials=7, at_once=3, prune=False)
    assert [one.state for one in found.tried] == ["complete"] * 7
    assert len({json.dumps(one.params) for one in found.tried}) == 7


def test_killed_at_any_moment_nothing_is_lost_or_counted_twice(pretended, monkeypatch):
    whole = told(search("whole", trials=8))
    monkeypatch.setenv("PAUSE", "0.04")
    dice, kills, sink = random.Random(0), 0, os.open(os.devnull, os.O_WRONLY)
    for _ in range(200):
        with warnings.catch_warnings(action="ignore"):  # of threads that the child does not have
            number = os.fork()
        if not number:
            os.dup2(sink, 2)
            search("killed", trials=8)
            os._exit(0)
        limit = time.monotonic() + dice.uniform(0.05, 0.4)
        done = 0
        while not done and time.monotonic() < limit:
            done, code = os.waitpid(number, os.WNOHANG)
            time.sleep(0.005)
        if done:
            assert code == 0
            break
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)
        kills += 1
    os.close(sink)
    assert kills > 1
    assert told(search("killed", trials=8)) == whole


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_search_goes_on(pretended, monkeypatch, how):
    whole = told(search("whole", trials=3))
    monkeypatch.setenv("PAUSE", "0.05")
    plain = attempts.Attempts._show

    def interrupted(self):
        plain(self)
        if any(200 in one.figures for one in self.going):
            os.kill(os.getpid(), how)

    with monkeypatch.context() as patched:
        patched.setattr(attempts.Attempts, "_show", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search("cut", trials=3)
    (kept,) = json.loads(Path("cut/study.json").read_text())["trials"]
    assert kept["state"] == "open"
    assert told(search("cut", trials=3)) == whole
    assert Path("cut/trials/00000/began").read_text() == "xx"


def test_one_that_fails_is_counted_and_named(pretended, monkeypatch):
    monkeypatch.setenv("FAILS", "1")
    said = []
    with pytest.raises(TrainingFailed, match=r"no trial in found came to its end.*it went wrong"):
        search(trials=2, tell=said.append)
    assert len(said) == 2 and "failed: it went wrong." in said[0]
    monkeypatch.delenv("FAILS")
    found = search(trials=3)
    assert [one.state for one in found.tried] == ["failed", "failed", "complete"]


def test_where_nothing_can_be_trained_the_search_ends_and_the_trial_stays_open(
    pretended, monkeypatch
):
    monkeypatch.setenv("FAILS", "2")
    with pytest.raises(UseError, match=r"trial 0: it went wrong\."):
        search(trials=5)
    monkeypatch.delenv("FAILS")
    assert told(search(trials=2)) == told(search("other", trials=2))


@pytest.mark.parametrize(("times", "state"), [(1, "complete"), (2, "failed")])
def test_one_that_the_system_kills_is_taken_up_once(pretended, monkeypatch, times, state):
    monkeypatch.setenv("FAILS", f"signal{times}")
    try:
        found = search(trials=1)
    except TrainingFailed as error:
        assert state == "failed" and "ended by signal 9" in str(error)
    else:
        assert [one.state for one in found.tried] == [state]


def test_values_that_do_not_go_together_fail_alone(pretended):
    # an adaptive augmentation needs logits with a zero
    over = (*OVER[:2], "objective=hinge,wasserstein", "augment_target=0,0.3")
    found = search(over=over, trials=8, prune=False, settings=["width=4", "augment=flip"])
    for one in found.tried:
        wrong = one.params["game.objective"] == "wasserstein" and (
            one.params["game.augment_target"] == "0.3"
        )
        assert one.state == ("failed" if wrong else "complete")
        assert not wrong or "augment_target" in one.why


def test_another_search_is_refused_where_one_is(pretended):
    search(trials=1)
    for change, said in (
        ({"over": OVER[:2]}, "--over"),
        ({"over": ("critic_rate=1e-4:1e-2:log", *OVER[1:])}, "--over"),
        ({"by": "kernel"}, "--by: frechet -> kernel"),
        ({"preset": "dcgan"}, "backbone"),
        ({"images": 2000}, "training.images: 1000 -> 2000"),
        ({"seed": 3}, "training.seed: 0 -> 3"),
        ({"settings": ["width=8", "precision=fp32"]}, "model.width: 4 -> 8"),
        ({"data": tiny.source(count=64)}, "data.source"),
    ):
        with pytest.raises(RunError, match="found is another search") as caught:
            search(**change)
        assert said in str(caught.value)
    with trials.held(Path("found")), pytest.raises(RunError, match="another process searches"):
        search()
    assert [one.state for one in search(trials=1).tried] == ["complete"]


def test_what_a_search_is_over_is_checked_before_anything_is_begun(pretended):
    for change, said in (
        ({"over": ("critic_steps=1:3",), "trials": 4}, "can be set in 3 ways"),
        ({"over": ("batch=16,4000",), "trials": 2}, "with batch=4000 training.batch is 4000"),
        ({"by": "density"}, "neither more of it nor less"),
        ({"by": "frchet"}, "Did you mean 'frechet'"),
        ({"by": "r2/c9"}, "'c9' is not a code"),
        ({"trials": 0}, "--trials is 1 or more, given 0"),
        ({"at_once": 0}, "--at-once is 1 or more, given 0"),
    ):
        with pytest.raises(UseError) as caught:
            search(**change)
        assert said in str(caught.value)
    assert not Path("found").exists()


def test_without_optuna_one_sentence_says_what_to_install(pretended, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "gander.trials")
    monkeypatch.delattr(gander, "trials")
    words = ["search", "gan", "--over", "batch=16:32", "--by", "frechet", "--trials", "1"]
    assert cli.run(words) == 2
    said = capsys.readouterr().err
    assert said == "gander: a search needs optuna; install it: pip install 'gander[search]'.\n"


def test_the_command_prints_a_table_and_how_to_repeat_the_best(pretended, capsys):
    words = ["search", "gan", "--data", tiny.source(), "--images", "1000", "--out", "found"]
    words += ["--by", "frechet", "--trials", "3", "--at-once", "1", "--set", "width=4"]
    assert cli.run([*words, "--over", *OVER]) == 0
    out, err = capsys.readouterr()
    assert err.count("\n") == 3 and "3 of 3: trial 2: critic_rate=" in err
    assert "frechet, the lower the better; 3 trials: 3 trained to the end" in out
    last = out.strip().splitlines()[-1]
    best = json.loads(Path("found/study.json").read_text())["best"]
    assert last.startswith("gander train gan --data") and last.endswith(best["command"][-1])


def test_what_repeats_the_best_trains_with_its_very_values(pretended, monkeypatch):
    found, begun = search(trials=3, out="a b"), []
    monkeypatch.setattr(training, "play", lambda plan, *_: begun.append(plan.config) or Path("x"))
    assert cli.run(found.command(found.best)[1:]) == 0
    params, (made,) = found.best.params, begun
    assert made.optimiser.critic_rate == params["optimiser.critic_rate"]
    assert made.training.batch == params["training.batch"]
    assert made.game.objective == params["game.objective"]
    assert (made.training.images, made.training.threads, made.model.width) == (IMAGES, 1, 4)
    assert (made.report.evaluate_images, made.report.evaluate_metrics) == (EVERY, "frechet")


# ---------------------------------------------------------------------- real ones
def command(*words):
    """A search in a process of its own, which says nothing."""
    return subprocess.Popen(
        [sys.executable, "-m", "gander", "search", *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


REAL = (
    "--images",
    "96",
    "--over",
    "critic_rate=1e-4:1e-2:log",
    "--by",
    "mutual_information",
    "--at-once",
    "1",
)
SHORT = ("--set", "evaluate_n=20", "evaluate_images=48", *tiny.SMALL)


@pytest.mark.slow
def test_a_real_trial_is_an_ordinary_run_that_its_command_repeats(quick, capfd):
    words = ["infogan", "--data", tiny.source(), *REAL, "--trials", "1", "--out", "found"]
    assert cli.run(["search", *words, *SHORT]) == 0
    best = json.loads(Path("found/study.json").read_text())["best"]
    assert best["run"] == "found/trials/00000"
    assert cli.run(["compare", best["run"], "--out", "page.html"]) == 0
    assert cli.run([*best["command"][1:], "--out", "again", "--quiet"]) == 0
    assert tiny.same(tiny.state("again"), tiny.state(best["run"]))
    lines = [runs.Run(Path(run)).lines("metrics.jsonl") for run in ("again", best["run"])]
    values = [
        [x["metrics"]["mutual_information/category"]["value"] for x in each] for each in lines
    ]
    assert values[0] == values[1] and values[0][-1] == best["value"]


@pytest.mark.slow
def test_a_killed_search_ends_in_the_bits_of_one_that_was_not(quick):
    words = ["infogan", "--data", tiny.source(), *REAL, "--trials", "2"]
    words[words.index("--images") + 1] = "480"
    short = [*SHORT, "evaluate_images=96", "save_seconds=0.1"]
    assert command(*words, "--out", "whole", *short).wait() == 0
    dice, kills = random.Random(0), 0
    while True:
        process = command(*words, "--out", "killed", *short)
        try:
            assert process.wait(dice.uniform(15, 50)) == 0
            break
        except subprocess.TimeoutExpired:
            process.kill() if dice.random() < 0.5 else process.send_signal(signal.SIGINT)
            assert process.wait() in (130, -signal.SIGKILL)
            kills += 1
    assert kills
    found = [json.loads(Path(f"{out}/study.json").read_text()) for out in ("whole", "killed")]
    whole, killed = (
        [{k: v for k, v in x.items() if k != "run"} for x in one["trials"]] for one in found
    )
    assert whole == killed
    for number in range(2):
        one, other = (tiny.state(f"{out}/trials/{number:05d}") for out in ("whole", "killed"))
        assert tiny.same(one, other)
