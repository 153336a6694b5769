"""Pairs that share one code: what is drawn for them, who is asked, and who moves along the answer."""

import copy
import os
import signal

import numpy as np
import pytest
import torch

import tiny
from gander import backbones, batches, config, contrast, positions, rng, stepping
from gander.codes import CodeSpec
from gander.contrast import ONE, OTHER, WHICH, Contrast, parts
from gander.errors import ConfigError
from gander.players import make_players, state
from gander.schedules import SCHEDULES, Turn, take_turns
from gander.stepping import Steps, block, step
from gander.tally import Tally
from test_game import SHAPE, deal, play
from test_kinds import MEMBERS
from test_schedules import MACHINE, assert_near, moved, slopes

LINE = "noise:gaussian(3) digit:given,recognised c1:uniform(2),recognised class:categorical(4),recognised turn:circular,recognised"
ROWS = 2000
GAPS = (0.0, 0.3, 0.9)


def game_of(backbone="mlp", norm=None, line=LINE, weight=0.7):
    game = play(line, backbone, norm=norm)
    networks = backbones.find(backbone)
    width = 16 if backbone == "mlp" else 4
    torch.manual_seed(5)
    game.contrast = Contrast(game.spec, networks.Trunk, SHAPE, width, norm or networks.NORM)
    game.contrast_weight = weight
    return game


def places(kind, count=ROWS):
    u = rng.uniforms(3, "places", 0, count, 2 * kind.parts)
    return np.split(u, 2, 1)


# ---------------------------------------------------------------------- what is drawn
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("kind", MEMBERS.values(), ids=MEMBERS)
def test_two_values_of_any_kind_keep_their_distance(kind, gap):
    one, other = kind.apart(*places(kind), gap)
    for side in (one, other):
        assert side.shape == (ROWS, kind.parts) and side.min() >= 0 and side.max() < 1
    values = kind.at(one), kind.at(other)
    assert all(v.shape == (ROWS, *kind.shape) and not kind.missing(v).any() for v in values)
    if gap == 0:  # independent, and each as the prior has it
        assert abs(np.corrcoef(one[:, 0], other[:, 0])[0, 1]) < 0.1
        drawn = kind.draw(rng.uniforms(4, "prior", 0, ROWS, kind.uniforms))
        for value in values:
            told, right = kind.encode(value), kind.encode(drawn)
            assert torch.allclose(told.mean(0), right.mean(0), atol=0.12)
            assert torch.allclose(told.std(0), right.std(0), atol=0.12)
    elif kind.discrete:
        assert (values[0] != values[1]).all()
    elif kind.name == "circular":
        turn = (values[0] - values[1]).abs()
        assert (torch.minimum(turn, 2 * np.pi - turn) >= gap * np.pi - 1e-5).all()
        assert turn.max() > gap * np.pi + 0.1 * (1 - gap)
    else:
        assert (abs(one - other) >= gap - 1e-12).all()
        assert 0.4 < (one < other).mean() < 0.6


def test_a_gap_of_numbers_is_a_share_of_their_range():
    spec = CodeSpec.parse("a:uniform(1,-3,5),recognised b:uniform,recognised")
    pairs = contrast.draw(spec, 0.5, 0, "x", 0, ROWS)
    apart = (pairs[ONE + "a"] - pairs[OTHER + "a"]).abs().squeeze(1)
    mine = pairs[WHICH] == 0
    assert (apart[mine] == 0).all()
    assert apart[~mine].min() >= 4 - 1e-5
    assert apart[~mine].max() > 6


@pytest.mark.parametrize("gap", GAPS)
def test_a_pair_shares_exactly_the_part_it_says(gap):
    spec = game_of().spec
    able = parts(spec)
    assert [(p.code, p.at) for p in able] == [("c1", 0), ("c1", 1), ("class", 0), ("turn", 0)]
    pairs = contrast.draw(spec, gap, 0, "contrast", 0, ROWS)
    assert torch.bincount(pairs[WHICH]).min() > ROWS / len(able) * 0.85
    for k, part in enumerate(able):
        one, other = (
            pairs[side + part.code].reshape(ROWS, -1)[:, part.at] for side in (ONE, OTHER)
        )
        shared, same = pairs[WHICH] == k, one == other
        assert same[shared].all()
        chance = 0.25 if part.code == "class" and gap == 0 else 0.0
        assert abs(float(same[~shared].float().mean()) - chance) < 0.05
        # what is shared is as the prior has it, whatever the gap
        if part.code == "c1":
            assert abs(one[shared].std() - 3**-0.5) < 0.05
    for name in ("noise", "digit"):  # what is not discovered is drawn twice
        one, other = pairs[ONE + name].float().flatten(), pairs[OTHER + name].float().flatten()
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.1


def test_pairs_are_a_function_of_seed_and_position():
    spec = game_of().spec
    whole = contrast.draw(spec, 0.2, 7, "contrast", 0, 40)
    later = contrast.draw(spec, 0.2, 7, "contrast", 24, 16)
    assert all(torch.equal(whole[name][24:], later[name]) for name in whole)
    other = contrast.draw(spec, 0.2, 8, "contrast", 24, 16)
    assert not any(torch.equal(later[name], other[name]) for name in later)


# ---------------------------------------------------------------------- who is asked
@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
def test_the_loss_is_the_cross_entropy_over_both_images_as_channels(norm):
    game = game_of("dcgan", norm)
    pairs = contrast.draw(game.spec, 0.2, 0, "contrast", 0, 6)
    names = game.spec.by_name
    double = copy.deepcopy(game)  # spectral normalisation goes on with every look
    ours = game.contrast_terms(pairs)["contrast"]
    values = {n: torch.cat([pairs[ONE + n], pairs[OTHER + n]]) for n in names}
    both = double.generator(values)
    logits = double.contrast.head(double.contrast.trunk(torch.cat([both[:6], both[6:]], 1)))
    chances = logits.log_softmax(1)[torch.arange(6), pairs[WHICH]]
    theirs = -0.7 * chances.mean()
    assert logits.shape == (6, 4)
    torch.testing.assert_close(ours, theirs)
    spectral = [n for n, _ in double.contrast.named_parameters() if "parametrizations" in n]
    assert bool(spectral) == (norm == "spectral")
    for network in ("generator", "contrast"):
        one, other = getattr(game, network), getattr(double, network)
        assert_near(slopes({"": ours}, one), slopes({"": theirs}, other), 1e-5)


@pytest.mark.parametrize(
    ("recogniser", "norm"),
    [
        ("critic", "batch"),
        ("joint", "none"),
        pytest.param("critic", "none", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_both_move_along_their_own_gradient_and_the_critic_does_not_feel_it(
    schedule, recogniser, norm
):
    game = game_of("mlp" if norm == "none" else "dcgan", norm)
    game.recogniser = recogniser
    real, known, drawn = deal(game)
    pairs = contrast.draw(game.spec, 0.2, 0, "contrast", 0, 6)

    def after(contrasts):
        mine = copy.deepcopy(game)
        ways = {name: getattr(mine, name) for name in ("critic", "generator", "contrast")}
        optimisers = {n: torch.optim.SGD(x.parameters(), lr=1.0) for n, x in ways.items()}
        draws = {"critic": drawn, "generator": drawn, "contrast": pairs}
        turn = Turn(real, known, draws.__getitem__, lambda _: None, contrasts)
        terms = take_turns(schedule, mine, MACHINE, optimisers, turn)
        assert ("contrast" in terms) == contrasts
        return {n: moved(getattr(game, n), x) for n, x in ways.items()}

    without, with_it = after(False), after(True)
    double = copy.deepcopy(game)
    terms = double.contrast_terms(pairs)
    own = {n: slopes(terms, getattr(double, n)) for n in ("generator", "contrast")}
    assert not any(step.any() for step in without["contrast"])
    assert any(slope.abs().max() > 1e-5 for slope in own["generator"])
    for before, now in zip(without["critic"], with_it["critic"], strict=True):
        assert torch.equal(before, now)
    assert_near(with_it["contrast"], own["contrast"])
    added = [n - w for n, w in zip(with_it["generator"], without["generator"], strict=True)]
    assert_near(added, own["generator"], 1e-5)


# ---------------------------------------------------------------------- in training
def cr(*settings, preset="infogan", images=20):
    return tiny.plan(preset, "contrast=0.7", *settings, images=images * tiny.BATCH)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_iterations_dealt_by_the_block_are_those_dealt_from_the_host_across_the_start(
    schedule, monkeypatch
):
    monkeypatch.setattr(batches, "BLOCK_IMAGES", 3 * tiny.BATCH)  # it begins inside a block
    plan = cr(f"schedule={schedule}", "contrast_from=0.2", "critic_norm=spectral")
    one, other = (make_players(plan) for _ in range(2))
    sums, others = Tally(), Tally()
    steps = Steps(plan, other, others)
    for _ in range(6):
        step(plan, one, sums)
        steps.step()
    steps.close()
    assert tiny.same(state(one), state(other)) and tiny.same(sums.sums, others.sums)
    assert float(sums.sums["contrast"]) == pytest.approx(2 * 0.7 * np.log(3), rel=0.2)
    assert any(name.startswith("optimiser.contrast") for name in state(one))


def test_before_its_start_no_bit_of_the_players_differs():
    late, plain = cr("contrast_from=0.5"), tiny.plan("infogan", images=20 * tiny.BATCH)
    one, other = make_players(late), make_players(plain)
    sums = Tally()
    for number in range(12):
        step(late, one, sums)
        assert bool(sums.sums["contrast"]) == (number >= 10)  # its mean is over all steps
        step(plain, other, Tally())
        mine = {n: x for n, x in state(one).items() if "contrast" not in n}
        assert tiny.same(mine, state(other)) == (number < 10)
    begun = positions.contrasts(late.config, 10 * tiny.BATCH)
    assert begun and not positions.contrasts(late.config, 10 * tiny.BATCH - 1)


def test_pairs_of_a_block_are_those_of_the_host():
    plan = cr("contrast_from=0.25", "contrast_gap=0.3", images=8)
    first = block(plan, 0, 2)
    assert not any((v != v[0, 0, 0]).any() for v in _pairs(first).values())
    across = block(plan, tiny.BATCH, 2)
    host = stepping.Single(plan, 2 * tiny.BATCH).draws("contrast", 0)
    assert all(torch.equal(across[f"contrast/{name}"][1, 0], host[name]) for name in host)
    assert {n: v.shape for n, v in first.items()} == {n: v.shape for n, v in across.items()}


def _pairs(dealt):
    return {name: v for name, v in dealt.items() if name.startswith("contrast/")}


@pytest.mark.parametrize("stop", [pytest.param(2, marks=pytest.mark.slow), 6])  # it begins at 4
def test_a_run_that_was_stopped_ends_in_the_same_bits(stop, tmp_path, monkeypatch):
    monkeypatch.setattr("gander.training.sheets.write_samples", lambda *_: [])
    settings = ("contrast=0.5", "contrast_from=0.5", "critic_norm=spectral", "contrast_gap=0.2")
    whole = tiny.train("infogan", *settings, out=tmp_path / "whole", steps=8)
    run = tmp_path / "parts"
    plain, taken = stepping.step, []

    def stopping(plan, players, tally):
        plain(plan, players, tally)
        taken.append(1)
        if len(taken) == stop:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr("gander.rounds.step", stopping)
        with pytest.raises(KeyboardInterrupt):
            tiny.train("infogan", *settings, out=run, steps=8)
    tiny.train("infogan", *settings, out=run, steps=8)
    assert tiny.same(tiny.state(whole), tiny.state(run))
    assert any(name.startswith("contrast.") for name in tiny.state(run))
    assert not (run / "weights" / "contrast.safetensors").exists()


# ---------------------------------------------------------------------- what is refused
@pytest.mark.parametrize("line", ["noise:gaussian(4)", "n:gaussian(4) c1:uniform,recognised"])
def test_one_discovered_code_has_no_other_to_be_told_from(line):
    with pytest.raises(ConfigError, match=r"shares? one of several discovered codes.*give it two"):
        tiny.plan("infogan", "contrast=1", f"codes={line}")
    tiny.plan("infogan", "contrast=1", "codes=n:gaussian(4) c:uniform(2),recognised")


def test_a_run_that_depends_on_its_length_cannot_be_lengthened():
    def of(images, **game):
        base = config.load("gan", training__images=images)
        return config.from_dict(base.to_dict() | {"game": base.to_dict()["game"] | game})

    late = {"contrast": 1.0, "contrast_from": 0.5}
    assert config.differences(of(100, **late), of(200, **late))
    assert not config.differences(of(100, contrast=1.0), of(200, contrast=1.0))
    assert not config.differences(of(100, contrast_from=0.5), of(200, contrast_from=0.5))


def test_the_preset_is_the_authors_recipe():
    cr = config.load("infogan-cr")
    assert (cr.game.contrast, cr.game.contrast_from, cr.game.contrast_gap) == (2.0, 0.89, 0.0)
    rates = cr.optimiser
    assert (rates.generator_rate, rates.critic_rate, rates.contrast_rate) == (1e-3, 2e-3, 2e-3)
    assert (cr.training.batch, rates.beta1, cr.model.critic_norm) == (64, 0.5, "spectral")
    assert len(parts(cr.codes)) == 5 and cr.codes.code("noise").resolved.shape == (5,)
    assert {c.recognised for c in cr.codes.recognised} == {0.05}
