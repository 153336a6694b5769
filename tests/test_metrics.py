"""Metrics face impostors: what steers perfectly scores the ceiling, what only looks like steering does not.

The studies below are made up: what was ordered, what the judge sees and what the recogniser reads are written by hand.
"""

import json
import math

import pytest
import torch

import tiny
from gander import cli, evaluation, metrics
from gander.codes import CodeSpec
from gander.data import Column, Data
from gander.errors import ConfigError
from gander.kinds import Categorical, Uniform
from gander.metrics import CannotMeasure, Figure, Study
from gander.metrics.correlation import assign, pearson

N, CLASSES = 2000, 4
FACTORS = ("slant", "stroke", "size")
MIXTURE = "noise:gaussian(2) digit:given,recognised"


class Scripted:
    """A model of which only the specification and the values it was asked for matter."""

    def __init__(self, line):
        columns = {"digit": Categorical(CLASSES)} | {f: Uniform(1, -1, 1) for f in FACTORS}
        self.spec = CodeSpec.parse(line).resolve(columns, "digit")
        self.critic = object()

    def values(self, seeds, **codes):
        drawn = self.spec.draw_at(seeds)
        return drawn | {name: torch.tensor(values) for name, values in codes.items()}


def noise(seed):
    return torch.rand(N, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def recorded():
    """A test split whose digit and factors are known, and whose images do not matter."""
    columns = {
        "digit": Column("digit", "categorical", torch.arange(N) % CLASSES, tuple("0123"))
    } | {f: Column(f, "continuous", noise(k)) for k, f in enumerate(FACTORS)}
    images = torch.zeros(N, 1, 4, 4, dtype=torch.uint8)
    return Data("made", "made", "test", images, columns, "digit", (), ("digit", *FACTORS))


def study(line=MIXTURE, judged=None, readings=None):
    """What the judge sees in the drawn images is ``judged(values)``; of real ones it knows everything."""
    data = recorded()
    made = Study(Scripted(line), data, data, N)
    made.__dict__["judged_test"] = {n: c.values for n, c in data.columns.items()}
    neutral = {f: noise(90 + k) for k, f in enumerate(FACTORS)}
    neutral["digit"] = made.values.get("digit", data.columns["digit"].values)
    made.__dict__["judged"] = neutral | (judged(made.values) if judged else {})
    made.__dict__["readings"] = readings(data) if readings else {}
    return made


def figures(name, *arguments, **options):
    return metrics.find(name)(study(*arguments, **options))


# ---------------------------------------------------------------------- label accuracy
def test_a_perfect_ordering_scores_the_ceiling():
    figure = figures("label_accuracy")["label_accuracy/digit"]
    assert (figure.value, figure.floor, figure.ceiling) == (1.0, 0.25, 1.0)


def test_shuffled_labels_and_one_and_the_same_image_score_chance():
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    for impostor in (
        lambda values: {"digit": values["digit"][order]},
        lambda values: {"digit": torch.full((N,), 3)},
    ):
        figure = figures("label_accuracy", judged=impostor)["label_accuracy/digit"]
        assert figure.value == pytest.approx(figure.floor, abs=0.03)


def test_a_private_language_scores_nothing_however_consistent():
    """An ordered 1 draws a 2, an ordered 2 a 3: recogniser and generator agree, the judge does not."""
    shifted = figures("label_accuracy", judged=lambda v: {"digit": (v["digit"] + 1) % CLASSES})
    assert shifted["label_accuracy/digit"].value == 0


def test_classes_are_ordered_in_equal_numbers():
    counts = torch.bincount(study().values["digit"], minlength=CLASSES)
    assert (counts == N // CLASSES).all()


def test_the_ceiling_is_the_judges_own_accuracy_where_the_truth_is_known():
    made = study()
    truth = made.test.columns["digit"].values
    made.test.columns["digit"].values[:] = torch.where(torch.arange(N) < N // 2, truth, -1)
    made.__dict__["judged_test"]["digit"] = torch.where(torch.arange(N) < N // 4, truth, 9)
    assert metrics.find("label_accuracy")(made)["label_accuracy/digit"].ceiling == pytest.approx(
        0.5
    )


def test_what_a_run_lacks_is_a_reason_and_no_figure():
    for name, line in (
        ("label_accuracy", "noise:gaussian(2)"),
        ("correlation", "noise:gaussian(2)"),
        ("mutual_information", "noise:gaussian(2)"),
    ):
        with pytest.raises(CannotMeasure):
            figures(name, line)


# ---------------------------------------------------------------------- correlation
DISCOVERED = f"{MIXTURE} c1:uniform,recognised c2:uniform,recognised"


def steered(values):
    """c1 is the slant, c2 the size turned round; the stroke follows nothing."""
    return {"slant": 20 * values["c1"][:, 0], "size": 5 - 2 * values["c2"][:, 0]}


def read(data):
    slant, size = data.columns["slant"].values, data.columns["size"].values
    return {"c1": slant[:, None] * 0.5, "c2": -size[:, None]}


def test_discovered_codes_that_are_factors_score_the_ceiling_whatever_their_sign_and_scale():
    found = figures("correlation", DISCOVERED, judged=steered, readings=read)
    for code, factor in (("c1", "slant"), ("c2", "size")):
        for kind in ("correlation", "steering", "steering_worst_class"):
            figure = found[f"{kind}/{code}"]
            assert figure.value == pytest.approx(1, abs=1e-6)
            assert (figure.floor, figure.ceiling) == (0, 1) and figure.about.startswith(factor)


def test_codes_that_are_nothing_score_the_floor():
    found = figures(
        "correlation", DISCOVERED, readings=lambda _: {c: noise(7)[:, None] for c in ("c1", "c2")}
    )
    for name in ("correlation/c1", "correlation/c2", "steering/c1", "steering/c2"):
        assert found[name].value < 0.08


def test_one_and_the_same_image_scores_nothing():
    constant = {f: torch.full((N,), 0.3) for f in FACTORS}
    found = figures("correlation", DISCOVERED, judged=lambda _: constant, readings=read)
    assert all(found[f"steering/{c}"].value == 0 for c in ("c1", "c2"))
    assert all(found[f"steering_worst_class/{c}"].value == 0 for c in ("c1", "c2"))
    flat = {code: torch.ones(N, 1) for code in ("c1", "c2")}
    still = figures("correlation", DISCOVERED, readings=lambda _: flat)
    assert still["correlation/c1"].value == 0


def test_a_sign_that_flips_in_one_class_is_seen_in_the_worst_class():
    def flipped(values):
        sign = torch.where(values["digit"] == 2, -1.0, 1.0)
        return steered(values) | {"slant": 20 * sign * values["c1"][:, 0]}

    found = figures("correlation", DISCOVERED, judged=flipped, readings=read)
    assert found["steering/c1"].value == pytest.approx(0.5, abs=0.05)
    assert found["steering_worst_class/c1"].value == pytest.approx(-1, abs=1e-3)
    assert found["steering_worst_class/c2"].value == pytest.approx(1, abs=1e-6)


def test_a_code_twice_gets_no_credit_twice_for_one_factor():
    def doubled(data):
        slant = data.columns["slant"].values[:, None]
        return {"c1": slant, "c2": slant}

    found = figures("correlation", DISCOVERED, readings=doubled)
    values = sorted(found[f"correlation/{c}"].value for c in ("c1", "c2"))
    assert values[1] == pytest.approx(1, abs=1e-6) and values[0] < 0.1


def test_a_given_number_is_measured_in_what_was_ordered():
    line = "noise:gaussian(2) slant:given,recognised"
    for scale, value in ((3.0, 1), (-3.0, -1), (0.0, 0)):
        seen = {"judged": lambda v, s=scale: {"slant": s * v["slant"][:, 0]}}
        found = figures("correlation", line, **seen)
        figure = found["correlation/slant"]
        assert figure.value == pytest.approx(value, abs=1e-6) and figure.ceiling == pytest.approx(1)


def test_codes_beyond_the_factors_are_held_against_nothing():
    """Three knobs and two factors: the third gets no figure, rather than the credit of another."""
    strength = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.1, 0.7]])
    assert assign(strength) == [0, None, 1]


@pytest.mark.parametrize("rows", [1, 2, 3, 6, 9])
@pytest.mark.parametrize("columns", [9, 30])
def test_each_code_gets_a_factor_of_its_own_at_any_number_of_either(rows, columns):
    """Also where trying every assignment would take for ever, and where every code likes the same factor best."""
    strength = torch.rand(rows, columns, generator=torch.Generator().manual_seed(rows)) * 0.3
    strength[:, 4] = 0.9 + torch.arange(rows) * 0.01
    chosen = assign(strength)
    assert len(set(chosen)) == rows and 4 in chosen


def test_the_assignment_is_the_best_in_total_not_one_by_one():
    assert assign(torch.tensor([[0.9, 0.8], [0.85, 0.1]])) == [1, 0]


def test_pearson_is_scale_free_and_deaf_to_what_is_missing():
    x = noise(1)
    assert pearson(x, 1e4 * x + 5e6) == pytest.approx(1, abs=1e-3)
    assert pearson(x, -x) == pytest.approx(-1)
    assert pearson(x, noise(2)) == pytest.approx(0, abs=0.06)
    holes = torch.where(noise(3) > 0, x, torch.nan)
    assert pearson(holes, x) == pytest.approx(1)
    assert pearson(torch.full((N,), torch.nan), x) == 0 == pearson(x, torch.ones(N))


# ---------------------------------------------------------------------- the registry
def test_every_metric_is_listed_with_its_line_and_found():
    assert {"label_accuracy", "correlation", "mutual_information"} <= set(metrics.names())
    for name, line in metrics.described().items():
        assert line.endswith((".", ":")) or len(line) > 20, name
        assert callable(metrics.find(name))
    with pytest.raises(ConfigError, match="Did you mean 'correlation'"):
        metrics.find("corelation")


# ---------------------------------------------------------------------- gander evaluate
CHEAP = "label_accuracy,correlation,mutual_information,r2"


def evaluate(*words, preset="acgan-infogan"):
    return cli.run(["evaluate", str(tiny.run(preset)), *map(str, words)])


def test_the_json_is_that_of_the_contract_and_a_line_is_kept(quick, capsys):
    words = ("--n", 64, "--metrics", CHEAP, "--json", "deep/m.json")
    assert evaluate(*words) == 0
    table = json.loads((quick / "deep" / "m.json").read_text())
    assert list(table) == ["metrics", "run", "data", "n"]
    run = str(tiny.run("acgan-infogan"))
    assert (table["run"], table["data"], table["n"]) == (run, tiny.source(), 64)
    assert set(table["metrics"]) >= {
        "label_accuracy",
        "mutual_information/label",
        *(f"r2/{c}" for c in ("c1", "c2", "c3")),
    }
    for name, figure in table["metrics"].items():
        assert list(figure) == ["value", "floor", "ceiling"]
        assert math.isfinite(figure["value"]) and name == name.lower()
    accuracy = table["metrics"]["label_accuracy"]
    assert accuracy["floor"] == 0.25 and 0 <= accuracy["value"] <= 1
    assert table["metrics"]["mutual_information/label"]["ceiling"] == pytest.approx(math.log(4))
    said = capsys.readouterr().out
    assert all(name in said for name in table["metrics"])
    assert "floor" in said and "ceiling" in said and "correlation: not measured" in said
    line = json.loads((tiny.run("acgan-infogan") / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["images_seen"] == 64 and line["seed"] == 0
    for name, kept in line["metrics"].items():
        assert table["metrics"][name]["value"] == kept["value"]
    assert evaluate(*words) == 0
    assert json.loads((quick / "deep" / "m.json").read_text()) == table


def test_a_bound_that_does_not_apply_is_null(quick, capsys):
    result = evaluation.Evaluation("r", "d", 20, {"f": Figure(1.5)}, {})
    evaluation.write_json(result, "f.json")
    assert json.loads((quick / "f.json").read_text())["metrics"]["f"] == {
        "value": 1.5,
        "floor": None,
        "ceiling": None,
    }
    evaluation.table(result)
    assert "1.5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--metrics nosuch", "'nosuch' is not a metric"),
        ("--metrics ,", "is not a metric"),
        ("--metrics label_acuracy", "Did you mean 'label_accuracy'"),
        ("--n 19", "--n is from 20"),
        ("--n=-1", "--n is from 20"),
        ("--n 99999999", "--n is from 20"),
        ("--data nosuch", "nosuch"),
        ("--device tpu", "no device"),
    ],
)
def test_a_wrong_request_is_one_message_and_nothing_written(words, says, quick, capsys):
    before = sorted(p for p in tiny.run("acgan-infogan").rglob("*"))
    assert evaluate(*words.split(), "--json", "m.json") == 2
    said = capsys.readouterr()
    assert said.err.startswith("gander: ") and says in said.err and said.err.count("\n") == 1
    assert list(quick.iterdir()) == [] and said.out == ""
    assert sorted(p for p in tiny.run("acgan-infogan").rglob("*")) == before


def test_images_of_another_shape_are_refused(quick, capsys):
    assert evaluate("--data", tiny.source(channels=3)) == 2
    assert "(3, 16, 16)" in capsys.readouterr().err
