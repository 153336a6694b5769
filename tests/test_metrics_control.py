"""Whether orders are obeyed, categories are classes and densities are real: each asked of what knows everything and of impostors.

Models here are written by hand: what was ordered, drawn, read and judged is known exactly.
"""

import math

import numpy as np
import pytest
import torch

import tiny
from gander import history, judge, metrics, rng
from gander.codes import CodeSpec
from gander.data import Column, Data, taken
from gander.kinds import Categorical, Uniform
from gander.study import CannotMeasure, Study, parzen
from gander.study import modes as stacked
from gander.study.libraries import library

N, CLASSES = 2000, 4


def noise(seed, count=N):
    return torch.rand(count, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def shuffled(values, seed=0):
    return values[torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))]


class Painter:
    """Draws what ``paint`` makes of the values."""

    def __init__(self, spec, paint=None, critic=True):
        self.spec, self.paint, self.critic = spec, paint, object() if critic else None

    def values(self, seeds, **codes):
        drawn = self.spec.draw_at(seeds)
        return drawn | {name: torch.tensor(values) for name, values in codes.items()}

    def render(self, values):
        return self.paint(values)


def spec(line, classes=CLASSES):
    columns = {"digit": Categorical(classes), "slant": Uniform(1, -3, 5)}
    return CodeSpec.parse(line).resolve(columns, "digit")


def recorded(digits=None, slants=None, images=None):
    digits = torch.arange(N) % CLASSES if digits is None else digits
    slants = 1 + 4 * noise(1, len(digits)) if slants is None else slants
    columns = {
        "digit": Column("digit", "categorical", digits, tuple("0123456789"[:CLASSES])),
        "slant": Column("slant", "continuous", slants),
    }
    images = torch.zeros(len(digits), 1, 4, 4, dtype=torch.uint8) if images is None else images
    return Data("made", "made", "test", images, columns, "digit", ())


def study(line, judged=None, readings=None, data=None, judged_test=None, critic=True):
    data = data or recorded()
    made = Study(Painter(spec(line), critic=critic), data, data, N)
    made.__dict__["judged"] = judged(made.values) if judged else {}
    made.__dict__["judged_test"] = judged_test or {n: c.values for n, c in data.columns.items()}
    made.__dict__["readings"] = readings or {}
    return made


def measured(name, *arguments, **options):
    return metrics.find(name)(study(*arguments, **options))


# ---------------------------------------------------------------------- given numbers
SLANT = "noise:gaussian(2) slant:given,shown"


def drawn_as(how):
    return {"judged": lambda values: {"slant": how(values["slant"][:, 0])}}


def test_a_number_drawn_as_ordered_is_read_back_whole_and_calibrated():
    assert measured("r2", SLANT, **drawn_as(lambda y: y))["r2/slant"].value == pytest.approx(1)
    found = measured("calibration", SLANT, **drawn_as(lambda y: y))
    assert found["calibration/slant"].value == pytest.approx(1)
    assert found["calibration_error/slant"].value == pytest.approx(0, abs=1e-6)


def test_the_ceiling_is_what_the_judge_reads_in_real_images():
    truth = recorded().columns["slant"].values
    blurred = {"slant": truth + noise(5)}
    made = study(SLANT, **drawn_as(lambda y: y + noise(6)), judged_test=blurred)
    r2 = metrics.find("r2")(made)["r2/slant"]
    assert r2.value == pytest.approx(r2.ceiling, abs=0.01) and 0.9 < r2.ceiling < 0.96
    found = metrics.find("calibration")(made)
    assert found["calibration_error/slant"].floor_is == "real"
    assert 0 < found["calibration_error/slant"].floor < 0.05
    assert found["calibration/slant"].ceiling is None


@pytest.mark.parametrize(
    ("how", "r2", "slope", "error"),
    [
        (lambda y: torch.full_like(y, 1.0), 0, 0, 0.87),  # one and the same image
        (lambda y: shuffled(y), -1, 0, 0.87),  # right numbers in the wrong images
        (lambda y: y + 2.0, 0.25, 1, 0.87),  # obeys, but always too much
        (lambda y: 1 + 0.5 * (y - 1), 0.75, 0.5, 0.43),  # timid
        (lambda y: 1 + 2 * (y - 1), 0, 2, 0.87),  # exaggerates
        (lambda y: 2 - y, -3, -1, 1.73),  # backwards
    ],
)
def test_an_impostor_of_obedience_is_seen_by_one_of_the_three(how, r2, slope, error):
    assert measured("r2", SLANT, **drawn_as(how))["r2/slant"].value == pytest.approx(r2, abs=0.08)
    found = measured("calibration", SLANT, **drawn_as(how))
    assert found["calibration/slant"].value == pytest.approx(slope, abs=0.08)
    assert found["calibration_error/slant"].value == pytest.approx(error, abs=0.08)


def test_real_images_are_as_well_calibrated_as_the_judge_is_in_any_number():
    """The judge's error is the same on both sides, and there are ten times as many real images."""
    truth = 1 + 4 * noise(1, 10 * N)
    data = recorded(torch.arange(10 * N) % CLASSES, truth)
    blurred = {"slant": truth + 4 * noise(5, 10 * N)}
    made = study(SLANT, **drawn_as(lambda y: y + 4 * noise(6)), data=data, judged_test=blurred)
    figure = metrics.find("calibration")(made)["calibration_error/slant"]
    assert figure.ratio == pytest.approx(1, abs=0.35)


def test_rows_without_a_number_say_nothing_of_the_judge():
    data = recorded(slants=torch.where(noise(8) > 0, 4 * noise(1), torch.nan))
    made = study(SLANT, **drawn_as(lambda y: y), data=data)
    assert metrics.find("r2")(made)["r2/slant"].ceiling == pytest.approx(1)


# ---------------------------------------------------------------------- given classes
def test_the_error_of_a_share_is_the_binomial_one():
    half = {"judged": lambda v: {"digit": torch.where(torch.arange(N) < N // 2, v["digit"], 9)}}
    figure = measured("label_accuracy", "noise:gaussian(2) digit:given,shown", **half)
    assert figure["label_accuracy/digit"].error == pytest.approx(0.5 / math.sqrt(N))


def test_two_given_categories_are_ordered_in_equal_numbers_and_independently():
    columns = {"digit": Categorical(4), "colour": Categorical(4)}
    line = CodeSpec.parse("noise:gaussian(2) digit:given,shown colour:given,shown")
    made = Study(Painter(line.resolve(columns, "digit")), recorded(), recorded(), N)
    pairs = torch.bincount(4 * made.values["digit"] + made.values["colour"], minlength=16)
    assert pairs.min() > N / 16 * 0.8
    for name in columns:
        assert torch.bincount(made.values[name]).tolist() == [N // 4] * 4
    later = made.ordered(10, first=6)
    assert all(torch.equal(later[name], made.values[name][6:16]) for name in columns)


# ---------------------------------------------------------------------- discovered categories
CLUSTERS = ("hungarian_accuracy", "purity", "nmi", "ari")
DIGITS = torch.arange(N) % CLASSES


def clustered(clusters, size=CLASSES, data=None):
    """All four figures of a recogniser that puts the test images into these clusters."""
    line = f"noise:gaussian(2) category:categorical({size}),recognised"
    made = study(line, readings={"category": torch.eye(size)[clusters]}, data=data)
    return {name: metrics.find(name)(made)[f"{name}/category"] for name in CLUSTERS}


def test_a_perfect_reader_scores_the_ceiling_under_any_names():
    for figure in clustered((DIGITS + 3) % CLASSES).values():
        assert figure.value == pytest.approx(1) and figure.ceiling == pytest.approx(1)
        assert figure.floor < 0.31


def test_all_in_one_cluster_scores_the_floor():
    for figure in clustered(torch.zeros_like(DIGITS)).values():
        assert figure.value == pytest.approx(figure.floor)


def test_clusters_that_know_nothing_score_the_floor():
    for figure in clustered(shuffled(DIGITS, 4)).values():
        assert figure.value == pytest.approx(figure.floor, abs=0.03)


def test_clusters_that_know_another_property_score_the_floor():
    other = (torch.arange(N) // CLASSES) % CLASSES
    for figure in clustered(other).values():
        assert figure.value == pytest.approx(figure.floor, abs=0.03)


def test_more_clusters_than_classes_raise_the_purity_alone():
    mixed = torch.where(torch.arange(N) % 40 < 16, shuffled(DIGITS, 3), DIGITS)
    finer = mixed + CLASSES * (torch.arange(N) // CLASSES % 100)
    few, many = clustered(mixed), clustered(finer, CLASSES * 100)
    assert many["purity"].value > few["purity"].value + 0.05
    assert many["hungarian_accuracy"].value < 0.1 < few["hungarian_accuracy"].value
    assert many["ari"].value < few["ari"].value and many["nmi"].value < few["nmi"].value


def test_a_class_in_two_clusters_counts_once_for_hungarian():
    split = torch.where((DIGITS == 0) & (torch.arange(N) % 8 == 0), 4, DIGITS)
    found = clustered(split, 5)
    assert found["purity"].value == 1
    assert found["hungarian_accuracy"].value == pytest.approx(1 - 1 / 8)


def test_with_fewer_clusters_than_classes_the_ceiling_is_what_they_can_reach():
    found = clustered(DIGITS % 2, 2)
    assert found["hungarian_accuracy"].ceiling == found["purity"].ceiling == 0.5
    assert found["nmi"].ceiling == pytest.approx(2 / 3)
    for figure in found.values():
        assert figure.value == pytest.approx(figure.ceiling)


def test_the_larger_classes_are_what_few_clusters_can_get_right():
    digits = torch.tensor([0] * 100 + [1] * 300 + [2] * 200 + [3] * 400)
    found = clustered(torch.zeros(1000, dtype=torch.int64), 2, recorded(digits, torch.zeros(1000)))
    assert found["hungarian_accuracy"].ceiling == pytest.approx(0.7)
    assert found["purity"].ceiling == pytest.approx(0.7)


def test_images_without_a_label_are_left_out():
    digits = torch.where(torch.arange(N) < N // 2, DIGITS, -1)
    clusters = torch.where(torch.arange(N) < N // 2, DIGITS, 0)
    for figure in clustered(clusters, data=recorded(digits)).values():
        assert figure.value == pytest.approx(1)


def test_the_matching_is_the_best_in_total():
    from gander.metrics.hungarian_accuracy import hungarian

    clusters = torch.tensor([0] * 9 + [1] * 8)
    classes = torch.tensor([0] * 5 + [1] * 4 + [0] * 8)
    assert hungarian(clusters, classes) == pytest.approx(12 / 17)


# ---------------------------------------------------------------------- trained on drawn images
@pytest.fixture
def learner(monkeypatch):
    """A judge that learns the squares in a second."""
    monkeypatch.setattr(judge, "STEPS", 40)
    monkeypatch.setattr(judge, "BATCH", 32)


def squares(count, first=0):
    data = tiny.data(count + first)
    return taken(data, slice(first, None))


def classifier(labels):
    """A model that shows real squares; ``labels`` makes of an order the class that is shown."""
    train, test = taken(squares(96), shuffled(torch.arange(96), 9)), squares(40, first=96)
    columns = {"label": Categorical(CLASSES)}
    line = CodeSpec.parse("noise:gaussian(2) label:given,shown").resolve(columns, "label")
    shown = train.columns["label"].values

    def paint(values):
        wanted = labels(values["label"])
        rows = [(shown == k).nonzero()[:, 0] for k in wanted]
        return torch.stack([train.images[r[i % len(r)]] for i, r in enumerate(rows)])

    made = Study(Painter(line, paint), train, test, 96)
    made.__dict__["judged_test"] = {"label": test.columns["label"].values}
    return metrics.find("train_on_generated")(made)["train_on_generated/label"]


def test_a_classifier_that_learned_from_true_images_knows_real_ones(learner):
    figure = classifier(lambda wanted: wanted)
    assert figure.value >= 0.95 and (figure.floor, figure.ceiling) == (0.25, 1.0)


def test_a_classifier_that_learned_from_lies_knows_nothing(learner):
    assert classifier(lambda wanted: shuffled(wanted)).value < 0.6
    assert classifier(lambda wanted: torch.zeros_like(wanted)).value == pytest.approx(0.25, abs=0.2)
    assert classifier(lambda wanted: (wanted + 1) % CLASSES).value < 0.1


# ---------------------------------------------------------------------- Parzen
SIDE = 6


def blobs(count, seed):
    """Smooth random images: a bright spot at a random place, (count, 1, SIDE, SIDE) uint8."""
    at = torch.from_numpy(rng.uniforms(seed, "blobs", 0, count, 2)).float() * (SIDE - 1)
    grid = torch.arange(SIDE).float()
    down = (grid[None, :] - at[:, :1]).square()[:, :, None]
    across = (grid[None, :] - at[:, 1:]).square()[:, None, :]
    return (255 * torch.exp(-(down + across) / 2)).round().to(torch.uint8).unsqueeze(1)


@pytest.fixture
def blob_figures(monkeypatch, tmp_path):
    """The figures of a painter of blobs, of 300 centres instead of 10,000."""
    monkeypatch.setenv("GANDER_CACHE", str(tmp_path))
    monkeypatch.setattr(parzen, "CENTRES", 300)
    monkeypatch.setattr("gander.metrics.parzen.CENTRES", 300)
    train = Data("blobs", "blobs", "train", blobs(1800, 0), {}, None, ())

    def measured(paint, seed=1):
        test = Data("blobs", "blobs", "test", blobs(500, seed), {}, None, ())
        painter = Painter(CodeSpec.parse("noise:gaussian(2)"), lambda values: paint(train))
        return metrics.find("parzen")(Study(painter, train, test, 20))

    return measured


def test_the_likelihood_is_that_of_the_formula():
    images, centres = torch.rand(7, 5), torch.rand(11, 5)
    from scipy.stats import multivariate_normal

    for sigma, found in zip(
        (0.1, 1.0), parzen.log_likelihood(images, centres, (0.1, 1.0)), strict=True
    ):
        density = np.mean(
            [
                multivariate_normal(c.double().numpy(), sigma**2).pdf(images.double().numpy())
                for c in centres
            ],
            axis=0,
        )
        assert np.allclose(found.numpy(), np.log(density), atol=1e-4)


def test_the_likelihood_is_finite_where_every_density_is_zero():
    far = parzen.log_likelihood(torch.ones(3, 3072), torch.zeros(4, 3072), (0.1,))
    expected = -3072 / (2 * 0.01) - 3072 * math.log(0.1 * math.sqrt(2 * math.pi))
    assert far[0].tolist() == pytest.approx([expected] * 3, rel=1e-5)


def test_rows_in_many_pieces_are_the_same_rows(monkeypatch):
    images, centres = torch.rand(23, 5), torch.rand(11, 5)
    whole = parzen.log_likelihood(images, centres, parzen.SIGMAS)
    monkeypatch.setattr(parzen, "ROWS", 4)
    assert torch.allclose(parzen.log_likelihood(images, centres, parzen.SIGMAS), whole)


def test_when_to_stop_is_chosen_without_a_look_at_the_test_images(blob_figures):
    one, other = (blob_figures(lambda train: train.images[:300], seed) for seed in (1, 2))
    assert one["parzen_validation"] == other["parzen_validation"]
    assert one["parzen"].value != other["parzen"].value
    assert history.DIRECTIONS["parzen_validation"] == "higher"


def test_real_images_score_their_floor_and_k_means_more(blob_figures):
    found = blob_figures(
        lambda train: (parzen.real_centres(train) * 255).round().byte().view(-1, 1, SIDE, SIDE)
    )
    figure = found["parzen"]
    assert figure.value == pytest.approx(figure.floor, abs=1e-3)
    held = found["parzen_validation"]
    assert held.value == pytest.approx(held.floor, abs=1e-3)
    assert figure.ratio is None  # a log-likelihood has no zero
    assert found["parzen_k_means"].value > figure.floor + figure.error
    assert found["parzen_k_means"].floor == figure.floor and figure.ceiling is None


def test_the_metric_can_be_gamed_and_says_so(blob_figures):
    found = blob_figures(
        lambda train: (parzen.centroids(train) * 255).round().byte().view(-1, 1, SIDE, SIDE)
    )
    assert found["parzen"].value == pytest.approx(found["parzen_k_means"].value, abs=0.5)
    assert found["parzen"].value > found["parzen"].floor and "k-means" in found["parzen"].about


def test_constant_and_repeated_images_are_far_below(blob_figures):
    constant = torch.full((300, 1, SIDE, SIDE), 128, dtype=torch.uint8)
    repeated = blobs(1, 5).expand(300, 1, SIDE, SIDE)
    for images in (constant, repeated):
        figure = blob_figures(lambda _, images=images: images)["parzen"]
        assert figure.value < figure.floor - 10 * figure.error


def test_the_references_are_kept_and_a_damaged_file_is_made_again(
    blob_figures, tmp_path, monkeypatch
):
    first = blob_figures(lambda train: train.images[:300])
    (path,) = (tmp_path / "parzen").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(parzen, "centroids", None)
        assert blob_figures(lambda train: train.images[:300]) == first
    path.write_bytes(b"broken")
    assert blob_figures(lambda train: train.images[:300]) == first


def test_validation_is_the_published_one_for_mnist_and_never_among_the_centres():
    images = torch.zeros(60, 1, 2, 2, dtype=torch.uint8)
    for name in ("mnist", "other"):
        learned, held = parzen.parted(Data(name, name, "train", images, {}, None, ()))
        assert sorted([*learned.tolist(), *held.tolist()]) == list(range(60)) and len(held) == 10
    assert parzen.parted(Data("mnist", "", "train", images, {}, None, ()))[1].tolist() == list(
        range(50, 60)
    )
    assert held.tolist() != list(range(50, 60))


def test_an_end_of_the_grid_is_said(blob_figures):
    flat = blob_figures(lambda train: torch.zeros(300, 1, SIDE, SIDE, dtype=torch.uint8))
    sharp = parzen.likelihood(torch.zeros(5, 9), torch.zeros(4, 9), torch.zeros(3, 9))
    assert sharp.at_edge and sharp.sigma == pytest.approx(0.1)
    assert "an end of those tried" not in flat["parzen"].about


def test_a_centroid_without_images_stays_where_it_was():
    rows, centres = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [9.0]])
    assert parzen.means(rows, torch.zeros(2, dtype=torch.int64), centres).tolist() == [
        [1.0],
        [9.0],
    ]


# ---------------------------------------------------------------------- stacked modes
class Honest:
    """A judge of digits that are written into the first pixel."""

    def name(self, images):
        return {"digit": images[:, 0, 0, 0].long()}


def stack(modes):
    """Images (N, 3, 2, 2) that show these modes."""
    digits = torch.stack([modes // 100, modes // 10 % 10, modes % 10], 1)
    return digits.to(torch.uint8)[:, :, None, None].expand(-1, 3, 2, 2).contiguous()


@pytest.fixture
def stacked_figures(monkeypatch):
    """Both figures of a painter of stacked digits."""
    monkeypatch.setattr(stacked, "judge_of", lambda data: Honest())
    monkeypatch.setattr(stacked.sources, "load", lambda *words, **options: None)
    u = rng.uniforms(0, "stacks", 0, 60_000, 1)[:, 0]
    real = stack(torch.from_numpy((u * 1000).astype(np.int64)))
    train = Data("stacked-mnist", "stacked-mnist", "train", real, {}, None, ())

    def measured(paint):
        painter = Painter(CodeSpec.parse("noise:gaussian(2)"), paint)
        monkeypatch.setattr(painter, "values", lambda seeds: {"noise": torch.zeros(len(seeds), 2)})
        made = Study(painter, train, train, 20)
        return {**metrics.find("modes")(made), **metrics.find("mode_kl")(made)}

    return measured


def test_real_stacks_score_the_floor(stacked_figures):
    u = rng.uniforms(1, "stacks", 0, stacked.SAMPLES, 1)[:, 0]
    found = stacked_figures(lambda values: stack(torch.from_numpy((u * 1000).astype(np.int64))))
    assert found["modes"].value == found["modes"].floor == found["modes"].ceiling == 1000
    assert found["mode_kl"].value == pytest.approx(999 / 2 / stacked.SAMPLES, abs=2e-3)
    assert found["mode_kl"].ratio == pytest.approx(1, abs=0.15)


def test_one_repeated_stack_is_one_mode_and_a_few_are_few(stacked_figures):
    one = stacked_figures(lambda values: stack(torch.full((stacked.SAMPLES,), 729)))
    assert one["modes"].value == 1
    assert one["mode_kl"].value == pytest.approx(math.log(1000))
    gray = stacked_figures(lambda values: stack(111 * (torch.arange(stacked.SAMPLES) % 10)))
    assert gray["modes"].value == 10
    assert gray["mode_kl"].value == pytest.approx(math.log(100), abs=1e-3)


def test_the_images_are_drawn_and_judged_once_for_both(stacked_figures):
    calls = []
    stacked_figures(
        lambda values: calls.append(len(values["noise"])) or stack(torch.zeros(26_000).long())
    )
    assert calls == [26_000]


# ---------------------------------------------------------------------- what cannot be measured
@pytest.mark.parametrize(
    ("name", "line", "says"),
    [
        ("calibration", "noise:gaussian(2) digit:given,shown", "no number"),
        ("r2", "noise:gaussian(2) digit:given,shown", "no continuous"),
        ("train_on_generated", SLANT, "no class"),
        ("label_accuracy", SLANT, "no class"),
        ("modes", SLANT, "stacked-mnist"),
        ("mode_kl", SLANT, "stacked-mnist"),
        *((name, SLANT, "no category") for name in CLUSTERS),
    ],
)
def test_what_a_run_lacks_is_one_line(name, line, says):
    with pytest.raises(CannotMeasure, match=says) as why:
        measured(name, line)
    assert "\n" not in str(why.value)


def test_without_a_critic_or_labels_there_are_no_clusters():
    line = "noise:gaussian(2) category:categorical(4),recognised"
    with pytest.raises(CannotMeasure, match="weights"):
        measured("nmi", line, critic=False)
    with pytest.raises(CannotMeasure, match="labelled"):
        measured("nmi", line, data=recorded(torch.full((N,), -1)))


def test_a_library_that_is_not_there_is_a_reason_with_its_remedy(monkeypatch):
    assert library("math").pi == math.pi
    monkeypatch.setitem(__import__("sys").modules, "sklearn.metrics", None)
    with pytest.raises(CannotMeasure, match=r"needs scikit-learn: pip install 'gander\[metrics\]'"):
        library("sklearn.metrics")
