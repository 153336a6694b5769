"""The loop: which images come when, at which rate, and what the moving average is."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from gander import batches, rng, stepping
from gander.batches import batch_at, order
from gander.players import average, make_players
from gander.positions import momentum, rates
from gander.runs import Run
from gander.stepping import draws, step
from gander.tally import Tally

small = st.integers(1, 40)


# ---------------------------------------------------------------------- the data order
@given(seed=st.integers(0, 2**63), epoch=st.integers(0, 10_000), size=small)
def test_every_image_comes_once_an_epoch(seed, epoch, size):
    rows = order(seed, epoch * size, size, size)
    assert sorted(rows.tolist()) == list(range(size))


@given(seed=st.integers(0, 9), first=st.integers(0, 500), size=small, parts=st.lists(small))
def test_the_order_does_not_depend_on_how_it_is_cut_into_batches(seed, first, size, parts):
    whole = order(seed, first, sum(parts) + 1, size)
    cut, at = [], first
    for count in (*parts, 1):
        batches._ORDERS.clear()  # as in a process that begins here
        cut.append(order(seed, at, count, size))
        at += count
    assert np.concatenate(cut).tolist() == whole.tolist()


def test_epochs_and_seeds_differ_and_repeat():
    orders = {(s, e): tuple(order(s, e * 50, 50, 50)) for s in range(3) for e in range(3)}
    assert len(set(orders.values())) == 9
    assert orders == {(s, e): tuple(order(s, e * 50, 50, 50)) for s, e in orders}


def test_a_batch_is_a_function_of_its_position_and_brings_its_own_labels():
    plan = tiny.plan("acgan")
    images, labels, _ = tiny.pictures()
    for first in (0, 80, 96 * 3 + 7):
        real, known = batch_at(plan, first)
        rows = order(0, first, tiny.BATCH, tiny.IMAGES)
        assert known["label"].tolist() == labels[rows].tolist()
        back = ((real + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        assert np.array_equal(back, images[rows])


def test_what_is_drawn_at_a_position_does_not_depend_on_the_batch_around_it():
    plan, wide = tiny.plan("infogan"), tiny.plan("infogan", "batch=32")
    for stream in ("critic", "generator"):
        once = draws(wide, stream, 64)
        parts = [draws(plan, stream, 64), draws(plan, stream, 80)]
        for name, value in once.items():
            assert torch.equal(value, torch.cat([part[name] for part in parts]))
    critic, generator = draws(plan, "critic", 64), draws(plan, "generator", 64)
    assert not torch.equal(critic["noise"], generator["noise"])  # fresh fakes for each player


# ---------------------------------------------------------------------- the step
@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_critic_sees_fresh_images_in_each_of_its_steps_and_the_generator_moves_once(
    k, monkeypatch
):
    plan = tiny.plan("gan", f"critic_steps={k}")
    players, moves, firsts = make_players(plan), [], []
    engine_step, batch = type(plan.machine).step, stepping.batch_at

    def noted(machine, optimiser, terms):
        moves.append(next(n for n, o in players.optimisers.items() if o is optimiser))
        engine_step(machine, optimiser, terms)

    def dealt(plan, first):
        firsts.append(first)
        return batch(plan, first)

    monkeypatch.setattr(type(plan.machine), "step", noted)
    monkeypatch.setattr(stepping, "batch_at", dealt)
    tally = Tally()
    step(plan, players, tally)
    step(plan, players, tally)
    assert moves == (["critic"] * k + ["generator"]) * 2
    assert firsts == [i * tiny.BATCH for i in range(2 * k)]
    assert players.images_seen == tally.images == 2 * k * tiny.BATCH
    assert tally.steps == 2


def test_each_player_moves_its_own_weights_alone():
    plan = tiny.plan("infogan")
    players, tally = make_players(plan), Tally()
    frozen = {n: [p.clone() for p in net.parameters()] for n, net in players.networks.items()}
    real, known = batch_at(plan, 0)
    terms = players.game.critic_terms(real, known, draws(plan, "critic", 0))
    plan.machine.step(players.optimisers["critic"], terms)
    moved = {
        n: any(not torch.equal(a, b) for a, b in zip(frozen[n], net.parameters(), strict=True))
        for n, net in players.networks.items()
    }
    assert moved == {"generator": False, "averaged": False, "critic": True}
    step(plan, players, tally)
    assert all(
        any(not torch.equal(a, b) for a, b in zip(frozen[n], net.parameters(), strict=True))
        for n, net in players.networks.items()
    )


def test_the_mean_of_each_term_is_over_the_steps_of_its_player():
    two = tiny.plan("infogan-lsgan").config
    tally = Tally(steps=3)
    for value in range(6):
        tally.add({"critic": torch.tensor(float(value)), "real/digit": torch.tensor(2.0)})
    for value in (3.0, 6.0, 9.0):
        tally.add({"generator": torch.tensor(value), "draws/digit": torch.tensor(4.0)})
    assert tally.means(two, 96) == {
        "critic": 2.5,
        "real/digit": 2.0,
        "generator": 6.0,
        "draws/digit": 4.0,
    }


def test_a_joint_game_means_are_of_one_step_each():
    plan = tiny.plan("infogan-lsgan")
    players, tally = make_players(plan), Tally()
    step(plan, players, tally)
    means = tally.means(plan.config, players.images_seen)
    sums = {name: float(total) for name, total in tally.sums.items()}
    assert means["critic"] == pytest.approx(sums["critic"] / 2)
    for name in ("generator", "draws/category", "draws/c1"):
        assert means[name] == pytest.approx(sums[name])


@pytest.mark.parametrize("decay", ["none", "linear"])
def test_linear_decay_holds_every_rate_for_half_the_run_and_ends_at_zero(decay):
    plan = tiny.plan(
        "infogan-lsgan", f"decay={decay}", "generator_rate=3e-3", "critic_rate=1e-3", images=1600
    )
    settings = plan.config.optimiser
    for seen, share in ((0, 1), (400, 1), (800, 1), (1200, 0.5), (1584, 0.02), (1600, 0)):
        scale = share if decay == "linear" else 1
        assert rates(plan, seen) == {
            "critic": pytest.approx(settings.critic_rate * scale),
            "generator": pytest.approx(settings.generator_rate * scale),
            "recogniser": pytest.approx(settings.recogniser_rate * scale),
        }


@pytest.mark.parametrize("critic_steps", [1, 2])
def test_rates_shrink_with_every_iteration_down_to_the_least_and_momentum_goes_on_a_line(
    critic_steps,
):
    settings = ("shrink=1.5", "least_rate=0.01", "critic_rate=0.2", "generator_rate=0.1")
    ramp = ("momentum=0.2", "momentum_end=0.8", "momentum_images=960")
    plan = tiny.plan("gan-2014", *settings, *ramp, f"critic_steps={critic_steps}")
    each = tiny.BATCH * critic_steps
    expected = {"critic": 0.2, "generator": 0.1}
    for taken in range(12):
        assert rates(plan, taken * each) == pytest.approx(expected)
        expected = {who: max(0.01, rate / 1.5) for who, rate in expected.items()}
    assert min(expected.values()) == 0.01
    found = [momentum(plan.config, seen) for seen in (0, 240, 480, 960, 10**9)]
    assert found == pytest.approx([0.2, 0.35, 0.5, 0.8, 0.8])
    still = tiny.plan("gan-2014", *ramp[:2], "momentum_images=0").config
    assert [momentum(still, seen) for seen in (0, 10**9)] == [0.2, 0.2]


# ---------------------------------------------------------------------- the moving average
def test_the_average_forgets_half_in_its_halflife():
    plan = tiny.plan("gan", "average_halflife=64")
    players = make_players(plan)
    players.images_seen = 10**9  # the ramp is over
    slow, live = players.averaged.body.leave.weight, players.game.generator.body.leave.weight
    with torch.no_grad():
        slow.fill_(1.0)
        live.fill_(0.0)
    for _ in range(64 // tiny.BATCH):
        average(plan.config, players, plan.machine)
    assert slow.mean() == pytest.approx(0.5, abs=1e-6)


def test_the_average_is_young_while_the_run_is_young_and_off_at_zero():
    kept = {}
    for halflife, seen in ((10_000, 320), (10_000, 10**9), (0, 10**9)):
        plan = tiny.plan("gan", f"average_halflife={halflife}")
        players = make_players(plan)
        players.images_seen = seen
        with torch.no_grad():
            players.averaged.body.leave.weight.fill_(1.0)
            players.game.generator.body.leave.weight.fill_(0.0)
        average(plan.config, players, plan.machine)
        kept[halflife, seen] = float(players.averaged.body.leave.weight.mean())
    assert kept[10_000, 320] == pytest.approx(0.5)  # 5 % of 320 images is one batch of 16
    assert kept[10_000, 10**9] == pytest.approx(0.5 ** (16 / 10_000))
    assert kept[0, 10**9] == 0


def test_the_average_takes_whole_numbers_and_batch_statistics_along():
    plan = tiny.plan("cgan")
    players = make_players(plan)
    for _ in range(2):
        step(plan, players, Tally())
    live, slow = players.game.generator.state_dict(), players.averaged.state_dict()
    counters = [n for n, t in live.items() if not t.is_floating_point()]
    assert counters and all(torch.equal(live[n], slow[n]) for n in counters)
    means = [n for n in live if n.endswith("running_mean")]
    assert means and all(slow[n].abs().sum() > 0 for n in means)


# ---------------------------------------------------------------------- what is reported
def test_every_line_of_the_log_carries_the_contract(tmp_path):
    run = tiny.train("acgan-infogan", "log_images=32", out=tmp_path / "run", steps=6)
    lines = Run(run).lines()
    assert [line["images_seen"] for line in lines] == [32, 64, 96]
    for line in lines:
        assert {"images_seen", "seconds", "images_per_second", "terms"} <= line.keys()
        assert line["images_per_second"] > 0
        assert {"critic", "generator"} <= line["terms"].keys()
        assert all(math.isfinite(value) for value in line["terms"].values())
        assert line["information"].keys() == {"label", "c1", "c2", "c3"} == line["ceilings"].keys()
    assert lines[0]["seconds"] < lines[1]["seconds"] < lines[2]["seconds"]


def test_a_run_directory_is_as_the_contract_has_it():
    run = tiny.run("acgan-infogan")
    there = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    assert {"config.toml", "log.jsonl", "state/state.safetensors"} <= there
    assert {f"weights/{w}.safetensors" for w in ("generator", "critic", "averaged")} <= there
    assert {f"samples/sweep-{c}-000000064.png" for c in ("c1", "c2", "c3")} <= there
    assert "samples/images-000000064.png" in there
    assert not [name for name in there if name.endswith((".pt", ".pkl", ".bin", ".tmp"))]


def test_training_in_another_thread_works_where_signals_may_not_be_caught(tmp_path):
    import threading

    done = []
    thread = threading.Thread(
        target=lambda: done.append(tiny.train("gan", out=tmp_path / "run", steps=2))
    )
    thread.start()
    thread.join(60)
    assert done == [tmp_path / "run"]
    assert tiny.same(
        tiny.state(done[0]), tiny.state(tiny.train("gan", out=tmp_path / "b", steps=2))
    )


def test_tensorboard_events_are_written_where_wanted(tmp_path):
    wanted = tiny.train("gan", "tensorboard=true", out=tmp_path / "a", steps=2)
    not_wanted = tiny.train("gan", out=tmp_path / "b", steps=2)
    assert list((wanted / "tensorboard").glob("events.*"))
    assert not (not_wanted / "tensorboard").exists()


@pytest.mark.parametrize("preset", ["infogan", "infogan-lsgan"])
def test_each_players_dropout_is_a_function_of_seed_player_and_position(preset, monkeypatch):
    """Whatever was drawn before it: so a step repeats alone, and no player hears how often another one drew."""
    plan = tiny.plan(preset, seed=5)
    players, heard = make_players(plan), []
    for player in ("critic", "generator", "recognition"):
        plain = getattr(players.game, f"{player}_terms")

        def noted(*given, stream=player, plain=plain):
            heard.append((stream, float(torch.rand(()))))
            torch.rand(1000)  # and another player would have drawn otherwise
            return plain(*given)

        monkeypatch.setattr(players.game, f"{player}_terms", noted)
    for _ in range(2):
        step(plan, players, Tally())
    k, position = plan.config.game.critic_steps, 0
    right = []
    for _ in range(2):
        firsts = [position + i * tiny.BATCH for i in range(k)]
        position += k * tiny.BATCH
        streams = [("critic", "critic", first) for first in firsts]
        streams += [("generator", "generator", firsts[-1])]
        if "recogniser" in players.optimisers:
            streams += [("recognition", "recogniser", firsts[-1])]
        for name, stream, first in streams:
            rng.seed_torch(5, stream, first)
            right.append((name, float(torch.rand(()))))
    assert heard == right and len({value for _, value in heard}) == len(heard)
