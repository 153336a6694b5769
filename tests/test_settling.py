"""The critic that is saved reads under the statistics of what is drawn now; the one that trains is left alone."""

import copy
from dataclasses import replace

import pytest
import torch

import tiny
from gander import model as models
from gander.images import to_unit
from gander.norms import SplitNorm, settling
from gander.players import make_players, model_of, settled, state
from gander.stepping import Steps
from gander.tally import Tally


def played(preset, *settings, steps=12):
    """A plan, and players that have moved fast."""
    plan = tiny.plan(preset, "critic_rate=0.01", "generator_rate=0.01", *settings)
    players = make_players(plan)
    game = Steps(plan, players, Tally())
    for _ in range(steps):
        game.step()
    game.close()
    return plan, players


def norms(critic):
    return [module for module in critic.modules() if isinstance(module, SplitNorm)]


def drawn(plan, players, count=512):
    values = plan.spec.draw_at(range(count))
    with torch.no_grad():
        return values, model_of(plan, players).generator(values)


def read(plan, critic, values, images, training):
    """What a copy of the critic reads in drawn images, under its kept statistics or those of the batch."""
    with torch.no_grad():
        told = plan.spec.reveal(values, {})
        return copy.deepcopy(critic).train(training)(images, told, real=False).params


def test_the_first_layers_statistics_are_those_of_what_is_drawn_and_of_real_images():
    plan, players = played("infogan")
    plan = replace(plan, images=tiny.data(count=256))
    critic = settled(plan, players)
    first, came = norms(critic)[0], []
    first.register_forward_pre_hook(lambda _, inputs: came.append(inputs[0]))
    values, images = drawn(plan, players)
    with torch.no_grad():
        critic(images, plan.spec.reveal(values, {}), real=False)
        critic(to_unit(plan.images.images), {}, real=True)
    for domain, seen in zip(("fake", "real"), came, strict=True):
        over = [0, *range(2, seen.dim())]
        batches = len(seen) // 64
        parts = seen.split(64) if domain == "fake" else [seen[k::batches] for k in range(batches)]
        within = torch.stack([part.var(over) for part in parts]).mean(0)
        followed = norms(players.game.critic)[0]
        for name, truth in (("mean", seen.mean(over)), ("var", within)):
            kept = first.get_buffer(f"{domain}_{name}")
            near = 1e-3 * float(truth.abs().max())
            torch.testing.assert_close(kept, truth, rtol=1e-3, atol=near)
            assert (followed.get_buffer(f"{domain}_{name}") - truth).abs().max() > 20 * near


@pytest.mark.parametrize("preset", ["infogan", "acgan-infogan", "infogan-views"])
def test_what_was_left_behind_no_longer_reads(preset):
    plan, players = played(preset)
    values, images = drawn(plan, players)
    knows = read(plan, players.game.critic, values, images, True)
    kept = read(plan, players.game.critic, values, images, False)
    now = read(plan, settled(plan, players), values, images, False)
    assert (now - knows).square().mean() < 0.2 * (kept - knows).square().mean()
    assert torch.equal(now, read(plan, model_of(plan, players).critic, values, images, False))


def test_what_trains_is_left_alone():
    plan, players = played("infogan")
    before = {n: t.clone() for n, t in state(players).items()}
    training = players.game.critic.training
    critic = settled(plan, players)
    model_of(plan, players)
    after = state(players)
    assert all(torch.equal(before[n], after[n]) for n in before)
    assert players.game.critic.training == training and not critic.training
    learned = dict(critic.named_parameters())
    assert all(torch.equal(t, learned[n]) for n, t in players.game.critic.named_parameters())
    assert all(norm.taking == 0 for norm in norms(critic))


def test_what_is_saved_reads_as_the_settled_critic_and_is_not_the_state(tmp_path):
    run = tiny.train("infogan", out=tmp_path / "run", steps=6)
    kept, saved = tiny.state(run), models.load(run).critic.state_dict()
    moved = {n for n, t in saved.items() if not torch.equal(t, kept[f"critic.{n}"])}
    assert moved and all(n.endswith(("_mean", "_var")) for n in moved)
    cut = tiny.train("infogan", out=tmp_path / "cut", steps=3)
    tiny.train("infogan", out=cut, steps=6)
    again = models.load(cut).critic.state_dict()
    assert all(torch.equal(t, again[n]) for n, t in saved.items())


def test_a_critic_without_such_statistics_is_only_copied():
    plan, players = played("infogan", "critic_norm=spectral", steps=2)
    critic = settled(plan, players)
    assert not norms(critic)
    before = players.game.critic.state_dict()
    assert all(torch.equal(t, before[n]) for n, t in critic.state_dict().items())


def test_batches_are_averaged_and_an_error_leaves_nothing_behind():
    norm = SplitNorm(3)
    batches = torch.randn(4, 8, 3, generator=torch.Generator().manual_seed(1)) * 3 + 1
    for place, batch in enumerate(batches):
        with settling(norm, place):
            torch.testing.assert_close(norm(batch).mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(norm.fake_mean, batches.mean((0, 1)))
    torch.testing.assert_close(norm.fake_var, batches.var(1).mean(0))
    with pytest.raises(ZeroDivisionError), settling(norm, 0):
        raise ZeroDivisionError
    assert norm.taking == 0 and torch.equal(norm.real_mean, torch.zeros(3))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_images_are_enough(count):
    plan, players = played("infogan", steps=1)
    plan = replace(plan, images=tiny.data(count=count))
    assert all(torch.isfinite(t).all() for t in settled(plan, players).state_dict().values())
