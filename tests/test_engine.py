"""The engine: a player's step moves that player alone, in any memory layout, on a device that exists."""

import pytest
import torch

import tiny
from gander import engine
from gander.batches import batch_at
from gander.engine import check_weights, find_device
from gander.errors import ConfigError, Diverged
from gander.momentum import Momentum
from gander.players import make_players, state
from gander.stepping import draws, step
from gander.tally import Tally


@pytest.mark.parametrize("name", ["tpu", "", "cuda:99", "meta", "cpu0", "é", "cuda:-1", "cuda:x"])
def test_an_unknown_device_is_refused_with_those_there(name):
    with pytest.raises(ConfigError, match="give cpu"):
        find_device(name)


def test_the_processor_is_always_there():
    assert find_device("cpu") == torch.device("cpu")
    assert find_device(None) == find_device("auto")


def test_what_is_left_to_the_engine_is_decided_and_told():
    machine = engine.start("cpu", "fp32", 1)
    assert (machine.precision, machine.threads) == ("fp32", 1)
    assert machine.description == "cpu, fp32, 1 thread"
    auto = engine.start("cpu", "auto", 1)
    assert auto.precision == ("bf16" if engine.has_bf16(torch.device("cpu")) else "fp32")
    assert torch.get_num_threads() == 1


def test_a_step_touches_only_its_own_player():
    machine = engine.start("cpu", "fp32", 1)
    mine, yours = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    yours.weight.grad = torch.full_like(yours.weight, 7.0)
    adam = machine.adam(list(mine.parameters()), 0.1, (0.5, 0.9))
    before = mine.weight.clone(), yours.weight.clone()
    machine.step(adam, {"a": yours(mine(torch.ones(2, 3))).sum(), "b": mine.weight.sum()})
    assert not torch.equal(before[0], mine.weight) and torch.equal(before[1], yours.weight)
    assert (yours.weight.grad == 7).all() and yours.bias.grad is None


@pytest.mark.parametrize(
    ("method", "kept"), [("adam", {"step", "exp_avg", "exp_avg_sq"}), ("sgd", {"velocity"})]
)
def test_everybody_learns_by_the_method_asked_for(method, kept):
    players = make_players(plan := tiny.plan("infogan-lsgan", f"method={method}"))
    step(plan, players, Tally())
    names = [name.split(".") for name in state(players) if name.startswith("optimiser.")]
    assert {who for _, who, *_ in names} == {"critic", "generator", "recogniser"}
    assert all({n[-1] for n in names if n[1] == who} == kept for who in players.optimisers)


@pytest.mark.parametrize("held", [False, True], ids=["numbers", "tensors"])
def test_descent_with_momentum_is_that_of_the_textbook_at_every_rate(held):
    """Also with both numbers in tensors, as a GPU records them."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(n, generator=generator, dtype=torch.float64) for n in (3, 5)]
    parameters = [torch.nn.Parameter(w.clone()) for w in weights]
    velocity = [torch.zeros_like(w) for w in weights]
    numbers = [torch.tensor(x, dtype=torch.float64) if held else x for x in (0.1, 0.5)]
    machine, own = engine.start("cpu", "fp32", 1), Momentum(parameters, *numbers)
    for turn in range(5):
        rate, momentum = 0.1 / (turn + 1), 0.5 + 0.1 * turn
        machine.set_rate(own, rate, momentum)
        assert isinstance(own.param_groups[0]["lr"], torch.Tensor) == held
        for i, p in enumerate(parameters):
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            velocity[i] = momentum * velocity[i] - rate * p.grad
            weights[i] = weights[i] + velocity[i]
        own.step()
        for p, w in zip(parameters, weights, strict=True):
            torch.testing.assert_close(p.detach(), w)


@pytest.mark.parametrize("backbone", ["dcgan", "article", "mlp"])
def test_fused_steps_are_plain_adam_whatever_the_memory_layout(backbone):
    """Fused Adam pairs weights, gradients and moments by their place in memory."""
    settings = (f"backbone={backbone}", "r1=0.1", "gradient=1", "c1.recognised=1")
    plan = tiny.plan("infogan", *settings, data=tiny.source(channels=3, side=20))
    players = make_players(plan)
    plain = {
        who: torch.optim.Adam(
            [p.detach().clone().contiguous() for g in adam.param_groups for p in g["params"]],
            lr=adam.param_groups[0]["lr"],
            betas=adam.param_groups[0]["betas"],
            foreach=False,
        )
        for who, adam in players.optimisers.items()
    }
    laid = set()
    for turn in range(3):
        step(plan, players, Tally())
        for who, adam in players.optimisers.items():
            own = [p for g in adam.param_groups for p in g["params"]]
            copies = [p for g in plain[who].param_groups for p in g["params"]]
            for p, copy in zip(own, copies, strict=True):
                laid.add(p.is_contiguous())
                copy.grad = None if p.grad is None else p.grad.clone().contiguous()
            plain[who].step()
            for p, copy in zip(own, copies, strict=True):
                assert torch.allclose(p, copy, atol=1e-5), (who, turn, p.shape)
    assert laid == ({True} if backbone == "mlp" else {True, False})


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_penalty_and_norm_can_be_played_in_every_precision(precision):
    settings = ("r1=0.1", "r2=0.1", "gradient=1", "critic_norm=spectral", f"precision={precision}")
    plan = tiny.plan("acgan-infogan", *settings)
    players, tally = make_players(plan), Tally()
    step(plan, players, tally)
    assert {"penalty/r1", "penalty/r2", "penalty/gradient"} <= tally.sums.keys()
    tally.means(plan.config, players.images_seen)


def test_the_precision_is_that_of_what_is_computed_inside():
    weight, x = torch.nn.Linear(4, 4), torch.ones(1, 4)
    for precision, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with engine.start("cpu", precision, 1).arithmetic():
            assert weight(x).dtype == kind
    assert weight(x).dtype == torch.float32


def test_what_is_no_number_passes_through_the_arithmetic_and_is_stopped_by_name():
    line = "noise:gaussian(4) c1:uniform,recognised c2:gaussian,recognised c3:circular,recognised"
    plan = tiny.plan("infogan", f"codes={line}")
    players = make_players(plan)
    with torch.no_grad():
        for parameter in players.game.critic.reader.parameters():
            parameter.fill_(float("nan"))
    real, known = batch_at(plan, 0)
    strict = torch.distributions.Distribution._validate_args
    with plan.machine.arithmetic():
        terms = players.game.critic_terms(real, known, draws(plan, "critic", 0))
    assert torch.distributions.Distribution._validate_args == strict
    tally = Tally(steps=1)
    tally.add(terms)
    with pytest.raises(Diverged, match=r"'fake/c.*' became nan in step 1, after 16 images"):
        tally.means(plan.config, 16)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_no_number_is_named(value):
    with pytest.raises(Diverged, match=r"'b'.*7,000 images"):
        check_weights({"a": torch.ones(2), "b": torch.tensor([1.0, value])}, 7000)
    check_weights({"n": torch.tensor(3), "a": torch.ones(2)}, 1)


def test_images_come_as_the_networks_see_them():
    batch = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    seen = engine.start("cpu", "fp32", 1).images(batch)
    assert (seen.min(), seen.max()) == (-1, 1) and seen.dtype == torch.float32
