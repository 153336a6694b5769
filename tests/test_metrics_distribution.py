"""Distribution metrics face impostors: real images score their floor, and collapse, noise, swaps and copies each show where they should.

The images are handwritten digits, the features their pixels or a fixed projection of them, so that no network has to learn.
"""

import math
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image import kid

import tiny
from gander import data as sources
from gander import metrics
from gander.codes import CodeSpec
from gander.data import taken
from gander.kinds import Categorical
from gander.metrics import data_copying, ms_ssim
from gander.study import CannotMeasure, Study
from gander.study.classes import classes_of
from gander.study.distances import frechet, kernel
from gander.study.neighbours import between, nearest, squared

N, CLASSES, SIDE = 400, 10, 16
GLOBAL = ("frechet", "kernel", "precision", "recall", "density", "coverage")
INTRA = tuple(f"intra_{name}" for name in GLOBAL)
QUICK = ("frechet", "kernel", "recall", "intra_frechet", "intra_recall", "ms_ssim", "data_copying")
ALL = (*GLOBAL, *INTRA, "ms_ssim", "data_copying")
PAIRS_OF = ms_ssim.pairs_of


@pytest.fixture(autouse=True)
def few_pairs(monkeypatch):
    """Thousands of pairs a class are for figures that people compare; what is tested here shows with fewer."""
    monkeypatch.setattr(ms_ssim, "pairs_of", lambda _: 300)


class Pixels:
    """Features that are the pixels, or so many numbers made of them."""

    about = "pixels"

    def __init__(self, width=0):
        self.width = width

    def of_images(self, images):
        pixels = images.flatten(1).float() / 255
        return pixels @ random(pixels.shape[1], self.width) if self.width else pixels

    def of_data(self, data):
        return self.of_images(data.images)


class Album:
    """Draws from a list of images: the next of the class that was ordered, or the next of all."""

    critic = None

    def __init__(self, images, labels, ordered=True, obey=lambda label: label):
        line = "noise:gaussian(2)" + (" digit:given,recognised" if ordered else "")
        self.spec = CodeSpec.parse(line).resolve({"digit": Categorical(CLASSES)}, "digit")
        self.images, self.labels, self.obey = images, labels, obey

    def values(self, seeds, **codes):
        rows = torch.tensor(list(seeds)) % len(self.images)
        digits = torch.tensor(codes["digit"]) if codes else self.labels[rows]
        if codes:
            rows = torch.empty_like(digits)
            for k in range(CLASSES):
                own = (self.labels == self.obey(k)).nonzero()[:, 0]
                asked = (digits == k).nonzero()[:, 0]
                rows[asked] = own[torch.arange(len(asked)) % max(1, len(own))]
        return {"row": rows, "digit": digits}

    def render(self, values):
        return self.images[values["row"]]


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@cache
def splits():
    """Training, test and unseen real digits, equally many."""
    everything = sources.load("digits", "all", size=SIDE)
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(0))
    parts = [taken(everything, order[k * 599 : (k + 1) * 599]) for k in range(3)]
    return [replace(part, split=name) for part, name in zip(parts, ("train", "test", "new"), strict=True)]  # fmt: skip


def study(images=None, labels=None, ordered=True, n=N, features=None, **options):
    """Of a model that draws these images; without any, real ones that nobody saw."""
    train, test, new = splits()
    images = new.images if images is None else images
    labels = new.columns["digit"].values if labels is None else labels
    model = Album(images, labels, ordered, **options)
    made = Study(model, train, test, n, network=features or Pixels())
    if not ordered:  # a judge that is never wrong
        made.__dict__["judged"] = {"digit": made.values["digit"]}
    return made


IMPOSTORS = {
    "real": lambda new: study(),
    "unordered": lambda new: study(ordered=False),
    "constant": lambda new: study(torch.full_like(new.images, 128)),
    "repeated": lambda new: study(new.images[:1].expand_as(new.images)),
    "noise": lambda new: study(
        torch.randint(256, new.images.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ),
    "swapped": lambda new: study(obey=lambda label: (label + 1) % CLASSES),
    "dropped": lambda new: without(new, 3),
    "replayed": lambda new: study(splits()[0].images, splits()[0].columns["digit"].values),
    "jittered": lambda new: study(
        (splits()[0].images + 4 * random(599, 1, SIDE, SIDE)).clamp(0, 255).to(torch.uint8),
        splits()[0].columns["digit"].values,
    ),
}  # fmt: skip


def without(new, label):
    keep = new.columns["digit"].values != label
    return study(new.images[keep], new.columns["digit"].values[keep], ordered=False)


@cache
def figures(impostor):
    made = IMPOSTORS[impostor](splits()[2])
    found = {}
    for name in ALL:
        found |= metrics.find(name)(made)
    return found


def value(impostor, name):
    return figures(impostor)[name].value


# ---------------------------------------------------------------------- impostors
@pytest.mark.parametrize("impostor", IMPOSTORS)
def test_every_figure_is_finite_and_named_after_its_metric(impostor):
    for name, figure in figures(impostor).items():
        assert any(name == known or name.startswith(f"{known}_") for known in ALL)
        assert math.isfinite(figure.value) and math.isfinite(figure.floor), name
        assert figure.error is None or math.isfinite(figure.error)
        assert figure.about and figure.value <= (figure.ceiling or math.inf)
        assert (figure.ceiling is None) == any(w in name for w in ("frechet", "kernel", "density"))


@pytest.mark.parametrize("impostor", ["real", "unordered"])
def test_unseen_real_images_score_the_floor(impostor):
    for name, figure in figures(impostor).items():
        if "kernel" in name:
            assert abs(figure.value - figure.floor) < 4 * figure.error
        elif "share" in name or "pixels" in name:
            assert figure.value < 0.05
        elif "worst_class" not in name:
            assert figure.floor_is == "real" and figure.ratio == pytest.approx(1, abs=0.25), name


@pytest.mark.parametrize("impostor", ["constant", "repeated"])
def test_one_and_the_same_image_is_collapse(impostor):
    found = figures(impostor)
    for name in ("recall", "coverage", "intra_recall", "intra_coverage"):
        assert found[name].value < 0.05 < 0.7 < found[name].floor
    for name in ("frechet", "intra_frechet"):
        assert found[name].ratio > 4
    assert found["kernel"].value > 10 * found["kernel"].error
    assert found["ms_ssim"].value == pytest.approx(1, abs=2e-4) and found["ms_ssim"].floor < 0.8


def test_noise_looks_like_nothing_real():
    for name in ("precision", "density", "intra_precision", "intra_density", "coverage"):
        assert value("noise", name) < 0.02
    assert figures("noise")["frechet"].ratio > 10
    assert value("noise", "ms_ssim") < figures("noise")["ms_ssim"].floor - 0.2
    assert value("noise", "data_copying") < 0.01


def test_classes_that_answer_each_others_orders_show_inside_classes_only():
    for name in GLOBAL:
        assert value("swapped", name) == value("real", name)
    for name in ("precision", "recall", "density", "coverage"):
        assert value("swapped", f"intra_{name}") < 0.4 * value("real", f"intra_{name}")
    assert value("swapped", "intra_frechet") > 3 * value("real", "intra_frechet")
    assert value("swapped", "intra_kernel") > 10 * figures("real")["intra_kernel"].error
    assert value("swapped", "ms_ssim") == pytest.approx(value("real", "ms_ssim"), abs=0.05)


def test_a_class_that_is_never_drawn_is_not_passed_over():
    found, whole = figures("dropped"), figures("unordered")
    for name in ("recall", "coverage", "intra_recall", "intra_coverage", "intra_precision"):
        assert found[name].value < whole[name].value - 0.03, name
    for name in ("intra_recall", "intra_coverage", "intra_precision", "intra_density"):
        assert (
            found[name].value < 0.95 * whole[name].value and "never drawn: 3" in found[name].about
        )
    assert found["intra_frechet"].value > whole["intra_frechet"].value * 1.2
    assert found["intra_frechet_worst_class"].about == "class 3, never drawn"
    assert found["ms_ssim_worst_class"].value == 1


def test_the_training_set_replayed_is_called_copying_and_real_images_are_not():
    found = figures("replayed")
    assert found["data_copying"].value > 0.99 and found["data_copying"].floor == 0.5
    for name in ("data_copying_share", "data_copying_pixels"):
        assert found[name].value == 1 and found[name].floor < 0.02
    real = figures("real")["data_copying"]
    assert abs(real.value - 0.5) < 4 * real.error


def test_a_copy_with_a_little_noise_is_still_a_copy():
    for name in ("data_copying", "data_copying_share", "data_copying_pixels"):
        assert value("jittered", name) > 0.8


def test_a_few_copies_among_many_images_show_in_the_share():
    train, _, new = splits()
    mixed = torch.cat([train.images[:30], new.images[30:]])
    found = metrics.find("data_copying")(study(mixed, ordered=False))
    assert found["data_copying"].value < 0.6
    assert 0.06 < found["data_copying_share"].value < 0.15
    assert 0.06 < found["data_copying_pixels"].value < 0.15


def test_the_picture_lays_what_is_suspicious_before_its_nearest_training_images():
    train, _, new = splits()
    made = study(torch.cat([train.images[:3], new.images[3:]]), ordered=False)
    metrics.find("data_copying")(made)
    picture = made.pictures["neighbours"]
    assert picture.dtype == torch.uint8 and picture.dim() == 3 and picture.shape[0] == 1
    side = 4 * SIDE  # as enlarged for people to see
    top, left = (edge - count * (side + 2) - 2 for edge, count in zip(picture.shape[1:], (8, 6), strict=True))  # fmt: skip

    def cell(row, column):
        down, across = top + 2 + row * (side + 2), left + 2 + column * (side + 2)
        return picture[0, down : down + side : 4, across : across + side : 4]

    copies = {row: next(k for k in range(3) if torch.equal(cell(row, 0), train.images[k, 0])) for row in range(3)}  # fmt: skip
    assert sorted(copies.values()) == [0, 1, 2]
    assert all(torch.equal(cell(row, 0), cell(row, 1)) for row in copies)
    assert not torch.equal(cell(0, 0), cell(0, 2))


# ---------------------------------------------------------------------- definitions
def direct_frechet(some, reference):
    """Heusel et al. (2017) as it is written."""
    some, reference = some.double().numpy(), reference.double().numpy()
    one, other = np.cov(some, rowvar=False), np.cov(reference, rowvar=False)
    root = scipy.linalg.sqrtm(one @ other).real
    between = np.square(some.mean(0) - reference.mean(0)).sum()
    return between + np.trace(one) + np.trace(other) - 2 * np.trace(root)


@pytest.mark.parametrize("count", [30, 60, 400])
@pytest.mark.parametrize("width", [1, 5, 40])
def test_the_frechet_distance_is_the_formula(count, width):
    """The singular case goes by singular values, which scipy's root of a singular matrix does not bear."""
    mixing = random(width, width)
    some, reference = random(count, width, seed=1) @ mixing + 0.3, random(count, width, seed=2)
    if count > width and width > 1:
        assert frechet(some, reference) == pytest.approx(direct_frechet(some, reference), rel=1e-6)
    x, y = (side.double() - side.double().mean(0) for side in (some, reference))
    shared = torch.linalg.svdvals(x @ y.T).sum() / (count - 1)
    spread = (x.square().sum() + y.square().sum()) / (count - 1)
    moved = (some.double().mean(0) - reference.double().mean(0)).square().sum()
    assert frechet(some, reference) == pytest.approx(float(moved + spread - 2 * shared), rel=1e-6)
    assert frechet(some, some) == pytest.approx(0, abs=1e-5)


def test_the_frechet_distance_does_not_depend_on_features_that_nothing_fills():
    some, reference = random(50, 8), random(50, 8, seed=1)
    wide = [torch.cat([side, torch.zeros(50, 300)], 1) for side in (some, reference)]
    assert frechet(*wide) == pytest.approx(frechet(some, reference), rel=1e-6)


@pytest.mark.parametrize("count", [20, 33, 250])
def test_the_kernel_distance_is_the_published_estimate_over_every_pair(count):
    some, reference = random(count, 12) + 0.2, random(count, 12, seed=1)
    ((measured, _),) = kernel([some], reference)
    expected = float(kid.poly_mmd(reference.double(), some.double()))
    assert measured == pytest.approx(expected, abs=1e-6)


def test_the_standard_error_of_the_kernel_distance_is_what_repeating_shows():
    for shift in (0.0, 0.3):
        found = [kernel([random(200, 8, seed=s) + shift], random(200, 8, seed=900 + s))[0] for s in range(40)]  # fmt: skip
        values, errors = torch.tensor(found).double().T
        assert 0.7 * values.std() < errors.mean() < 2 * values.std()
        if not shift:
            assert abs(values.mean()) < 4 * values.std() / math.sqrt(40)


def brute(some, reference):
    """Precision, recall (k = 3), density and coverage (k = 5) as they are written, pair by pair."""
    some, reference = some.double(), reference.double()

    def radius(features, k):
        return torch.cdist(features, features).sort(1).values[:, k]

    apart = torch.cdist(some, reference)
    inside = apart <= radius(reference, 5)
    return (
        (apart <= radius(reference, 3)).any(1).double().mean(),
        (apart <= radius(some, 3)[:, None]).any(0).double().mean(),
        inside.double().sum() / (5 * len(some)),
        inside.any(0).double().mean(),
    )


@pytest.mark.parametrize("sizes", [(40, 40), (300, 170), (20, 900)])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_neighbourhoods_are_their_definition(sizes, offset, monkeypatch):
    """Strip by strip, and far from the origin, where single precision loses what it can."""
    monkeypatch.setattr("gander.study.neighbours.CELLS", 7000)
    some = random(sizes[0], 6) * 1.3 + offset
    reference = random(sizes[1], 6, seed=1) + offset
    found = between(some, reference)
    measured = (found.precision, found.recall, found.density, found.coverage)
    assert measured == pytest.approx(tuple(map(float, brute(some, reference))), abs=1e-9)


def test_what_rounding_cannot_tell_from_a_copy_is_one():
    """Where every image is there eight times all balls have no size, and still hold what is the same."""
    images = (random(40, 50) + 3).repeat(8, 1)
    found = between(images[torch.randperm(320, generator=torch.Generator().manual_seed(0))], images)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density == pytest.approx(8 / 5)


def test_the_nearest_are_the_nearest_and_a_copy_is_at_no_distance():
    others = random(500, 30) + 50
    some = torch.cat([others[[17, 3]], random(80, 30, seed=1) + 50])
    distances, rows = nearest(some, others, 5)
    expected = torch.cdist(some.double(), others.double()).topk(5, largest=False)
    assert torch.equal(rows, expected.indices) and rows[:2, 0].tolist() == [17, 3]
    assert distances[:2, 0].tolist() == [0, 0]
    assert torch.allclose(distances.double(), expected.values, atol=1e-4)
    assert all((strip >= 0).all() for _, strip in squared(others, others))


def test_the_copying_probability_is_that_of_all_pairs():
    drawn, real = random(70).abs().round(decimals=1), random(90, seed=1).abs().round(decimals=1)
    pairs = (drawn[:, None] < real).double() + 0.5 * (drawn[:, None] == real).double()
    measured, error, z = data_copying.nearer(drawn, real)
    assert measured == pytest.approx(float(pairs.mean()))
    assert z * error == pytest.approx(measured - 0.5, rel=0.2)
    assert data_copying.nearer(drawn * 0, drawn * 0)[0] == 0.5


def test_two_copies_of_a_training_image_stand_out_also_where_all_neighbours_coincide():
    alone = data_copying.standing_out(torch.tensor([[0.0, 0, 0], [0, 1, 2], [1, 1, 2]]))
    assert alone.tolist() == [0, 0, 0.5]


# ---------------------------------------------------------------------- structural similarity
@pytest.mark.parametrize("side", [8, 16, 28, 64, 128, 176])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_structural_similarity_takes_every_size(side, channels):
    window, scales = ms_ssim.scaling(side)
    images = torch.from_numpy(tiny.pictures(24, channels, side)[0]).permute(0, 3, 1, 2)
    rows = torch.arange(24)
    found = ms_ssim.similarity(images, rows, 6, window, scales)
    assert ((found >= 0) & (found < 0.9999)).all()
    same = ms_ssim.similarity(images[:1].expand_as(images), rows, 6, window, scales)
    assert same.tolist() == pytest.approx([1] * 6, abs=2e-4)


def test_pairs_are_many_enough_to_tell_the_worst_of_ten_digits():
    assert PAIRS_OF((1, 28, 28)) == 3000
    assert PAIRS_OF((3, 64, 64)) == 203 and PAIRS_OF((3, 512, 512)) == 200
    found = figures("real")["ms_ssim_worst_class"]
    above, error = re.search(r"([+-]\d\.\d+) ± (\d\.\d+) from its floor", found.about).groups()
    assert float(above) == pytest.approx(found.value - found.floor, abs=1e-3)
    assert 0 < found.error < float(error) < 0.02


def test_large_images_get_the_papers_own_window_and_scales():
    assert ms_ssim.scaling(176) == ms_ssim.scaling(512) == (11, 5)
    assert ms_ssim.scaling(28) == (7, 3)
    with pytest.raises(CannotMeasure, match="7"):
        ms_ssim.scaling(6)


# ---------------------------------------------------------------------- classes and sizes
def test_every_class_has_as_many_images_on_every_side():
    for made in (study(), study(ordered=False)):
        classes = classes_of(made)
        assert len(classes.groups) == CLASSES and classes.skipped == 0
        for k, group in enumerate(classes.groups):
            assert len(group.drawn) == len(group.train) == len(group.test) >= 20
            assert (made.test.columns["digit"].values[group.test] == k).all()
            assert (made.train.columns["digit"].values[group.train] == k).all()
            assert (made.values["digit"][group.drawn] == k).all()
            assert len(group.drawn.unique()) == len(group.drawn)
    assert "as the judge sees them" in classes.about and "ordered" not in classes.about


def test_a_class_with_few_real_images_is_skipped_and_counted():
    made = study()
    values = made.test.columns["digit"].values
    rows = ((values != 4) | (values == 4).cumsum(0).le(19)).nonzero()[:, 0]
    few = replace(made, test=taken(made.test, rows))
    classes = classes_of(few)
    assert [group.name for group in classes.groups] == [str(k) for k in range(10) if k != 4]
    assert classes.skipped == 1 and "1 skipped" in classes.about


@pytest.mark.parametrize(
    ("n", "width", "ordered"),
    [(20, 0, False), (100, 700, True), (100, 0, False), (5000, 0, True)],
)
def test_any_number_of_images_gives_figures_or_a_reason(n, width, ordered):
    made = study(n=n, features=Pixels(width), ordered=ordered)
    for name in ALL:
        try:
            found = metrics.find(name)(made)
        except CannotMeasure as why:
            assert name in INTRA and n < 200 and "20" in str(why)
        else:
            assert all(math.isfinite(f.value) and math.isfinite(f.floor) for f in found.values())


@pytest.mark.parametrize("rows", [1, 2, 6, 19, 20])
def test_tiny_splits_give_figures_or_a_reason(rows):
    made = study()
    for smaller in (
        replace(made, test=taken(made.test, slice(rows)), made={}),
        replace(made, train=taken(made.train, slice(rows)), made={}),
    ):
        for name in ALL:
            if rows < 20 or name in INTRA:
                with pytest.raises(CannotMeasure, match="20"):
                    metrics.find(name)(smaller)
            else:
                assert all(math.isfinite(f.value) for f in metrics.find(name)(smaller).values())


def test_images_without_labels_have_no_classes_but_are_compared_all_the_same():
    made = study(ordered=False)
    bare = [replace(part, columns={}, label=None) for part in (made.train, made.test)]
    made = replace(made, train=bare[0], test=bare[1], made={})
    for name in INTRA:
        with pytest.raises(CannotMeasure, match="no class labels"):
            metrics.find(name)(made)
    for name in (*GLOBAL, "ms_ssim", "data_copying"):
        found = metrics.find(name)(made)
        assert all(figure.about for figure in found.values())
    assert list(metrics.find("ms_ssim")(made)) == ["ms_ssim"]


def test_images_all_alike_on_every_side_are_compared_without_a_fault():
    train, test, _ = splits()
    blank = [replace(part, images=torch.zeros_like(part.images)) for part in (train, test)]
    made = Study(Album(blank[0].images, train.columns["digit"].values), *blank, N, network=Pixels())
    for name in ALL:
        for figure in metrics.find(name)(made).values():
            assert math.isfinite(figure.value)
            assert figure.ratio is None or figure.ratio == pytest.approx(1, abs=1e-3)


def test_measuring_leaves_the_global_generators_alone_and_repeats_exactly():
    before = torch.random.get_rng_state()
    one, other = ({name: metrics.find(name)(study()) for name in QUICK} for _ in range(2))
    assert one == other and torch.equal(before, torch.random.get_rng_state())


def test_without_torchmetrics_the_reason_is_one_line(monkeypatch):
    measures = [metrics.find(name) for name in ("frechet", "intra_frechet", "ms_ssim")]

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr("gander.study.libraries.importlib.import_module", absent)
    for measure in measures:
        with pytest.raises(CannotMeasure, match="needs torchmetrics: pip install"):
            measure(study())
