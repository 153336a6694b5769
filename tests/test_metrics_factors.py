"""Disentanglement metrics face impostors: readings written by hand beside factors that are known.

What reads perfectly scores what the protocol can give, noise scores the floor, and a code said twice gets no credit twice.
"""

import functools

import numpy as np
import pytest
import torch

from gander import metrics, rng
from gander.codes import CodeSpec
from gander.data import Column, Data
from gander.kinds import Categorical, Uniform
from gander.metrics import CannotMeasure, Study, dci, factor_vae
from gander.study import dependence, factors, sharing
from gander.study.classifiers import explicitness

LIBRARY = ("mig", "sap", "factor_vae", "beta_vae", "modularity", "explicitness", "dci")
CR = ("mig_cr", "sap_cr", "factor_vae_cr", "beta_vae_cr", "modularity_cr", "explicitness_cr")
CR = (*CR, "dci_cr")
N, NAMES, LEVELS = 1000, ("shape", "scale", "turn", "x"), (3, 5, 8, 8)
TESTED = 1_000_000  # added to the number that is written into an image of the test split
CODES = "a:uniform,recognised b:uniform,recognised c:uniform,recognised d:uniform,recognised"
LINE = f"noise:gaussian(2) {CODES}"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few groups and rounds: what is tested is the kind of a score, not its last digit."""
    monkeypatch.setattr("gander.metrics.factor_vae.FITTED", 800)
    monkeypatch.setattr("gander.metrics.factor_vae.SCORED", 400)
    monkeypatch.setattr("gander.metrics.beta_vae.FITTED", 800)
    monkeypatch.setattr("gander.metrics.beta_vae.SCORED", 400)
    monkeypatch.setattr(dci, "ROUNDS", 5)
    monkeypatch.setattr(dci, "FLOOR_ROUNDS", 5)


def drawn(stream, count, columns):
    return rng.uniforms(0, f"test/{stream}", 0, count, columns)


def recorded(split, count=N, levels=LEVELS, names=NAMES):
    """Independent factors: a class, then numbers of so many values; 0 for a number of any value."""
    u = drawn(split, count, len(levels))
    columns = {}
    for k, (name, many) in enumerate(zip(names, levels, strict=True)):
        whole = torch.from_numpy((u[:, k] * (many or 1)).astype(np.int64))
        if k == 0:
            columns[name] = Column(name, "categorical", whole, tuple("abcdefgh"[:many]))
        else:
            values = whole.float() if many else torch.from_numpy(u[:, k]).float()
            columns[name] = Column(name, "continuous", values)
    place = torch.arange(count, dtype=torch.int32) + TESTED * (split == "test")
    images = place.view(torch.uint8).view(count, 1, 2, 2)
    return Data("made", "made", split, images, columns, names[0], (), tuple(names))


class Reader:
    """A model that reads by hand: ``read`` is what it says of a data set."""

    critic = object()

    def __init__(self, line, sets, read):
        columns = {"shape": Categorical(3)} | {n: Uniform(1, -1, 1) for n in NAMES[1:]}
        self.spec = CodeSpec.parse(line).resolve(columns, "shape")
        self.sets, self.says = sets, read

    def read(self, images):
        place = images.flatten(1).contiguous().view(torch.int32)[:, 0].long()
        data = self.sets[int(place[0]) // TESTED]
        said = self.says(data)
        return {name: torch.as_tensor(one).float()[place % TESTED] for name, one in said.items()}


def truth(data, noise=0.0):
    """Every factor as a number between -1 and 1, (N, 4)."""
    found = []
    for name in data.factors:
        values = data.columns[name].values.double()
        found.append(2 * (values - values.min()) / (values.max() - values.min()) - 1)
    return torch.stack(found, 1) + noise * torch.from_numpy(drawn("jitter", len(data), 4) - 0.5)


def study(read, line=LINE, sets=None):
    """``read`` turns a data set into what each code reads, (N, codes) or by name."""
    sets = sets or (recorded("train", N), recorded("test", N // 2))

    def by_name(data):
        said = read(data)
        if isinstance(said, dict):
            return said
        return {name: said[:, k : k + 1] for k, name in enumerate("abcd"[: said.shape[1]])}

    return Study(Reader(line, sets, by_name), sets[0], sets[1], 20)


def figures(name, read, **options):
    return metrics.find(name)(study(read, **options))


def figure(name, read, **options):
    return main(name, figures(name, read, **options))


def noise(data):
    return drawn(f"noise/{data.split}", len(data), 4) * 2 - 1


def still(data):
    return np.full((len(data), 4), 0.3)


def doubled(data):
    """The second factor read twice, the third not at all."""
    return truth(data)[:, [0, 1, 1, 3]]


def turned(data):
    """The first two and the last two factors, each pair turned by 45 degrees."""
    a, b, c, d = truth(data).unbind(1)
    return torch.stack([a + b, a - b, c + d, c - d], 1) / 2


@functools.cache
def perfect(name):
    """All figures of a metric for a perfect reader."""
    return figures(name, truth)


def main(name, found):
    return found[name] if name in found else found[f"{name}/lasso"]


# ---------------------------------------------------------------------- what is perfect, and what is nothing
PERFECT = {"mig": 0.95, "mig_cr": 0.95, "factor_vae": 1, "beta_vae": 0.99, "modularity": 0.99}
PERFECT |= {"factor_vae_cr": 1, "beta_vae_cr": 0.99, "modularity_cr": 0.99, "dci": 0.99}
PERFECT |= {"dci_cr": 0.99, "sap": 0.2, "sap_cr": 0.8, "explicitness": 0.8, "explicitness_cr": 0.8}


@pytest.mark.parametrize("name", (*LIBRARY, *CR))
def test_a_perfect_reader_scores_what_the_protocol_can_give(name):
    found = main(name, perfect(name))
    assert found.value >= PERFECT[name] - 1e-9
    assert found.value == pytest.approx(found.ceiling, abs=0.02)
    assert found.floor < found.value - 0.1


@pytest.mark.parametrize("name", (*LIBRARY, *CR))
def test_noise_scores_the_floor_and_stays_far_from_a_perfect_reader(name):
    # A lasso ignores noise only where there are images enough for it to be smaller than its weight.
    many = 10_000 if name == "dci_cr" else N
    sets = (recorded("train", many), recorded("test", many // 2))
    found = figure(name, noise, sets=sets)
    assert found.value == pytest.approx(found.floor, abs=0.12)
    assert found.value < main(name, perfect(name)).value - 0.1


@pytest.mark.parametrize("name", (*LIBRARY, *CR))
def test_one_and_the_same_reading_scores_no_more_than_nothing(name):
    found = figure(name, still)
    assert found.value == pytest.approx(found.floor, abs=0.05)
    assert 0 <= found.value <= (0.5 if "explicitness" in name else 0.35)


@pytest.mark.parametrize("name", ("mig", "mig_cr", "sap", "sap_cr"))
def test_a_code_said_twice_has_no_gap(name):
    """The factor read twice and the one not read at all both count nothing."""
    assert figure(name, doubled).value < 0.8 * main(name, perfect(name)).value


def test_a_factor_read_twice_has_no_gap_at_all():
    rows = factors.evidence_of(study(doubled)).fitted
    assert dependence.gaps(dependence.information(rows))[1] == 0


@pytest.mark.parametrize(
    ("name", "key"), (("dci", "dci_completeness"), ("dci_cr", "dci_cr_completeness/lasso"))
)
def test_a_code_said_twice_is_seen_in_completeness(name, key):
    def jittered(data):
        return doubled(data) + 0.4 * torch.from_numpy(drawn("more", len(data), 4) - 0.5)

    assert figures(name, jittered)[key].value < perfect(name)[key].value - 0.1


@pytest.mark.parametrize("name", ("mig", "mig_cr", "sap_cr", "modularity", "modularity_cr", "dci"))
def test_codes_that_mix_two_factors_score_less_than_the_axes(name):
    assert figure(name, turned).value < main(name, perfect(name)).value - 0.1


@pytest.mark.parametrize("way", ("", "_cr"))
def test_a_code_of_two_factors_loses_modularity_but_not_explicitness(way):
    def both(data):
        a, b, c, d = truth(data).unbind(1)
        return torch.stack([a, b, c + d, d], 1)

    modular, explicit = f"modularity{way}", f"explicitness{way}"
    assert figure(modular, both).value < main(modular, perfect(modular)).value - 0.02
    assert figure(explicit, both).value > main(explicit, perfect(explicit)).value - 0.05


@pytest.mark.parametrize("name", ("mig", "factor_vae", "factor_vae_cr", "modularity", "dci_cr"))
def test_a_scale_and_a_sign_change_nothing_that_is_said(name):
    def other(data):
        return truth(data, 0.1) * torch.tensor([-1.0, 3.0, -2.0, 1.0])

    same = figure(name, lambda data: truth(data, 0.1)).value
    assert figure(name, other).value == pytest.approx(same, abs=0.02)


# ---------------------------------------------------------------------- two protocols, never mixed
@pytest.mark.parametrize("name", (*LIBRARY, *CR))
def test_a_figure_has_the_name_of_its_own_protocol_and_says_so(name):
    for key, found in perfect(name).items():
        assert ("_cr" in key) == (name in CR)
        assert found.about.startswith("InfoGAN-CR" if name in CR else "disentanglement_lib")


def test_scoring_what_was_fitted_flatters_noise_and_holding_out_does_not(monkeypatch):
    """Many codes of noise and few groups: a vote by its own majority cannot be below chance."""
    monkeypatch.setattr("gander.metrics.factor_vae_cr.GROUPS", 40)
    monkeypatch.setattr("gander.study.sharing.GROUPS", 40)
    monkeypatch.setattr(factor_vae, "FITTED", 40)
    line = "noise:gaussian(2) many:uniform(12),recognised"

    def read(data):
        return {"many": torch.from_numpy(drawn(f"many/{data.split}", len(data), 12))}

    flattered = figure("factor_vae_cr", read, line=line).value
    honest = figure("factor_vae", read, line=line).value
    assert flattered > 0.4 and honest == pytest.approx(1 / 4, abs=0.1)


@pytest.mark.parametrize("name", ("factor_vae", "beta_vae", "sap", "explicitness"))
def test_what_reads_nothing_but_the_images_it_was_fitted_to_scores_nothing(name):
    found = figure(name, lambda data: truth(data) if data.split == "train" else noise(data))
    assert found.value < found.floor + 0.1


def test_the_forests_are_for_the_factors_of_dsprites_alone():
    names = ("shape", "scale", "orientation", "x")
    sets = [
        recorded(split, count, names=names) for split, count in (("train", N), ("test", N // 2))
    ]
    found = figures("dci_cr", truth, sets=tuple(sets))
    ways = ("lasso", "forest", "forest_ibgan")
    assert set(found) == {f"{n}/{w}" for n in ("dci_cr", "dci_cr_completeness") for w in ways}
    assert all(found[f"dci_cr/{way}"].value > 0.95 for way in ways)
    assert set(perfect("dci_cr")) == {"dci_cr/lasso", "dci_cr_completeness/lasso"}


# ---------------------------------------------------------------------- kinds of codes
def test_each_code_is_one_dimension_whatever_its_kind():
    """A category that is the shape, a switch, an angle that is the turn: a reader as perfect as any."""
    line = "noise:gaussian(2) k:categorical(3),recognised s:binary,recognised t:circular,recognised w:gaussian(2),recognised"

    def read(data):
        shape = data.columns["shape"].values
        scale, turn, x = (data.columns[n].values.double() for n in NAMES[1:])
        angle = (turn + 0.5) / 8 * 2 * torch.pi - torch.pi
        wide = torch.stack([x, scale], 1)
        return {
            "k": torch.eye(3)[shape],
            "s": torch.zeros(len(data), 1),
            "t": angle[:, None],
            "w": wide,
        }

    evidence = factors.evidence_of(study(read, line=line))
    rows = evidence.fitted
    assert [code.name for code in rows.codes] == ["k", "s", "t", "w.0", "w.1"]
    assert [code.columns.shape[1] for code in rows.codes] == [3, 1, 2, 1, 1]
    assert rows.columns.shape == (N, 8) and (rows.by_code(np.ones(8)) == [3, 1, 2, 1, 1]).all()
    for name in ("mig", "factor_vae", "modularity_cr", "factor_vae_cr"):
        found = figure(name, read, line=line)
        # the switch that never moves tells nothing, and modularity averages over codes
        assert found.value > (0.75 if "modularity" in name else 0.95)
    assert len(evidence.everything) == N + N // 2
    assert (evidence.shuffled.fitted.codes[2].angle != rows.codes[2].angle).mean() > 0.8


def test_what_is_given_is_not_to_be_discovered():
    line = f"noise:gaussian(2) shape:given,recognised {CODES}"
    evidence = factors.evidence_of(study(truth, line=line))
    assert [f.name for f in evidence.fitted.factors] == list(NAMES[1:])
    assert evidence.given == ("shape",) and "given: shape" in evidence.about
    assert [code.name for code in evidence.fitted.codes] == list("abcd")


def test_a_number_of_any_value_is_cut_into_bins_of_equal_count():
    sets = tuple(recorded(s, N, levels=(3, 0, 8, 8)) for s in ("train", "test"))
    sets = (sets[0], recorded("test", N // 2, levels=(3, 0, 8, 8)))
    evidence = factors.evidence_of(study(truth, sets=sets))
    assert [f.count for f in evidence.fitted.factors] == [3, factors.BINS, 8, 8]
    counts = np.bincount(evidence.fitted.factors[1].levels)
    assert len(counts) == factors.BINS and counts.min() >= N // factors.BINS - 1
    order = np.argsort(evidence.scored.factors[1].values)
    assert (np.diff(evidence.scored.factors[1].levels[order]) >= 0).all()


def test_images_of_a_group_share_the_factor_and_nothing_else():
    rows = factors.evidence_of(study(truth)).fitted
    which = sharing.fixed(rows, 60, "t", 0)
    picked = sharing.sharing(rows, which, sharing.anyone(rows, 60, "t", 0, 1), "t", 0, 40)
    for k, factor in enumerate(rows.factors):
        different = [len(np.unique(factor.levels[group])) for group in picked[which == k]]
        others = [len(np.unique(factor.levels[group])) for group in picked[which != k]]
        assert set(different) == {1} and min(others) > 1
    one = sharing.anyone(rows, 60, "t", 0, 40)
    other = sharing.sharing(rows, which, one, "t", 0, 40)
    for k, factor in enumerate(rows.factors):
        assert (factor.levels[one] == factor.levels[other])[which == k].all()


def test_an_image_without_a_record_is_left_out():
    sets = (recorded("train"), recorded("test", N // 2))
    sets[0].columns["scale"].values[:700] = torch.nan
    sets[1].columns["shape"].values[:300] = -1
    evidence = factors.evidence_of(study(lambda d: truth(d).nan_to_num(), sets=sets))
    assert (len(evidence.fitted), len(evidence.scored)) == (N - 700, N // 2 - 300)
    assert not np.isnan(evidence.fitted.factors[1].values).any()


@pytest.mark.parametrize(
    ("line", "sets", "why"),
    [
        ("noise:gaussian(2) shape:given,recognised", None, "no code is discovered"),
        ("noise:gaussian(2) a:uniform,recognised", None, "one code alone"),
        (LINE, (recorded("train", 40), recorded("test", 40)), "fewer than 50 images"),
        (LINE, tuple(recorded(s, N, (3,), ("shape",)) for s in ("train", "test")), "two recorded"),
    ],
)
def test_what_cannot_be_measured_is_a_reason(line, sets, why):
    for name in ("mig", "dci_cr"):
        with pytest.raises(CannotMeasure, match=why):
            figures(name, truth, line=line, sets=sets)


def test_a_model_without_its_critic_or_data_without_factors_is_a_reason():
    made = study(truth)
    made.model.critic = None
    with pytest.raises(CannotMeasure, match="critic"):
        metrics.find("mig")(made)
    bare = [Data("m", "m", s, recorded(s).images, {}, None, ()) for s in ("train", "test")]
    with pytest.raises(CannotMeasure, match="record no factor"):
        figures("mig", truth, sets=tuple(bare))


# ---------------------------------------------------------------------- the mathematics
def test_information_is_that_of_the_counts():
    coin, other = np.arange(1000) % 2, np.arange(1000) // 2 % 2
    assert dependence.mutual(coin, coin) == pytest.approx(np.log(2))
    assert dependence.mutual(coin, other) == pytest.approx(0, abs=1e-12)
    metric = pytest.importorskip("sklearn.metrics").mutual_info_score
    a, b = (drawn("a", 500, 2) * 5).astype(np.int64).T
    assert dependence.mutual(a, b) == pytest.approx(metric(a, b))


def test_a_code_is_cut_into_bins_of_equal_width_as_the_library_does():
    number = np.concatenate([drawn("w", 500, 1)[:, 0] ** 3, [0.0, 1.0]])
    code = factors.Reading("a", number[:, None])
    wanted = np.digitize(number, np.histogram(number, 20)[1][:-1]) - 1
    assert (dependence.discrete(code) == wanted).all()
    assert (dependence.discrete(factors.Reading("a", np.ones((5, 1)))) == 10).all()


def test_concentration_is_1_for_one_and_0_for_all_alike():
    table = np.array([[0, 0, 3.0], [2, 2, 2], [0, 0, 0]])
    assert dependence.concentration(table) == pytest.approx([1, 0, 0], abs=1e-8)
    assert dependence.disentanglement(table) == pytest.approx(3 / 9, abs=1e-8)
    assert dependence.disentanglement(np.zeros((2, 3))) == pytest.approx(0, abs=1e-8)


def test_modularity_is_that_of_the_paper():
    table = np.array([[2.0, 0, 0], [1, 1, 0], [0, 0, 0]])
    assert dependence.modularity(table) == pytest.approx((1 + (1 - 1 / 2) + 0) / 3)


def test_a_level_that_was_never_scored_does_not_spoil_the_area():
    evidence = factors.evidence_of(study(truth))
    few = factors.evidence_of(study(truth, sets=(recorded("train"), recorded("test", 60))))
    assert 0.5 < explicitness(evidence.fitted, few.scored, normalised=True) <= 1
