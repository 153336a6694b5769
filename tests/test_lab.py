"""The laboratory: what it measures is what happened, every mistake is really made, and every cure cures."""

import json
import math
from html import escape

import pytest
import torch
from torch.nn import functional as F

import tiny
from gander import cli, config, lab
from gander.lab import mistakes, trial
from gander.lab.gradients import deviation
from gander.schedules import MISTAKES, SCHEDULES

SETTINGS = ("width=4", f"batch={tiny.BATCH}")
WORDS = ["lab", "schedules", "--data", tiny.source(), "--set", *SETTINGS]
LARGER = tiny.source(count=400)  # whose test images are enough for a distance
PLAYABLE = [name for name in config.preset_names() if config.load(name).game.recogniser != "joint"]


# ---------------------------------------------------------------------- the measure
def parts(*rows):
    return [torch.tensor(row, dtype=torch.float32) for row in rows]


@pytest.mark.parametrize("angle", [0.0, 1e-4, 0.01, 1.0, 45.0, 90.0, 135.0, 180.0])
@pytest.mark.parametrize("length", [1e-6, 0.5, 1.0, 300.0])
def test_an_angle_and_a_length_are_measured_as_they_are(angle, length):
    turned = [length * math.cos(math.radians(angle)), length * math.sin(math.radians(angle))]
    found = deviation(
        [torch.tensor([[x]], dtype=torch.float64) for x in turned], parts([[1]], [[0]])
    )
    assert found.degrees == pytest.approx(angle, rel=1e-6, abs=1e-9)
    assert found.ratio == pytest.approx(length)


def test_how_a_gradient_is_cut_into_parameters_does_not_matter():
    one, other = torch.randn(24, generator=torch.Generator().manual_seed(1)).split(12)
    whole = deviation([one], [other])
    cut = deviation(list(one.split(5)), list(other.split(5)))
    assert cut.degrees == pytest.approx(whole.degrees) and cut.ratio == pytest.approx(whole.ratio)


def test_nothing_agrees_with_nothing_alone():
    assert deviation(parts([0.0]), parts([0.0])) == lab.trial.Deviation(0.0, 1.0)
    assert deviation(parts([0.0]), parts([2.0])) == lab.trial.Deviation(90.0, 0.0)
    assert deviation(parts([2.0]), parts([0.0])) == lab.trial.Deviation(90.0, math.inf)


@pytest.mark.parametrize("preset", PLAYABLE)
def test_the_right_schedules_follow_the_right_gradients_and_the_mistake_does_not(preset):
    # a spectrally normalised critic's estimate of its norm moves with every look, and a view is one more
    settings = ("critic_norm=none",) if preset == "infogan-axes" else ()
    for tried in trial.trials(tiny.plan(preset, *settings)):
        trial.looked_at(tried)
        trial.looked_at(tried)
        for look in tried.looks:
            assert look.generator.degrees < 0.01
            assert look.generator.ratio == pytest.approx(1, abs=1e-4)
            if tried.is_mistake:
                # A recogniser is taught twice: where its gradient outweighs the rest, the length shows it.
                assert look.critic.degrees > 1
                assert look.critic.degrees > 5 or look.critic.ratio > 1.2
            else:
                assert look.critic.degrees < 0.01
                assert look.critic.ratio == pytest.approx(1, abs=1e-4)


def test_looking_changes_nothing():
    looked, blind = (trial.trials(tiny.plan("cgan")) for _ in range(2))
    for one, other in zip(looked, blind, strict=True):
        for _ in range(2):
            trial.looked_at(one)
            trial.step(other)
        weights, others = (t.players.game.generator.state_dict() for t in (one, other))
        assert tiny.same(weights, others), one.name
        assert one.players.images_seen == other.players.images_seen


def test_a_trial_is_a_training(tmp_path):
    """After as many images the networks of a trial are those that ``gander train`` makes, to the last bit."""
    for tried in trial.trials(tiny.plan("cgan")):
        if tried.is_mistake:
            continue
        for _ in range(2):
            trial.step(tried)
        settings = [f"schedule={tried.schedule}", f"critic_steps={tried.critic_steps}"]
        steps = 2 * tried.critic_steps
        run = tiny.train("cgan", *settings, out=tmp_path / tried.name, steps=steps)
        state = tiny.state(run)
        for who, network in tried.players.networks.items():
            for name, tensor in network.state_dict().items():
                assert torch.equal(state[f"{who}.{name}"], tensor), (tried.name, name)


@pytest.mark.parametrize("batch", [16, 64, 100])
@pytest.mark.parametrize("images", [1, 64, 1000, 20_480, 10**6])
def test_rounds_cover_the_images_in_even_numbers_of_batches(images, batch):
    count, each = trial.rounds(images, batch)
    assert each % trial.TWICE == 0 and each >= trial.LEAST_BATCHES
    assert images <= count * each * batch < images + each * batch
    assert count <= 2 * trial.ROUNDS


# ---------------------------------------------------------------------- the mistakes
SAYS = {
    "A variable modified in place": "modified by an inplace operation",
    "Backward through a freed graph": "backward through the graph a second time",
    "retain_graph=True, and a wrong gradient in silence": "degrees off",
    "Long where Float is expected": "Long",
    "A batch larger than the data": "0 steps; weights changed: False",
    "Images in [0, 1] and a tanh generator": "0% of real, 100% of generated",
    "A softmax before cross-entropy": "loss 1.461",
    "A column beside a row": "broadcasting",
}
SILENT = {
    "retain_graph=True, and a wrong gradient in silence",
    "A batch larger than the data",
    "Images in [0, 1] and a tanh generator",
    "A softmax before cross-entropy",
}


def test_every_mistake_is_made_and_every_cure_cures():
    before = torch.random.get_rng_state()
    replays = mistakes.replayed()
    assert torch.equal(before, torch.random.get_rng_state())
    assert {replay.mistake.name for replay in replays} == set(SAYS)
    for replay in replays:
        assert SAYS[replay.mistake.name] in replay.said
        assert replay.loud == (replay.mistake.name not in SILENT)
        assert replay.cured and replay.cured not in replay.said
        assert len(replay.mistake.wrong.splitlines()) <= 5


def test_the_numbers_that_betray_silent_mistakes():
    said = {replay.mistake.name: replay for replay in mistakes.replayed()}
    wrong = said["retain_graph=True, and a wrong gradient in silence"]
    assert " 0 degrees" in wrong.cured and " 0 degrees" not in wrong.said
    floor = math.log(1 + 9 / math.e)
    assert f"loss {floor:.3f}" in said["A softmax before cross-entropy"].said
    sure = F.one_hot(torch.tensor([3]), 10).float() * 1e4
    assert float(F.cross_entropy(sure.softmax(1), torch.tensor([3]))) == pytest.approx(floor)


def test_an_example_that_stops_says_what_it_printed_before():
    said, loud = mistakes.executed("print('first')\nraise ValueError('then')")
    assert said == "first\nValueError: then" and loud
    assert mistakes.executed("print(D(real).shape)") == ("torch.Size([16, 1])", False)


# ---------------------------------------------------------------------- on the command line
def test_one_command_writes_one_page(quick, capsys, monkeypatch):
    monkeypatch.setattr(lab, "DRAWN", 40)
    words = [LARGER if word == tiny.source() else word for word in WORDS]
    words += ["--images", "200", "--json", "figures.json", "--out", "page.html"]
    assert cli.run(words) == 0
    said, page = capsys.readouterr(), (quick / "page.html").read_text()
    figures = json.loads((quick / "figures.json").read_text())
    assert set(figures["schedules"]) == set(trial.PLAYED)
    assert {schedule for schedule, _ in trial.PLAYED.values()} == set(SCHEDULES) | set(MISTAKES)
    for name, found in figures["schedules"].items():
        assert f">{name}</h3>" in page and name in said.out
        assert found["images_seen"] == 256 and found["images_per_second"] > 0
        angles = [look["critic"]["degrees"] for look in found["looks"]]
        assert min(angles) > 5 if name in MISTAKES else max(angles) < 0.5
        assert found["frechet"] > found["frechet_floor"] > 0
    for name, replay in figures["mistakes"].items():
        assert escape(name) in page and escape(replay["said"], quote=True) in page
        assert escape(replay["cured"], quote=True) in page
    assert page.count("data:image/png") == len(trial.PLAYED) and "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert cli.run([*WORDS, "--images", "1", "--out", "page.html"]) == 0  # its own page is replaced


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "schedule=reuse"], "tries every schedule"),
        (["--set", "game.critic_steps=3"], "tries every schedule"),
        (["--preset", "infogan-lsgan"], "recogniser=critic"),
        (["--preset", "cgam"], "'cgan'"),
        (["--images", "0"], "at least 1"),
        (["--images", "1.5"], "whole number"),
        (["--out", "."], "schedules.html"),
        (["--out", "page.txt"], ".html"),
        (["--out", "mine.html"], "gander lab schedules"),
        (["--json", "."], "--json"),
        (["--device", "abacus"], "no device"),
        (["--set", "batch=97"], "96 images"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_message(words, says, quick, capsys):
    (quick / "mine.html").write_text("a page of mine")
    assert cli.run([*WORDS, *words]) == 2
    said = capsys.readouterr().err
    assert says in said and "Traceback" not in said and len(said.strip().splitlines()) == 1
    assert (quick / "mine.html").read_text() == "a page of mine"
    assert not (quick / "schedules.html").exists()


def test_data_that_are_not_there_are_said(quick, capsys):
    assert cli.run(["lab", "schedules", "--data", "nowhere"]) == 2
    assert "'nowhere'" in capsys.readouterr().err


def test_a_schedule_that_breaks_is_said_and_does_not_stop_the_others(quick, monkeypatch):
    monkeypatch.setattr(lab, "DRAWN", 40)
    settings = (*SETTINGS, "critic_rate=1e30")
    result = lab.schedules(tiny.source(), "broken.html", images=300, settings=settings)
    broken = [outcome.trial for outcome in result.outcomes if outcome.trial.stopped is not None]
    assert broken
    page = (quick / "broken.html").read_text()
    assert page.count("stopped being numbers") == len(broken)
    json.dumps(lab.to_dict(result), allow_nan=False)
