"""Health: each thing that can go wrong is made to go wrong, and is said in plain words; what goes well is not."""

from dataclasses import replace

import pytest
import torch

import tiny
from gander import health, progress
from gander.health import examine
from gander.model import Model, load

LATE = 10**6  # images seen


def names(check):
    return {alarm.name for alarm in check.alarms}


class Rigged(Model):
    """A trained tiny model whose generator and critic are replaced by what a test says."""

    def __init__(self, preset="acgan-infogan", draws=None, judges=None):
        own = load(tiny.run(preset))
        super().__init__(own.card, own.generator, own.critic)
        if draws is not None:
            self.generator.forward = draws
        if judges is not None:
            plain = self.critic.forward
            self.critic.forward = lambda images, told, real, **_: judges(
                plain(images, told, real), images, real
            )


def real(values=None):
    """The data's own images as a generator's."""
    images = tiny.data(count=256).images
    return images[: len(next(iter(values.values())))].float() / 127.5 - 1


def knows_nothing(verdict, images, real):
    return verdict._replace(logit=torch.zeros(len(images)), params=0 * verdict.params)


def test_a_game_that_goes_well_raises_no_alarm():
    def reads(verdict, images, real):
        values = load(tiny.run("acgan-infogan")).spec.draw_at(range(256))
        label = torch.nn.functional.one_hot(values["label"], 4).float() * 20
        params = torch.cat([label, *(values[c] for c in ("c1", "c2", "c3"))], 1)
        return verdict._replace(logit=torch.randn(len(images)), params=params[: len(images)])

    check = examine(Rigged(draws=real, judges=reads), tiny.data(), LATE)
    assert names(check) == set()
    assert check.signs["diversity"] == pytest.approx(1, abs=0.1)
    assert 0.3 < check.signs["told_apart"] < 0.7
    assert check.information["label"] == pytest.approx(check.ceilings["label"], abs=0.01)
    assert all(check.information[c] == pytest.approx(1, abs=0.01) for c in ("c1", "c2", "c3"))


def test_a_constant_generator_has_collapsed():
    def constant(values):
        return real(values)[:1].expand(len(real(values)), -1, -1, -1)

    check = examine(Rigged(draws=constant), tiny.data(), LATE)
    assert "collapse" in names(check) and check.signs["diversity"] == 0
    text = next(a.text for a in check.alarms if a.name == "collapse")
    assert "collapsed" in text and "Try" in text and "--set" in text
    assert "collapse" not in names(examine(Rigged(draws=constant), tiny.data(), 100))


def test_a_collapse_is_measured_against_the_whole_set_even_where_it_is_sorted():
    """Two thousand images sorted by class, each class all alike: the spread is between the classes."""
    data = tiny.data(count=2000)
    rows = data.columns["label"].values.argsort(stable=True)
    sorted_data = replace(
        data,
        images=data.images[rows],
        columns={n: replace(c, values=c.values[rows]) for n, c in data.columns.items()},
    )
    shuffled, in_order = (
        examine(Rigged(draws=real), d, LATE).signs["diversity"] for d in (data, sorted_data)
    )
    assert in_order == pytest.approx(shuffled, rel=0.05)


def test_a_critic_that_tells_every_pair_apart_has_won():
    def wins(verdict, images, real):
        return verdict._replace(logit=torch.full((len(images),), 1.0 if real else -1.0))

    assert "critic_won" in names(examine(Rigged(judges=wins), tiny.data(), LATE))
    assert "critic_won" not in names(examine(Rigged(judges=wins), tiny.data(), 100))
    check = examine(Rigged(judges=knows_nothing), tiny.data(), LATE)
    assert "critic_won" not in names(check) and check.signs["told_apart"] == 0


def test_a_code_that_carries_nothing_is_dead_by_name():
    check = examine(Rigged(judges=knows_nothing), tiny.data(), LATE)
    assert {f"dead_code/{name}" for name in ("label", "c1", "c2", "c3")} <= names(check)
    text = next(a.text for a in check.alarms if a.name == "dead_code/c2")
    assert "'c2' is dead" in text and "--set c2.recognised" in text
    early = examine(Rigged(judges=knows_nothing), tiny.data(), 100)
    assert not [n for n in names(early) if n.startswith("dead")]


def test_examining_changes_nothing_and_says_the_same_again():
    model = load(tiny.run("infogan-lsgan"))  # dropout and batch statistics
    before = {n: t.clone() for n, t in model.critic.state_dict().items()}
    torch.manual_seed(1)
    first = examine(model, tiny.data(), LATE)
    torch.manual_seed(2)
    assert examine(model, tiny.data(), LATE) == first
    assert all(torch.equal(before[n], t) for n, t in model.critic.state_dict().items())


def test_a_set_of_two_images_can_be_examined():
    examine(load(tiny.run("cgan")), tiny.data(count=2), LATE)


def test_alarms_of_a_run_reach_the_log_and_are_said_once(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(health, "COLLAPSE_AFTER", 0)
    monkeypatch.setattr(health, "COLLAPSED", 1e9)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    run = tiny.train("gan", "log_images=16", out=tmp_path / "run", steps=4, quiet=False)
    from gander.runs import Run

    assert [line["alarms"] for line in Run(run).lines()] == [["collapse"]] * 4
    said = capfd.readouterr().err
    assert said.count("the samples have collapsed") == 1
    assert said.count("images/s") == 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599.7, "1 h 00 min"), (-3, "0 s")],
)
def test_a_duration_is_said_in_words(seconds, text):
    assert progress.duration(seconds) == text
