"""Laws of every kind of code: drawn as its prior says, told without loss, read back by an honest density.

Statistical laws are checked at fixed seeds, with thresholds that a fresh seed would miss once in ten thousand.
"""

import dataclasses
import itertools
import json
import math
import tomllib

import numpy as np
import pytest
import tomli_w
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gander import kinds, rng
from gander.errors import CodeError
from gander.kinds import KINDS, Binary, Categorical, Circular, Gaussian, Uniform

FAILURE_RATE = 1e-4
N = 20_000
SKEWED = tuple(np.linspace(0, 1, 9) ** 3 * 10)
MEMBERS = {
    "gaussian": Gaussian(),
    "gaussian of 3": Gaussian(3),
    "uniform": Uniform(),
    "uniform of 2": Uniform(2, -2.0, 5.0),
    "quantiles": Uniform(1, 0.0, 10.0, SKEWED),
    "categorical": Categorical(4),
    "unequal": Categorical(3, (0.7, 0.2, 0.1), ("cat", "dog", "owl")),
    "a class that never comes": Categorical(3, (0.5, 0.0, 0.5)),
    "the first never": Categorical(3, (0.0, 0.5, 0.5)),
    "the last never": Categorical(3, (0.5, 0.5, 0.0)),
    "binary": Binary(),
    "multilabel": Binary(3, (0.1, 0.5, 0.9), ("hat", "tie", "bag")),
    "circular": Circular(),
    "circular of 2": Circular(2),
}
OWN_PRIOR = {name: kind for name, kind in MEMBERS.items() if name != "quantiles"}
CONTINUOUS = {name: kind for name, kind in OWN_PRIOR.items() if not kind.discrete}
DISCRETE = {name: kind for name, kind in MEMBERS.items() if kind.discrete}


def over(members):
    return pytest.mark.parametrize("kind", members.values(), ids=list(members))


def sample(kind, n=N, first=0):
    return kind.draw(rng.uniforms(0, "law", first, n, kind.uniforms))


def noise(rows, columns, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def perfect(kind, values):
    """What a recogniser says that knows the value and is sure of it."""
    told = kind.encode(values)
    return told * {"categorical": 100.0, "binary": 50.0, "circular": 1e4}.get(kind.name, 1.0)


def support(kind):
    if kind.name == "categorical":
        return torch.arange(kind.size)
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=kind.size)))


def test_every_kind_is_here():
    assert {kind.name for kind in MEMBERS.values()} == set(KINDS)
    assert all(cls.name == name for name, cls in KINDS.items())


# ---------------------------------------------------------------------- drawn
@over(MEMBERS)
def test_a_draw_has_its_shape_and_every_row_a_value(kind):
    values = sample(kind, 50)
    assert values.shape == (50, *kind.shape)
    assert values.dtype == (torch.int64 if kind.name == "categorical" else torch.float32)
    assert not kind.missing(values).any()
    assert torch.equal(values[20:30], sample(kind, 10, first=20))


@over(MEMBERS)
def test_the_extreme_uniforms_are_values_too(kind):
    for u in (0.0, 1 - 2.0**-53):
        values = kind.draw(np.full((2, kind.uniforms), u))
        assert torch.isfinite(kind.encode(values)).all()
        if kind.name in ("uniform", "circular"):
            ends = kind.slider()
            assert (values >= np.float32(ends["low"])).all() and (
                values <= np.float32(ends["high"])
            ).all()


@over(CONTINUOUS)
def test_samples_of_continuous_kinds_agree_with_the_prior(kind):
    values = sample(kind)
    probability = kind.prior().base_dist.cdf(values.double()).numpy()
    for column in probability.T:
        assert stats.kstest(column, "uniform").pvalue > FAILURE_RATE
    for a, b in itertools.combinations(probability.T, 2):
        assert stats.pearsonr(a, b).pvalue > FAILURE_RATE


@over(DISCRETE)
def test_samples_of_discrete_kinds_agree_with_the_prior(kind):
    values = sample(kind).reshape(N, -1)
    expected = kind.prior().log_prob(support(kind)).double().exp() * N
    counts = [
        int((values == value).all(1).sum()) for value in support(kind).reshape(len(expected), -1)
    ]
    assert sum(counts) == N and expected.sum().item() == pytest.approx(N, rel=1e-5)
    possible = expected > 1e-3
    assert not np.array(counts)[~possible.numpy()].any()
    wanted = expected[possible] / expected[possible].sum() * N
    assert stats.chisquare(np.array(counts)[possible.numpy()], wanted).pvalue > FAILURE_RATE


def test_quantiles_are_evenly_likely():
    values = sample(MEMBERS["quantiles"])[:, 0].numpy()
    probability = np.interp(values, SKEWED, np.linspace(0, 1, len(SKEWED)))
    assert stats.kstest(probability, "uniform").pvalue > FAILURE_RATE


@over({name: kind for name, kind in DISCRETE.items() if kind.probs and 0 in kind.probs})
def test_a_class_that_never_comes_never_comes(kind):
    edges = np.array([0.0, 0.5, 1 - 2.0**-53])[:, None]
    values = torch.cat([sample(kind), kind.draw(edges)])
    assert not (values == kind.probs.index(0)).any()


@over(OWN_PRIOR)
def test_the_entropy_is_the_priors(kind):
    p = {
        "categorical": lambda: getattr(kind, "probs", None) or (1 / kind.size,) * kind.size,
        "binary": lambda: [q for p in kind.probs or (0.5,) * kind.size for q in (p, 1 - p)],
    }.get(kind.name, tuple)()
    by_hand = {
        "gaussian": 0.5 * math.log(2 * math.pi * math.e) * math.prod(kind.shape),
        "uniform": math.log(2 * getattr(kind, "half", 1.0)) * math.prod(kind.shape),
        "circular": math.log(2 * math.pi) * math.prod(kind.shape),
    }.get(kind.name, -sum(q * math.log(q) for q in p if q))
    assert kind.entropy() == pytest.approx(by_hand, abs=1e-5)


# ---------------------------------------------------------------------- told
@over(MEMBERS)
def test_a_network_is_told_numbers_of_order_one(kind):
    told = kind.encode(sample(kind))
    assert told.shape == (N, kind.width) and told.dtype == torch.float32
    assert 0.2 < told.square().mean().sqrt() < 2


@over(MEMBERS)
def test_different_values_are_told_differently(kind):
    n = {"categorical": getattr(kind, "size", 0), "binary": 2}.get(kind.name, 9)
    values = kind.spread(n)
    assert values.shape == (n, *kind.shape)
    assert len(kind.encode(values).unique(dim=0)) == n
    values = sample(kind, 400)
    assert len(kind.encode(values).unique(dim=0)) == len(values.unique(dim=0))


@over(MEMBERS)
@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_a_spread_stays_in_the_prior_and_in_the_range_asked_for(kind, n):
    values = kind.spread(n)
    assert values.shape == (n, *kind.shape) and values.dtype == sample(kind, 1).dtype
    for low, high in [(-0.5, 0.25), (0.25, -0.5), (-9, -5), (50, 60)]:
        asked = kind.spread(n, low, high)
        assert asked.shape == values.shape
        if kind.discrete:
            assert torch.isin(asked, support(kind)).all()
        elif n > 1:
            assert (asked[0] == low).all() and (asked[-1] == high).all()


@over(DISCRETE)
def test_a_spread_can_be_of_one_value(kind):
    for value in (0, 1):
        assert (kind.spread(3, value, value) == value).all()


# ---------------------------------------------------------------------- read back
def densities(kind, params, values):
    """-log q(value | image) by hand, one a row."""
    if kind.name == "gaussian":
        return (0.5 * (values - params).square() + 0.5 * math.log(2 * math.pi)).sum(1)
    if kind.name == "uniform":
        half = (kind.high - kind.low) / 2
        mean = kind.low + (params + 1) * half
        return (
            0.5 * ((values - mean) / half).square() + math.log(half * math.sqrt(2 * math.pi))
        ).sum(1)
    if kind.name == "categorical":
        return F.cross_entropy(params, values, reduction="none")
    if kind.name == "binary":
        return F.binary_cross_entropy(params.sigmoid(), values, reduction="none").sum(1)
    x, y = params[:, : kind.size], params[:, kind.size :]
    bessel = torch.log(2 * math.pi * torch.special.i0(torch.hypot(x, y)))
    return (bessel - x * values.cos() - y * values.sin()).sum(1)


@over(MEMBERS)
def test_the_posterior_is_the_density_written_by_hand(kind):
    values, params = sample(kind, 60), noise(60, kind.params)
    belief = kind.posterior(params)
    assert belief.batch_shape == (60,) and belief.event_shape == kind.shape
    torch.testing.assert_close(
        -belief.log_prob(values), densities(kind, params, values), rtol=1e-4, atol=1e-5
    )


@over(MEMBERS)
def test_the_posterior_is_a_probability(kind):
    params = noise(4, kind.params)
    belief = kind.posterior(params[:, None].expand(-1, 1, -1).flatten(0, 1))
    if kind.discrete:
        every = torch.stack([belief.log_prob(v.expand(4, *kind.shape)) for v in support(kind)])
        torch.testing.assert_close(every.exp().sum(0), torch.ones(4))
        return
    if kind.shape != (1,):
        return
    turn = kind.name == "circular"
    grid = torch.linspace(-math.pi, math.pi, 2001) if turn else torch.linspace(-60, 60, 6001)
    every = torch.stack([belief.log_prob(v.expand(4, 1)) for v in grid])
    torch.testing.assert_close(
        torch.trapezoid(every.exp(), grid, dim=0), torch.ones(4), rtol=1e-3, atol=1e-3
    )


@over(MEMBERS)
def test_the_best_guess_of_a_perfect_reader_is_the_value(kind):
    values = sample(kind, 200)
    guess = kind.estimate(perfect(kind, values))
    assert guess.shape == values.shape
    assert not kind.missing(guess).any()
    torch.testing.assert_close(kind.encode(guess), kind.encode(values), rtol=1e-4, atol=1e-4)


@over(MEMBERS)
def test_a_perfect_reader_knows_all_there_is_to_know(kind):
    values = sample(kind)
    expected = kind.entropy() if kind.discrete else 1.0
    assert kind.ceiling == pytest.approx(expected)
    assert kind.information(perfect(kind, values), values) == pytest.approx(kind.ceiling, abs=1e-4)


@over(MEMBERS)
def test_an_ignorant_reader_knows_nothing(kind):
    values = sample(kind)
    assert kind.information(torch.zeros(N, kind.params), values) <= 1e-6


@over(DISCRETE)
def test_knowing_the_frequencies_is_knowing_nothing(kind):
    values = sample(kind)
    chances = torch.tensor(
        kind.probs or (1 / (kind.size if kind.name == "categorical" else 2),) * kind.size
    )
    logits = chances.logit() if kind.name == "binary" else chances.clamp_min(1e-9).log()
    assert kind.information(logits.expand(N, -1), values) == pytest.approx(0, abs=0.03)


@over(MEMBERS)
def test_nobody_knows_more_than_the_ceiling(kind):
    values = sample(kind, 500)
    for seed in range(5):
        assert kind.information(2 * noise(500, kind.params, seed), values) <= kind.ceiling


@over(MEMBERS)
@pytest.mark.parametrize("loss", ["likelihood", "elementwise", "profile"])
def test_every_loss_is_least_for_who_reads_right_and_finite_for_anyone(kind, loss):
    def lost(params, values):
        if loss == "likelihood":
            return -kind.posterior(params).log_prob(values).mean()
        if loss == "profile":
            return kind.profile(params, values, torch.ones(len(values), dtype=torch.bool))
        each = kind.elementwise(params, values)
        assert each.shape == (len(values),)
        return each.mean()

    values = sample(kind, 64)
    right = perfect(kind, values) if loss != "elementwise" or kind.discrete else kind.encode(values)
    for params in (torch.zeros_like(right), noise(64, kind.params), -right, right.roll(1, 0)):
        assert lost(right, values) < lost(params, values)
    for scale in (0.0, 1.0, 1e3):
        params = (scale * noise(64, kind.params)).requires_grad_(True)
        value = lost(params, values)
        assert torch.isfinite(value)
        assert torch.isfinite(torch.autograd.grad(value, params)[0]).all()


@over(MEMBERS)
def test_elementwise_losses_are_the_tutorials(kind):
    values, params = sample(kind, 60), noise(60, kind.params)
    told = kind.encode(values)
    by_hand = {
        "categorical": lambda: F.binary_cross_entropy(params.softmax(1), told, reduction="none"),
        "binary": lambda: F.binary_cross_entropy(params.sigmoid(), values, reduction="none"),
    }.get(kind.name, lambda: F.mse_loss(params, told, reduction="none"))()
    torch.testing.assert_close(
        kind.elementwise(params, values), by_hand.mean(1), rtol=1e-4, atol=1e-5
    )


@over(MEMBERS)
def test_the_profile_is_the_likelihood_under_the_best_variance_of_each_dimension(kind):
    values, params = sample(kind, 300), noise(300, kind.params)
    everyone = torch.ones(300, dtype=torch.bool)
    ours = kind.profile(params, values, everyone).item()
    if kind.name not in ("gaussian", "uniform"):
        assert ours == pytest.approx(
            -kind.posterior(params).log_prob(values).mean().item(), rel=1e-5
        )
        return
    error = values - kind.estimate(params)
    best = sum(
        stats.norm.logpdf(e, 0, math.sqrt(np.square(e).mean())).mean() for e in error.numpy().T
    )
    assert ours == pytest.approx(-best, abs=0.02)


# ---------------------------------------------------------------------- missing
@over(MEMBERS)
def test_a_row_that_holds_missing_is_missing(kind):
    values = sample(kind, 6)
    rows = torch.tensor([True, False, False, True, False, True])
    values[rows] = torch.tensor(kind.MISSING).to(values.dtype)
    assert torch.equal(kind.missing(values), rows)
    if kind.shape and kind.shape[0] > 1:
        partly = sample(kind, 6)
        partly[rows, -1] = math.nan
        assert torch.equal(kind.missing(partly), rows)


# ---------------------------------------------------------------------- as text
@over(MEMBERS)
def test_a_kind_survives_a_file(kind):
    text = tomli_w.dumps(kind.to_dict())
    assert kinds.from_dict(tomllib.loads(text)) == kind
    assert kinds.from_dict(json.loads(json.dumps(kind.to_dict()))) == kind
    assert dataclasses.replace(kind) == kind


@over(MEMBERS)
def test_a_slider_is_plain_and_starts_inside(kind):
    slider = kind.slider()
    assert json.loads(json.dumps(slider)) == slider
    assert slider["type"] in ("range", "choice", "switch", "dial")
    if "low" in slider:
        assert slider["low"] <= slider["start"] <= slider["high"]
        assert slider["size"] == kind.shape[0]
    else:
        assert len(slider["options"]) == kind.size and slider["start"] == 0


@over(MEMBERS)
def test_a_value_is_read_as_it_is_written(kind):
    for value in sample(kind, 20).reshape(-1).tolist():
        text = str(int(value)) if kind.discrete else repr(value)
        assert kind.parse(text) == value
    for i, name in enumerate(getattr(kind, "names", ())):
        if kind.name == "categorical":
            assert kind.parse(name) == i


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Binary(), "on", 1),
        (Binary(), "No", 0),
        (Binary(), "TRUE", 1),
        (Circular(), "90deg", math.pi / 2),
        (Circular(), "-180°", -math.pi),
        (Circular(), "0.5", 0.5),
        (Gaussian(), "-1.5e0", -1.5),
        (Categorical(3, None, ("2", "1", "0")), "2", 0),
    ],
)
def test_what_people_write_is_understood(kind, text, value):
    assert kind.parse(text) == pytest.approx(value)


@over(MEMBERS)
@given(
    text=st.text(max_size=8)
    | st.sampled_from(["", "nan", "inf", "-1", "²", "deg", "3.5", "9" * 400])
)
def test_what_is_no_value_is_refused_by_name(kind, text):
    try:
        value = kind.parse(text)
    except CodeError as error:
        assert repr(text) in str(error)
    else:
        assert isinstance(value, float) and math.isfinite(value)
        assert not kind.discrete or value in support(kind).flatten()


NAMED = {
    "none": ((), {"#2": 2, "2": 2}, ["#5", "x", "##2"]),
    "words": (tuple("abcde"), {"c": 2, "2": 2, "#2": 2}, ["#c", "#5", ""]),
    "numbers": (tuple("43210"), {"1": 3, "#1": 1}, ["5", "#5"]),
    "some": (("7", "#1", "5-2", "#3", "9"), {"7": 0, "#1": 1, "#0": 0, "5-2": 2}, ["1", "0", "5"]),
    "some words": (("cat", "#1", "#2", "#3", "#4"), {"cat": 0, "#0": 0, "#2": 2}, ["2", "0"]),
    "shared numbers": (("7", "7-2", "1", "1-2", "0"), {"1": 2, "#1": 1, "7-2": 1}, ["2", "3"]),
}


@pytest.mark.parametrize("case", NAMED)
def test_a_number_is_a_name_where_classes_are_called_by_numbers_else_an_index(case):
    names, understood, refused = NAMED[case]
    kind = Categorical(5, None, names)
    assert {text: kind.parse(text) for text in understood} == understood
    for text in refused:
        with pytest.raises(CodeError, match=r"of which there are 5|one of the 5 classes"):
            kind.parse(text)


def test_a_misspelt_class_is_answered_with_the_nearest():
    with pytest.raises(CodeError, match=r"'dgo'.*Did you mean 'dog'"):
        MEMBERS["unequal"].parse("dgo")


REFUSED = {
    "size 0": {"kind": "gaussian", "size": 0},
    "size text": {"kind": "uniform", "size": "3"},
    "size true": {"kind": "circular", "size": True},
    "size 2.5": {"kind": "binary", "size": 2.5},
    "one class": {"kind": "categorical", "size": 1},
    "no class": {"kind": "categorical"},
    "low above high": {"kind": "uniform", "low": 2.0, "high": 1.0},
    "endless": {"kind": "uniform", "low": 0.0, "high": math.inf},
    "low text": {"kind": "uniform", "low": "x"},
    "low list": {"kind": "uniform", "low": [1.0]},
    "quantiles of two numbers": {"kind": "uniform", "size": 2, "quantiles": [0.0, 1.0]},
    "falling quantiles": {"kind": "uniform", "quantiles": [0.5, 0.0]},
    "quantiles outside": {"kind": "uniform", "quantiles": [0.0, 2.0]},
    "too few chances": {"kind": "categorical", "size": 3, "probs": [0.5, 0.5]},
    "chances over one": {"kind": "categorical", "size": 2, "probs": [0.9, 0.9]},
    "negative chance": {"kind": "categorical", "size": 2, "probs": [1.5, -0.5]},
    "chance of text": {"kind": "binary", "size": 1, "probs": ["x"]},
    "chance of NaN": {"kind": "binary", "size": 1, "probs": [math.nan]},
    "too few names": {"kind": "categorical", "size": 3, "names": ["a", "b"]},
    "unknown kind": {"kind": "gausian"},
    "no kind": {"size": 3},
    "unknown setting": {"kind": "gaussian", "sise": 3},
}


@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED.keys())
def test_a_kind_that_makes_no_sense_is_refused(fields):
    with pytest.raises(CodeError):
        kinds.from_dict(fields)


def test_misspelt_kinds_and_settings_are_answered_with_the_nearest():
    with pytest.raises(CodeError, match=r"code 'z'.*'gausian'.*Did you mean 'gaussian'"):
        kinds.from_dict({"kind": "gausian"}, "code 'z'")
    with pytest.raises(CodeError, match=r"'sise'.*Did you mean 'size'"):
        kinds.from_dict({"kind": "gaussian", "sise": 3})


# ---------------------------------------------------------------------- columns of data
def test_a_categorical_column_keeps_its_frequencies_and_names():
    values = torch.tensor([0, 1, 1, 2, 1, -1, 0, 1, -1, 1])
    kind = kinds.of_column("categorical", values, ("a", "b", "c"))
    assert kind == Categorical(3, (0.25, 0.625, 0.125), ("a", "b", "c"))
    unseen = kinds.of_column("categorical", values, ("a", "b", "c", "d"))
    assert unseen.size == 4 and unseen.probs[3] == 0


def test_a_multilabel_column_keeps_each_labels_frequency():
    values = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [math.nan, 1.0]])
    assert kinds.of_column("multilabel", values, ("hat", "tie")) == Binary(
        2, (0.75, 0.25), ("hat", "tie")
    )


def test_an_angle_is_circular():
    assert kinds.of_column("angle", torch.tensor([0.5, math.nan, 6.0]), ()) == Circular()


@pytest.mark.parametrize("shift", [0.0, 3.0])
@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1.0, 1e6])
def test_a_continuous_column_is_redrawn_as_the_data_has_it_in_any_unit(unit, shift):
    data = (torch.exp(0.7 * noise(N, 1)[:, 0]) + shift) * unit
    holes = data.clone()
    holes[::7] = math.nan
    kind = kinds.of_column("continuous", holes, ())
    known = holes[~holes.isnan()]
    assert (kind.low, kind.high) == (known.min().item(), known.max().item())
    redrawn = sample(kind)[:, 0]
    assert redrawn.min() >= known.min() and redrawn.max() <= known.max()
    assert stats.ks_2samp(redrawn.numpy(), known.numpy()).pvalue > FAILURE_RATE


def test_a_long_column_is_redrawn_whatever_its_order():
    kind = kinds.of_column("continuous", torch.linspace(0, 1, 1_500_000), ())
    assert np.abs(np.asarray(kind.quantiles) - np.linspace(0, 1, len(kind.quantiles))).max() < 1e-3


EMPTY = {
    "categorical": torch.full((5,), -1),
    "multilabel": torch.full((5, 2), math.nan),
    "angle": torch.full((5,), math.nan),
    "continuous": torch.full((5,), math.nan),
}


@pytest.mark.parametrize("sort", EMPTY)
def test_a_column_without_any_value_has_nothing_to_steer(sort):
    with pytest.raises(CodeError, match="nothing to steer"):
        kinds.of_column(sort, EMPTY[sort], ())


def test_a_column_of_one_number_has_nothing_to_steer():
    with pytest.raises(CodeError, match="one number only"):
        kinds.of_column("continuous", torch.full((9,), 3.0), ())
