"""The benchmark: what is counted is what a hand counts, every part says n and spread, and bad input gets one line."""

import ast
import inspect
import io
import json
import re
import socket
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import tiny
from gander import bench, cli, config, stepping
from gander.bench import Request, against, bound, ceilings, facts, playing, tutorial
from gander.errors import TrainingFailed, UseError
from gander.players import make_players
from gander.tally import Tally

CPU = torch.device("cpu")
SHORT = ("--seconds", "0.01", "--sizes", "16", "--threads", "1")
ALONE = ("facts", "clock", "ceilings", "bound", "tutorial")
"""Files that a machine with PyTorch, numpy and Pillow alone can import."""


@pytest.fixture
def small(monkeypatch):
    """Ceilings of small matrices and arrays."""
    monkeypatch.setitem(ceilings.SQUARES, "cpu", (8, 16))
    monkeypatch.setitem(ceilings.ARRAY_BYTES, "cpu", 1 << 12)
    monkeypatch.setattr(ceilings, "SECONDS", 0.001)


# ---------------------------------------------------------------------- what is counted
LAYERS = {  # FLOPs forward, by hand: two for each multiply-add of a 3 x 8 x 8 image, 5 of them
    "linear": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 7)), 2 * 5 * 192 * 7),
    "convolution": (lambda: nn.Conv2d(3, 6, 3, 1, 1), 2 * 5 * 8 * 8 * 6 * 3 * 9),
    "strided": (lambda: nn.Conv2d(3, 6, 4, 2, 1), 2 * 5 * 4 * 4 * 6 * 3 * 16),
    "transposed": (lambda: nn.ConvTranspose2d(3, 6, 4, 2, 1), 2 * 5 * 8 * 8 * 3 * 6 * 16),
}


@pytest.mark.parametrize("name", LAYERS)
def test_flops_are_those_of_a_hand_count(name):
    build, forward = LAYERS[name]
    layer = build()
    images = torch.randn(5, 3, 8, 8, requires_grad=True)
    counts = bound.counted(lambda: layer(images))
    assert counts.flops == forward
    (shape,) = counts.shapes
    assert 2 * np.prod(shape) == forward
    # Walked back, a layer computes as much again for its weight, and as much for its input if anyone asks for that.
    assert bound.counted(lambda: layer(images).sum().backward()).flops == 3 * forward
    assert bound.counted(lambda: layer(images.detach()).sum().backward()).flops == 2 * forward


A = 4 * 30  # bytes of the tensor of 30 numbers that all of these work on
OPERATIONS = {
    "add": (lambda a, b: a + b, 3 * A),
    "twice the same": (lambda a, b: a + a, 2 * A),
    "relu": (lambda a, b: a.relu(), 2 * A),
    "in place": (lambda a, b: a.add_(b), 3 * A),
    "overwritten": (lambda a, b: a.zero_(), A),
    "copied": (lambda a, b: a.copy_(b), 2 * A),
    "view": (lambda a, b: a.view(5, 6).t()[1:], 0),
    "allocated": (lambda a, b: torch.empty_like(a), 0),
    "repeated": (lambda a, b: a[:1].expand(30) + b, A + A + 4),
    "sum": (lambda a, b: a.sum(), A + 4),
    "many": (lambda a, b: torch._foreach_add_([a, b], 1.0), 4 * A),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_bytes_are_each_input_and_each_result_once(name):
    work, moved = OPERATIONS[name]
    one, other = torch.randn(30), torch.randn(30)
    assert bound.counted(lambda: work(one, other)).bytes_unfused == moved


@pytest.mark.parametrize("preset", sorted(config.presets()))
def test_the_flops_of_a_step_are_those_of_pytorch_s_own_counter(preset):
    plan = tiny.plan(preset, "r1=0")  # their counter fails at a gradient taken within a step
    players, tally = make_players(plan), Tally()
    ours = bound.settled(lambda: stepping.step(plan, players, tally))
    with FlopCounterMode(display=False) as theirs:
        stepping.step(plan, players, tally)
    assert ours.flops == theirs.get_total_flops() > 0
    assert sum(flops for flops, _ in ours.each) == ours.flops
    assert sum(moved for _, moved in ours.each) == ours.bytes_unfused
    assert not ours.foreign


def test_the_flops_of_a_penalty_are_counted_by_the_rows_it_is_taken_on():
    flops = []
    for settings in (("r1=0",), ("r1=1", "penalty_share=0.5"), ("r1=1",)):
        plan = tiny.plan("cgan", *settings)
        players, tally = make_players(plan), Tally()
        counts = bound.settled(lambda p=plan, q=players, t=tally: stepping.step(p, q, t))
        assert not counts.foreign
        flops.append(counts.flops)
    without, half, whole = flops
    assert whole - without == 2 * (half - without) > 0


def test_a_bound_is_the_larger_of_arithmetic_and_traffic():
    counts = bound.Counts(
        flops=100, bytes_unfused=900, bytes_of_products=50, each=[(100, 300), (0, 600)]
    )

    def at(flops, bandwidth):
        machine = ceilings.Ceilings("cpu", "fp32", "fp32", 1, flops, bandwidth, {}, {})
        return bound.bound(counts, 10, machine)

    assert at(10, 1000).seconds == 10 and at(10, 1000).binds == "arithmetic"
    assert at(1e9, 34).seconds == 10 and at(1e9, 34).binds == "memory"  # 2 · 50 + 10 · 24 bytes
    assert at(10, 100).one_by_one == 10 + 6


# ---------------------------------------------------------------------- the tutorial
@pytest.mark.parametrize("size", [16, 28, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_tutorials_networks_have_the_recipes_shapes(size, channels):
    generator, critic = tutorial.Generator(channels, size), tutorial.Critic(channels, size)
    images = generator(torch.cat(tutorial.draw(4, CPU), 1))
    assert images.shape == (4, channels, size, size) and images.abs().max() <= 1
    verdict, category, knobs = critic(images)
    assert (verdict.shape, category.shape, knobs.shape) == ((4, 1), (4, 10), (4, 2))
    assert torch.allclose(category.sum(1), torch.ones(4))
    widths = [layer.out_channels for layer in critic.trunk if isinstance(layer, nn.Conv2d)]
    assert widths == [16, 32, 64, 128]


@pytest.mark.parametrize("name", tutorial.RECIPES)
def test_the_recipe_moves_its_players_as_often_as_it_says(name):
    recipe = replace(tutorial.RECIPES[name], batch=4)
    rows = np.random.default_rng(0).integers(0, 255, (6, 16, 16), np.uint8)
    lesson = tutorial.begin(recipe, rows, 16, CPU)
    before = {k: v.clone() for k, v in lesson.generator.state_dict().items()}
    for done in range(1, 4):
        assert tutorial.step(lesson) == recipe.batch
        moved = {
            who: max((int(state["step"]) for state in adam.state.values()), default=0)
            for who, adam in lesson.optimisers.items()
        }
        own = done // recipe.generator_every
        assert moved == {"critic": done, "information": done, "generator": own}
    assert not torch.equal(before["enter.weight"], lesson.generator.enter.weight)


def test_a_step_of_the_recipe_computes_nothing_that_it_does_not_need():
    recipe = replace(tutorial.RECIPES["tutorial"], batch=4)
    lesson = tutorial.begin(recipe, np.zeros((8, 16, 16), np.uint8), 16, CPU)
    generator, critic = lesson.generator, lesson.critic
    images, codes = torch.zeros(4, 1, 16, 16), torch.zeros(4, 74)

    def flops(work):
        return bound.counted(work).flops

    drawing = flops(lambda: generator(codes))
    judging = 2 * flops(lambda: critic(images)[0].sum().backward())
    reading = flops(lambda: torch.cat(critic(generator(codes))[1:], 1).sum().backward())
    fooling = flops(lambda: critic(generator(codes))[0].sum().backward())
    assert flops(lambda: tutorial.step(lesson)) == drawing + judging + reading
    assert flops(lambda: tutorial.step(lesson)) == fooling + judging + reading


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3)])
def test_a_digit_is_a_row_in_floats(shape):
    rows = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    same, other = tutorial.Digits(rows, 28)[2], tutorial.Digits(rows, 32)[2]
    planes = torch.from_numpy(rows[2]).view(28, 28, -1).permute(2, 0, 1)
    assert torch.allclose(same, planes / 127.5 - 1, atol=1e-6)
    assert other.shape == (planes.shape[0], 32, 32) and other.abs().max() <= 1


def test_the_tutorial_says_what_it_cannot_draw():
    rows = np.zeros((40, 30, 30), np.uint8)
    with pytest.raises(UseError, match="multiple of 4 px"):
        tutorial.begin(tutorial.RECIPES["tutorial"], rows, 30, CPU)
    with pytest.raises(UseError, match="64 images a step"):
        tutorial.begin(tutorial.RECIPES["script"], rows, 32, CPU)


# ---------------------------------------------------------------------- in turns
class Steady:
    """A player whose rate is known, a little faster in each round."""

    def __init__(self, name, order):
        self.name, self.order, self.round = name, order, 0
        self.about = {"about": "", "size": 28, "batch": 32, "precision": "fp32"}
        self.about |= {"device": "cpu", "threads": 1}

    def chunk(self, seconds):
        self.order.append(self.name)
        self.round += 1
        rate = {"tutorial": 100, "script": 50}.get(self.name, 2000) * self.round
        return against.Turn(rate, int(rate * seconds), seconds)

    def release(self):
        self.order.append("released")

    def stop(self):
        self.order.append("stopped")


def test_players_take_turns_and_are_compared_within_a_round(monkeypatch):
    order = []
    monkeypatch.setattr(against, "start", lambda name, request: Steady(name, order))
    result = against.measure(Request(presets=("infogan",)), lambda _: None)
    turns = ["tutorial", "script", "infogan"]
    assert order == turns * against.ROUNDS + ["released"] * 3 + ["stopped"] * 3
    ratio = result["ratio"]["infogan"]
    assert ratio["tutorial"]["values"] == [20.0] * against.ROUNDS
    assert ratio["script"]["median"] == 40.0 and ratio["script"]["n"] == against.ROUNDS
    assert any("20.0 x" in row.value for row in against.rows(result))
    json.dumps(result)


@pytest.mark.parametrize("name", ["tutorial", "infogan"])
def test_a_player_answers_every_line(name, monkeypatch, capsys):
    monkeypatch.setattr(playing.signal, "signal", lambda *_: None)
    monkeypatch.setattr("sys.stdin", io.StringIO("0.001\n0.001\n"))
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    told = {"data": tiny.source(), "batch": 16, "threads": 1, "sizes": [16], "seconds": 0.001}
    playing.main(name, json.dumps(told))
    about, *chunks = map(json.loads, capsys.readouterr().out.splitlines())
    assert about["size"] == 16 and about["threads"] == 1 and about["warm_up"]["images"] > 0
    assert set(asked) == {1} and len(chunks) == 2
    assert all(one["images"] % about["batch"] == 0 < one["images"] for one in chunks)


def test_a_player_refuses_in_words(capsys, monkeypatch):
    monkeypatch.setattr(playing.signal, "signal", lambda *_: None)
    playing.main("script", json.dumps({"data": tiny.source(count=30)}))
    assert "64 images a step" in json.loads(capsys.readouterr().out)["refused"]


@pytest.mark.slow
def test_in_turns_from_the_command_line(quick):
    file = quick / "found.json"
    words = ["bench", "--parts", "against", *SHORT, "--data", tiny.source(), "--batch", "16"]
    assert cli.run([*words, "--json", str(file)]) == 0
    part = json.loads(file.read_text("utf-8"))["parts"]["against"]
    assert part["ratio"]["infogan"]["tutorial"]["min"] > 0
    for player in part["players"].values():
        assert player["start_up_seconds"] > 0 and player["images_per_second"]["n"] == part["rounds"]


# ---------------------------------------------------------------------- the command
def spreads(found):
    """Every figure with a spread, wherever it is."""
    if isinstance(found, dict):
        if "values" in found:
            yield found
        found = list(found.values())
    if isinstance(found, list):
        for one in found:
            yield from spreads(one)


def test_the_command_writes_what_it_measured(quick, small, capsys):
    file, source = quick / "found.json", tiny.source()
    parts = "bound,throughput,ceilings"
    words = ["bench", "--parts", parts, *SHORT, "--presets", "infogan", "--data", source]
    assert cli.run([*words, "--batch", "16", "--json", str(file)]) == 0
    text = file.read_text("utf-8")
    result = json.loads(text)
    assert list(result["parts"]) == parts.split(",") and not result["cut"]
    found = list(spreads(result["parts"]))
    assert len(found) >= 5
    for one in found:
        assert one["n"] == len(one["values"]) >= 3
        assert 0 < one["min"] <= one["median"] <= one["max"]
    assert str(Path(source).parent) not in text and socket.gethostname() not in text
    assert {"processor", "cores", "torch", "commit", "date"} <= result["machine"].keys()
    shown = capsys.readouterr().out
    for part in parts.split(","):
        assert f"{part}: {bench.parts()[part]}" in shown
    assert "of the bound" in shown and "images/s" in shown


BAD = {
    "--parts agianst": "Did you mean 'against'",
    "--parts=": "takes one or more of",
    "--presets infgan": "Did you mean 'infogan'",
    "--data nothere": "'nothere' is not a named data source",
    "--seconds 0": "--seconds is more than 0",
    "--seconds nan": "--seconds is more than 0",
    "--batch 1": "from 2 to 65,536",
    "--batch 1e9": "from 2 to 65,536",
    "--sizes 2": "from 4 to 512 px",
    "--sizes a": "--sizes takes whole numbers",
    "--seeds x": "--seeds takes numbers",
    "--precision fp16": "'fp16' is not a precision",
    "--device tpu": "there is no device 'tpu' here",
    "--threads -1": "from 0 to 1,024",
    "--images 3": "--images is from 20",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input_gets_one_line_before_anything_is_measured(words, quick, capsys):
    source = [] if words.startswith("--data") else ["--data", tiny.source()]
    assert cli.run(["bench", *words.split(), *source]) == 2
    said = capsys.readouterr().err
    assert BAD[words] in said and said.count("\n") == 1


def test_a_part_that_fails_does_not_take_the_others_along(monkeypatch, small, capsys):
    def fails(request, say):
        raise TrainingFailed("it did not work")

    monkeypatch.setattr(against, "measure", fails)
    request = Request(data=tiny.source(), threads=1, seconds=0.001)
    result = bench.bench(("against", "ceilings"), request)
    assert result["failed"] == {"against": "it did not work"} and "ceilings" in result["parts"]
    with pytest.raises(TrainingFailed):
        bench.bench(("against",), request)


def test_interrupted_it_keeps_what_was_done(monkeypatch, small):
    def interrupted(request, say):
        raise KeyboardInterrupt

    monkeypatch.setattr(bound, "measure", interrupted)
    request = Request(data=tiny.source(), threads=1, seconds=0.001)
    result = bench.bench(("ceilings", "bound"), request)
    assert result["cut"] and list(result["parts"]) == ["ceilings"]


# ---------------------------------------------------------------------- parts and facts
@pytest.mark.parametrize("name", bench.parts())
def test_every_part_is_measured_and_shown_the_same_way(name):
    module = import_module(f"gander.bench.{name}")
    assert list(inspect.signature(module.measure).parameters) == ["request", "say"]
    assert "\n" not in module.ABOUT and hasattr(module, "rows")


@pytest.mark.parametrize("name", ALONE)
def test_what_a_bare_machine_imports_needs_pytorch_alone(name):
    text = (Path(bench.__file__).parent / f"{name}.py").read_text("utf-8")
    top = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in top
    ]
    foreign = {name for name in names if name.startswith("gander")}
    assert foreign <= {"gander", "gander.bench", "gander.bench.ceilings", "gander.errors"}
    drawn = {
        alias.name
        for node in top
        if getattr(node, "module", "") == "gander"
        for alias in node.names
    }
    assert drawn <= {"rng"}


def test_the_command_that_measures_it_again():
    request = Request(presets=("infogan", "cgan"), data="/home/me/cats", seeds=(0, 2), threads=1)
    said = bench.command(("bound",), request)
    assert (
        said
        == "gander bench --parts bound --presets infogan,cgan --data cats --seeds 0,2 --threads 1"
    )
    assert bench.command(None, Request()) == "gander bench"


def test_a_busy_machine_is_called_busy():
    assert facts.busy(None) == facts.busy(0.1 * facts.cores()) == ""
    assert "other work was running" in facts.busy(2.0 * facts.cores())


def test_facts_name_no_machine():
    found = facts.facts()
    assert found["commit"] is None or re.fullmatch("[0-9a-f]{40}", found["commit"])
    assert "/" not in json.dumps({k: v for k, v in found.items() if k != "processor"})
