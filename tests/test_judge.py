"""The judge: a function of real images alone, kept in a cache that may be lost or damaged at any time."""

from dataclasses import replace

import pytest
import torch

import tiny
from gander import judge, runs
from gander.data import Column
from gander.errors import DataError
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
    plain, seen = judge._train, []

    def noted(network, data):
        seen.append(data.fingerprint)
        plain(network, data)

    monkeypatch.setattr(judge, "_train", noted)
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
    "a stranger's": lambda file: runs.write_tensors(file, {"a": torch.ones(2)}, {}),
    "half": lambda file: runs.write_tensors(
        file, {n: t + 1 for n, t in list(runs.read_tensors(file)[0].items())[:-1]}, {}
    ),
    "one wrong shape": lambda file: runs.write_tensors(
        file,
        {n: t + 1 for n, t in runs.read_tensors(file)[0].items()} | {"out.bias": torch.ones(99)},
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
    """Every image it is trained on is a real one, shifted by at most a pixel; fakes are only named, by finished weights."""
    data = tiny.data()
    run = tiny.run("acgan-infogan")
    real = {
        torch.roll(image, (down, across), (1, 2)).numpy().tobytes()
        for image in data.images
        for down in (-1, 0, 1)
        for across in (-1, 0, 1)
    }
    plain, shown = Judge.forward, []

    def noted(self, images):
        if self.training:
            shown.extend(((images + 1) * 127.5).round().byte().numpy().copy())
        return plain(self, images)

    monkeypatch.setattr(Judge, "forward", noted)
    study = Study(load(run), data, data, 40)
    weights = {n: t.clone() for n, t in study.judge.state_dict().items()}
    assert len(study.judged["label"]) == 40 and len(study.judged_test["slant"]) == len(data)
    assert len(shown) == 6 * judge.BATCH
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


def test_what_never_varies_is_not_judged_and_nothing_recorded_is_refused(cache):
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
    with pytest.raises(DataError, match="records nothing"):
        judge_of(replace(data, columns=flat))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [4, 7, 28, 50])
def test_images_of_any_shape_can_be_judged(channels, side):
    heads = heads_of(tiny.data())
    images = torch.zeros(3, channels, side, side, dtype=torch.uint8)
    assert Judge((channels, side, side), heads).name(images)["label"].shape == (3,)
