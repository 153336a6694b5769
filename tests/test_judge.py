"""The judge: a function of real images alone, kept in a cache that may be lost or damaged at any time."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

import tiny
from gander import judge, weights
from gander.data import Column
from gander.judge import Judge, heads_of, judge_of
from gander.metrics import Study
from gander.metrics.correlation import pearson
from gander.model import load


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANDER_CACHE", str(tmp_path))
    monkeypatch.setattr(judge, "STEPS", 6)
    monkeypatch.setattr(judge, "BATCH", 32)
    return tmp_path / "judges"


@pytest.fixture
def trained(monkeypatch):
    """How often a judge was trained, and on what."""
    plain, seen = judge.train_judge, []

    def noted(data):
        seen.append(data.fingerprint)
        return plain(data)

    monkeypatch.setattr(judge, "train_judge", noted)
    return seen


def same(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_judge_is_a_function_of_the_data_and_is_kept(cache, trained):
    data = tiny.data()
    torch.manual_seed(1)
    first = judge_of(data)
    kept = list(cache.iterdir())
    assert len(kept) == 1 and kept[0].suffix == ".safetensors"
    assert same(first, judge_of(data)) and len(trained) == 1
    assert torch.equal(first.features(data.images), judge_of(data).features(data.images))
    kept[0].unlink()
    torch.manual_seed(2)
    assert same(first, judge_of(data)) and len(trained) == 2
    assert list(cache.iterdir()) == kept


def test_other_data_or_another_recipe_is_another_judge(cache, trained, monkeypatch):
    judge_of(tiny.data())
    judge_of(tiny.data(count=48))
    relabelled = tiny.data()
    relabelled.columns["label"].values[:] = relabelled.columns["label"].values.flip(0)
    judge_of(relabelled)
    monkeypatch.setattr(judge, "STEPS", 7)
    judge_of(tiny.data())
    assert len(trained) == 4 == len(list(cache.iterdir()))


DAMAGES = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[:500]),
    "empty": lambda file: file.write_bytes(b""),
    "text": lambda file: file.write_bytes(b"hello"),
    "a stranger's": lambda file: weights.write(file, {"a": torch.ones(2)}, {}),
    "half": lambda file: weights.write(
        file, {n: t + 1 for n, t in list(weights.read(file)[0].items())[:-1]}, {}
    ),
    "one wrong shape": lambda file: weights.write(
        file,
        {n: t + 1 for n, t in weights.read(file)[0].items()} | {"out.bias": torch.ones(99)},
        {},
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_trained_again_to_the_same_judge(damage, cache, trained):
    right = judge_of(tiny.data())
    (file,) = cache.iterdir()
    DAMAGES[damage](file)
    assert same(right, judge_of(tiny.data())) and len(trained) == 2
    assert same(right, judge_of(tiny.data())) and len(trained) == 2  # and kept again


def test_a_cache_that_cannot_be_written_costs_time_and_not_the_answer(tmp_path, cache, monkeypatch):
    right = judge_of(tiny.data())
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GANDER_CACHE", str(tmp_path / "file"))
    assert same(right, judge_of(tiny.data()))


def test_a_judge_learns_from_the_real_images_of_its_data_and_never_sees_a_fake(cache, monkeypatch):
    """Every image it is trained on is a real one, untouched where numbers are recorded; fakes are only named, by finished weights."""
    data = tiny.data()
    run = tiny.run("acgan-infogan")
    real = {image.numpy().tobytes() for image in data.images}
    plain, shown = Judge.forward, []

    def noted(self, images):
        if self.training:
            shown.extend(((images + 1) * 127.5).round().byte().numpy().copy())
        return plain(self, images)

    monkeypatch.setattr(Judge, "forward", noted)
    monkeypatch.setattr(judge, "GRAIN", 0.0)
    study = Study(load(run), data, data, 40)
    weights = {n: t.clone() for n, t in study.judge.state_dict().items()}
    assert len(study.judged["label"]) == 40 and len(study.judged_test["slant"]) == len(data)
    assert len(shown) == (6 + 14) * judge.BATCH  # so few were not enough
    assert {image.tobytes() for image in shown} <= real
    assert all(torch.equal(weights[n], t) for n, t in study.judge.state_dict().items())


def test_a_judge_names_classes_and_measures_numbers_in_their_own_unit(cache, monkeypatch):
    monkeypatch.setattr(judge, "STEPS", 60)
    data = tiny.data(count=256)
    scaled = replace(
        data,
        columns=data.columns
        | {"slant": Column("slant", "continuous", 500 + 40 * data.columns["slant"].values)},
    )
    said = judge_of(scaled).name(scaled.images)
    assert said["label"].dtype == torch.int64 and said["slant"].shape == (256,)
    assert (said["label"] == scaled.columns["label"].values).float().mean() > 0.9
    assert pearson(said["slant"], scaled.columns["slant"].values) > 0.9
    assert said["slant"].mean() == pytest.approx(500, abs=15)


def test_rows_without_a_label_teach_nothing_and_stop_nothing(cache):
    data = tiny.data()
    data.columns["label"].values[::2] = -1
    data.columns["slant"].values[::3] = float("nan")
    said = judge_of(data).name(data.images)
    assert all(v.isfinite().all() for v in said.values())
    assert said["label"].min() >= 0


def test_what_never_varies_is_not_judged(cache):
    data = tiny.data()
    flat = {
        "one": Column("one", "categorical", torch.zeros(96, dtype=torch.int64), ("a",)),
        "flat": Column("flat", "continuous", torch.full((96,), 2.0)),
        "empty": Column("empty", "continuous", torch.full((96,), float("nan"))),
    }
    assert [h.column for h in heads_of(replace(data, columns=data.columns | flat))] == [
        "label",
        "slant",
    ]


def bare(data):
    """The same images with nothing recorded about them."""
    return replace(data, columns={}, label=None, factors=())


@pytest.mark.slow
def test_where_nothing_is_recorded_it_learns_to_tell_images_apart(cache, monkeypatch):
    """Images of one class come to lie nearer to each other than to those of another, though no class was ever told."""
    monkeypatch.setattr(judge, "STEPS", 40)
    data = tiny.data(count=256)
    torch.manual_seed(1)
    first = judge_of(bare(data))
    torch.manual_seed(2)
    assert same(first, judge.train_judge(bare(data)))
    assert first.name(data.images) == {} and first.features(data.images).shape == (256, 256)
    direction = F.normalize(first.features(data.images) - first.features(data.images).mean(0))
    alike, label = direction @ direction.T, data.columns["label"].values
    same_class = label[:, None] == label[None, :]
    assert alike[same_class].mean() > alike[~same_class].mean() + 0.3
    words = first.tested(bare(data))
    assert len(words) == 1 and all(0 <= float(v.split()[-1]) <= 1 for v in words.values())


def test_easy_images_take_one_cycle(cache, monkeypatch):
    monkeypatch.setattr(judge, "ENOUGH", {"class": 0.5, "number": -9.0, "view": 0.0})
    monkeypatch.setattr(judge, "STEPS", 30)
    plain, cycles = judge._cycle, []
    monkeypatch.setattr(judge, "_cycle", lambda *a: cycles.append(a[2:]) or plain(*a))
    judge.train_judge(tiny.data())
    judge.train_judge(bare(tiny.data()))
    assert cycles == [(0, 30), (0, 30)]
    monkeypatch.setattr(judge, "ENOUGH", {"class": 0.5, "number": 1.1, "view": 1.1})
    judge.train_judge(tiny.data())
    assert cycles[2:] == [(0, 30), (30, 70)]


def test_a_little_noise_does_not_change_the_answer(cache, monkeypatch):
    monkeypatch.setattr(judge, "STEPS", 60)
    data = tiny.data(count=256)
    noise = torch.randn(data.images.shape, generator=torch.Generator().manual_seed(0)) * 15
    grainy = (data.images + noise).clamp(0, 255).to(torch.uint8)
    made = judge_of(data)
    assert made.scores(data)["label"] > 0.95
    assert made.scores(replace(data, images=grainy))["label"] > 0.95


def test_a_judge_is_the_same_whatever_the_threads(cache):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        one = judge.train_judge(tiny.data())
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        assert same(one, judge.train_judge(tiny.data()))
    finally:
        torch.set_num_threads(before)


def test_a_judge_leaves_the_random_numbers_of_others_alone(cache):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    judge.train_judge(tiny.data())
    assert torch.equal(torch.rand(4), expected)


def test_a_judge_says_how_well_it_does_on_real_images(cache, monkeypatch):
    monkeypatch.setattr(judge, "STEPS", 60)
    data = tiny.data(count=256)
    words = judge_of(data).tested(data)
    assert float(words["label"]) > 0.9
    assert words["slant"].startswith("R² ") and float(words["slant"].split()[1]) <= 1
    noise = replace(data, images=torch.randint(0, 256, data.images.shape, dtype=torch.uint8))
    assert float(judge_of(data).tested(noise)["label"]) < 0.6


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [4, 7, 28, 50])
def test_images_of_any_shape_can_be_judged(channels, side):
    heads = heads_of(tiny.data())
    images = torch.zeros(3, channels, side, side, dtype=torch.uint8)
    assert Judge((channels, side, side), heads).name(images)["label"].shape == (3,)
