"""Laws of every two-player objective, over logits."""

import math

import pytest
import torch

from gander.objectives import OBJECTIVES

LOG2 = math.log(2)
AT_ZERO = {  # the published losses of an undecided critic: (critic's, generator's)
    "minimax": (2 * LOG2, -LOG2),
    "nonsaturating": (2 * LOG2, LOG2),
    "least-squares": (0.5, 0.5),
    "hinge": (2.0, 0.0),
    "wasserstein": (0.0, 0.0),
    "relativistic": (LOG2, LOG2),
}
BEST = {  # the critic's best answer where real images are p and fakes q as likely
    "minimax": lambda p, q: math.log(p / q),
    "nonsaturating": lambda p, q: math.log(p / q),
    "least-squares": lambda p, q: p / (p + q),
    "hinge": lambda p, q: math.copysign(1, p - q),
}
everyone = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES.keys())


def slopes(loss, fake, real):
    fake, real = fake.clone().requires_grad_(True), real.clone().requires_grad_(True)
    total = loss(fake, real).sum() + 0 * (fake.sum() + real.sum())
    return torch.autograd.grad(total, (fake, real))


@everyone
def test_losses_are_one_per_sample_and_know_no_neighbour(objective):
    fake, real = torch.randn(2, 7, generator=torch.Generator().manual_seed(0))
    for loss in (objective.critic, objective.generator):
        whole = loss(fake, real)
        assert whole.shape == (7,)
        singly = torch.cat([loss(f[None], r[None]) for f, r in zip(fake, real, strict=True)])
        torch.testing.assert_close(whole, singly)


@everyone
def test_the_critic_wants_real_up_and_fake_down_and_the_generator_wants_fake_up(objective):
    undecided = torch.tensor([0.2, 0.5, 0.8])
    down, up = slopes(objective.critic, undecided, undecided)
    assert (down > 0).all() and (up < 0).all()
    fooled, _ = slopes(objective.generator, undecided, undecided)
    assert (fooled < 0).all()


@pytest.mark.parametrize("name", AT_ZERO)
def test_an_undecided_critic_costs_what_was_published(name):
    zero = torch.zeros(1)
    critic, generator = AT_ZERO[name]
    assert OBJECTIVES[name].critic(zero, zero).item() == pytest.approx(critic)
    assert OBJECTIVES[name].generator(zero, zero).item() == pytest.approx(generator)


@pytest.mark.parametrize("name", BEST)
@pytest.mark.parametrize(("p", "q"), [(0.5, 0.5), (0.8, 0.2), (0.1, 0.6)])
def test_the_best_critic_is_the_published_one(name, p, q):
    if name == "hinge" and p == q:
        pytest.skip("every answer within the margin is as good")
    logits = torch.linspace(-4, 4, 8001)
    far = torch.full_like(logits, 0.0)
    alone = OBJECTIVES[name].critic(far, far)
    on_fake = OBJECTIVES[name].critic(logits, far) - alone
    on_real = OBJECTIVES[name].critic(far, logits) - alone
    best = logits[(q * on_fake + p * on_real).argmin()]
    assert best.item() == pytest.approx(BEST[name](p, q), abs=2e-3)


@everyone
def test_only_a_paired_generator_looks_at_real_images(objective):
    fake, real = torch.randn(2, 5, generator=torch.Generator().manual_seed(1))
    moved = not torch.equal(objective.generator(fake, real), objective.generator(fake, real + 1))
    assert moved == objective.paired
    if not objective.paired:
        assert torch.equal(objective.generator(fake, real[:0]), objective.generator(fake, real))


@pytest.mark.parametrize("name", ["minimax", "wasserstein"])
def test_zero_sum_games_give_the_generator_the_critics_slope_turned_round(name):
    fake, real = 3 * torch.randn(2, 9, generator=torch.Generator().manual_seed(2))
    critic, _ = slopes(OBJECTIVES[name].critic, fake, real)
    generator, _ = slopes(OBJECTIVES[name].generator, fake, real)
    torch.testing.assert_close(generator, -critic)


def test_a_losing_generator_still_learns_unless_the_game_saturates():
    lost = torch.tensor([-20.0])
    fades, _ = slopes(OBJECTIVES["minimax"].generator, lost, lost)
    holds, _ = slopes(OBJECTIVES["nonsaturating"].generator, lost, lost)
    assert fades.abs().item() < 1e-6 and holds.item() == pytest.approx(-1)


def test_only_the_difference_matters_to_a_relativistic_pair():
    fake, real = torch.randn(2, 9, generator=torch.Generator().manual_seed(3))
    for loss in OBJECTIVES["relativistic"][:2]:
        torch.testing.assert_close(loss(fake, real), loss(fake + 5, real + 5))


@everyone
def test_losses_and_slopes_are_finite_however_sure_the_critic_is(objective):
    sure = torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4])
    for loss in (objective.critic, objective.generator):
        assert torch.isfinite(loss(sure, -sure)).all()
        assert all(torch.isfinite(slope).all() for slope in slopes(loss, sure, -sure))


@everyone
def test_each_says_what_it_is_in_one_line(objective):
    assert objective.about and "\n" not in objective.about


@everyone
def test_the_middle_is_where_real_and_generated_images_trade_places(objective):
    """Reflected about it, with the two exchanged, the critic's loss is the same; so it is about every logit where only differences count."""
    fake, real = 3 * torch.randn(2, 50, generator=torch.Generator().manual_seed(1))

    def same(middle):
        swapped = objective.critic(2 * middle - real, 2 * middle - fake)
        return torch.allclose(swapped, objective.critic(fake, real), atol=1e-5)

    found = {middle for middle in (-1.0, -0.5, 0.0, 0.5, 1.0) if same(middle)}
    if objective.middle is None:
        assert len(found) in (0, 5), f"it has a middle: state middle={found}"
    else:
        assert same(objective.middle) and len(found) < 5
