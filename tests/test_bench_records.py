"""Records: the page is what the files say, every seed is told, memory is flat, and what is not needed is not imported."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from gander import backbones, bench, data
from gander.bench import growth, quality, records
from gander.codes import CodeSpec
from gander.errors import UseError
from gander.filling import filled
from gander.model import Card

HOME = Path(__file__).resolve().parents[1]
PAGE, RESULTS = HOME / "docs" / "speed.md", HOME / "benchmarks" / "results"
MACHINE = {
    "processor": "A|B",
    "cores": 2,
    "memory_gb": 24.0,
    "gpus": [],
    "python": "3.11",
    "torch": "2.11",
    "gander": "0.1",
    "commit": None,
    "changed": None,
    "date": "2020-01-02T03:04:05",
    "load_average": 0.5,
}
RATES = bench.spread([1000.0, 1200.0, 1100.0])


def seed(number, seconds=None):
    value = {"seconds": 9.0, "images": 5000, "value": 0.87}
    return {
        "seed": number,
        "reached": seconds is not None,
        "ended": "its time was up",
        "seconds": seconds,
        "trained_seconds": 240.0,
        "images": 5000,
        "value": 0.9712,
        "best": value,
        "start_up_seconds": 3.0,
        "evaluations": 4,
        "evaluation_seconds": 8.0,
    }


def parts():
    """One result of every part of mine, with something left out in each."""
    seeds = [seed(0, 41.25), seed(1), seed(2, 50.0)]
    found = {
        "preset": "cgan",
        "figure": "label_accuracy",
        "threshold": 0.97,
        "summary": quality.summary(seeds),
        "seeds": seeds,
    }
    point = {"size": 28, "backbone": "dcgan", "batch": 32, "images_per_second": RATES}
    timed = {"load_seconds": 1.0, "first_step_seconds": 2.0, "hash_seconds": 3.0}
    amounts = [
        {"images": n, "images_per_second": RATES, "peak_mb": 400.0 + n / 1e5} | timed
        for n in (10_000, 1_000_000)
    ]
    left = {"size": 128, "backbone": "resnet", "batch": 1024, "left_out": "too | much"}
    return {
        "quality": {"rules": "R", "judge_seconds": 1.0, "presets": [found]},
        "growth": {
            "rules": "R",
            "points": [point | {"peak_mb": 450.5}, left],
            "data": amounts,
            "flat": growth.flat(amounts),
        },
        "startup": {
            "rules": "R",
            "commands": {
                "python": {"seconds": bench.spread([0.1], 3), "limit": None},
                "gander --help": {"seconds": bench.spread([1.5], 3), "limit": 1.0},
            },
        },
    }


def result(*names):
    mine = parts()
    return {
        "command": "gander bench --parts all --data mnist",
        "machine": MACHINE,
        "caution": "",
        "parts": {n: mine[n] for n in names},
    }


def figures(value):
    """Every median, count and time in a result, as a reader would look for it."""
    if isinstance(value, dict):
        if "median" in value and "values" in value:
            yield from (value["min"], value["median"], value["max"])
        else:
            for one in value.values():
                yield from figures(one)
    elif isinstance(value, list):
        for one in value:
            yield from figures(one)


def cells(text):
    """The cells of every table, by line."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


# ---------------------------------------------------------------------- the page
def test_the_page_is_what_the_committed_results_make_it():
    text = PAGE.read_text("utf-8")
    assert records.rendered(text, records.read(RESULTS)) == text, "python benchmarks/speed.py"


def test_the_page_has_a_place_for_every_part():
    named = [found["name"] for found in records.MARK.finditer(PAGE.read_text("utf-8"))]
    assert sorted(named) == sorted([*bench.parts(), "gpu"])


@pytest.mark.parametrize("name", parts())
def test_every_figure_of_a_part_is_in_its_tables(name):
    text = records.blocks(name, {"cpu": [result(name)]})
    for value in figures(parts()[name]):
        shown = {f"{value:,.0f}", f"{value:.1f}", f"{value:.2f}"}
        assert any(one in text for one in shown), f"{value} is not in\n{text}"
    assert (
        f"gander bench --parts {name} --data mnist" in text and "A|B" in text and "*Rules.*" in text
    )


@pytest.mark.parametrize("name", parts())
def test_tables_are_whole_whatever_is_in_a_cell(name):
    widths = [len(line) for line in cells(records.blocks(name, {"cpu": [result(name)]}))]
    rows = list(bench.rows(name, parts()[name]))
    assert widths and rows and all(isinstance(row, bench.Row) for row in rows)
    block: list[int] = []
    for text in records.blocks(name, {"cpu": [result(name)]}).split("\n\n"):
        block = [len(line) for line in cells(text)]
        assert len(set(block)) <= 1


@pytest.mark.parametrize("name", [*parts(), "against", "gpu", "nothing"])
def test_a_part_that_was_not_measured_says_how_to_measure_it(name):
    assert "make bench" in records.blocks(name, {"cpu": [], "gpu": []})


def test_rendering_again_changes_nothing_and_prose_stays():
    results = {"cpu": [result(*parts())], "gpu": [result("startup")]}
    text = "prose\n\n<!-- growth -->\n<!-- end -->\nmore <!-- gpu -->\nold\n<!-- end -->\n"
    once = records.rendered(text, results)
    assert records.rendered(once, results) == once != text
    assert once.startswith("prose\n") and "\nmore " in once and "old" not in once


def test_a_busy_machine_makes_no_record():
    busy = result("startup") | {"caution": "Other work was running."}
    assert "**Not a record.** Other work was running." in records.blocks("startup", {"cpu": [busy]})


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"parts": []}', "\xff"])
def test_a_file_that_is_no_result_is_refused_by_name(tmp_path, text):
    (tmp_path / "speed.json").write_text(text, "latin-1")
    with pytest.raises(UseError, match=r"speed\.json"):
        records.read(tmp_path)


# ---------------------------------------------------------------------- time to quality
@given(st.lists(st.one_of(st.none(), st.floats(0.1, 1e4)), min_size=1, max_size=9))
def test_a_seed_that_never_got_there_counts_as_longer_than_all_others(times):
    said = quality.summary([seed(n, t) for n, t in enumerate(times)])
    known = sorted(t for t in times if t is not None)
    assert (said["n"], said["reached"]) == (len(times), len(known))
    assert (said["max"] is None) == (len(known) < len(times))
    assert (said["median"] is None) == (
        len(known) <= len(times) // 2 if len(known) < len(times) else False
    )
    assert (said["min"] is None) == (not known)
    if said["median"] is not None:
        assert known[0] - 0.1 <= said["median"] <= known[-1] + 0.1


def test_every_seed_is_told_reached_or_not():
    text = records.blocks("quality", {"cpu": [result("quality")]})
    assert "41.2 s" in text and "50.0 s" in text
    assert "not within 240 s, best 0.8700" in text and "2 of 3" in text


@pytest.mark.parametrize(
    "preset, figure",
    [("infogan", "hungarian_accuracy"), ("cgan", "label_accuracy"), ("acgan", "label_accuracy")],
)
def test_a_preset_has_the_goal_of_its_codes(preset, figure):
    assert quality.goal_of(preset)[0] == figure


def test_a_preset_without_a_goal_is_refused():
    with pytest.raises(UseError, match="neither an ordered label"):
        quality.goal_of("dcgan")


def goal(**changes):
    asked = {"preset": "cgan", "seed": 3, "figure": "label_accuracy", "threshold": 0.0}
    asked |= {
        "data": tiny.source(),
        "seconds": 30.0,
        "precision": "fp32",
        "threads": 1,
        "batch": 16,
    }
    return quality.Goal(**asked | changes)


def test_the_clock_begins_with_the_process_and_stands_still_while_it_evaluates(
    quick, monkeypatch, capsys
):
    now = [100.0]
    monkeypatch.setattr(quality.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(quality, "EVERY", 32)

    def figure(self, players, n):
        self.count += 1
        now[0] += 50
        return (
            0.4 if players.images_seen < 64 or (n == quality.CONFIRMED and self.count < 5) else 0.99
        )

    monkeypatch.setattr(quality.Examiner, "_figure", figure)
    from gander import stepping

    step = stepping.step

    def slow(*players):
        now[0] += 1
        step(*players)

    monkeypatch.setattr(stepping, "step", slow)
    found = quality.train(goal(threshold=0.9, began=93.0))
    # Every two steps a look; the third passes and is not confirmed, the fourth is.
    assert found["reached"] and found["value"] == 0.99
    assert (found["seconds"], found["images"]) == (7 + 6, 96)
    assert found["start_up_seconds"] == 8.0
    assert found["evaluation_seconds"] == 50 * found["evaluations"]
    assert len(capsys.readouterr().out.splitlines()) == len(found["course"])


def test_a_seed_that_does_not_get_there_ends_with_its_time(quick, monkeypatch):
    monkeypatch.setattr(quality.Examiner, "_figure", lambda self, players, n: 0.5)
    found = quality.train(goal(threshold=0.9, seconds=0.01, began=quality.time.monotonic()))
    assert not found["reached"] and found["seconds"] is None
    assert found["ended"] == "its time was up" and found["best"]["value"] == 0.5


# ---------------------------------------------------------------------- growth and start-up
def test_made_up_images_are_read_as_so_many_with_labels(tmp_path):
    for empty in (False, True):
        found = data.load(str(growth.made_up(tmp_path / str(empty), 250, 28, empty)), "all")
        assert found.images.shape == (250, 1, 28, 28)
        assert bool(found.images.any()) != empty
        assert len(found.columns["class"].names) == growth.CLASSES


def test_memory_that_grows_is_said_to_grow():
    points = [{"images": n, "peak_mb": 300 + 784e-6 * n} for n in (10_000, 1_000_000)]
    left = {"images": 10_000_000, "left_out": "too much"}
    assert growth.flat([*points, left])["bytes_an_image"] == pytest.approx(784)
    assert growth.flat([left, points[0]]) is None


def test_a_process_that_ends_early_says_why(monkeypatch):
    for said, expected in (
        ("Traceback\nMemoryError: no", "of memory"),
        ("", "of memory"),
        ("one\nValueError: no", "ended early: ValueError: no"),
    ):
        assert expected in growth._last_words(said)


@pytest.mark.parametrize("backbone", backbones.names())
def test_a_run_is_loaded_without_drawing_its_first_weights(backbone, tmp_path, monkeypatch):
    side = backbones.find(backbone).SIZES[0]
    card = Card(
        CodeSpec.parse("noise:gaussian(4) digit:categorical(3),recognised").resolve({}, None),
        (1, side, side),
        backbone,
        4,
        backbones.find(backbone).NORM,
        "own",
        "none",
    )
    builds = (card.build_generator, card.build_critic)
    tensors = [build().state_dict() for build in builds]

    def drawn(*words, **more):
        raise AssertionError("weights were drawn")

    for name in ("normal_", "uniform_"):
        monkeypatch.setattr(torch.nn.init, f"_no_grad_{name}", drawn)
    before = torch.get_rng_state()
    for build, saved in zip(builds, tensors, strict=True):
        network = filled(build, saved, tmp_path)
        assert all(torch.equal(t, saved[n]) for n, t in network.state_dict().items())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.slow
def test_memory_hardly_grows_with_the_data(tmp_path):
    plain = growth.Point("", "dcgan", 28, 32, 0.1, precision="fp32", threads=1, hashed=True)
    found = []
    for count in (10_000, 3_000_000):
        source = str(growth.made_up(tmp_path / str(count), count, 28, empty=True))
        found.append({"images": count} | growth.one_point(replace(plain, source=source)))
    assert growth.flat(found)["bytes_an_image"] < 60, found
