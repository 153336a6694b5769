"""What the images near an image are read as: which are near, what they say together, and what the game does with it."""

import pytest
import torch

import tiny
from gander import augmentations, batches, near, positions, stepping
from gander.codes import CodeSpec
from gander.errors import ConfigError
from gander.near import Near, graph_of
from gander.players import make_players, restore, save
from gander.runs import Run
from gander.tally import Tally

SPEC = CodeSpec.parse(
    "noise:gaussian(2) k:categorical(3),recognised,self_label=1 c1:uniform,recognised,self_label=1"
)
SETTLING = ("self_label_from=0", "self_label_sure=0", "settle_from=24", "settle_near_images=24")


def clouds(each=30, side=10, channels=1):
    """Three groups of images that differ less inside than between, one after the other."""
    generator = torch.Generator().manual_seed(3)
    noise = torch.randint(0, 30, (3 * each, channels, side, side), generator=generator)
    return (noise + torch.tensor([0, 90, 200]).repeat_interleave(each).view(-1, 1, 1, 1)).byte()


@pytest.mark.parametrize(("channels", "count"), [(1, 4), (3, 1), (4, 89)])
def test_the_graph_holds_those_at_the_least_distance(channels, count):
    images = clouds(channels=channels)
    found = graph_of(images, count).long()
    pixels = images.flatten(1).double()
    distance = torch.cdist(pixels, pixels)
    assert torch.equal(found[:, 0], torch.arange(len(images)))
    there = distance.gather(1, found[:, 1:]).mean(1)
    least = distance.fill_diagonal_(torch.inf).sort(1).values[:, :count].mean(1)
    # the components that are left out hold some of the noise
    assert float((there / least).mean()) < 1.1
    assert all(len(set(row)) == count + 1 for row in found.tolist())


def test_the_graph_of_more_than_a_block_is_of_parts_and_complete(monkeypatch):
    monkeypatch.setattr(near, "BLOCK", 40)
    found = graph_of(clouds(), 5).long()
    assert torch.equal(found[:, 0], torch.arange(90)) and int(found.min()) == 0
    alike = (found[:, 1:] // 30 == found[:, :1] // 30).float().mean()
    assert alike > 0.95 and torch.equal(found, graph_of(clouds(), 5))
    few = graph_of(clouds()[:3], 5)  # there are two others, and they repeat
    assert sorted(set(few[0].tolist())) == [0, 1, 2] and few.shape == (3, 6)


def readings(classes):
    """Parameters (N, 4) of someone who is sure of those classes."""
    return torch.cat(
        [20 * torch.nn.functional.one_hot(classes, 3), torch.zeros(len(classes), 1)], 1
    )


@pytest.mark.parametrize("kind", ["categorical(3)", "binary(2)"])
def test_an_opinion_is_what_was_read_and_none_where_nothing_was(kind):
    spec = CodeSpec.parse(f"noise:gaussian(2) k:{kind},recognised,self_label=1")
    one, code = Near(spec, clouds(), 5), spec.code("k").resolved
    rows = torch.arange(90)
    none = code.belief(one.opinion(rows)["k"])
    torch.testing.assert_close(none, torch.full_like(none, 1 / 3 if code.parts == 1 else 0.5))
    said = torch.randn(1, spec.params, generator=torch.Generator().manual_seed(2)).expand(90, -1)
    one.notice(rows, said)
    told = code.belief(one.opinion(rows)["k"])
    torch.testing.assert_close(told, code.belief(said), atol=1e-3, rtol=0)


def test_numbers_alone_settle_by_their_own_reading():
    settings = ("category.self_label=0", "c1.self_label=1", "settle_weight=2", *SETTLING)
    made = tiny.plan("infogan-selflabel", *settings)
    players, tally = make_players(made), Tally()
    assert players.game.near is None
    for _ in range(4):
        stepping.step(made, players, tally)
    assert float(tally.sums["self/c1"]) != 0


def test_one_misread_is_outvoted_and_the_unread_say_nothing():
    one = Near(SPEC, clouds(), 5)
    truth = torch.arange(3).repeat_interleave(30)
    said = one.opinion(torch.tensor([0, 45]))
    assert set(said) == {"k"}  # a number states no doubt
    assert torch.equal(said["k"].softmax(1).amax(1) < 0.34, torch.tensor([True, True]))
    wrong = truth.clone()
    wrong[::10] = (truth[::10] + 1) % 3
    read = torch.arange(90) % 3 > 0  # a third was never read
    one.notice(torch.arange(90)[read], readings(wrong)[read])
    opinion = one.opinion(torch.arange(90))["k"]
    assert torch.equal(opinion.argmax(1), truth)
    assert float(opinion.softmax(1).amax(1).min()) > 0.6
    one.notice(torch.arange(90), readings(truth))
    sure = one.opinion(torch.arange(90))["k"].softmax(1)
    torch.testing.assert_close(sure.amax(1), torch.ones(90), atol=1e-3, rtol=0)


def test_the_recogniser_settles_from_its_position_on_and_asks_for_a_while():
    made = tiny.plan("infogan-selflabel", *SETTLING)
    stages = [positions.stage(made.config, seen) for seen in (0, 23, 24, 47, 48)]
    assert [s.settles for s in stages] == [False, False, True, True, True]
    assert [s.asks_near for s in stages] == [False, False, True, True, False]
    dealt = [stepping.Single(made, first).draws("critic", 0) for first in (16, 32, 48)]
    assert [augmentations.SETTLED in one for one in dealt] == [False, True, True]
    assert [near.ASKED in one for one in dealt] == [False, True, False]
    rows = torch.from_numpy(batches.order(0, 32, tiny.BATCH, len(made.images)))
    assert torch.equal(dealt[1][near.ASKED], rows)


def test_settled_it_learns_what_the_near_ones_say_more_of_it_and_less_of_fakes():
    made = tiny.plan("infogan-selflabel", *SETTLING, "settle_weight=7", "settle_fakes=0.25")
    game = make_players(made).game
    real, known = batches.batch_at(made, 32)
    drawn = stepping.Single(made, 32).draws("critic", 0)
    asked = {n: v for n, v in drawn.items() if n != near.ASKED}
    before = {n: v for n, v in asked.items() if n != augmentations.SETTLED}
    game.near.read.fill_(0)
    game.near.read[:, 2] = 1  # everybody is a 2

    def terms(of):
        # what is noticed on the way would change what the near ones say
        held = game.near.read.clone()
        found = game.critic_terms(real, known, of)
        game.near.read.copy_(held)
        return found

    plain, own, told = terms(before), terms(asked), terms(drawn)
    torch.testing.assert_close(own["fake/category"], plain["fake/category"] / 4)
    torch.testing.assert_close(own["self/category"], plain["self/category"] * 7)
    assert (
        own["fake/c1"] == plain["fake/c1"] and own["balance/category"] == plain["balance/category"]
    )
    view = augmentations.viewed(game.views, real, drawn, "real")
    read = game.spec.split(game.critic(view, {}, real=True).params)["category"]
    wanted = -read.log_softmax(1)[:, 2].mean() * 7 * float(drawn[augmentations.WEIGHT].mean())
    torch.testing.assert_close(told["self/category"], wanted, rtol=1e-3, atol=1e-4)


def test_readings_are_saved_and_a_resumed_run_ends_in_the_same_bits(tmp_path):
    made = tiny.plan("infogan-selflabel", *SETTLING)
    whole, half = make_players(made), make_players(made)
    for _ in range(5):
        stepping.step(made, whole, Tally())
    for _ in range(3):
        stepping.step(made, half, Tally())
    run = Run(tmp_path / "run")
    save(made, half, run)
    again = make_players(made)
    restore(again, run, lambda _: None)
    for _ in range(2):
        stepping.step(made, again, Tally())
    assert float(whole.game.near.read.amax()) > 0
    assert torch.equal(again.game.near.read, whole.game.near.read)
    assert tiny.same(again.game.critic.state_dict(), whole.game.critic.state_dict())


def test_settling_without_a_code_that_learns_from_itself_is_refused():
    with pytest.raises(ConfigError, match="self_label"):
        tiny.plan("infogan", "settle_from=10")
