"""Whether a critic knows its images by heart: asked of critics that know nothing, that know real images, and that know these."""

from dataclasses import replace

import pytest
import torch

import tiny
from gander import appraisal, metrics, training
from gander.data import taken
from gander.health import BY_HEART_AFTER, examine
from gander.images import to_unit
from gander.memorising import Gap, on_drawn, on_real
from gander.model import load
from gander.study import CannotMeasure, Study

N = 400


def logits(mean, seed, spread=1.0, count=N):
    generator = torch.Generator().manual_seed(seed)
    return mean + spread * torch.randn(count, generator=generator, dtype=torch.float64)


# ---------------------------------------------------------------------- the figures
@pytest.mark.parametrize(("held_out", "share"), [(2.0, 0.0), (1.0, 0.5), (0.0, 1.0), (-1.0, 1.5)])
def test_the_share_is_how_far_down_unseen_images_lie_and_its_error_is_honest(held_out, share):
    found = []
    for seed in range(0, 300, 3):
        few = logits(2, seed, count=50)
        gap = Gap(few, logits(held_out, seed + 1, count=100), logits(0, seed + 2))
        assert gap.told
        found.append((*gap.share, *gap.logits))
    shares, errors, steps, others = torch.tensor(found).T
    assert float(shares.mean()) == pytest.approx(share, abs=0.02)
    assert float(shares.std()) == pytest.approx(float(errors.mean()), rel=0.25)
    assert float(steps.mean()) == pytest.approx(2 - held_out, abs=0.04)
    assert float(steps.std()) == pytest.approx(float(others.mean()), rel=0.25)


def test_the_share_has_no_unit_and_needs_a_critic_that_tells():
    train, held_out, drawn = logits(2, 0), logits(1, 1), logits(0, 2)
    gap, other = Gap(train, held_out, drawn), Gap(*(7 * x - 3 for x in (train, held_out, drawn)))
    assert other.share == pytest.approx(gap.share)
    assert not Gap(drawn, held_out, train).told and not Gap(drawn, held_out, drawn).told


# ---------------------------------------------------------------------- critics that know, and that do not
def rigged(judges, preset="cgan"):
    """A trained tiny model whose critic says what ``judges`` makes of images, of what it is told and of whether they are real."""
    model = load(tiny.run(preset))
    plain = model.critic.forward

    def forward(images, told, real, **_):
        return plain(images, told, real)._replace(logit=judges(images, told, real))

    model.critic.forward = forward
    return model


def splits():
    data = tiny.data(count=300)
    return taken(data, slice(0, 200)), replace(taken(data, slice(200, 300)), split="test")


def measured(judges):
    return metrics.find("critic_gap")(Study(rigged(judges), *splits(), 200))


def by_heart(images, told, real):
    known = {row.numpy().tobytes() for row in to_unit(splits()[0].images)}
    return torch.tensor([4.0 if row.numpy().tobytes() in known else 0.0 for row in images])


def fair(images, told, real):
    return 4.0 * real + images.mean((1, 2, 3))


def test_a_critic_that_knows_its_images_alone_scores_one_and_one_that_knows_real_images_nothing():
    found = measured(by_heart)
    assert found["critic_gap"].value == pytest.approx(1)
    assert found["critic_gap_logits"].value == pytest.approx(4)
    assert found["critic_gap_membership"].value == 1
    found = measured(fair)
    assert found["critic_gap"].value == pytest.approx(0, abs=0.02)
    assert found["critic_gap_membership"].value == pytest.approx(0.5, abs=0.1)
    for name, figure in found.items():
        assert abs(figure.value - figure.ceiling) < 3 * figure.error, name


def test_where_it_does_not_tell_drawn_images_there_is_no_share():
    found = measured(lambda images, told, real: 0 * images.mean((1, 2, 3)))
    assert set(found) == {"critic_gap_logits", "critic_gap_membership"}
    assert "does not tell" in found["critic_gap_logits"].about
    assert found["critic_gap_membership"].value == 0.5


def test_every_image_is_shown_beside_its_own_label():
    """The label of these pictures is the place of their bright square: the critic says which it sees, less which it is told."""

    def disagreement(images, told, real):
        corners = images.unfold(2, 8, 8).unfold(3, 8, 8).mean((1, 4, 5)).flatten(1)
        encoding, known = told["label"]
        return (corners.argmax(1) != encoding.argmax(1)).float() + (known[:, 0] == 0) * 10

    train, _ = splits()
    model = rigged(disagreement)
    rows = torch.arange(199, -1, -1)
    assert not on_real(model.critic, model.spec, train, rows).any()
    assert on_real(rigged(fair).critic, model.spec, train, rows).shape == (200,)
    values = model.spec.draw_at(range(200)) | {"label": train.columns["label"].values}
    assert not on_drawn(model.critic, model.spec, train.images, values).any()
    unlabelled = replace(train.columns["label"], values=torch.full((200,), -1))
    bare = replace(train, columns={**train.columns, "label": unlabelled})
    assert (on_real(model.critic, model.spec, bare, rows) >= 10).all()


def test_what_cannot_be_measured_says_why():
    train, test = splits()
    measure = metrics.find("critic_gap")
    for study, why in (
        (Study(rigged(fair), train, train, 200), "too few to keep some apart"),
        (Study(rigged(fair), train, test, 200, learnt="all"), "trained on the split 'all'"),
        (Study(rigged(fair), replace(train, columns={}), test, 200), "shown 'label'"),
    ):
        with pytest.raises(CannotMeasure, match=why):
            measure(study)
    model = rigged(fair)
    model.critic = None
    with pytest.raises(CannotMeasure, match="weights"):
        measure(Study(model, train, test, 200))


# ---------------------------------------------------------------------- while it trains
def test_it_is_said_once_it_shows_and_not_before():
    train, test = splits()

    def alarms(judges, seen=BY_HEART_AFTER):
        check = examine(rigged(judges), train, seen, test)
        return check.signs.get("critic_gap"), {alarm.name for alarm in check.alarms}

    share, raised = alarms(by_heart)
    assert share == 1 and "by_heart" in raised
    assert "by_heart" not in alarms(by_heart, BY_HEART_AFTER - 1)[1]
    share, raised = alarms(fair)
    assert share == pytest.approx(0, abs=0.03) and "by_heart" not in raised
    plain = examine(rigged(by_heart), train, BY_HEART_AFTER)
    assert "critic_gap" not in plain.signs
    assert "by_heart" not in {alarm.name for alarm in plain.alarms}


def test_looking_at_what_is_held_out_changes_no_bit_of_training(tmp_path, monkeypatch):
    source = {"data": tiny.source(count=400)}
    often = ("log_images=16",)
    looked = tiny.train("cgan", *often, out=tmp_path / "looked", **source)
    lines = training.Run(looked).lines()
    monkeypatch.setattr(training.appraisal, "held_out", lambda *_: None)
    blind = tiny.train("cgan", *often, out=tmp_path / "blind", **source)
    assert tiny.same(tiny.state(looked), tiny.state(blind))
    assert any("critic_gap" in line["health"] for line in lines)
    assert not any("critic_gap" in line["health"] for line in training.Run(blind).lines())


def test_what_is_held_out_is_read_where_it_helps_alone(monkeypatch):
    plan = tiny.plan("gan", data=tiny.source(count=400))
    found = appraisal.held_out(plan, None)
    assert len(plan.images) + len(found) == 400 and found.split == "test"
    assert appraisal.held_out(tiny.plan("gan"), None) is None  # too few to be split
    whole = tiny.plan("gan", data=f"{tiny.source(count=400)}:all")
    assert appraisal.held_out(whole, None) is None
    monkeypatch.setattr(appraisal, "FEW", 100)
    assert appraisal.held_out(plan, None) is None
