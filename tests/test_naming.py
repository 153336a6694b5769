"""``gander name``: a class gets the name of the label it gathers, from few labels, and none where that is not clear."""

import json
import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from gander import cli, naming
from gander.codes import CodeSpec
from gander.data import Column
from gander.errors import CodeError, DataError, UseError
from gander.model import Card, Model, load
from gander.names import Names

SIDE = tiny.SIDE


def untrained(line="noise:gaussian(3) category:categorical(4),recognised c1:uniform,recognised"):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        card = Card(CodeSpec.parse(line), (1, SIDE, SIDE), "mlp", 8, "none")
        return Model(card, card.build_generator(), card.build_critic())


def corner(images):
    """Which quarter of each picture is bright, its label: 0 to 3."""
    half = SIDE // 2
    quarters = images.float().view(-1, 2, half, 2, half).mean((2, 4))
    return quarters.flatten(1).argmax(1)


def seeing(model, classes, sure=0.95):
    """The model with a recogniser that puts a picture with label k into ``classes(k)``, (N,) -> (N,)."""
    category = next(c for c in model.spec.recognised if c.resolved.name == "categorical")
    size = category.resolved.width

    def read_raw(images):
        said = torch.full((len(images), size), (1 - sure) / (size - 1))
        said[torch.arange(len(images)), classes(corner(images))] = sure
        return {category.name: said.log()}

    model.read_raw = read_raw
    return model


def told(naming):
    return [finding.name for finding in naming.findings]


# ---------------------------------------------------------------------- which labels are looked at
@given(
    classes=st.lists(st.integers(0, 5), min_size=1, max_size=80),
    share=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_equally_many_of_each_class_are_chosen_as_far_as_they_go(classes, share, seed):
    classes = torch.tensor(classes)
    lead = torch.arange(len(classes)).float()
    wanted = max(1, round(share * len(classes)))
    rows = naming.chosen(classes, lead, wanted, seed)
    assert len(set(rows.tolist())) == wanted == len(rows)
    taken, there = (torch.bincount(c, minlength=6) for c in (classes[rows], classes))
    most = int(taken.max())
    assert all(t >= min(n, most - 1) for t, n in zip(taken.tolist(), there.tolist(), strict=True))
    assert torch.equal(rows, naming.chosen(classes, lead, wanted, seed))


def test_they_are_drawn_from_the_surest_of_each_class():
    classes = torch.arange(4000) % 4
    lead = torch.from_numpy(np.random.default_rng(0).permutation(4000)).float()
    drawn = torch.cat([naming.chosen(classes, lead, 40, seed) for seed in range(50)])
    counts = torch.bincount(drawn, minlength=4000).double()
    surest = torch.zeros(4000, dtype=torch.bool)
    for k in range(4):
        own = (classes == k).nonzero().flatten()
        surest[own[lead[own].argsort(descending=True)[:100]]] = True
    assert not counts[~surest].any()
    assert abs(counts[surest].mean() - 5) < 1e-9 and 3 < counts[surest].var() < 6.5  # 4.5
    assert not torch.equal(naming.chosen(classes, lead, 40, 0), naming.chosen(classes, lead, 40, 1))


def test_a_small_class_is_drawn_from_four_times_what_is_wanted_of_it():
    classes, lead = torch.zeros(50, dtype=torch.int64), torch.arange(50).float()
    drawn = torch.cat([naming.chosen(classes, lead, 5, seed) for seed in range(60)])
    assert sorted(set(drawn.tolist())) == list(range(30, 50))


@pytest.mark.parametrize("labels", [8, 12, 40])
def test_no_other_label_is_ever_looked_at(labels):
    data = tiny.data()
    found = naming.find(seeing(untrained(), lambda k: 3 - k), data, labels=labels)
    assert len(found.rows) == labels and found.named == 4
    column = data.columns["label"]
    garbage = torch.full_like(column.values, 2)
    garbage[found.rows] = column.values[found.rows]
    other = replace(data, columns={"label": replace(column, values=garbage)})
    assert naming.find(seeing(untrained(), lambda k: 3 - k), other, labels=labels).findings == (
        found.findings
    )
    garbage[found.rows] = 2
    assert naming.find(seeing(untrained(), lambda k: 3 - k), other, labels=labels).named == 1


def test_an_image_without_a_label_is_not_chosen():
    data = tiny.data()
    column = data.columns["label"]
    sparse = column.values.clone()
    sparse[20:] = -1
    data = replace(data, columns={"label": replace(column, values=sparse)})
    found = naming.find(seeing(untrained(), lambda k: k), data, labels=20)
    assert found.rows.tolist() == list(range(20)) and told(found) == ["0", "1", "2", "3"]
    with pytest.raises(UseError, match="1 to the 20"):
        naming.find(seeing(untrained(), lambda k: k), data, labels=21)


# ---------------------------------------------------------------------- how sure a name is
@given(counts=st.lists(st.floats(0, 30), min_size=2, max_size=12))
def test_the_chances_to_be_the_commonest_sum_to_one_and_order_as_the_counts(counts):
    chances = [naming.probably_commonest(np.array(counts), k) for k in range(len(counts))]
    assert sum(chances) == pytest.approx(1, abs=0.02)
    assert all(0 <= chance <= 1 for chance in chances)
    for a, b in pairwise(np.argsort(counts, kind="stable")):
        assert chances[a] <= chances[b] + 1e-3


@pytest.mark.parametrize("counts", [[2, 0, 0], [2, 1, 0, 0], [5, 4, 3], [0.9, 0.8], [40, 30, 1]])
def test_a_chance_is_what_drawing_shares_at_random_says(counts):
    counts = np.array(counts, float)
    shares = np.random.default_rng(0).dirichlet(counts + 1 / len(counts), 40_000)
    for k in range(len(counts)):
        assert naming.probably_commonest(counts, k) == pytest.approx(
            (shares.argmax(1) == k).mean(), abs=0.012
        )


@pytest.mark.parametrize("labels", [2, 3, 10, 26, 1000])
def test_two_that_agree_name_a_class_and_one_against_one_does_not(labels):
    for sure in (0.9, 1.0):
        agree, against = np.zeros(labels), np.zeros(labels)
        agree[0] = 2 * sure
        against[:2] = sure
        assert naming.probably_commonest(agree, 0) > naming.LEAST
        assert naming.probably_commonest(against, 0) < naming.LEAST


# ---------------------------------------------------------------------- which name
@given(order=st.permutations(range(4)), seed=st.integers(0, 3))
def test_classes_that_are_labels_in_any_order_get_their_names(order, seed):
    places = torch.tensor(order)
    model = seeing(untrained(), lambda k: places[k])
    for labels in (8, None):
        found = naming.find(model, tiny.data(), labels=labels, seed=seed)
        assert [told(found)[order[k]] for k in range(4)] == ["0", "1", "2", "3"]
        assert all(finding.gathered == 24 for finding in found.findings)


def test_a_class_of_two_labels_alike_and_one_that_gathers_nothing_keep_their_numbers():
    found = naming.find(seeing(untrained(), lambda k: k // 2), tiny.data())
    assert told(found) == ["", "", "", ""]
    why = [finding.refused for finding in found.findings]
    assert why == ["too uncertain"] * 2 + ["it gathers no image"] * 2
    assert "24 of 48 are 0, 24 are 1" in found.findings[0].evidence


def test_a_label_names_one_class_where_there_are_labels_for_all():
    evidence = np.array([[9.0, 0, 0], [8.0, 1, 0], [0, 0, 7]])
    found = naming._findings(evidence, evidence, [9, 9, 7], ("a", "b", "c"), 0.7)
    assert [f.name for f in found] == ["a", "", "c"]
    assert found[1].refused == "a goes to #0"
    # Where the stronger class is itself unclear, the label is free.
    evidence[0, 1] = 9
    found = naming._findings(evidence, evidence, [18, 9, 7], ("a", "b", "c"), 0.7)
    assert [f.name for f in found] == ["", "a", "c"]


@given(
    owners=st.lists(st.integers(0, 3), min_size=5, max_size=12),
    labels=st.lists(
        st.sampled_from(["7", "7-2", "7-3", "#1", "# 1", " #", "a\nb", "x " * 45, "é"]),
        min_size=4,
        max_size=4,
        unique=True,
    ),
)
def test_more_classes_than_labels_share_them_under_numbers(owners, labels):
    evidence = np.zeros((len(owners), 4))
    evidence[np.arange(len(owners)), owners] = 5 + np.arange(len(owners))
    found = naming._findings(evidence, evidence, [5] * len(owners), tuple(labels), 0.7)
    words = [f.name for f in found]
    assert all(words) and len(set(words)) == len(words)
    spec = CodeSpec.parse(f"category:categorical({len(owners)}),recognised")
    kept = naming.Naming(
        spec.codes[0],
        Column("label", "categorical", torch.zeros(1)),
        "x",
        found,
        torch.zeros(1),
        torch.zeros(1),
        0,
    ).kept(Names(), 3)
    assert Names.from_dict(json.loads(json.dumps(kept.to_dict())), spec, "x") == kept
    for label in {0, 1, 2, 3} & set(owners):
        if labels[label] in ("7", "7-2", "7-3", "é"):
            own = [words[k] for k in range(len(owners)) if owners[k] == label]
            assert labels[label] in own and all(w.startswith(labels[label]) for w in own)
            assert not set(own) & (set(labels) - {labels[label]})


def test_fewer_classes_than_labels_leave_labels_without():
    line = "noise:gaussian(3) category:categorical(2),recognised"
    found = naming.find(seeing(untrained(line), lambda k: (k > 0).long()), tiny.data(classes=4))
    assert told(found) == ["0", ""]


TWO = "noise:gaussian(3) a:categorical(4),recognised b:categorical({}),recognised"


def test_of_several_categories_the_one_that_fits_is_named_or_the_one_asked_for():
    data = tiny.data()
    model = untrained(TWO.format(3))
    assert naming.find(model, data).code.name == "a"
    assert naming.find(model, data, code="b").code.name == "b"
    with pytest.raises(CodeError, match="--code a or --code b"):
        naming.find(untrained(TWO.format(4)), data)


def test_what_cannot_name_says_why():
    data = tiny.data()
    with pytest.raises(CodeError, match="discovered no category"):
        naming.find(untrained("noise:gaussian(3) c1:uniform,recognised"), data)
    with pytest.raises(CodeError, match="c1 is uniform"):
        naming.find(untrained(), data, code="c1")
    with pytest.raises(DataError, match="column of classes"):
        naming.find(untrained(), data, column="slant")
    with pytest.raises(DataError, match="no labels"):
        naming.find(untrained(), replace(data, label=None))
    with pytest.raises(UseError, match="--least"):
        naming.find(untrained(), data, least=7)


# ---------------------------------------------------------------------- the command
@pytest.fixture
def run(tmp_path, monkeypatch):
    """An infogan of ten classes that puts label k into class 9 - k, and the source it reads."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny.run("infogan"), tmp_path / "run")

    def read_raw(self, images):
        said = torch.full((len(images), 10), 0.005)
        said[torch.arange(len(images)), 9 - corner(images)] = 0.955
        return {"category": said.log()}

    monkeypatch.setattr(Model, "read_raw", read_raw)
    return tmp_path / "run"


def name(run, *words):
    return cli.run(["name", str(run), *words])


def test_a_class_is_drawn_by_the_name_it_was_given(run, capsys):
    assert name(run, "--data", tiny.source(), "--labels", "8", "--sheet", "s.png") == 0
    said = capsys.readouterr().out
    assert "4 of 10 classes named" in said and "2 of 2 are 3" in said
    assert said.count("no name: it gathers no image") == 6
    assert (run.parent / "s.png").read_bytes()[:4] == b"\x89PNG"
    model = load(run)
    assert model.names.of("category").classes[5:] == ("#5", "3", "2", "1", "0")
    assert torch.equal(model.draw(3, category=2), model.draw(3, category="#7"))
    with pytest.raises(CodeError, match="not a class, of which there are 10"):
        model.draw(1, category=5)
    for word, file in (("2", "one"), ("#7", "two")):
        words = [
            "sample",
            str(run),
            "--set",
            f"category={word}",
            "--n",
            "5",
            "--out",
            f"{file}.npz",
        ]
        assert cli.run(words) == 0
    with np.load("one.npz") as one, np.load("two.npz") as two:
        assert np.array_equal(one["images"], two["images"]) and set(one["category"]) == {7}


def test_the_names_there_are_are_told_and_doubted_when_the_run_went_on(run, capsys):
    assert name(run) == 0
    assert "nothing has a name yet" in capsys.readouterr().out
    assert name(run, "--data", tiny.source(), "--set", "c1=slant:left:right") == 0
    assert name(run, "--set", "category.0=null", "category.9=") == 0
    capsys.readouterr()
    before = (run / "names.json").read_bytes()
    assert name(run) == 0
    said = capsys.readouterr().out
    assert "c1 is slant: left to right" in said and "by hand" in said
    assert f"label of 96 images of {tiny.source()}:train, after 64 training images" in said
    assert "may have moved" not in said
    table = json.loads(before)
    table["found"]["category"]["images_seen"] = 32
    (run / "names.json").write_text(json.dumps(table))
    assert name(run) == 0
    assert "named after 32 training images, and the run has seen 64" in capsys.readouterr().out


def test_names_can_be_taken_away_one_code_or_all(run):
    assert name(run, "--data", tiny.source(), "--set", "c1=slant", "c2=width") == 0
    assert name(run, "--clear", "--code", "slant") == 0
    assert set(load(run).names.codes) == {"category", "c2"}
    assert name(run, "--clear", "--set", "c1=size") == 0
    assert set(load(run).names.codes) == {"c1"}
    assert name(run, "--clear") == 0
    assert load(run).names == Names()


def test_where_nothing_is_clear_nothing_is_kept(run, capsys):
    assert name(run, "--data", tiny.source(), "--labels", "4") == 1
    said = capsys.readouterr()
    assert "no class could be named" in said.err and said.out.count("one label alone") == 4
    assert not (run / "names.json").exists()
    assert name(run, "--data", tiny.source(), "--labels", "8", "--least", "0.99") == 1
    assert "too uncertain" in capsys.readouterr().out and not (run / "names.json").exists()
    assert name(run, "--data", tiny.source(), "--labels", "8") == 0


WRONG = [
    (["--labels", "20"], "need --data"),
    (["--sheet", "x.png"], "need --data"),
    (["--data", "SRC", "--sheet", "x.gif"], ".png"),
    (["--data", "SRC", "--labels", "97"], "from 1 to the 96"),
    (["--data", "SRC", "--labels", "0"], "at least 1"),
    (["--data", "SRC", "--labels", "2.5"], "whole number"),
    (["--data", "SRC", "--column", "slan"], "Did you mean 'slant'"),
    (["--data", "SRC", "--column", "slant"], "column of classes"),
    (["--data", "SRC", "--code", "c1"], "c1 is uniform"),
    (["--data", "nosuch"], "nosuch"),
    (["--set", "c1"], "code=name:low:high"),
    (["--set", "c1=c2"], "is a code"),
    (["--clear", "--code", "c7"], "'c7' is not a code"),
]


@pytest.mark.parametrize(("words", "says"), WRONG)
def test_a_wrong_request_is_one_message_exit_two_and_no_file(words, says, run, capsys):
    assert name(run, *(word.replace("SRC", tiny.source()) for word in words)) == 2
    said = capsys.readouterr()
    assert said.err.startswith("gander: ") and says in said.err and said.err.count("\n") == 1
    assert sorted(p.name for p in run.parent.iterdir()) == ["run"]
    assert not (run / "names.json").exists()


def test_a_run_that_cannot_read_or_is_one_file_says_so(run, capsys):
    assert cli.run(["name", str(tiny.run("gan")), "--data", tiny.source()]) == 2
    assert "no recogniser" in capsys.readouterr().err
    assert name(run / "weights" / "averaged.safetensors", "--set", "c1=slant") == 2
    assert "give the folder" in capsys.readouterr().err
