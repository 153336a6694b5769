"""Laws of the critic's slope penalties, on critics whose slope is known."""

import pytest
import torch

from gander.penalties import PENALTIES, slope

SHAPE = (2, 3, 4)
everyone = pytest.mark.parametrize("name", PENALTIES)


def images(seed, n=5):
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed))


def linear(weight):
    return lambda seen, of_real: (seen * weight).flatten(1).sum(1) + 3.0


def length(weight):
    return weight.square().sum().sqrt()


@everyone
def test_a_linear_critic_has_the_slope_of_its_weights(name):
    weight = images(9, 1)[0]
    known = {
        "r1": length(weight) ** 2 / 2,
        "r2": length(weight) ** 2 / 2,
        "gradient": (length(weight) - 1) ** 2,
    }
    penalty = PENALTIES[name](linear(weight), images(0), images(1))
    assert penalty.shape == ()
    torch.testing.assert_close(penalty, known[name])


@everyone
def test_the_critic_learns_from_its_own_slope(name):
    weight = images(9, 1)[0].requires_grad_(True)
    penalty = PENALTIES[name](linear(weight), images(0), images(1))
    (grad,) = torch.autograd.grad(penalty, weight)
    away = 1 - 1 / length(weight) if name == "gradient" else torch.tensor(0.5)
    torch.testing.assert_close(grad, (2 * away * weight).detach())


@everyone
def test_fakes_drawn_in_another_precision_are_as_good(name):
    weight = images(9, 1)[0]
    penalties = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        penalties.append(PENALTIES[name](linear(weight), images(0), images(1).to(dtype)))
    torch.testing.assert_close(*penalties, rtol=1e-2, atol=1e-2)


@everyone
def test_a_flat_critic_has_finite_gradients(name):
    weight = torch.zeros(SHAPE, requires_grad=True)
    penalty = PENALTIES[name](linear(weight), images(0), images(1))
    assert penalty.item() == (1.0 if name == "gradient" else 0.0)
    assert torch.isfinite(torch.autograd.grad(penalty, weight)[0]).all()


def test_r1_stands_on_real_images_r2_on_fakes_and_the_gradient_penalty_between():
    real, fake = images(0), images(1)
    stood = {}

    def bowl(name):  # its slope at x is x
        def score(seen, of_real):
            stood[name] = (seen.detach(), of_real)
            return seen.square().flatten(1).sum(1) / 2

        return score

    penalties = {name: PENALTIES[name](bowl(name), real, fake) for name in PENALTIES}
    where, of_real = stood["r1"]
    assert torch.equal(where, real) and of_real
    torch.testing.assert_close(penalties["r1"], real.square().sum((1, 2, 3)).mean() / 2)
    where, of_real = stood["r2"]
    assert torch.equal(where, fake) and not of_real
    torch.testing.assert_close(penalties["r2"], fake.square().sum((1, 2, 3)).mean() / 2)
    where, _ = stood["gradient"]
    share = ((where - real) / (fake - real)).flatten(1)
    assert (share > 0).all() and (share < 1).all()
    torch.testing.assert_close(share, share[:, :1].expand_as(share), rtol=1e-3, atol=1e-3)
    assert len(share[:, 0].unique()) == len(share)
    steep = where.square().sum((1, 2, 3)).sqrt()
    torch.testing.assert_close(penalties["gradient"], (steep - 1).square().mean())


@everyone
def test_images_receive_no_gradient(name):
    real, fake = images(0).requires_grad_(True), images(1).requires_grad_(True)
    weight = images(9, 1)[0].requires_grad_(True)

    def bowl(seen, of_real):
        return (weight * seen.square()).flatten(1).sum(1)

    PENALTIES[name](bowl, real, fake).backward()
    assert real.grad is None and fake.grad is None and weight.grad is not None


def test_the_slope_is_each_images_own():
    def score(seen, of_real):
        return seen.flatten(1).pow(3).sum(1)

    steep = slope(score, images(0), True)
    assert steep.shape == images(0).shape
    torch.testing.assert_close(steep, 3 * images(0).square())
