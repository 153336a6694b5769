"""The laws of report.html: one file, safe to open, and sensible whatever is missing."""

import base64
import json
import re
import shlex
from html.parser import HTMLParser

import pytest

from gander import charts, config
from gander.charts import bar, short, ticks
from gander.errors import RunError
from gander.history import series
from gander.report import write_report
from gander.runs import Run

HOSTILE = "<script>alert('x')</script>\"'&</style><img src=http://evil.example/x onerror=alert(1)>"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
KNOBS = ("digit", "c1", "style", "tags")
VOID = {"meta", "img", "br", "line", "circle", "polyline"}


def line(images_seen, **more):
    return {
        "images_seen": images_seen,
        "seconds": images_seen / 100,
        "images_per_second": 100.0,
        "terms": {"critic": 1.4, "generator": 0.7, "real/digit": 2.0, "fake/c1": 1.0},
        "information": {"digit": 0.5, "c1": 0.25},
        "ceilings": {"digit": 2.3, "c1": 1.0},
        "health": {"diversity": 0.4, "told_apart": 0.9},
        "alarms": [],
    } | more


def figures(*names):
    measured = {name: {"value": 0.5, "floor": 0.1, "ceiling": None, "about": "a"} for name in names}
    return {"images_seen": 200, "seed": 0, "n": 64, "data": "glyphs", "metrics": measured}


def make(folder, log=(), metrics=(), sheets=(), **resolved):
    """A run directory, made by hand."""
    run = Run(folder)
    given = config.load("gan", ["codes=noise:gaussian(8) label:given,recognised c1:uniform"])
    codes = {
        "noise": {"kind": "gaussian", "size": 8},
        "digit": {"kind": "categorical", "size": 10, "given": "digit", "recognised": 1.0},
        "c1": {"kind": "uniform", "recognised": 2.0},
        "style": {"kind": "gaussian", "size": 2, "recognised": 0.5},
        "tags": {"kind": "binary", "size": 3, "given": "tags", "shown": "projection"},
    }
    about = {"family": "ACGAN+InfoGAN", "line": "noise:gaussian(8) …", "data": "glyphs"}
    about |= {"shape": [1, 28, 28], "found": ["70 images"], "codes": codes}
    extra = {"resolved": about | resolved, "provenance": {"command": "gander train gan"}}
    run.write_config(given, extra)
    for number in log:
        run.append("log.jsonl", number)
    for number in metrics:
        run.append("metrics.jsonl", number)
    run.samples.mkdir(exist_ok=True)
    for name in sheets:
        (run.samples / name).write_bytes(PIXEL)
    return run


def page(run):
    return write_report(run).read_text("utf-8")


class Reader(HTMLParser):
    """Tags in order, attributes and visible text; complains of tags that do not nest."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], "", []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


FULL = {
    "log": [line(100), line(200, alarms=["collapse", "dead_code/c1"])],
    "metrics": [
        figures("old") | {"images_seen": 100},
        figures("label_accuracy", "r2/c1") | {"missing": {"mig": "why"}},
    ],
    "sheets": [
        *("images-000000100.png", "images-000000200.png", "knobs-000000200.png"),
        *("sweep-c1-000000100.png", "sweep-c1-000000200.png", "sweep-style.1-000000200.png"),
    ],
}
RUNS = {
    "empty": {},
    "full": FULL,
    "one line": {"log": [line(100)]},
    "no samples": FULL | {"sheets": []},
    "no evaluation": FULL | {"metrics": []},
    "no log": FULL | {"log": []},
    "noise alone": {"codes": {"noise": {"kind": "gaussian"}}, "log": [line(1, information={})]},
    "strange": {
        "log": [
            {"images_seen": "many"},
            {"images_seen": 5},
            {"images_seen": 7, "terms": [], "alarms": "x", "health": {"a": None, "b": True}},
            line(9, terms={"nan": float("nan"), "big": 10**400, "same": 1e299, "critic": -3}),
            line(8, information={"c9": -1e9}, ceilings={"c9": 0}, health={"other": -2}),
        ],
        "metrics": [{"metrics": {"a": None, "b": {"value": "high", "floor": {}}}, "missing": []}],
        "codes": {"noise": "gaussian", "odd": {"given": 3, "recognised": "much", "size": []}},
        "found": "glyphs",
        "shape": "large",
    },
}


@pytest.mark.parametrize("name", RUNS)
def test_every_run_gives_a_whole_page_that_asks_for_nothing(tmp_path, name):
    html = page(make(tmp_path, **RUNS[name]))
    read = Reader(html)
    assert read.tags.count("h1") == 1 and read.tags.count("h2") == 8
    assert not {"script", "link", "iframe", "object", "base"} & set(read.tags)
    outside = [v for k, v in read.attributes if k in ("src", "href", "srcset", "action", "data")]
    assert all(value.startswith("data:image/png;base64,") for value in outside)
    assert "url(" not in html and "@import" not in html
    assert not re.search(r"nan|inf(?![a-z])|None", " ".join(v or "" for _, v in read.attributes))
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_every_metric_knob_alarm_and_sheet_is_there(tmp_path):
    read = Reader(page(make(tmp_path, **FULL)))
    said = " ".join(read.text.split())
    for word in (*KNOBS, "label_accuracy", "r2/c1", "mig: why", "collapse", "dead_code/c1"):
        assert word in said, word
    assert "old" not in said.split()  # the last evaluation, not an earlier one
    assert "--set c1.recognised" in said and "in 1 of 2 reports" in said
    assert "ceiling 2.3" in said and "cannot tell" in said
    assert "Without a sweep of their own: digit, tags." in said
    alts = [value for key, value in read.attributes if key == "alt"]
    assert len(alts) == 5 and all(alts)  # the newest of each, and one earlier class sheet
    assert sum("200 images" in alt for alt in alts) == 4


def test_commands_are_quoted_for_the_shell(tmp_path):
    folder = tmp_path / "a run; with $odd 'name"
    folder.mkdir()
    read = Reader(page(make(folder, **FULL)))
    lines = [text for text in read.text.splitlines() if text.startswith("gander ")]
    assert len(lines) == 2 + len(KNOBS)
    assert all(str(folder) in shlex.split(text) for text in lines)


@pytest.mark.parametrize("where", ["data", "family", "line", "found", "codes", "log", "metrics"])
def test_what_strangers_write_stays_text(tmp_path, where):
    made = dict(FULL)
    if where == "found":
        made["found"] = [HOSTILE]
    elif where == "codes":
        bad = dict.fromkeys(("kind", "size", "given", "shown"), HOSTILE)
        made["codes"] = {"noise": {"kind": HOSTILE}, HOSTILE: bad | {"recognised": 1}}
    elif where == "log":
        alarms = [HOSTILE, f"dead_code/{HOSTILE}"]
        names = {HOSTILE: 1.0, f"{HOSTILE}/x": 2.0}
        groups = ("terms", "information", "health", "ceilings")
        made["log"] = [line(3, alarms=alarms, **dict.fromkeys(groups, names))]
    elif where == "metrics":
        bad = figures(HOSTILE) | {"missing": {HOSTILE: HOSTILE}, "n": HOSTILE, "data": HOSTILE}
        bad["metrics"][HOSTILE]["about"] = HOSTILE
        made["metrics"] = [bad]
    else:
        made[where] = HOSTILE
    html = page(make(tmp_path, **made))
    read = Reader(html)
    assert "alert" in read.text and "script" not in read.tags
    assert read.tags.count("img") == 5 and read.tags.count("style") == 1
    assert "onerror" not in [key for key, _ in read.attributes]


def test_a_file_name_is_text_too_and_a_picture_must_be_one(tmp_path):
    run = make(tmp_path, log=[line(1)])
    (run.samples / "sweep-<b onload=x>-000000001.png").write_bytes(PIXEL)
    (run.samples / "images-000000001.png").write_text(HOSTILE)
    (tmp_path / "secret.png").write_bytes(PIXEL)
    (run.samples / "sweep-linked-000000001.png").symlink_to(tmp_path / "secret.png")
    read = Reader(page(run))
    assert "b" not in read.tags and read.tags.count("img") == 1
    assert "images-000000001.png is not a picture" in read.text and "linked" not in read.text


def test_words_beside_a_picture_are_text_too():
    read = Reader(charts.picture(PIXEL, HOSTILE, HOSTILE, HOSTILE))
    assert read.tags == ["figure", "img", "figcaption"]
    assert sorted(dict(read.attributes)) == ["alt", "height", "src", "width"]
    assert Reader(charts.picture(b"", HOSTILE, "", "")).tags == ["p"]


def test_lone_surrogates_and_damaged_lines_do_not_stop_it(tmp_path):
    run = make(tmp_path, log=[line(1)])
    with run.log_file.open("a") as log:
        log.write(json.dumps(line(2, alarms=["\ud800"])) + "\n" + '{"images_seen": 3, "te')
    read = Reader(page(run))
    assert "in 1 of 2 reports" in read.text and "\ud800" not in read.text


def test_a_folder_without_a_configuration_is_refused(tmp_path):
    with pytest.raises(RunError, match="not a run"):
        write_report(Run(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_long_logs_are_thinned_and_keep_their_mean_and_end():
    log = [line(k, terms={"critic": k}) for k in range(1, 10_001)]
    points = series(log, "terms")["critic"]
    assert len(points) <= 240 and points[-1][0] == 10_000
    assert sum(y for _, y in points) / len(points) == pytest.approx(5000, rel=0.01)


@pytest.mark.parametrize("low", [-1e6, -1.0, 0.0, 0.3, 1e6])
@pytest.mark.parametrize("span", [1e-3, 0.7, 1.0, 2.0, 9.99, 1000.0, 123456.0])
def test_ticks_are_few_and_inside(low, span):
    marks = ticks(low, low + span)
    slack = 1e-6 * span
    assert 1 <= len(marks) <= 6
    assert all(low - slack <= mark <= low + span + slack for mark in marks)


def test_figures_are_short_and_bars_go_from_floor_to_ceiling():
    assert [short(v) for v in (None, 0.0, 0.12345, 999, 1000, 1.25e6)] == [
        *("–", "0", "0.123", "999", "1k", "1.25M")
    ]
    assert "--v:50%" in bar(0.5, 0, 1) and "--v:50%" in bar(5, 10, 0)  # a distance falls
    assert "--v:0%" in bar(-3, 0, 1) and "--v:100%" in bar(3, 0, 1)
    assert bar(1, None, 1) == bar(1, 1, 1) == "–"


def test_an_evaluation_is_shown_with_its_errors_ratios_judge_pictures_and_best(tmp_path):
    first, second = figures("frechet", "r2/c1"), figures("frechet", "label_accuracy")
    for number, table in enumerate((first, second)):
        real = {"floor": 0.25, "floor_is": "real", "error": 0.0125, "value": 0.5 + number}
        table["metrics"]["frechet"] |= real
    lines = [
        first | {"images_seen": 100, "n": 2000},
        second | {"judge": "judge: digit 0.99", "n": 2000},
    ]
    run = make(tmp_path, log=[line(200)], metrics=lines, sheets=["evaluation-neighbours.png"])
    (tmp_path / "best").mkdir()
    best = {"figure": "frechet", "value": 0.5, "images_seen": 100_000}
    (tmp_path / "best" / "best.json").write_text(json.dumps(best))
    read = Reader(page(run))
    said = " ".join(read.text.split())
    assert "1.5 ± 0.0125" in said and "6 × real" in said and "0.25 real" in said
    assert "Judge: digit 0.99." in said and "2,000 images drawn after 200 images seen" in said
    assert "what knowing nothing scores; marked real, what real training images score" in said
    assert "Measured earlier only (1)" in said and "after 100 images seen" in said  # r2/c1
    alts = [value for key, value in read.attributes if key == "alt"]
    assert len(alts) == 1 and "training images nearest" in alts[0]
    labels = [value for key, value in read.attributes if key == "aria-label"]
    assert "frechet, over images seen" in labels and "r2/c1, over images seen" not in labels
    assert "Best by frechet: 0.5, after 100,000 images seen" in said
    (tmp_path / "best" / "best.json").write_text("[")
    assert "Best by" not in page(run)
