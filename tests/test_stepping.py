"""An iteration dealt by the block and replayed is the iteration dealt from the host; threads are chosen, never results."""

import traceback

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import gander
import tiny
from gander import batches, config, pace, states, stepping
from gander.augmentations import AUGMENTATIONS
from gander.engine import Engine
from gander.pace import Pace
from gander.players import make_players, state
from gander.runs import open_run
from gander.stepping import Steps, block, step
from gander.tally import Tally

WAYS = {
    "alternate": (),
    "reuse": ("schedule=reuse",),
    "one-stage": ("schedule=one-stage",),
    "three critic steps": ("critic_steps=3", "gradient=1"),
    "decaying": ("decay=linear", "average_halflife=64"),
    "descending": ("schedule=one-stage", "momentum_images=60", "shrink=1.1", "least_rate=0.05"),
    "own labels": (
        "category.self_label=1",
        "c1.self_label=0.5",
        "self_label_from=24",
        "self_label_sure=0",
        "category.frequencies=learned",
        "frequencies_from=36",
    ),
    "settling": (
        "category.self_label=1",
        "self_label_from=0",
        "self_label_sure=0",
        "settle_from=24",
        "settle_near_images=24",
    ),
    "pairs": ("contrast=1", "contrast_gap=0.2", "critic_norm=spectral"),
    "augmented": (f"augment={','.join(AUGMENTATIONS)}", "schedule=reuse", "critic_steps=2"),
    "adaptive": (
        "augment=flip,rotate",
        "augment_target=0.1",
        "augment_images=64",
        "critic_steps=2",
    ),
}
GAME = {"infogan": list(WAYS), "infogan-lsgan": ["alternate", "reuse"]}
GAME |= {"gan-2014": ["alternate"], "cgan-2014": ["descending"]}
ALL = [(p, way) for p in config.preset_names() for way in GAME.get(p, ["alternate", "one-stage"])]


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


@pytest.mark.parametrize(("preset", "way"), ALL)
def test_iterations_dealt_by_the_block_are_those_dealt_from_the_host(preset, way, monkeypatch):
    monkeypatch.setattr(batches, "BLOCK_IMAGES", 3 * tiny.BATCH)  # several blocks
    plan = tiny.plan(preset, *WAYS[way], images=20 * tiny.BATCH)
    one, other = (make_players(plan) for _ in range(2))
    sums, others = Tally(), Tally()
    step(plan, one, sums)
    step(plan, other, others)
    steps = Steps(plan, other, others)
    for _ in range(4):
        step(plan, one, sums)
        steps.step()
    steps.close()
    assert equal(state(one), state(other)) and equal(sums.sums, others.sums)
    assert (one.images_seen, sums.images, sums.steps) == (
        other.images_seen,
        others.images,
        others.steps,
    )


def test_recording_leaves_players_as_they_were_also_where_nothing_was_trained_yet():
    plan = tiny.plan("acgan-infogan")
    players, tally = make_players(plan), Tally()
    before = {name: tensor.clone() for name, tensor in state(players).items()}
    Steps(plan, players, tally).close()
    after = state(players)
    assert equal(before, {name: after[name] for name in before})
    moments = set(after) - set(before)
    assert moments and all(not after[name].any() for name in moments)
    assert tally.sums and all(not total.any() for total in tally.sums.values())


def test_a_block_is_what_the_host_would_deal_at_each_position():
    settings = ("critic_steps=2", "decay=linear", "augment=shift,cutout")
    plan = tiny.plan("acgan-infogan", *settings, images=40 * tiny.BATCH)
    first, batch = 6 * tiny.BATCH, tiny.BATCH
    parts = block(plan, first, 3)
    for i in range(3):
        single = stepping.Single(plan, first + i * 2 * batch)
        assert parts["share"][i] == single.share()
        assert {n: float(parts[f"rate/{n}"][i]) for n in single.rates()} == single.rates()
        assert parts["momentum"][i] == single.momentum()
        for turn in range(2):
            real, known = single.batch(turn)
            rows = parts["rows"][i, turn]
            assert torch.equal(plan.machine.images(plan.images.images[rows]), real)
            assert torch.equal(parts["known/label"][i, turn], known["label"])
            for stream in ("critic", "generator"):
                drawn = single.draws(stream, turn)
                assert all(torch.equal(parts[f"{stream}/{n}"][i, turn], drawn[n]) for n in drawn)


class NoLooking(TorchDispatchMode):
    """Refuses what makes the host wait for a value of the device; such a step could not be recorded."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "aten.equal", "aten.unique")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if any(word in str(function) for word in self.WAITS):
            raise AssertionError(f"{function} waits: {traceback.format_stack(limit=12)}")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("preset", "way"), ALL)
def test_no_iteration_waits_for_a_value(preset, way, monkeypatch):
    """What a GPU records may hold kernels only, checked on the processor: nothing in it reads a number back."""
    monkeypatch.setattr(Engine, "records", property(lambda _: True))
    monkeypatch.setattr(Engine, "record", lambda self, body, state: body)
    monkeypatch.setattr(Engine, "adam", lambda self, p, *_: torch.optim.Adam(p, fused=True))
    monkeypatch.setattr(Engine, "set_rate", lambda *_: None)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    # on a processor one_hot looks whether its classes are in range, on a GPU it does not
    plain = F.one_hot
    monkeypatch.setattr(
        F, "one_hot", lambda v, n: (v.unsqueeze(-1) == torch.arange(n)).to(torch.int64)
    )
    values = torch.arange(4)
    assert torch.equal(F.one_hot(values, 5), plain(values, 5))
    plan = tiny.plan(preset, *WAYS[way])
    players, tally = make_players(plan), Tally()
    steps = Steps(plan, players, tally)
    with NoLooking():
        steps._body()
    steps.close()
    assert tally.sums and all(torch.isfinite(total) for total in tally.sums.values())
    with pytest.raises(AssertionError, match="waits"), NoLooking():
        float(next(iter(tally.sums.values())))


# ---------------------------------------------------------------------- threads
def test_threads_are_tried_on_a_copy_and_the_fastest_is_taken(monkeypatch):
    plan = tiny.plan("gan", "threads=0")
    monkeypatch.setattr(pace, "cores", lambda: 2)
    monkeypatch.setattr(pace, "tried", lambda plan, players, now: {1: 0.1, 2: 0.3})
    players = make_players(plan)
    watch = Pace(plan, 2)
    assert watch.look(players) is None  # too soon
    watch.looked -= pace.FIRST + 1
    said = watch.look(players)
    assert said == "1 thread from here on: 3.0 times as fast as 2"
    assert watch.threads == torch.get_num_threads() == 1
    monkeypatch.setattr(pace, "tried", lambda plan, players, now: {1: 0.1, 2: 0.095})
    watch.looked -= pace.BETWEEN + 1
    assert watch.look(players) is None and watch.threads == 1  # a little faster may be chance


def test_a_run_that_became_slow_looks_again_sooner(monkeypatch):
    plan = tiny.plan("gan", "threads=0")
    monkeypatch.setattr(pace, "cores", lambda: 2)
    monkeypatch.setattr(pace, "tried", lambda plan, players, now: {1: 0.1, 2: 0.3})
    looks = {}
    for name, steps in (("as before", 110), ("slow", 30)):
        watch = Pace(plan, 1, measured={1: 0.1, 2: 0.2})
        watch.looked -= pace.SOONER + 1
        watch.steps = steps
        watch.look(make_players(plan))
        looks[name] = watch.steps == 0
    assert looks == {"as before": False, "slow": True}


def test_trying_threads_changes_nothing_that_is_trained(monkeypatch):
    monkeypatch.setattr(pace, "cores", lambda: 1)  # two beside a busy neighbour would take long
    plan = tiny.plan("infogan", "threads=0")
    players = make_players(plan)
    step(plan, players, Tally())
    before = {name: tensor.clone() for name, tensor in state(players).items()}
    seconds = pace.tried(plan, players, 1)
    torch.set_num_threads(1)
    assert equal(before, state(players)) and players.images_seen == tiny.BATCH
    assert set(seconds) == set(pace.numbers(1)) and min(seconds.values()) > 0


@pytest.mark.parametrize(
    "costs, steps_of_two",
    [
        ([1.0, 1.5], 6),  # each is tried as often
        ([1.0, 24.0], 2),  # beside a busy neighbour: what is slow twice in a row is left
        ([3.0, 1.0], 6),
    ],
)
def test_a_hopeless_number_of_threads_is_soon_left(costs, steps_of_two, monkeypatch):
    monkeypatch.setattr(pace, "cores", lambda: 2)
    clock, taken = [0.0], []

    def one_step(plan, players, tally):
        taken.append(torch.get_num_threads())
        clock[0] += costs[taken[-1] - 1]

    monkeypatch.setattr(pace, "step", one_step)
    monkeypatch.setattr(pace.time, "perf_counter", lambda: clock[0])
    plan = tiny.plan("gan", "threads=0")
    seconds = pace.tried(plan, make_players(plan), 2)
    torch.set_num_threads(1)
    assert seconds == {1: costs[0], 2: costs[1]}
    assert taken.count(2) == steps_of_two and taken.count(1) == 6


def test_one_slow_step_is_chance(monkeypatch):
    monkeypatch.setattr(pace, "cores", lambda: 2)
    clock, taken = [0.0], []

    def one_step(plan, players, tally):
        taken.append(torch.get_num_threads())
        clock[0] += 9.0 if taken.count(2) == 2 and taken[-1] == 2 else 1 / taken[-1]

    monkeypatch.setattr(pace, "step", one_step)
    monkeypatch.setattr(pace.time, "perf_counter", lambda: clock[0])
    plan = tiny.plan("gan", "threads=0")
    seconds = pace.tried(plan, make_players(plan), 2)
    torch.set_num_threads(1)
    assert seconds == {1: 1.0, 2: 0.5}


@pytest.mark.parametrize("said", ["threads=1", "deterministic=true"])
def test_threads_that_are_said_stay(said, monkeypatch):
    monkeypatch.setattr(pace, "cores", lambda: 2)
    monkeypatch.setattr(pace, "tried", lambda *_: pytest.fail("measured"))
    plan = tiny.plan("gan", "threads=0", said)
    watch = Pace(plan, 1)
    watch.looked -= 1000
    assert watch.look(make_players(plan)) is None
    assert plan.config.training.threads > 0


def test_a_resumed_run_goes_on_with_the_threads_it_had(tmp_path, monkeypatch):
    began = []
    plain = Pace.__post_init__

    def noted(self):
        began.append(self.threads)
        plain(self)

    monkeypatch.setattr(Pace, "__post_init__", noted)
    run = tmp_path / "run"
    tiny.train("gan", "threads=0", out=run, steps=2)
    facts = states.read(open_run(run), print)[1]
    assert facts["threads"] == torch.get_num_threads()
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    tiny.train("gan", "threads=0", out=run, steps=4)
    assert began[1] == facts["threads"]
    assert (
        open_run(run).read_config().training.threads == 0
    )  # nothing is fixed for the next machine


def test_deterministic_is_part_of_what_a_run_is(tmp_path):
    run = tmp_path / "run"
    tiny.train("gan", "deterministic=true", out=run, steps=2)
    with pytest.raises(gander.GanderError, match="deterministic"):
        tiny.train("gan", out=run, steps=4)
