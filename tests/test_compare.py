"""Runs side by side: who is grouped with whom, what is averaged, what may be claimed, and a page that is safe to open."""

import base64
import io
import itertools
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import tiny
from gander import cli, comparison, comparison_page, config, groups, history, model, sheets
from gander.cautions import cautions
from gander.errors import RunError
from gander.runs import Run
from gander.study.bootstrap import mean_interval
from test_report import HOSTILE, Reader, line

FRECHET = {"floor": 2.0, "ceiling": None, "floor_is": "real", "error": None, "about": "b"}


def evaluated(at=200, n=64, data="glyphs", missing=(), **values):
    """A line of metrics.jsonl: label_accuracy from chance to 1, frechet a distance, the rest bare."""
    plain = {"floor": 0.1, "ceiling": 1.0, "about": "a", "error": 0.01, "floor_is": "nothing"}
    found = {
        name: (FRECHET if name == "frechet" else plain) | {"value": value}
        for name, value in values.items()
    }
    why = dict.fromkeys(missing, "why")
    return {"images_seen": at, "n": n, "data": data, "metrics": found, "missing": why}


def make(folder, *settings, preset="acgan", seed=0, metrics=(), log=None, images=200, **resolved):
    """A run directory without weights, made by hand."""
    run = Run(folder)
    given = config.load(
        preset, ["codes=noise:gaussian(8) c1:uniform,recognised", *settings],
        training__seed=seed, training__images=images,
    )  # fmt: skip
    about = {
        "family": "InfoGAN",
        "line": str(given.codes),
        "data": "glyphs",
        "fingerprint": "f" * 64,
    }
    about |= {"codes": given.codes.to_dict()}
    made = {"gander": "0.1.0", "torch": "2.11", "engine": "cpu, fp32, 1 thread"}
    run.write_config(given, {"resolved": about | resolved, "provenance": made})
    for number in [line(100), line(200)] if log is None else log:
        run.append("log.jsonl", number)
    for number in metrics:
        run.append("metrics.jsonl", number)
    return run


def grouped(*made):
    return groups.grouped([groups.read(run.path) for run in made])


def seeds(folder, name, values, *settings, **more):
    """A group: one run for each value of label_accuracy."""
    return [
        make(
            folder / f"{name}{k}", *settings, seed=k, metrics=[evaluated(label_accuracy=v)], **more
        )
        for k, v in enumerate(values)
    ]


# ---------------------------------------------------------------------- the interval
def test_one_seed_has_no_interval_and_two_or_three_have_their_range():
    assert mean_interval([]) is mean_interval([0.5]) is None
    assert mean_interval([0.2, 0.8]) == (0.2, 0.8)
    assert mean_interval([0.5, 0.1, 0.3]) == pytest.approx((0.1, 0.5))
    assert mean_interval([0.7] * 5) == pytest.approx((0.7, 0.7))


def test_the_interval_is_that_of_all_samples_with_replacement():
    values = [0.1, 0.4, 0.45, 0.9, 1.3]
    means = [np.mean(sample) for sample in itertools.product(values, repeat=5)]
    exact = np.quantile(means, [0.025, 0.975])
    assert mean_interval(values) == pytest.approx(exact, abs=0.03)
    assert mean_interval(values) == mean_interval(values[::-1])
    low, high = mean_interval(values, level=0.5)
    assert exact[0] < low < np.mean(values) < high < exact[1]


# ---------------------------------------------------------------------- groups
def test_runs_that_differ_in_their_seed_alone_are_one_group(tmp_path):
    found = grouped(
        make(tmp_path / "b", seed=2),
        make(tmp_path / "a", "threads=3", seed=0),
        make(tmp_path / "c", "sample_images=7", seed=1),
    )
    assert [[entry.seed for entry in group.entries] for group in found] == [[0, 1, 2]]
    assert [group.name for group in found] == ["acgan on glyphs"]


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"settings": ["batch=32"]}, "batch=32"),
        ({"settings": ["c1.recognised=0.5"]}, "c1:uniform,recognised=0.5"),
        ({"settings": ["codes=noise:gaussian(8)"]}, "no c1"),
        ({"images": 400}, "images=400"),
        ({"images": 400, "both": ["decay=none"]}, "images=400"),
        ({"fingerprint": "0" * 64}, "images (SHA-256)=000000000000"),
        ({"settings": ["source=digits"], "data": "digits"}, "on digits"),
        ({"preset": "cgan", "settings": ["r1=2"]}, "cgan"),
    ],
)
def test_groups_are_named_by_what_sets_them_apart(tmp_path, other, name):
    other = dict(other)
    both, settings = other.pop("both", []), other.pop("settings", [])
    found = grouped(make(tmp_path / "a", *both), make(tmp_path / "b", *both, *settings, **other))
    assert len(found) == 2 and found[1].name == name
    assert groups.differing(found)


def test_names_stay_short_and_are_unique(tmp_path):
    many = ["batch=32", "r1=1", "r2=2", "gradient=1", "beta1=0.1"]
    found = grouped(make(tmp_path / "a"), make(tmp_path / "b", *many))
    assert found[1].name.endswith(" …") and found[1].name.count("=") == groups.MOST_IN_NAME
    more = grouped(
        *(make(tmp_path / f"c{k}", *many, f"width={k}") for k in (8, 9)), make(tmp_path / "d")
    )
    assert len({group.name for group in more}) == 3


def test_a_seed_counts_once(tmp_path):
    twice = [make(tmp_path / name, seed=0) for name in "ab"]
    twice[1].append("metrics.jsonl", evaluated(label_accuracy=0.5))
    (group,) = grouped(*twice)
    assert [entry.run.path.name for entry in group.entries] == ["b"]  # the one that says more
    said = list(cautions([group], groups.rows([group])))
    assert any("another run of seed 0" in words and str(twice[0].path) in words for words in said)


# ---------------------------------------------------------------------- figures
def test_figures_are_means_and_deviations_over_seeds(tmp_path):
    found = grouped(*seeds(tmp_path, "a", [0.2, 0.4, 0.9]))
    (row,) = groups.rows(found)
    (cell,) = row.cells
    assert (cell.n, cell.mean, cell.floor, cell.ceiling) == pytest.approx((3, 0.5, 0.1, 1.0))
    assert cell.deviation == pytest.approx(0.36055513)  # √((0.09 + 0.01 + 0.16) / 2)
    assert cell.interval == pytest.approx((0.2, 0.9)) and cell.error is None
    assert comparison_page.said(cell) == "0.50 ± 0.36"
    assert comparison_page.between(cell) == "0.20 to 0.90"


def test_one_seed_shows_the_figure_s_own_error_and_distances_their_ratio(tmp_path):
    metrics = [evaluated(label_accuracy=0.5, frechet=5.0)]
    accuracy, distance = groups.rows(grouped(make(tmp_path / "a", metrics=metrics)))
    assert comparison_page.said(accuracy.cells[0]) == "0.500 ± 0.010"
    assert accuracy.cells[0].interval is accuracy.cells[0].deviation is None
    assert distance.cells[0].ratio == 2.5 and distance.way == "lower"
    assert comparison_page.said(distance.cells[0]) == "5"


@pytest.mark.parametrize(
    ("one", "other", "best"),
    [
        ([0.2, 0.3, 0.25], [0.5, 0.6, 0.55], 1),
        ([0.5, 0.6], [0.2, 0.3], 0),
        ([0.2, 0.5, 0.3], [0.4, 0.6, 0.55], None),  # the intervals overlap
        ([0.2], [0.9], None),
        ([0.2], [0.8, 0.9], None),  # one seed says nothing of its recipe
        ([0.5, 0.5], [0.5, 0.5], None),
    ],
)
def test_better_is_said_only_of_intervals_that_lie_apart(tmp_path, one, other, best):
    found = grouped(*seeds(tmp_path, "a", one), *seeds(tmp_path, "b", other, "batch=32"))
    (row,) = groups.rows(found)
    assert row.way == "higher" and row.best == best


def test_of_distances_the_smaller_is_better_and_of_ratios_neither(tmp_path):
    made = [
        make(tmp_path / f"{batch}{k}", f"batch={batch}", seed=k,
             metrics=[evaluated(frechet=batch + k, ms_ssim=batch + k)])
        for batch in (32, 64) for k in range(2)
    ]  # fmt: skip
    distance, likeness = groups.rows(grouped(*made))
    assert (distance.best, distance.way) == (0, "lower")
    assert (likeness.best, likeness.way) == (None, None)


def test_what_was_measured_in_another_way_is_neither_averaged_nor_compared(tmp_path):
    one = seeds(tmp_path, "a", [0.2, 0.3, 0.25])
    one.append(make(tmp_path / "odd", seed=9, metrics=[evaluated(n=9, label_accuracy=1.0)]))
    other = [
        make(
            tmp_path / f"b{k}",
            "batch=32",
            seed=k,
            metrics=[evaluated(data="d", label_accuracy=0.9)],
        )
        for k in range(2)
    ]
    found = grouped(*one, *other)
    (row,) = figures = groups.rows(found)
    assert row.cells[0].values == (0.2, 0.3, 0.25) and row.cells[0].left_out == 1
    assert row.why_not == groups.OTHER_WAYS and row.best is None
    said = " ".join(cautions(found, figures))
    assert "left out of: label_accuracy" in said
    assert "64 images against glyphs; 64 images against d" in said


def test_figures_of_codes_that_share_only_a_name_are_not_compared(tmp_path):
    def two(name, *settings, **code):
        return [
            make(tmp_path / f"{name}{k}", *settings, seed=k, codes={"c1": code},
                 metrics=[evaluated(**{"r2/c1": value, "r2/c2": value})])
            for k, value in enumerate([len(name) / 4, len(name) / 4 + 0.1])
        ]  # fmt: skip

    found = grouped(*two("a", kind="uniform"), *two("bb", "batch=32", kind="categorical", size=3))
    own, other = figures = groups.rows(found)
    assert (own.why_not, own.best, other.why_not, other.best) == (groups.OTHER_CODES, None, "", 1)
    assert any("another kind" in words and "r2/c1" in words for words in cautions(found, figures))


def test_a_judge_is_part_of_the_way_where_both_name_it():
    def figure(**more):
        return history.figures(evaluated(label_accuracy=0.5, frechet=1.0) | more)

    plain, judged, other = figure(), figure(judge="a"), figure(judge="b")
    assert judged["label_accuracy"].alike(plain["label_accuracy"])
    assert not judged["label_accuracy"].alike(other["label_accuracy"])
    seen, through = figure(features="x"), figure(features="y")
    assert seen["label_accuracy"].alike(through["label_accuracy"])  # it looks through no features
    assert not seen["frechet"].alike(through["frechet"])


def test_it_is_said_in_what_the_ways_differ(tmp_path):
    def by(name, judge, *settings):
        metrics = [evaluated(label_accuracy=0.5) | {"judge": judge}]
        return make(tmp_path / name, *settings, metrics=metrics)

    found = grouped(by("a", "judge of today"), by("b", "judge of old", "batch=32"))
    said = " ".join(cautions(found, groups.rows(found)))
    assert "judge of today; judge of old" in said


@pytest.mark.parametrize(
    ("name", "bounds", "way"),
    [
        ("frechet", {"real": True}, "lower"),
        ("some_distance", {"real": True}, "lower"),
        ("coverage", {"real": True, "ceiling": 1.0}, "higher"),
        ("r2/c1", {"floor": 0.0, "ceiling": 1.0}, "higher"),
        ("some_error", {"floor": 5.0, "ceiling": 0.0}, "lower"),
        ("calibration/slant", {"ceiling": 1.0}, None),
        ("density", {"real": True}, None),
        ("unknown", {}, None),
    ],
)
def test_which_way_is_better(name, bounds, way):
    bare = {"floor": None, "ceiling": None, "error": None, "real": False, "about": "", "n": 1}
    bare |= {"data": "", "judge": "", "features": "", "images_seen": 0}
    assert history.better(name, history.Measured(0.5, **bare | bounds)) == way


# ---------------------------------------------------------------------- what a run says of itself
def test_the_last_figure_of_each_metric_counts_and_a_later_failure_takes_it_away():
    lines = [
        evaluated(at=100, label_accuracy=0.1, frechet=9.0, r2=0.5),
        evaluated(at=200, label_accuracy=0.2, missing=["frechet"]),
        {"metrics": {"a": None, "b": {"value": float("nan")}, "c": {"value": True}}, "missing": 3},
    ]
    figures, missing = history.latest(lines)
    assert {name: figure.value for name, figure in figures.items()} == {
        "label_accuracy": 0.2,
        "r2": 0.5,
    }
    assert missing == {"frechet": "why"}
    assert history.latest([*lines, evaluated(frechet=8.0)])[1] == {}


def test_progress_keeps_to_one_way_of_measuring_and_to_the_last_word():
    lines = [
        evaluated(at=100, label_accuracy=0.1),
        evaluated(at=150, n=9, label_accuracy=1.0),
        evaluated(at=200, label_accuracy=0.2),
        evaluated(at=100, label_accuracy=0.15),
    ]
    assert history.progress(lines) == {"label_accuracy": [(100, 0.15), (200, 0.2)]}


def test_curves_are_read_between_their_points_and_averaged_where_all_are():
    curve = [(10.0, 1.0), (20.0, 3.0)]
    assert [history.at(curve, x) for x in (5, 10, 15, 20, 25)] == [None, 1.0, 2.0, 3.0, None]
    assert history.at([], 1.0) is None
    other = [(12.0, 0.0), (22.0, 10.0)]
    assert comparison_page.mean_curve([curve, other]) == [(20.0, pytest.approx(5.5))]
    assert comparison_page.mean_curve([curve]) == curve
    log = [line(100), line(200)]  # one and two seconds
    assert history.over_minutes([(50, 0.0), (150, 7.0)], log) == [(pytest.approx(1.5 / 60), 7.0)]


# ---------------------------------------------------------------------- the page
def compared(folder, made, **options):
    out = folder / "out.html"
    result = comparison.compare([run.path for run in made], out, **options)
    return result, out.read_text("utf-8")


def checked(html):
    """A page that asks for nothing; what it says in one line."""
    read = Reader(html)
    assert read.tags.count("h1") == 1
    assert not {"script", "link", "iframe", "object", "base"} & set(read.tags)
    outside = [v for k, v in read.attributes if k in ("src", "href", "srcset", "action", "data")]
    assert all(value.startswith("data:image/png;base64,") for value in outside)
    assert "url(" not in html and "@import" not in html and "default-src 'none'" in html
    return read, " ".join(read.text.split())


def test_the_page_shows_groups_differences_figures_and_curves(tmp_path):
    one = seeds(tmp_path, "a", [0.2, 0.3, 0.25])
    other = seeds(tmp_path, "b", [0.5, 0.6, 0.55], "batch=32")
    for k, run in enumerate(one):  # evaluated as it trained
        run.append("metrics.jsonl", evaluated(at=100, label_accuracy=0.1 * k))
    result, html = compared(tmp_path, [*one, *other])
    read, said = checked(html)
    assert result.title == "batch=64 and batch=32" and "6 runs in 2 groups" in said
    assert "training.batch" in said and "training.seed" not in said
    assert "0.550 ± 0.050 ◆" in said and "0.500 to 0.600" in said and "n = 3" in said
    assert "floor 0.1, ceiling 1" in said and "higher is better" in said
    assert "by luck in about 1 of 10 figures" in said and "interval from 3 seeds is coarse" in said
    assert "after 100 of its 200 images" in said
    labels = [value for key, value in read.attributes if key == "aria-label"]
    for name in ("label_accuracy", "critic", "c1, R²", "Speed, images a second"):
        assert f"{name}, over images seen" in labels, name
    assert "critic, over minutes of training" in labels
    faint = [v for k, v in read.attributes if k == "class" and v and "faint" in v]
    assert faint and said.count("No images: ") == 6  # no weights: said, not fatal


def test_a_run_alone_is_a_page_of_its_own_figures(tmp_path):
    result, html = compared(
        tmp_path, [make(tmp_path / "a", metrics=[evaluated(label_accuracy=0.5)])]
    )
    _, said = checked(html)
    assert result.title == "acgan on glyphs" and "Differences" not in said
    assert "0.500 ± 0.010" in said and "One seed only" in said and "◆ 0" not in said


@pytest.mark.parametrize(
    "more",
    [
        {"log": []},
        {"metrics": [{"images_seen": 200, "metrics": {"a": None}, "missing": [], "n": {}}]},
        {"log": [{"images_seen": 5}, {"images_seen": "x"}, line(9, terms=[], information={})]},
        {"line": "", "codes": {}, "data": "", "fingerprint": ""},
        {"line": 3, "codes": "x", "data": ["y"], "fingerprint": {"a": 1}},
    ],
)
def test_what_is_missing_or_strange_is_not_fatal(tmp_path, more):
    made = [make(tmp_path / "a", **more), make(tmp_path / "b", "batch=32")]
    checked(compared(tmp_path, made)[1])
    (tmp_path / "out.html").unlink()
    checked(compared(tmp_path, made[:1])[1])


def test_provenance_is_shown_where_it_differs_and_kept_out_where_not(tmp_path):
    one, other = make(tmp_path / "a"), make(tmp_path / "b", "batch=32")
    text = other.config_file.read_text("utf-8").replace('torch = "2.11"', 'torch = "9.9"')
    other.config_file.write_text(text, "utf-8")
    _, said = checked(compared(tmp_path, [one, other])[1])
    assert "torch2.119.9" in said and "engine" not in said


@pytest.mark.parametrize("where", ["data", "line", "log", "metrics", "provenance", "folder"])
def test_what_strangers_write_stays_text(tmp_path, where):
    more, folder = {}, "b"
    if where == "log":
        names = {HOSTILE: 1.0}
        more["log"] = [line(k, terms=names, information=names, health=names) for k in (1, 2)]
    elif where == "metrics":
        bad = evaluated(n=HOSTILE, data=HOSTILE, missing=[HOSTILE], **{HOSTILE: 0.5})
        bad["metrics"][HOSTILE]["about"] = HOSTILE
        more["metrics"] = [bad | {"images_seen": k} for k in (1, 2)]
    elif where == "folder":
        folder = HOSTILE.replace("/", "|")
    elif where != "provenance":
        more[where] = HOSTILE
    made = [make(tmp_path / "a"), make(tmp_path / folder, "batch=32", **more)]
    if where == "provenance":
        text = made[1].config_file.read_text("utf-8")
        made[1].config_file.write_text(text.replace('"2.11"', json.dumps(HOSTILE)), "utf-8")
    result, html = compared(tmp_path, made)
    read, said = checked(html)
    assert "alert" in said and read.tags.count("style") == 1 and "img" not in read.tags
    assert "onerror" not in [key for key, _ in read.attributes]
    terminal = io.StringIO()
    comparison.show(result, "out.html", Console(file=terminal, width=200))
    assert "out.html" in terminal.getvalue()


# ---------------------------------------------------------------------- samples
def trained(folder, name, preset):
    shutil.copytree(tiny.run(preset), folder / name)
    return Run(folder / name)


def test_every_run_draws_the_same_seeds_in_the_same_layout(tmp_path):
    made = [trained(tmp_path, "a", "acgan-infogan"), trained(tmp_path, "b", "gan")]
    _, html = compared(tmp_path, made)
    read, said = checked(html)
    shown = [v.partition(",")[2] for k, v in read.attributes if k == "src"]
    assert len(shown) == 2 and "a row for each label" in said
    for run, content in zip(made, shown, strict=True):
        image = Image.open(io.BytesIO(base64.b64decode(content)))
        expected = sheets.class_sheet(model.load(run.path))
        assert image.mode == expected.mode and image.tobytes() == expected.tobytes()


# ---------------------------------------------------------------------- the command
def test_the_command_writes_the_page_and_prints_the_table(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = [*seeds(tmp_path, "a", [0.2, 0.3]), *seeds(tmp_path, "b", [0.5, 0.6], "batch=32")]
    words = ["compare", *(run.path.name for run in made)]
    assert cli.run(words) == 0
    said = capsys.readouterr().out
    assert "label_accuracy" in said and "0.550 ± 0.071" in said and "◆" in said
    assert said.splitlines()[-1] == "report.html"
    before = (tmp_path / "report.html").read_bytes()
    assert cli.run([*words, words[-1]]) == 0  # its own page may be replaced, and a run counts once
    assert (tmp_path / "report.html").read_bytes() == before


def test_mistakes_are_one_clear_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = str(make(tmp_path / "a").path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine.html").write_text("my own page")

    def complaint(*words):
        assert cli.run(["compare", *words]) == 2
        spoken = capsys.readouterr()
        assert spoken.out == "" and spoken.err.count("\n") == 1
        return spoken.err

    assert "no run 'nosuch'" in complaint(run, "nosuch")
    assert "empty is not a run" in complaint("empty")
    assert "is a folder" in complaint(run, "--out", "empty")
    assert "ending in .html" in complaint(run, "--out", "page.png")
    assert "was not written by `gander compare`" in complaint(run, "--out", "mine.html")
    assert (tmp_path / "mine.html").read_text() == "my own page"
    assert "cannot be written" in complaint(run, "--out", "mine.html/page.html")
    assert not (tmp_path / "report.html").exists()
    with pytest.raises(RunError, match="nothing to compare"):
        comparison.compare([])


def test_a_run_s_own_report_is_not_overwritten(tmp_path):
    run = tiny.run("gan")
    with pytest.raises(RunError, match="not written by"):
        comparison.compare([run], run / "report.html")
