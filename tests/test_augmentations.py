"""Augmentations: laws of every transformation, and that both players see real and generated images through them, exactly."""

import copy

import pytest
import torch

import tiny
from gander import augmentations, cli, config, training
from gander.augmentations import AUGMENTATIONS, named, seen
from gander.code import Told
from gander.errors import ConfigError
from gander.objectives import OBJECTIVES
from gander.penalties import PENALTIES
from gander.schedules import SCHEDULES, part_gradients
from gander.stepping import drawn
from test_game import FAMILY, PLAYED, ROWS, assert_same, deal, play, total
from test_schedules import ONE_WALK, assert_near, played, textbook

EVERY = ",".join(AUGMENTATIONS)
PLACED = ("flip", "rotate", "scale", "slant", "elastic", "shift", "lift", "slide")  # change none
every_one = pytest.mark.parametrize("name", AUGMENTATIONS)
every_depth = pytest.mark.parametrize("channels", [1, 2, 3, 4])


def some(channels=3, rows=ROWS, height=16, width=18):
    generator = torch.Generator().manual_seed(channels)
    return torch.rand(rows, channels, height, width, generator=generator) * 2 - 1


def numbers(names, rows=ROWS, seed=0):
    return augmentations.draw(names, seed, "critic", 0, rows)


# ---------------------------------------------------------------------- every transformation
@every_depth
@every_one
def test_at_strength_zero_it_is_the_same_image_to_the_bit(name, channels):
    images = some(channels)
    assert torch.equal(seen({name: 0.0}, images, numbers((name,)), "fake"), images)


@every_depth
@every_one
def test_it_does_something_and_keeps_shape_type_and_range(name, channels):
    images, drawn = some(channels), numbers((name,))
    looks = seen(named(name), images, drawn, "fake")
    assert looks.shape == images.shape and looks.dtype == images.dtype
    gray = name == "saturation" and channels < 3
    assert torch.equal(looks, images) == gray
    assert float(looks.abs().max()) <= (1.0 if name in (*PLACED, "cutout") else 2.5)
    if channels in (2, 4) and name not in (*PLACED, "cutout"):
        assert torch.equal(looks[:, -1], images[:, -1])  # how opaque it is
    half = seen(named(name), images.bfloat16(), drawn, "fake")
    again = seen(named(name), images.bfloat16().float(), drawn, "fake")
    assert half.dtype == torch.bfloat16 and torch.equal(half, again.bfloat16())  # rounded once


@every_depth
@every_one
def test_its_gradient_is_exact(name, channels):
    """Each is affine in the image, so the gradient is right where it is the adjoint of what a change of the image does."""
    images, drawn = some(channels).requires_grad_(), numbers((name,))
    looks = seen(named(name), images, drawn, "fake")
    along, weight = torch.randn(2, *images.shape, generator=torch.Generator().manual_seed(1))
    (slope,) = torch.autograd.grad((looks * weight).sum(), images)
    change = seen(named(name), images.detach() + along, drawn, "fake") - looks.detach()
    torch.testing.assert_close((slope * along).sum(), (change * weight).sum(), rtol=1e-3, atol=1e-3)
    assert all(bool(row.abs().max() > 0) for row in slope)


@every_one
def test_an_image_is_transformed_alone_whatever_its_batch(name):
    images, drawn = some(), numbers((name,))
    whole = seen(named(name), images, drawn, "fake")
    for k in range(ROWS):
        row = {key: value[k : k + 1] for key, value in drawn.items()}
        alone = seen(named(name), images[k : k + 1], row, "fake")[0]
        torch.testing.assert_close(alone, whole[k], rtol=1e-6, atol=1e-6)


def test_where_things_go_and_how_large_they_become():
    """A soft blob off the middle of an image that is not square, followed by its moments."""
    height, width = 48, 40
    down, across = torch.arange(height)[:, None] - 23.5, torch.arange(width)[None, :] - 19.5
    blob = (-((down - 6) ** 2 + (across - 8) ** 2) / 12).exp()[None, None] * 2 - 1

    def moments(name, *row):
        weight = (AUGMENTATIONS[name].apply(blob, torch.tensor([row]), 1.0) + 1)[0, 0]
        y, x = (float((weight * along).sum() / weight.sum()) for along in (down, across))
        spread = (weight * ((down - y) ** 2 + (across - x) ** 2)).sum() / weight.sum()
        return complex(x, y), float(spread) ** 0.5

    place, spread = moments("flip", 0.0)
    assert place == pytest.approx(8 + 6j, abs=0.01)
    assert moments("flip", -0.5)[0] == pytest.approx(-8 + 6j, abs=0.01)
    assert moments("shift", 1.0, -1.0) == (
        pytest.approx(3 + 12j, abs=0.05),
        pytest.approx(spread, rel=0.01),
    )
    assert moments("lift", 1.0)[0] == pytest.approx(8 + 12j, abs=0.05)
    assert moments("slide", 1.0)[0] == pytest.approx(13 + 6j, abs=0.05)
    for way in (-1, 1):
        turned, wide = moments("rotate", way)
        assert abs(turned) == pytest.approx(10, abs=0.1) and wide == pytest.approx(spread, rel=0.05)
        angle = torch.tensor(turned / place).angle().rad2deg()
        assert abs(float(angle)) == pytest.approx(10, abs=0.3)
        larger, wide = moments("scale", way)
        assert larger == pytest.approx((8 + 6j) * 1.2**way, abs=0.1)
        assert wide == pytest.approx(spread * 1.2**way, rel=0.05)
        assert moments("slant", way)[0] == pytest.approx(8 - 6 * way / 4 + 6j, abs=0.1)


def test_turned_scaled_and_slanted_is_resampled_once():
    """As PyTorch's own sampler does it, which has another idea of where an image ends."""
    images, drawn = some(1, height=32, width=32), numbers(("rotate", "scale", "slant"))
    images = torch.nn.functional.pad(images[:, :, 8:24, 8:24], (8, 8, 8, 8))
    turn, size, lean = drawn["seen/fake"].split(1, 1)
    angle = torch.deg2rad(17 * turn).flatten()
    across, down = torch.meshgrid(*[torch.arange(32) - 15.5] * 2, indexing="xy")
    down, across = down[None], across[None] + lean[:, :, None] / 4 * down
    at = [way[:, :] / 1.2 ** size[:, :, None] for way in (down.expand_as(across), across)]
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    grid = torch.stack([sine * at[0] + cosine * at[1], cosine * at[0] - sine * at[1]], 3) / 16
    right = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    looks = seen(named("slant,scale,rotate*1.7"), images, drawn, "fake")
    torch.testing.assert_close(looks, right, atol=1e-4, rtol=1e-4)


def test_what_is_bent_moves_by_at_most_its_share_and_smoothly():
    across = (
        torch.arange(48.0).view(1, 1, 1, -1).expand(ROWS, 1, 48, 48)
    )  # each pixel its own place
    bent = seen(named("elastic"), across, numbers(("elastic",)), "fake")[:, 0, 4:-4, 4:-4]
    moved = bent - across[:, 0, 4:-4, 4:-4]
    assert 1.2 < float(moved.abs().max()) < 48 / 24 * 1.5  # between its places a curve swings out
    assert float(moved.diff(dim=2).abs().max()) < 0.6
    assert float(moved.mean().abs()) < 0.2


def test_how_things_look():
    images = some(3)
    one = torch.ones(ROWS, 1)

    def changed(name, number):
        return AUGMENTATIONS[name].apply(images, number * one, 1.0)

    torch.testing.assert_close(changed("brightness", 0.5), images + 0.25)
    gray = images.mean(1, keepdim=True)
    torch.testing.assert_close(changed("saturation", -1), gray.expand_as(images))
    torch.testing.assert_close(changed("saturation", 1), 2 * images - gray)
    middle = images.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(changed("contrast", 1), middle + 1.5 * (images - middle))
    torch.testing.assert_close(changed("contrast", -1), middle + 0.5 * (images - middle))
    for place, share in ((0.0, 1 / 4), (-1.0, 1 / 16)):  # in the middle, and at a corner
        holed = AUGMENTATIONS["cutout"].apply(images, place * torch.ones(ROWS, 2), 1.0) == 0
        assert holed.float().mean() == pytest.approx(share, abs=0.02)


# ---------------------------------------------------------------------- what is drawn
def test_numbers_are_a_function_of_seed_stream_and_position():
    names = named(EVERY)
    whole = augmentations.draw(names, 3, "critic", 0, 40)
    for first, count in ((0, 7), (7, 20), (27, 13)):
        part = augmentations.draw(names, 3, "critic", first, count)
        assert all(torch.equal(part[key], whole[key][first : first + count]) for key in whole)
    assert all(-1 <= float(n.min()) < -0.8 and 0.8 < float(n.max()) <= 1 for n in whole.values())
    others = [(4, "critic", 0), (3, "generator", 0), (3, "critic", 1)]
    drawn = [whole, *(augmentations.draw(names, *other, 40) for other in others)]
    columns = torch.cat([n for one in drawn for n in one.values()], dim=1)
    assert len(columns.T.unique(dim=0)) == columns.shape[1]  # nothing is drawn twice


@every_one
def test_one_more_transformation_leaves_the_others_as_they_were(name):
    names, alone = named(EVERY), numbers((name,))
    sizes = [AUGMENTATIONS[n].numbers for n in names]
    for key, value in numbers(names).items():
        assert torch.equal(value.split(sizes, 1)[list(names).index(name)], alone[key])


def test_without_augmentation_nothing_is_drawn_and_nothing_touched():
    images = some()
    assert seen({}, images, {}, "real") is images
    plan = tiny.plan("infogan")
    assert plan.game().augment == {} and set(drawn(plan, "critic", 0, 4)) == set(plan.spec.by_name)
    other = tiny.plan("infogan", f"augment={EVERY}")
    assert list(other.game().augment) == list(AUGMENTATIONS)
    augmented, bare = (drawn(one, "critic", 0, 4) for one in (other, plan))
    assert set(augmented) - set(bare) == {"seen/real", "seen/fake"}
    assert all(torch.equal(augmented[n], v) for n, v in bare.items())


# ---------------------------------------------------------------------- in the game
def looked(line, backbone="mlp", objective="nonsaturating", augment=EVERY, **settings):
    """A game under augmentation, a batch, and what the critic sees of it, transformed one by one."""
    game = play(line, backbone, objective, augment=named(augment), **settings)
    real, known, values = deal(game)
    batch = real, known, values | numbers(game.augment, seed=5)
    values = game.spec.overlay(*batch[:0:-1])
    fake = game.generator(values)
    shown = {"real": real, "fake": fake}
    for which, images in shown.items():
        row, moves = batch[2][f"seen/{which}"], []
        for name in game.augment:
            one, own = AUGMENTATIONS[name], row[:, : AUGMENTATIONS[name].numbers]
            row = row[:, one.numbers :]
            if one.places is not None:
                moves.append((one.places, own, 1.0))
                if name == "elastic":  # the last of them: all are one resampling
                    images = augmentations._moved(images, moves)
            else:
                images = one.apply(images, own, 1.0)
        shown[which] = images
    told = game.spec.reveal(values, known)
    return game, batch, shown["fake"], shown["real"], told, values


@pytest.mark.parametrize("backbone", PLAYED)
@pytest.mark.parametrize("member", FAMILY)
def test_each_players_terms_are_those_of_the_transformed_images(member, backbone):
    objective = "relativistic"  # the generator's loss looks at real images too
    game, batch, fake, real, told, values = looked(FAMILY[member], backbone, objective)
    on_fake, on_real = game.critic(fake, told, False), game.critic(real, told, True)
    players = OBJECTIVES[objective]
    right = players.critic(on_fake.logit, on_real.logit).mean()
    read = game.spec.recognition(
        on_fake.params, values, lambda c: c.learns == "both" or not c.given
    )
    real_read = game.spec.recognition(on_real.params, batch[1])
    right = right + sum(read.values()) + sum(real_read.values())
    assert_same(total(game.critic_terms(*batch)), right, game.critic)
    right = players.generator(on_fake.logit, on_real.logit.detach()).mean()
    right = right + sum(game.spec.recognition(on_fake.params, values).values())
    assert_same(total(game.generator_terms(*batch)), right, game.generator)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.001])
@pytest.mark.parametrize("penalty", ["r1", "r2"])
def test_a_penalty_is_on_the_slope_at_what_the_critic_sees(penalty, share):
    game, batch, fake, real, told, _ = looked(
        FAMILY["cgan"], penalties={penalty: 2.0}, penalty_share=share
    )
    count = max(2, round(share * len(real)))
    few = (
        torch.arange(count) * len(real) // count
    )  # the same rows of images and what is told of them
    shown = {n: Told(one.encoding[few], one.known[few]) for n, one in told.items()}
    right = 2 * PENALTIES[penalty](
        lambda x, o: game.critic(x, shown, o).logit, real[few], fake[few]
    )
    for terms in (game.critic_terms(*batch), game.terms_together(*batch).critic):
        assert_same(terms[f"penalty/{penalty}"], right, game.critic)


def test_the_third_player_reads_the_transformed_images():
    game, batch, fake, real, told, values = looked(FAMILY["acgan"], recogniser="joint")
    read = game.spec.recognition(game.critic(fake, told, False).params, values)
    read_real = game.spec.recognition(game.critic(real, told, True).params, batch[1])
    right = sum(read.values()) + sum(read_real.values())
    for network in (game.critic, game.generator):
        assert_same(total(game.recognition_terms(*batch)), right, network)


@pytest.mark.parametrize(
    ("member", "recogniser", "penalties"),
    [
        ("gan", "critic", {}),
        ("cgan", "critic", {"r1": 1.0}),
        ("acgan", "heads", {}),
        ("infogan", "critic", {"r2": 1.0}),
        ("infogan", "joint", {}),
    ],
)
@pytest.mark.parametrize("backbone", PLAYED)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_each_player_moves_along_its_own_gradient_under_every_schedule(
    member, schedule, backbone, recogniser, penalties
):
    game, batch, *_ = looked(FAMILY[member], backbone, recogniser=recogniser, penalties=penalties)
    after, critic, generator, other = played(schedule, game, batch)
    right = textbook(schedule, game, batch, other, after.critic.state_dict())
    assert_near(critic, right[0], 1e-5)
    assert_near(generator, right[1], 1e-5)


@pytest.mark.parametrize("member", ONE_WALK)
def test_one_walk_through_the_critic_still_serves_both(member):
    game, batch, *_ = looked(FAMILY[member])
    again = copy.deepcopy(game)
    assert part_gradients(game, game.terms_together(*batch))
    assert not part_gradients(again, again.terms_together(*batch), rescale=False)
    ours, theirs = ([p.grad for p in g.generator.parameters()] for g in (game, again))
    assert_near(ours, theirs)


# ---------------------------------------------------------------------- in a run
def test_two_steps_and_two_more_are_four(tmp_path, monkeypatch):
    monkeypatch.setattr(training.sheets, "write_samples", lambda *_: [])  # draws no random number
    settings = [f"augment={EVERY}", "schedule=reuse", "r1=0.1", "objective=relativistic"]
    colour = {"data": tiny.source(channels=3, side=20)}
    once = tiny.train("acgan-infogan", *settings, out=tmp_path / "once", steps=4, **colour)
    twice = tiny.train("acgan-infogan", *settings, out=tmp_path / "twice", steps=2, **colour)
    tiny.train("acgan-infogan", *settings, out=tmp_path / "twice", steps=4, **colour)
    assert tiny.same(tiny.state(once), tiny.state(twice))


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("shft", "Did you mean 'shift'"),
        ("flip,flip", "twice"),
        ("flip,,cutout", "flip, rotate"),
        ("shift*0", "rotate*1.7"),
        ("shift*x", "at most 10"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(said, answer):
    with pytest.raises(ConfigError, match=r"game\.augment") as error:
        config.load("gan", [f"augment={said}"])
    assert answer in str(error.value)


def test_the_order_it_is_written_in_makes_no_other_run(capsys):
    one, other = (config.load("gan", [f"augment={s}"]) for s in ("cutout, flip", "flip,cutout"))
    assert one == other and one.game.augment == "flip,cutout"
    one, other = (
        config.load("gan", [f"augment={s}"]) for s in ("shift * 0.50,flip*1", "flip,shift*.5")
    )
    assert one == other and one.game.augment == "flip,shift*0.5"
    assert cli.run(["list", "augmentations"]) == 0
    text = capsys.readouterr().out
    assert all(name in text and one.about in text for name, one in AUGMENTATIONS.items())
