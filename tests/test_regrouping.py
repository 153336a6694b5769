"""Categories that are one class are joined and one that is two is parted: the cuts, what is moved, and when."""

import itertools

import pytest
import torch

import tiny
from gander import regrouping
from gander.players import make_players
from gander.regrouping import Graph, Move, graph, least_cut, moves, shift
from gander.runs import Run

TWO_IN_ONE = ("category.size=4", "category.frequencies=learned", "frequencies_from=0")
SETTLING = ("self_label_from=0", "settle_from=32", "settle_near_images=48")


def edges_of(sides, inside=5, across=1):
    """Everyone with everyone, more often on the own side."""
    same = sides.unsqueeze(0) == sides.unsqueeze(1)
    return torch.where(same, inside, across).double().fill_diagonal_(0)


def test_the_least_cut_is_the_least_of_all_there_are():
    sides = torch.tensor([0, 1, 1, 0, 1, 0, 1, 1, 0, 1]).bool()
    edges = edges_of(sides)
    cut, found = least_cut(edges)
    assert torch.equal(found, ~sides)  # the smaller side
    degree = edges.sum(1)

    def taken(side):
        a, b = torch.tensor(side).bool(), ~torch.tensor(side).bool()
        return float(edges[a][:, b].sum() * (1 / degree[a].sum() + 1 / degree[b].sum()))

    every = (side for side in itertools.product([0, 1], repeat=10) if 0 < sum(side) < 10)
    assert cut == pytest.approx(min(map(taken, every)))


def test_a_few_strangers_do_not_hide_the_two():
    sides = torch.arange(60) < 30
    edges = edges_of(sides, inside=4)
    strangers = torch.tensor([3, 40])
    edges[strangers] = edges[:, strangers] = 0
    edges[3, 40] = edges[40, 3] = 50
    cut, found = least_cut(edges)
    rest = torch.ones(60).bool()
    rest[strangers] = False
    assert torch.equal(found[rest], sides[rest]) or torch.equal(found[rest], ~sides[rest])
    assert cut < 0.6


def clouds(sizes, centres, spread=0.05):
    """Points (N, 2) around centres, and three views of them."""
    generator = torch.Generator().manual_seed(5)
    middle = torch.tensor(centres, dtype=torch.float32).repeat_interleave(torch.tensor(sizes), 0)
    plain = middle + spread * torch.randn(middle.shape, generator=generator)
    looks = [plain + spread * torch.randn(plain.shape, generator=generator) for _ in range(3)]
    return plain, looks


def test_the_graph_counts_the_edges():
    sizes = [20, 15, 0, 12]
    plain, looks = clouds([20, 15, 12], [(0, 0), (0.2, 0), (3, 0)])
    found = graph(sizes, plain, looks)
    category = torch.tensor([0] * 20 + [1] * 15 + [3] * 12)
    between = torch.zeros(4, 4, dtype=torch.float64)
    for look in looks:
        distance = torch.cdist(look, plain).fill_diagonal_(torch.inf)
        for i, near in enumerate(distance.topk(regrouping.NEAR, largest=False).indices):
            for j in near.tolist():
                between[category[i], category[j]] += 1
                between[category[j], category[i]] += 1
    assert torch.equal(found.between, between)
    assert float(found.between.sum()) == 2 * 47 * 3 * regrouping.NEAR
    assert found.least.isinf().tolist() == [False, False, True, False]
    assert [len(side) for side in found.sides] == sizes


def seen(least, pairs=(), inner=100.0):
    between = torch.full((len(least), len(least)), 1.0, dtype=torch.float64)
    between.fill_diagonal_(inner)
    for a, b, edges in pairs:
        between[a, b] = between[b, a] = edges
    return Graph(between, torch.tensor(least, dtype=torch.float64), [torch.zeros(0)] * len(least))


def test_what_is_one_class_is_joined_where_another_is_two():
    assert moves(seen([0.4, 0.41, 0.39, 0.5])) == []  # every category is a class
    assert moves(seen([0.1, 0.4, 0.4, 0.4])) == []  # nothing is free for the two in 0
    assert moves(seen([0.4, 0.4, 0.1, 0.4], [(0, 3, 60)])) == [Move(2, 3, 0)]
    assert moves(seen([0.1, 0.4, 0.4, 0.4], [(0, 3, 60)])) == []  # what is parted is not joined
    inf = float("inf")
    assert moves(seen([0.4, 0.1, inf, 0.4])) == [Move(1, 2, None)]
    assert moves(seen([0.4, 0.35, inf, 0.4])) == []  # a class more than there are stays empty
    both = seen([0.1, 0.4, inf, 0.4, 0.15, 0.4, 0.4], [(3, 5, 60)])
    assert moves(both) == [Move(0, 2, None), Move(4, 5, 3)]


def test_a_move_is_carried_out_on_all_that_was_read():
    beliefs = torch.tensor([[0.9, 0.0, 0.1], [0.2, 0.1, 0.7], [0.8, 0.1, 0.1], [-1.0, -1, -1]])
    shift(beliefs, Move(0, 2, 1), torch.tensor([2]))
    wanted = [[0.9, 0.1, 0], [0.2, 0.8, 0], [0, 0.2, 0.8], [-1, -1, -1]]
    torch.testing.assert_close(beliefs, torch.tensor(wanted))


@pytest.fixture
def two_in_one(monkeypatch):
    """A game about to settle, of 96 images in four classes: 0 is read as 0 and 1, class 1 as 2, classes 2 and 3 both as 3."""
    made = tiny.plan("infogan-selflabel", *SETTLING, *TWO_IN_ONE)
    truth = torch.arange(tiny.IMAGES) % 4
    category = torch.where(truth == 0, torch.arange(tiny.IMAGES) // 4 % 2, truth + 1).clamp(max=3)
    places = torch.tensor([(0.0, 0), (4, 0), (0, 4), (4, 4)])[truth]
    generator = torch.Generator().manual_seed(5)

    def features(plan, game, rows, look=None):
        spread = torch.randn(len(rows), 2, generator=generator) * (0.1 if look is None else 0.3)
        return places[rows] + spread

    monkeypatch.setattr(regrouping, "features", features)
    monkeypatch.setattr(regrouping, "sure", lambda plan, game, code, k, rows: rows)
    players = make_players(made)
    players.game.near.read[:] = torch.nn.functional.one_hot(category, 4)
    players.images_seen = 32
    return made, players, truth


def test_the_readings_become_the_classes(two_in_one):
    made, players, truth = two_in_one
    told = regrouping.regroup(made, players)
    assert len(told) == 1 and "were one class of images" in told[0] and "24 of the 48" in told[0]
    read = players.game.near.read.argmax(1)
    pairs = set(zip(truth.tolist(), read.tolist(), strict=True))
    assert len(pairs) == 4 and len({k for _, k in pairs}) == 4  # one category for each class
    shares = players.game.frequencies["category"].shares
    torch.testing.assert_close(sorted(shares.tolist()), [0.125, 0.125, 0.25, 0.5])
    assert players.game.critic.training
    assert regrouping.regroup(made, players) == []  # and now there is nothing to do


def test_a_category_without_images_is_given_some(two_in_one):
    made, players, truth = two_in_one
    players.game.near.read[:, 0] += players.game.near.read[:, 1]
    players.game.near.read[:, 1] = 0
    (told,) = regrouping.regroup(made, players)
    assert "few images or none were class 1" in told
    read = players.game.near.read.argmax(1)
    assert len(set(zip(truth.tolist(), read.tolist(), strict=True))) == 4


def test_it_happens_once_and_only_where_it_is_asked():
    plan = tiny.plan("infogan-selflabel", *SETTLING)
    positions = range(0, 160, tiny.BATCH)
    assert [p for p in positions if regrouping.due(plan.config, p)] == [32]
    for setting in ("settle_regroup=false", "settle_near=0", "settle_from=0"):
        other = tiny.plan("infogan-selflabel", *SETTLING, setting)
        assert not any(regrouping.due(other.config, p) for p in positions)


def test_a_run_stopped_before_it_or_after_it_ends_in_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(regrouping, "moves", lambda found: [Move(0, 1, 2)])
    monkeypatch.setattr(regrouping, "NEAR", 2)
    monkeypatch.setattr(regrouping, "sure", lambda plan, game, code, k, rows: rows)
    asked = ("infogan-selflabel", *SETTLING, *TWO_IN_ONE)
    happened = []
    real = regrouping.shift
    monkeypatch.setattr(regrouping, "shift", lambda *a: (happened.append(1), real(*a))[1])
    whole = tiny.state(tiny.train(*asked, out=tmp_path / "whole", steps=6))
    (line,) = Run(tmp_path / "whole").lines()
    assert ["were one class of images" in told for told in line["regrouped"]] == [True]
    for stopped in (2, 4):
        out = tmp_path / f"stopped-{stopped}"
        tiny.train(*asked, out=out, steps=stopped)
        assert tiny.same(tiny.state(tiny.train(*asked, out=out, steps=6)), whole)
    assert len(happened) == 3


def test_the_views_and_the_features_are_the_same_every_time():
    plan = tiny.plan("infogan-selflabel", *SETTLING, data=tiny.source(labelled=False))
    game = make_players(plan).game
    game.critic.eval()
    rows = torch.tensor([5, 90, 7])
    plain, view, other = (regrouping.features(plan, game, rows, look) for look in (None, 0, 1))
    assert not torch.equal(plain, view) and not torch.equal(view, other)
    assert torch.equal(regrouping.features(plan, game, rows, 0), view)
    verdict = game.critic(plan.machine.images(plan.images.images[rows]), {}, real=True)
    again = game.critic.reader(plain)
    torch.testing.assert_close(again, verdict.params, rtol=1e-4, atol=1e-4)


def test_a_category_read_in_doubt_is_not_taken_for_an_empty_one():
    plan = tiny.plan("infogan-selflabel", *SETTLING, "self_label_sure=1")
    game, code = make_players(plan).game, plan.spec.code("category")
    game.critic.eval()
    rows = torch.arange(20)
    assert torch.equal(regrouping.sure(plan, game, code, 3, rows), rows)
    assert len(regrouping.sure(plan, game, code, 3, rows[:0])) == 0
    sure_of_all = tiny.plan("infogan-selflabel", *SETTLING, "self_label_sure=0")
    assert torch.equal(regrouping.sure(sure_of_all, game, code, 3, rows), rows)
