"""An adaptive probability of augmentation: it moves as the critic's sureness says, both players see it, and it is resumed to the bit."""

import copy

import pytest
import torch

import tiny
from gander import augmentations, config, training
from gander.adaptive import WINDOW, Adaptive
from gander.augmentations import AUGMENTATIONS, named, seen
from gander.errors import ConfigError
from gander.objectives import OBJECTIVES
from gander.plan import adaptive
from gander.players import make_players, state
from gander.schedules import SCHEDULES
from gander.stepping import step
from gander.tally import Tally
from test_augmentations import some
from test_game import FAMILY, deal, play

EVERY = ",".join(AUGMENTATIONS)
ROWS = 200
signed = {name: one.middle for name, one in OBJECTIVES.items() if one.middle is not None}


# ---------------------------------------------------------------------- what moves it
@pytest.mark.parametrize("middle", sorted(set(signed.values())))
@pytest.mark.parametrize("target", [0.3, 0.6, 1.0])
def test_it_goes_from_nothing_to_always_and_back_within_so_many_images(middle, target):
    batch, images = 50, 1000
    one = Adaptive(target, images, middle)
    assert float(one.probability) == 0
    sure = torch.full((batch,), middle + 0.1)
    sure[: round(batch * (1 - target) / 2) - 3] = middle - 0.1  # a little surer than the target

    def after(logits, moves):
        for _ in range(moves):
            before = float(one.probability)
            one.notice(logits[: batch // 2])
            one.notice(logits[batch // 2 :])
            assert float(one.probability) == before  # while the iteration lasts
            one.move()
            assert abs(float(one.probability) - before) <= batch / images + 1e-6
            assert not one.seen.any()
        return float(one.probability)

    late = 8 * WINDOW // batch  # until the running mean has forgotten
    if target < 1:
        assert after(sure, images // batch + late) == 1
    else:
        one.probability.fill_(1)
    half = after(torch.full((batch,), middle - 0.1), images // batch // 2)
    assert 0.45 <= half < 0.9
    assert after(torch.full((batch,), middle - 0.1), images // batch + late) == 0
    assert float(one.sign) == pytest.approx(-1, abs=0.01)


def test_what_it_goes_by_is_the_mean_sign_about_the_middle():
    one = Adaptive(0.6, 10**6, 0.5)
    for _ in range(100):
        one.notice(torch.tensor([0.6, 0.9, 7.0, 0.4]))
        one.move()
    assert float(one.sign) == pytest.approx(0.5, abs=0.15)
    fresh = Adaptive(0.6, 10**6, 0.5)
    fresh.load({name: tensor.clone() for name, tensor in one.tensors.items()})
    assert fresh.tensors == one.tensors
    held = fresh.probability
    fresh.load({"probability": torch.tensor(0.25)})  # in place, where a recorded iteration reads it
    assert fresh.probability is held and float(held) == 0.25


# ---------------------------------------------------------------------- what it does to images
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_so_many_images_are_transformed_and_the_others_are_the_same_to_the_bit(name):
    images = some(rows=ROWS)
    drawn = augmentations.draw((name,), 0, "critic", 0, ROWS, choose=True)
    always = seen(named(name), images, drawn, "real")
    for share in (0.0, 0.3, 1.0):
        looks = seen(named(name), images, drawn, "real", probability=torch.tensor(share))
        changed = (looks != images).flatten(1).any(1)
        assert torch.equal(looks[changed], always[changed])
        chosen = drawn["chosen/real"][:, 0] < share
        assert not bool((changed & ~chosen).any())
        assert float(chosen.float().mean()) == pytest.approx(share, abs=0.1)
        if share == 1:
            assert torch.equal(looks, always)


def test_who_is_chosen_is_a_function_of_position_and_changes_no_other_number():
    names = named(EVERY)
    whole = augmentations.draw(names, 3, "critic", 0, 40, choose=True)
    part = augmentations.draw(names, 3, "critic", 7, 20, choose=True)
    plain = augmentations.draw(names, 3, "critic", 0, 40)
    assert set(plain) < set(whole)
    assert all(torch.equal(whole[key], value) for key, value in plain.items())
    assert all(torch.equal(part[key], value[7:27]) for key, value in whole.items())
    alone = augmentations.draw(list(names)[2:3], 3, "critic", 0, 40, choose=True)
    for key in ("chosen/real", "chosen/fake"):
        assert torch.equal(alone[key][:, 0], whole[key][:, 2])
        columns = torch.corrcoef(torch.cat([whole[key], whole[key.replace("chosen", "seen")]], 1).T)
        assert float((columns - torch.eye(len(columns))).abs().max()) < 0.7
    assert not torch.equal(whole["chosen/real"], whole["chosen/fake"])


# ---------------------------------------------------------------------- in the game
@pytest.mark.parametrize("member", ["cgan", "infogan"])
def test_at_zero_the_players_see_plain_images_and_at_one_all_are_transformed(member):
    plain = play(FAMILY[member])
    real, known, values = deal(plain)
    names = named(EVERY)
    rows = augmentations.draw(names, 5, "critic", 0, len(real), choose=True)
    for share, like in ((0.0, plain), (1.0, None), (0.5, None)):
        game = copy.deepcopy(plain)
        game.augment = names
        always = copy.deepcopy(game)
        game.adaptive = Adaptive(0.6, 100, 0.0, probability=torch.tensor(share))
        batch = (real, known, values | rows)
        for what in ("critic_terms", "generator_terms"):
            ours, theirs = (getattr(one, what)(*batch) for one in (game, like or always))
            same = all(torch.equal(ours[name], theirs[name]) for name in ours)
            assert same == (share != 0.5)
        assert float(game.adaptive.seen[1]) == len(real)  # the critic's look alone
        assert float(game.adaptive.probability) == share


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_iteration_moves_it_by_the_real_images_it_took(schedule):
    steps = 2
    settings = ("augment=shift,cutout", "augment_target=0.6", "augment_images=4000")
    plan = tiny.plan("gan", f"schedule={schedule}", f"critic_steps={steps}", *settings)
    players = make_players(plan)
    players.game.adaptive.probability.fill_(0.5)
    step(plan, players, Tally())
    moved = abs(float(players.game.adaptive.probability) - 0.5)
    assert moved == pytest.approx(steps * tiny.BATCH / 4000, rel=1e-3)
    assert float(players.game.adaptive.sign) != 0
    assert {"augment.probability", "augment.sign"} <= set(state(players))


def test_without_a_target_nothing_is_adapted():
    plan = tiny.plan("gan", "augment=shift")
    assert adaptive(plan.config) is None
    assert not any(name.startswith("augment") for name in state(make_players(plan)))


# ---------------------------------------------------------------------- in a run
def test_two_steps_and_two_more_are_four_and_the_log_tells_it(tmp_path, monkeypatch):
    monkeypatch.setattr(training.sheets, "write_samples", lambda *_: [])  # draws no random number
    settings = ("augment=rotate,cutout", "augment_target=0.01", "augment_images=40")
    settings = (*settings, "objective=least-squares", "schedule=one-stage")
    once = tiny.train("infogan", *settings, out=tmp_path / "once", steps=4)
    twice = tiny.train("infogan", *settings, out=tmp_path / "twice", steps=2)
    half = tiny.state(twice)
    tiny.train("infogan", *settings, out=tmp_path / "twice", steps=4)
    whole = tiny.state(once)
    assert tiny.same(whole, tiny.state(tmp_path / "twice"))
    assert not torch.equal(half["augment.sign"], whole["augment.sign"])
    health = training.Run(once).lines()[-1]["health"]
    assert health["augment_sign"] == pytest.approx(float(whole["augment.sign"]), abs=1e-4)
    assert health["augment_probability"] == pytest.approx(
        float(whole["augment.probability"]), abs=1e-4
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_where_logits_have_no_zero_it_is_refused_in_one_line(objective):
    asked = config.load("gan", [f"objective={objective}", "augment=shift", "augment_target=0.6"])
    if objective in signed:
        assert adaptive(asked).middle == signed[objective]
        return
    with pytest.raises(ConfigError, match=f"{objective} objective.*Use objective=minimax"):
        adaptive(asked)


def test_a_target_without_transformations_is_refused():
    with pytest.raises(ConfigError, match="augment=rotate,scale,shift"):
        tiny.plan("gan", "augment_target=0.6")
