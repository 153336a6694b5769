"""Codes that are read in a view of what is drawn (``read_in = "view"``)."""

import pytest
import torch

import gander
import tiny
from gander import augmentations, batches, plan, stepping
from gander.codes import CodeSpec
from gander.errors import CodeError, ConfigError
from gander.players import make_players
from gander.schedules import part_gradients
from test_game import ROWS, deal, gradients, parameters, play, total

LINE = "noise:gaussian(5) k:categorical(4),recognised,read_in=view c1:uniform(2),recognised=0.3"
TURN = {"rotate": 2.0, "shift": 1.0}


def viewing(line=LINE, backbone="mlp", **settings):
    """A game that reads in views, and a batch for it."""
    game = play(line, backbone, views=TURN, **settings)
    real, known, drawn = deal(game)
    return game, (real, known, drawn | augmentations.draw_views(TURN, 0, "train", 0, ROWS, "fake"))


def by_hand(game, fake, drawn):
    """-log q of the category in the turned and moved images, and of the numbers in the images."""
    numbers = drawn[augmentations.VIEW["fake"]]
    entry = augmentations.AUGMENTATIONS
    turned = entry["rotate"].apply(fake, numbers[:, :1], 2.0)
    view = entry["shift"].apply(turned, numbers[:, 1:], 1.0)
    told = {}
    logits = game.spec.split(game.critic(view, told, real=False).params)["k"]
    category = torch.nn.functional.cross_entropy(logits, drawn["k"].long())
    image = game.spec.split(game.critic(fake, told, real=False).params)["c1"]
    number = -game.spec.code("c1").resolved.posterior(image).log_prob(drawn["c1"]).mean()
    return {"k": category, "c1": 0.3 * number}


@pytest.mark.parametrize("recogniser", ["critic", "joint"])
def test_a_code_is_read_in_the_view_and_the_others_in_the_image(recogniser):
    game, batch = viewing(recogniser=recogniser)
    drawn = batch[2]
    fake = game.generator(drawn)
    wanted = by_hand(game, fake, drawn)
    told = {"critic": ("fake", "draws"), "joint": ("draws",)}[recogniser]
    if recogniser == "joint":
        found = [game.recognition_terms(*batch)]
    else:
        found = [game.critic_terms(*batch), game.generator_terms(*batch)]
    for terms, tag in zip(found, told, strict=True):
        for name, loss in wanted.items():
            torch.testing.assert_close(terms[f"{tag}/{name}"], loss, rtol=1e-5, atol=1e-6)
    whole = sum(wanted.values())
    moved = game.generator if recogniser == "critic" else game.critic
    own = total({k: v for k, v in found[-1].items() if k.startswith("draws/")})
    for a, b in zip(gradients(own, moved), gradients(whole, moved), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert any(g.abs().sum() > 0 for g in gradients(whole, game.generator))


def test_a_view_of_its_own_is_that_of_one_code():
    line = f"{LINE} c2:uniform,recognised=0.2,read_in=shift*2 c3:uniform,recognised,read_in=shift*2"
    game, (real, known, drawn) = viewing(line)
    one = augmentations.own("shift*2")
    numbers = augmentations.draw_views(one, 0, "train", 0, ROWS, "fake", place="shift*2")
    drawn = drawn | numbers
    place = augmentations.view("fake", "shift*2")
    assert torch.equal(numbers[place], drawn[augmentations.VIEW["fake"]][:, 1:])  # the same move
    fake = game.generator(drawn)
    wanted = by_hand(game, fake, drawn)
    moved = augmentations.AUGMENTATIONS["shift"].apply(fake, numbers[place], 2.0)
    read = game.spec.split(game.critic(moved, {}, real=False).params)
    for name, weight in (("c2", 0.2), ("c3", 1.0)):
        belief = game.spec.code(name).resolved.posterior(read[name])
        wanted[name] = -weight * belief.log_prob(drawn[name]).mean()
    for terms, tag in (
        (game.critic_terms(real, known, drawn), "fake"),
        (game.generator_terms(real, known, drawn), "draws"),
    ):
        for name, loss in wanted.items():
            torch.testing.assert_close(terms[f"{tag}/{name}"], loss, rtol=1e-5, atol=1e-6)


def test_every_view_is_dealt(tmp_path):
    settings = ("c1.read_in=slide", "c2.read_in=lift*2")
    made = tiny.plan("infogan-views", *settings, "views_grow=100")
    assert made.spec.views == ("view", "slide", "lift*2")
    dealt = stepping.drawn(made, "generator", 50, 8)
    for place in ("slide", "lift*2"):
        numbers = dealt[augmentations.view("fake", place)]
        assert numbers.shape == (8, 1) and 0.1 < float(numbers.abs().max()) <= 0.58
    run = tiny.train("infogan-views", *settings, out=tmp_path / "run")
    assert gander.load(run).spec.code("c2").read_in == "lift*2"
    cut = tiny.train("infogan-views", *settings, out=tmp_path / "cut", steps=2)
    tiny.train("infogan-views", *settings, out=cut)
    assert tiny.same(tiny.state(run), tiny.state(cut))


def test_one_stage_gives_both_players_the_same_terms_and_gradients():
    game, batch = viewing()
    together = game.terms_together(*batch)
    critic = game.critic_terms(*batch, together.fakes)
    generator = game.generator_terms(*batch, together.fakes)
    for terms, apart in (
        ({**together.critic, **together.readings}, critic),
        (together.generator, generator),
    ):
        assert terms.keys() == apart.keys()
        for name in terms:
            torch.testing.assert_close(terms[name], apart[name])
    wanted = [*gradients(total(critic), game.critic), *gradients(total(generator), game.generator)]
    part_gradients(game, together)
    got = [p.grad for p in [*parameters(game.critic), *parameters(game.generator)]]
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(
            a if a is not None else torch.zeros_like(b), b, rtol=1e-4, atol=1e-6
        )


def test_the_heads_alone_can_learn_from_views():
    game, batch = viewing(recogniser="heads")
    terms = game.critic_terms(*batch)
    read = total({k: v for k, v in terms.items() if k.startswith("fake/")})
    assert all(g.abs().sum() == 0 for g in gradients(read, game.critic.trunk))
    assert all(g.abs().sum() > 0 for g in gradients(read, game.critic.reader))


def test_no_real_image_teaches_the_preset_a_category():
    made = tiny.plan("infogan-views")
    players = make_players(made)
    drawn = stepping.draws(made, "critic", 0)
    real, known = batches.batch_at(made, 0)
    terms = {**players.game.critic_terms(real, known, drawn)}
    assert terms.keys() == {"critic", "fake/category", "fake/c1", "fake/c2", "penalty/r1"}
    readings = total({k: v for k, v in terms.items() if k.startswith("fake/")})
    other = players.game.critic_terms(real.flip(0) * 0.5, known, drawn)
    again = total({k: v for k, v in other.items() if k.startswith("fake/")})
    assert torch.equal(readings, again)


def test_the_views_of_an_image_are_a_function_of_its_position():
    made = tiny.plan("infogan-views")
    whole = stepping.drawn(made, "critic", 0, 24)[augmentations.VIEW["fake"]]
    part = stepping.drawn(made, "critic", 16, 8)[augmentations.VIEW["fake"]]
    assert torch.equal(whole[16:], part) and whole.std() > 0.3
    dealt = stepping.block(made, 0, 3)[f"critic/{augmentations.VIEW['fake']}"]
    assert torch.equal(
        dealt.flatten(0, 2),
        stepping.drawn(made, "critic", 0, len(dealt.flatten(0, 2)))[augmentations.VIEW["fake"]],
    )


def test_views_need_transformations_and_a_recognised_code():
    with pytest.raises(CodeError, match="add recognised=1, or drop read_in"):
        CodeSpec.parse("noise:gaussian(5),read_in=view")
    with pytest.raises(CodeError, match=r"not a place to be read in\. Valid: image, view"):
        CodeSpec.parse("k:categorical(3),recognised,read_in=mirror")
    with pytest.raises(ConfigError, match=r"game\.views names no.*category\.read_in=image"):
        plan.make_plan(plan.configured("infogan-views", ["views="], data="glyphs"), "cpu")
    with pytest.raises(CodeError, match="read_in needs a value; write it as read_in=view"):
        CodeSpec.parse("k:categorical(3),recognised,read_in")
    with pytest.raises(CodeError, match="add recognised=1, or drop read_in"):
        CodeSpec.parse("noise:gaussian(5),read_in=shift*2+rotate")
    for wrong in ("shift*0", "shift+shift", "+", "shft*2"):
        with pytest.raises(CodeError, match=r"joined by \+, as shift\*3\+scale"):
            CodeSpec.parse(f"k:categorical(3),recognised,read_in={wrong}")
    line = "k:categorical(3),recognised,read_in=shift*2+rotate"  # applied in one order, so written in one
    assert str(CodeSpec.parse(line)) == "k:categorical(3),recognised,read_in=rotate+shift*2"
    line = "k:categorical(3),recognised,read_in=view"
    assert str(CodeSpec.parse(line)) == line
    assert CodeSpec.from_dict(CodeSpec.parse(line).to_dict()) == CodeSpec.parse(line)


def test_views_grow_from_the_image_itself():
    names, place = {"rotate": 1.0, "shift": 1.0}, augmentations.VIEW["fake"]
    whole = augmentations.draw_views(names, 3, "critic", 0, 60, "fake")[place]
    grown = augmentations.draw_views(names, 3, "critic", 0, 60, "fake", grow=40)[place]
    shares = (torch.arange(60) / 40).clamp(max=1).unsqueeze(1)
    torch.testing.assert_close(grown, whole * shares)
    later = augmentations.draw_views(names, 3, "critic", 25, 10, "fake", grow=40)[place]
    assert torch.equal(later, grown[25:35])  # a function of position
    made = tiny.plan("infogan-views", "views_grow=1000")
    drawn = stepping.drawn(made, "critic", 500, 8)[place]
    plain = stepping.drawn(tiny.plan("infogan-views"), "critic", 500, 8)[place]
    torch.testing.assert_close(drawn, plain * ((500 + torch.arange(8)) / 1000).unsqueeze(1))
    half = tiny.plan("infogan-views", "views_grow=1000", "views_first=0.5")
    torch.testing.assert_close(
        stepping.drawn(half, "critic", 500, 8)[place],
        plain * (0.5 + (500 + torch.arange(8)) / 2000).unsqueeze(1),
    )
    images = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    first = {place: grown[:1]}
    torch.testing.assert_close(augmentations.viewed(names, images, first, "fake"), images)
