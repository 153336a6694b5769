"""Choosing among runs: who agrees with the others, by laws over models made by hand, and what the command does with real ones."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import gander
import tiny
from gander import cli, evaluation, groups, selection
from gander.centrality import Agreement, categories, numbers, of_categories, of_numbers
from gander.codes import CodeSpec
from gander.errors import ConfigError, RunError

NUMBERS = "noise:gaussian(2) a:uniform(2),recognised b:circular,recognised s:binary,recognised"
CHOICES = "noise:gaussian(2) k:categorical(3),recognised l:categorical(3),recognised"


def silent(_):
    pass


class Reader:
    """Draws its codes as they are, each component in a place of its own, and reads what it finds in its own ``places``.

    ``turned`` mixes all numbers that it reads; ``flipped`` sees them the other way round.
    """

    def __init__(self, line, places=(0, 1, 2, 3), turned=False, flipped=False, still=False):
        self.spec = CodeSpec.parse(line)
        self.places, self.turned, self.flipped, self.still = places, turned, flipped, still

    def values(self, seeds):
        return self.spec.draw_at(seeds)

    def render(self, values):
        columns = [
            values[c.name].float().reshape(len(values["noise"]), -1) for c in self.spec.codes
        ]
        columns = torch.cat([c / 3.2 for c in columns[1:]], 1)
        images = torch.empty_like(columns)
        images[:, list(self.places)] = columns
        return images[:, :, None, None]

    def read(self, images):
        found = images.flatten(1)[:, list(self.places[: images.shape[1]])] * 3.2
        if self.still:
            found = torch.zeros_like(found)
        if self.turned:
            mix = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
            found = (found / found.std(0)) @ mix
        found = -found if self.flipped else found
        said, at = {}, 0
        for code in self.spec.codes[1:]:
            if code.resolved.name == "categorical":
                classes = (found[:, at].round().long() + self.flipped) % code.resolved.size
                said[code.name] = torch.nn.functional.one_hot(classes, code.resolved.size)
            else:
                said[code.name] = found[:, at : at + code.resolved.parts]
            at += code.resolved.parts
        return said


# ---------------------------------------------------------------------- agreement
def test_who_found_the_same_agrees_and_who_mixes_them_stands_apart():
    """Other names for the same causes, or the other way round, make no difference; a mixture of them does."""
    right = [Reader(NUMBERS), Reader(NUMBERS, flipped=True), Reader(NUMBERS)]
    found = of_numbers([*right, Reader(NUMBERS, turned=True)], 1000, silent)
    assert found.rule == "factor_vae"
    assert (found.scores[:3, :3] == 1).all()
    assert (found.scores[:3, 3] < 0.8).all()
    assert min(found.centrality[:3]) > found.centrality[3] + 0.05
    ignorant = of_numbers([right[0], Reader(NUMBERS, still=True)], 400, silent)
    assert ignorant.scores[0, 1] == 0


def test_categories_agree_whatever_they_are_called():
    one = Reader(CHOICES, places=(0, 1))
    images = one.render(one.values(range(400)))
    readers = [one, Reader(CHOICES, places=(1, 0)), Reader(CHOICES, places=(0, 1), flipped=True)]
    dead = [Reader(CHOICES, places=(0, 1), still=True)] * 2
    found = of_categories([*readers, *dead], images, silent)
    assert found.rule == "nmi"
    assert np.allclose(found.scores[:3, :3], 1)
    assert not found.scores[3:].any() and not found.scores[:, 3:].any()


def test_centrality_is_the_mean_agreement_with_the_others_in_both_directions():
    scores = np.random.default_rng(3).uniform(size=(5, 5))
    by_hand = [
        sum((scores[i, j] + scores[j, i]) / 2 for j in range(5) if j != i) / 4 for i in range(5)
    ]
    assert Agreement("nmi", scores).centrality == pytest.approx(by_hand)


def test_which_codes_can_be_agreed_about():
    both = CodeSpec.parse(
        "n:gaussian(2) d:given,recognised k:categorical(3),recognised c:uniform,recognised"
    )
    assert [c.name for c in categories(both)] == ["k"] and numbers(both) == []  # one alone
    assert [c.name for c in numbers(CodeSpec.parse(NUMBERS))] == ["a", "b", "s"]


# ---------------------------------------------------------------------- the job
@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three runs of one specification, of two sorts of codes; the third is the first once more."""
    home = tmp_path_factory.mktemp("three")
    made = [tiny.run("infogan"), tiny.run("infogan", "seed=1"), tiny.run("infogan")]
    return [Path(shutil.copytree(run, home / f"s{k}")) for k, run in enumerate(made)]


def test_the_command_prints_every_run_and_the_chosen_one_last(three, tmp_path, capsys):
    file = tmp_path / "chosen.json"
    words = ["select", *map(str, three), "--n", "60", "--json", str(file)]
    before = {p: p.stat().st_mtime_ns for run in three for p in run.rglob("*")}
    assert cli.run(words) == 0
    said = capsys.readouterr().out.splitlines()
    assert "ModelCentrality by nmi" in said[0] and "factor_vae" in said[1] + said[2]
    table = json.loads(file.read_text())
    assert said[-1] == table["chosen"] == table["runs"][0]["run"]
    assert {run["run"] for run in table["runs"]} == set(map(str, three))
    assert all(any(str(run) in line for line in said[:-1]) for run in three)
    assert [x["value"] for x in table["runs"]] == sorted(x["value"] for x in table["runs"])[::-1]
    assert {*table["agreement"]} == {*table["runs"][0]["figures"]} == {"nmi", "factor_vae"}
    assert all(np.shape(one["scores"]) == (3, 3) for one in table["agreement"].values())
    assert before == {p: p.stat().st_mtime_ns for run in three for p in run.rglob("*")}
    assert str(gander.select(three, n=60).chosen) == table["chosen"]


def put(run, value, name="r2/c1", n=10_000, seen=None, data="squares"):
    """A recorded figure; of the weights as they are unless told."""
    seen = groups.read(run).images_seen if seen is None else seen
    figure = {"value": value, "floor": 0.0, "ceiling": 1.0, "error": None}
    run = groups.read(run).run
    run.append(
        "metrics.jsonl", {"images_seen": seen, "n": n, "data": data, "metrics": {name: figure}}
    )


@pytest.fixture
def copies(three, tmp_path):
    return [shutil.copytree(run, tmp_path / run.name) for run in three]


def test_recorded_figures_are_not_measured_again(copies, monkeypatch):
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: pytest.fail("measured"))
    for run, value in zip(copies, (0.2, 0.7, 0.4), strict=True):
        put(run, value)
    for by in ("r2/c1", "r2"):
        found = selection.select(copies, by=by)
        assert [one.value for one in found.candidates] == [0.7, 0.4, 0.2]
        assert found.chosen == copies[1]
    put(copies[0], 0.9, name="frechet")
    put(copies[1], 0.5, name="frechet")
    assert selection.select(copies[:2], by="frechet").chosen == copies[1]  # a distance
    put(copies[1], 0.5, name="r2/c2")
    with pytest.raises(ConfigError, match="give one of r2/c1, r2/c2"):
        selection.select(copies, by="r2")


@pytest.mark.parametrize("stale", [{"seen": 1}, {"n": 50}])
def test_what_was_measured_of_other_weights_or_images_is_measured_anew(copies, stale, monkeypatch):
    asked = []

    def evaluate(run, *, metrics, n, device):
        asked.append((run, *metrics, n))
        put(run, 0.95)

    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    put(copies[0], 0.3)
    put(copies[1], 0.99, **stale)
    found = selection.select(copies[:2], by="r2/c1")
    assert asked == [(copies[1], "r2", 10_000)]
    assert [one.value for one in found.candidates] == [0.95, 0.3]


def test_figures_that_were_measured_otherwise_are_not_ranked(copies):
    put(copies[0], 0.3)
    put(copies[1], 0.4, data="other")
    with pytest.raises(RunError, match=r"measured otherwise.*measure both anew"):
        selection.select(copies[:2], by="r2/c1")
    for run in copies:
        put(run, 0.4, name="ms_ssim")
    with pytest.raises(ConfigError, match="neither more of it nor less is better"):
        selection.select(copies, by="ms_ssim")


def test_runs_that_do_not_fit_together_are_told_apart(copies, monkeypatch):
    (copies[2] / "weights" / "critic.safetensors").unlink()
    with pytest.raises(RunError, match=r"s2 holds no weights/critic\.safetensors"):
        selection.select(copies)
    config = copies[1] / "config.toml"
    mark = groups.read(copies[1]).resolved["fingerprint"]
    config.write_text(config.read_text().replace(mark, "0" * len(mark)))
    with pytest.raises(RunError, match=r"other images .*give runs of the same images"):
        selection.select(copies)
    with pytest.raises(RunError, match=r"2 runs .* it takes 3 or more"):
        selection.select([copies[0], copies[1], copies[0]])
