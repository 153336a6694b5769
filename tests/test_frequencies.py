"""Categories drawn as often as real images are read as each: what moves it, what is drawn, what is saved."""

import numpy as np
import pytest
import torch

import tiny
from gander import frequencies, rng, stepping
from gander.code import LEARNED
from gander.codes import CodeSpec
from gander.errors import CodeError
from gander.frequencies import HALFLIFE, Frequencies
from gander.model import load
from gander.players import make_players, model_of, restore, save
from gander.runs import Run
from gander.tally import Tally

LINE = "noise:gaussian(3) k:categorical(4),recognised,frequencies=learned"


def sure(*classes, many=50):
    """Readings (B, 4) that leave no doubt."""
    return 60 * torch.nn.functional.one_hot(torch.tensor(classes * many), 4).float()


def test_they_follow_what_is_read_from_their_position_on():
    one = Frequencies(torch.full((4,), 0.25), begin=400)
    read = sure(0, 0, 0, 2)
    for _ in range(2):  # to 400
        one.notice(read)
        before = one.shares.clone()
        one.move()
        assert torch.equal(one.shares, before)
    for _ in range(HALFLIFE // len(read)):
        one.notice(read[:100])
        one.notice(read[100:])
        one.move()
    torch.testing.assert_close(
        one.shares, torch.tensor([0.5, 0.125, 0.25, 0.125]), atol=1e-3, rtol=0
    )
    held = one.shares.clone()
    one.move()  # nothing was noticed
    torch.testing.assert_close(one.shares, held)
    assert float(one.shares.sum()) == pytest.approx(1)


@pytest.mark.parametrize("shares", [(0.25, 0.25, 0.25, 0.25), (0.0, 0.7, 0.0, 0.3), (1.0, 0, 0, 0)])
def test_classes_are_drawn_that_often_each_at_its_place(shares):
    one = Frequencies(torch.tensor(shares), 0)
    code = CodeSpec.parse(LINE).codes[1]
    places = frequencies.draw([code], 3, "train", 0, 4000)["place/k"]
    drawn = one.classes(places)
    found = torch.bincount(drawn, minlength=4) / len(drawn)
    torch.testing.assert_close(found, torch.tensor(shares), atol=0.03, rtol=0)
    same = CodeSpec.parse(LINE).drawn_as({"k": shares}).draw(3, "train", 0, 4000)["k"]
    assert float((same == drawn).float().mean()) > 0.999  # but for rounding at the edges
    assert one.classes(torch.tensor([[1.0]])) <= 3


def test_the_game_draws_balances_and_saves_what_was_learned(tmp_path):
    settings = ("category.frequencies=learned", "frequencies_from=0", "self_label_from=0")
    made = tiny.plan("infogan-selflabel", *settings)
    players, tally = make_players(made), Tally()
    one = players.game.frequencies["category"]
    shares = torch.zeros(10)
    shares[3] = 1
    one.shares.copy_(shares)
    drawn = stepping.draws(made, "critic", 0)
    assert set(players.game.fakes({}, drawn).values["category"].tolist()) == {3}
    for _ in range(3):
        stepping.step(made, players, tally)
    assert 0.99 < float(one.shares[3]) < 1 and tally.sums["balance/category"] > 0
    assert int(one.count) == players.images_seen
    run = Run(tmp_path / "run")
    run.begin(made.config, {})
    save(made, players, run)
    again = make_players(made)
    restore(again, run, print)
    assert torch.equal(again.game.frequencies["category"].shares, one.shares)
    assert int(again.game.frequencies["category"].count) == int(one.count)
    model = model_of(made, players)
    assert model.values(range(20))["category"].tolist().count(3) >= 18
    probs = load(run.path).spec.code("category").resolved.probs
    np.testing.assert_allclose(probs, one.shares.numpy(), rtol=1e-6)


def test_it_is_said_in_one_line_and_what_cannot_be_is_refused():
    spec = CodeSpec.parse(LINE)
    assert spec.codes[1].frequencies == LEARNED and CodeSpec.parse(str(spec)) == spec
    assert CodeSpec.from_dict(spec.to_dict()) == spec
    learned = spec.drawn_as({"k": [0.1, 0.2, 0.3, 0.4]})
    assert CodeSpec.from_dict(learned.to_dict()) == learned
    for line in ("k:categorical(4)", "k:uniform,recognised", "k:given,recognised", "k:recognised"):
        with pytest.raises(
            CodeError, match=r"categorical\(10\),recognised,frequencies=learned|given"
        ):
            CodeSpec.parse(f"noise:gaussian(3) {line},frequencies=learned")


def test_places_are_those_at_which_the_values_are_drawn():
    code = CodeSpec.parse(LINE).codes[1]
    place = frequencies.draw([code], 5, "critic", 8, 16)["place/k"]
    assert torch.equal(place, rng.tensor(rng.uniforms(5, "critic/k", 8, 16, 1)))
