"""Schedules: whatever the order of play, a step follows the gradient of its player's own terms, and the mistake does not.

Steps are taken by plain gradient descent at rate one, so what a parameter moved is its gradient. The textbook's gradients come
from ``torch.autograd.grad`` over the terms that ``tests/test_game.py`` compares with the losses written by hand.
"""

import copy

import pytest
import torch

import tiny
from gander import cli, config, schedules
from gander.engine import Engine
from gander.objectives import OBJECTIVES
from gander.schedules import MISTAKES, SCHEDULES, Turn, part_gradients, take_turns
from test_game import FAMILY, PLAYED, deal, play

MACHINE = Engine(torch.device("cpu"), "fp32", 1)
ONE_WALK = ("gan", "cgan", "cgan-concat", "cgan-multiply", "cgan-embed")
"""Members without a recogniser: on a critic without statistics of the batch, one walk back serves both players."""
RECOGNISERS = ("critic", "heads")


def total(terms):
    return torch.stack(list(terms.values())).sum()


def slopes(terms, network):
    """The gradient of the sum of the terms at every parameter."""
    ps = list(network.parameters())
    found = torch.autograd.grad(total(terms), ps, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(ps, found, strict=True)]


def assert_near(ours, right, atol=1e-6):
    scale = max(1.0, *(float(r.abs().max()) for r in right))
    for one, other in zip(ours, right, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=atol * scale)


def moved(before, after):
    return [
        a.detach() - b.detach()
        for a, b in zip(before.parameters(), after.parameters(), strict=True)
    ]


def played(schedule, game, batch):
    """The game after one turn at rate one, and what each network moved."""
    real, known, drawn = batch
    after = copy.deepcopy(game)
    other = {name: value.roll(1, 0) for name, value in drawn.items()}
    optimisers = {
        "critic": torch.optim.SGD(after.critic.parameters(), lr=1.0),
        "generator": torch.optim.SGD(after.generator.parameters(), lr=1.0),
    }
    draws = {"critic": drawn, "generator": other}
    turn = Turn(real, known, draws.__getitem__, lambda _: None)
    terms = take_turns(schedule, after, MACHINE, optimisers, turn)
    assert all(term.isfinite() for term in terms.values())
    return after, moved(game.critic, after.critic), moved(game.generator, after.generator), other


def textbook(schedule, game, batch, other, critic_after):
    """What each player should have moved, by hand."""
    real, known, drawn = batch
    mine = copy.deepcopy(game)
    fakes = mine.fakes(known, drawn)
    critic = slopes(mine.critic_terms(real, known, drawn, fakes), mine.critic)
    if schedule == "one-stage":  # before the critic has moved
        return critic, slopes(mine.generator_terms(real, known, drawn, fakes), mine.generator)
    mine.critic.load_state_dict(critic_after)
    if schedule == "alternate":
        return critic, slopes(mine.generator_terms(real, known, other), mine.generator)
    return critic, slopes(mine.generator_terms(real, known, drawn, fakes), mine.generator)


WAYS = [
    pytest.param(b, o, marks=() if b == "mlp" or o == "nonsaturating" else pytest.mark.slow)
    for b in PLAYED
    for o in OBJECTIVES
]
"""Every backbone with every objective; the objective only sees logits, so that one will do for most."""


@pytest.mark.parametrize(("backbone", "objective"), WAYS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("member", FAMILY)
def test_each_player_moves_along_its_own_gradient(member, schedule, objective, backbone):
    game = play(FAMILY[member], backbone, objective)
    batch = deal(game)
    after, critic, generator, other = played(schedule, game, batch)
    right = textbook(schedule, game, batch, other, after.critic.state_dict())
    assert_near(critic, right[0])
    assert_near(generator, right[1])


@pytest.mark.parametrize("penalties", [{"r1": 1.0}, {"gradient": 10.0}])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("member", ["cgan", "infogan"])
def test_penalties_move_the_critic_alone(member, schedule, penalties):
    game = play(FAMILY[member], penalties=penalties)
    batch = deal(game)
    torch.manual_seed(3)  # where between real and fake the gradient penalty looks
    after, critic, generator, other = played(schedule, game, batch)
    torch.manual_seed(3)
    right = textbook(schedule, game, batch, other, after.critic.state_dict())
    assert_near(critic, right[0], 1e-5)
    assert_near(generator, right[1], 1e-5)


@pytest.mark.parametrize("recogniser", [*RECOGNISERS, "joint"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_who_learns_to_read_is_the_same_under_every_schedule(schedule, recogniser):
    game = play(FAMILY["infogan"], recogniser=recogniser)
    batch = deal(game)
    after, critic, generator, other = played(schedule, game, batch)
    right = textbook(schedule, game, batch, other, after.critic.state_dict())
    assert_near(critic, right[0])
    assert_near(generator, right[1])


# ---------------------------------------------------------------------- one walk or two
@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != "hinge"])
@pytest.mark.parametrize("backbone", PLAYED)
@pytest.mark.parametrize("member", FAMILY)
def test_one_walk_serves_both_without_a_recogniser_or_statistics_of_the_batch(
    member, backbone, objective
):
    game = play(FAMILY[member], backbone, objective)
    both = game.terms_together(*deal(game))
    assert part_gradients(game, both) == (member in ONE_WALK and backbone == "mlp")


def test_a_flat_loss_is_walked_back_twice():
    game = play(FAMILY["gan"], objective="hinge")
    with torch.no_grad():
        game.critic.judge.bias -= 100.0  # every fake is beyond the margin: nothing to rescale
    batch = deal(game)
    assert not part_gradients(game, game.terms_together(*batch))
    after, _, generator, other = played("one-stage", game, batch)
    right = textbook("one-stage", game, batch, other, after.critic.state_dict())
    assert_near(generator, right[1])
    assert any(bool(g.abs().max() > 0) for g in generator)


def test_a_discarded_batch_leaves_no_gradient_behind():
    game = play(FAMILY["infogan"])
    for network in (game.critic, game.generator):
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
    both = game.terms_together(*deal(game))
    right = slopes({**both.critic, **both.readings}, game.critic)
    part_gradients(game, both)
    assert_near([p.grad for p in game.critic.parameters()], right)


# ---------------------------------------------------------------------- what it costs
@pytest.mark.parametrize(
    ("schedule", "drawn", "judged"), [("alternate", 2, 3), ("reuse", 1, 3), ("one-stage", 1, 2)]
)
def test_a_schedule_goes_forward_as_often_as_it_says(schedule, drawn, judged):
    game = play(FAMILY["infogan"])
    counts = {"generator": 0, "critic": 0}
    real, known, values = deal(game)
    optimisers = {}
    for who in counts:
        network = getattr(game, who)
        optimisers[who] = torch.optim.SGD(network.parameters(), lr=0.1)
        body = network.body if who == "generator" else network.trunk
        body.register_forward_hook(lambda *_, who=who: counts.update({who: counts[who] + 1}))
    turn = Turn(real, known, lambda _: values, lambda _: None)
    take_turns(schedule, game, MACHINE, optimisers, turn)
    assert counts == {"generator": drawn, "critic": judged}


# ---------------------------------------------------------------------- the mistake
@pytest.mark.parametrize("member", FAMILY)
def test_entangled_gives_the_critic_the_sum_it_should_not_have(member):
    game = play(FAMILY[member])
    batch = deal(game)
    _, critic, generator, _ = played("entangled", game, batch)
    mine = copy.deepcopy(game)
    real, known, drawn = batch
    fakes = mine.fakes(known, drawn)
    own = slopes(mine.critic_terms(real, known, drawn, fakes), mine.critic)
    theirs = mine.generator_terms(real, known, drawn, fakes)
    wrong = slopes(theirs, mine.critic)
    assert_near(critic, [a + b for a, b in zip(own, wrong, strict=True)])
    assert_near(generator, slopes(theirs, mine.generator))
    assert any(not torch.allclose(a, b, atol=1e-4) for a, b in zip(critic, own, strict=True))


def test_the_mistake_cannot_be_trained_with(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not set(MISTAKES) & set(SCHEDULES)
    assert set(schedules.PLAYED) == set(MISTAKES) | set(SCHEDULES)
    words = ["train", "infogan", "--data", tiny.source(), "--set", "schedule=entangled"]
    assert cli.run(words) == 2
    said = capsys.readouterr().err
    assert "entangled" in said and "one-stage" in said and "Traceback" not in said


# ---------------------------------------------------------------------- in a run
@pytest.mark.parametrize("preset", ["gan", "acgan-infogan"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_ten_steps_and_ten_more_are_twenty_under_every_schedule(schedule, preset, tmp_path):
    settings = [f"schedule={schedule}", "decay=none", "critic_steps=2"]
    once = tiny.train(preset, *settings, out=tmp_path / "once", steps=20)
    twice = tiny.train(preset, *settings, out=tmp_path / "twice", steps=10)
    tiny.train(preset, *settings, out=tmp_path / "twice", steps=20)
    assert tiny.same(tiny.state(once), tiny.state(twice))


def test_schedules_are_different_games(tmp_path):
    states = [
        tiny.state(tiny.train("infogan", f"schedule={name}", out=tmp_path / name, steps=3))
        for name in SCHEDULES
    ]
    for k, one in enumerate(states):
        for other in states[k + 1 :]:
            assert not tiny.same(one, other)


def test_the_setting_and_the_listing_name_the_same_schedules(capsys):
    assert cli.run(["list", "schedules"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in SCHEDULES)
    for name in SCHEDULES:
        asked = config.load("gan", [f"schedule={name}"])
        assert asked.game.schedule == name
