"""What the recogniser learns from its own readings of real images: laws over every kind of code."""

import pytest
import torch

import tiny
from gander import augmentations, config, plan, stepping
from gander.codes import CodeSpec
from gander.errors import CodeError, ConfigError
from gander.players import make_players
from gander.tally import Tally

KINDS = ("categorical(4)", "binary(3)", "uniform(2)", "gaussian(2)", "circular(1)")
ROWS = 8


def own(kind, due=None, sure=0.0, params=None, view=None):
    spec = CodeSpec.parse(f"noise:gaussian(3) c:{kind},recognised=0.5,self_label=2")
    torch.manual_seed(1)
    read = torch.randn(ROWS, spec.params) if params is None else params
    view = torch.randn(ROWS, spec.params) if view is None else view
    due = torch.ones(ROWS) if due is None else due.float()
    return spec, read, view, spec.self_labelled(spec.split(read.detach()), view, {}, due, sure)["c"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_in_an_image_is_what_must_be_read_in_its_view(kind):
    spec, read, view, term = own(kind)
    code = spec.code("c")
    values = {"c": code.resolved.estimate(read)}
    assert term == pytest.approx(float(2 * spec.recognition(view, values)["c"]), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_view_learns_and_the_reading_it_learns_from_does_not(kind):
    width = CodeSpec.parse(f"noise:gaussian(3) c:{kind},recognised").params
    read, view = (torch.randn(ROWS, width, requires_grad=True) for _ in range(2))
    *_, term = own(kind, params=read, view=view)
    term.backward()
    assert read.grad is None and view.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_not_due_or_not_sure_count_nothing(kind):
    due = torch.arange(ROWS) < 3
    spec, read, view, term = own(kind, due=due)
    *_, alone = own(kind, params=read[:3], view=view[:3], due=due[:3])
    assert term == pytest.approx(float(alone) * 3 / ROWS, rel=1e-5)
    assert own(kind, due=torch.zeros(ROWS, dtype=torch.bool))[-1] == 0
    if spec.code("c").resolved.discrete:
        sure = spec.code("c").resolved.confidence(read)
        level = float(sure.median())
        *_, chosen = own(kind, params=read, view=view, sure=level)
        *_, same = own(kind, params=read, view=view, due=sure > level)
        assert 0 < int((sure > level).sum()) < ROWS and chosen == same


@pytest.mark.parametrize("kind", [*KINDS, "categorical(0.2,0.3,0.5)"])
def test_classes_read_as_often_as_they_are_drawn_are_in_balance(kind):
    spec = CodeSpec.parse(f"noise:gaussian(3) c:{kind},recognised=0.5,self_label=2")
    rows = torch.ones(ROWS) * (torch.arange(ROWS) < 6)
    read = torch.randn(ROWS, spec.params, requires_grad=True)
    terms = spec.imbalance(read, rows, {})
    code = spec.code("c").resolved
    if not code.discrete:
        assert terms == {}
        return
    mean = (
        code.posterior(read[:6].detach()).base_dist.probs
        if code.parts > 1
        else read[:6].detach().softmax(1)
    )
    make = torch.distributions.Bernoulli if code.parts > 1 else torch.distributions.Categorical
    prior = code.prior().base_dist if code.parts > 1 else code.prior()
    apart = torch.distributions.kl_divergence(
        make(probs=mean.mean(0)), make(probs=prior.probs.float())
    )
    found = float(terms["c"].detach()) / float(rows.mean())
    assert found == pytest.approx(float(apart.sum()), rel=1e-4)
    none = spec.imbalance(read, rows * 0, {})["c"]
    (slope,) = torch.autograd.grad(none, read)
    assert none == 0 and not slope.any()
    if code.parts == 1:
        even = prior.probs.float().log().expand(ROWS, -1)
        assert float(spec.imbalance(even, rows, {})["c"]) == pytest.approx(0, abs=1e-6)


def test_a_given_code_learns_from_itself_only_where_the_row_lacks_its_label():
    spec = CodeSpec.parse("noise:gaussian(3) d:given,recognised,self_label=1")
    spec = spec.resolve({"d": tiny.plan("acgan").spec.given[0].resolved}, "d")
    read, view = torch.randn(ROWS, spec.params), torch.randn(ROWS, spec.params)
    due, known = torch.ones(ROWS), torch.zeros(ROWS, dtype=torch.int64)
    assert spec.self_labelled(spec.split(read.detach()), view, {"d": known}, due, 0)["d"] == 0
    known[:2] = -1
    lacking = spec.self_labelled(spec.split(read.detach()), view, {"d": known}, due, 0)["d"]
    alone = spec.self_labelled(spec.split(read[:2]), view[:2], {"d": known[:2]}, due[:2], 0)["d"]
    assert lacking == pytest.approx(float(alone) * 2 / ROWS) and lacking > 0


def test_no_label_is_read():
    """The same images with other labels, or with none, train to the same bits."""
    made = tiny.plan("infogan-selflabel", "self_label_from=0", "self_label_sure=0", "settle_from=1")
    other = dict(made.images.columns.items())
    label = made.images.label
    values = other[label].values
    other[label] = type(other[label])(**{**vars(other[label]), "values": values.flip(0)})
    assert not torch.equal(other[label].values, values)
    ends = []
    for columns in (made.images.columns, other, {}):
        images = type(made.images)(**{**vars(made.images), "columns": columns})
        if not columns:
            images = type(made.images)(**{**vars(images), "label": None})
        again = plan.make_plan(made.config, "cpu", images)
        players, tally = make_players(again), Tally()
        for _ in range(3):
            stepping.step(again, players, tally)
        assert tally.sums["self/category"] > 0
        ends.append(dict(players.game.critic.state_dict()))
    assert tiny.same(ends[0], ends[1]) and tiny.same(ends[0], ends[2])


def test_it_begins_at_its_position():
    made = tiny.plan("infogan-selflabel", "self_label_from=20", "batch=8")
    weights = stepping.drawn(made, "critic", 16, 8)[augmentations.WEIGHT]
    assert (weights > 0).tolist() == [False] * 4 + [True] * 4


def test_it_counts_more_at_first_and_then_once():
    made = tiny.plan(
        "infogan-selflabel", "self_label_from=0", "self_label_first=9", "self_label_early=50"
    )
    weights = stepping.drawn(made, "critic", 0, 120)[augmentations.WEIGHT]
    assert bool((weights[:51] == 9).all()) and bool((weights[100:] == 1).all())
    assert float(weights[75]) == pytest.approx(3) and bool((weights[50:101].diff() < 0).all())
    spec, read, view, once = own("categorical(4)")
    assert spec.self_labelled(spec.split(read.detach()), view, {}, torch.full((ROWS,), 9.0), 0)[
        "c"
    ] == pytest.approx(9 * float(once))
    balance = [float(spec.imbalance(read, torch.full((ROWS,), w), {})["c"]) for w in (1.0, 9.0)]
    assert balance[1] == pytest.approx(9 * balance[0])


def test_what_cannot_be_is_refused():
    with pytest.raises(CodeError, match="not recognised"):
        CodeSpec.parse("noise:gaussian(3),self_label=1")
    with pytest.raises(CodeError, match="a weight"):
        CodeSpec.parse("noise:gaussian(3) c:uniform,recognised,self_label=-1")
    with pytest.raises(ConfigError, match="Did you mean 'rotate'"):
        config.load("infogan-selflabel", ["views=rotte"])
    with pytest.raises(ConfigError, match="recogniser=critic"):
        tiny.plan("infogan-selflabel", "recogniser=joint")
