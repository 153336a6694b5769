"""Several processes: they take the steps that one would have taken, and end together."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import spread
import tiny
from gander import batches, cli, cluster, launching, ranks, stepping, weights
from gander.errors import ConfigError
from gander.plan import check_batch, configured
from gander.ranks import ALONE, Group
from gander.schedules import SCHEDULES

PRESETS = sorted(path.stem for path in (Path(cli.__file__).parents[1] / "presets").glob("*.toml"))
PLAYED = [[name, name] for name in PRESETS]
SCHEDULED = [
    [f"{name}-{schedule}", name, f"schedule={schedule}"]
    for name in ("cgan", "acgan-infogan", "infogan-selflabel")
    for schedule in SCHEDULES
]
CALM = ("critic_rate=1e-4", "generator_rate=1e-4")
"""Of a critic that is taught twice as often as the generator, any two starts part three times as far with every step."""
EXTRAS = [
    ["penalised", "cgan", "gradient=10", "r1=0.1", "penalty_share=0.5"],
    ["adaptive", "dcgan", "augment=flip,shift", "augment_target=0.1", "augment_images=200"],
    ["learned", "infogan-selflabel", "category.frequencies=learned", "frequencies_from=24"],
    ["settled", "infogan-selflabel", "settle_from=120", "settle_near=3", "settle_regroup=false"],
    ["at-input", "cgan-concat", "mismatched=0.5", "critic_steps=2", *CALM],
    ["paired", "infogan", "objective=relativistic", "critic_norm=spectral"],
    ["joint", "infogan", "recogniser=joint", "c1.scored=elementwise"],
    ["residual", "acgan", "backbone=resnet", "data.size=32", "label.recognised=1"],
    ["dropped", "infogan-lsgan", "backbone=article", "schedule=one-stage"],
]
# in float32 by plain descent: Adam makes steps of what is nothing but rounding
ROUNDED = [
    [f"rounded-{name}", name, "method=sgd", "momentum=0", "critic_rate=1e-3", "generator_rate=1e-3"]
    for name in ("dcgan", "acgan-infogan")
]
LOST = spread.LOST
ALWAYS = ("cgan", "cgan-2014", "infogan-lsgan", "infogan-cr", "penalised", "adaptive", "settled")
ALL = [*PLAYED, *SCHEDULED, *EXTRAS]
GAMES = {
    2: [game for game in ALL if game[0] in ALWAYS],
    3: [],
}
"""By how many processes each is played; ``slow`` plays all by both, every member, schedule and setting."""


def started(command, count, **options):
    """So many processes as torchrun would start them."""
    common = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
    common["MASTER_PORT"] = str(launching.free_port())
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            **options,
        )
        for rank in range(count)
    ]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The states of games as played by two processes, (2, game) -> one for each process; in the last game one of them ends."""
    return played(tmp_path_factory.mktemp("together"), 2, [*GAMES[2], *ROUNDED, [LOST, "gan"]])


def played(folder, count, games):
    """(count, name of the game) -> what each process has in the end, tensors and terms."""
    file = folder / f"{count}.json"
    file.write_text(json.dumps([[f"{count}-{name}", *game] for name, *game in games]))
    playing = started([spread.__file__, file, folder, tiny.source()], count)
    assert [process.wait(280) for process in playing] == [0] * count
    return {
        (count, name): [
            weights.read(folder / f"{count}-{name}-{rank}.safetensors")
            for rank in range(1 if name == LOST else count)
        ]
        for name, *_ in games
    }


def farthest(one, other):
    assert one.keys() == other.keys()
    return max(
        float((tensor.double() - other[name].double()).abs().max())
        for name, tensor in one.items()
        if tensor.numel()
    )


@pytest.mark.parametrize(
    "count, name, game", [(n, name, game) for n, games in GAMES.items() for name, *game in games]
)
def test_several_processes_take_the_steps_of_one(together, count, name, game):
    """Twenty steps of every member and schedule, batch statistics and all: the same to the rounding of float64."""
    assert_same(game, together[count, name])


@pytest.mark.slow
@pytest.mark.parametrize("count", GAMES)
def test_two_and_three_take_the_steps_of_one(tmp_path, count):
    games = {name: game for name, *game in ALL if [name, *game] not in GAMES[count]}
    for (_, name), states in played(tmp_path, count, [[n, *g] for n, g in games.items()]).items():
        assert_same(games[name], states)


def assert_same(game, states):
    alone, terms = spread.played(*game, group=ALONE)
    for tensors, told in states:
        assert farthest(alone, tensors) < 1e-9
        for term, value in terms.items():
            assert told[term] == pytest.approx(value, abs=1e-9)
    first, *others = states
    assert all(tiny.same(first[0], tensors) for tensors, _ in others)


@pytest.mark.parametrize("name, game", [(name, game) for name, *game in ROUNDED])
def test_in_float32_too(together, name, game):
    alone, _ = spread.played(*game, group=ALONE, exact=False)
    for tensors, _ in together[2, name]:
        assert farthest(alone, tensors) < 1e-5


def test_who_is_left_notices_soon_that_another_has_ended(together):
    ((_, said),) = together[2, LOST]
    assert "process 0 of 2" in said["error"] and "cannot reach the others" in said["error"]
    assert said["seconds"] < 10


@pytest.mark.parametrize("size", [2, 3, 4])
def test_every_image_comes_once_in_an_epoch(size):
    plan = tiny.plan("dcgan", "batch=24")
    machine = plan.machine
    seen = []
    for rank in range(size):
        object.__setattr__(machine, "group", Group(rank, size))
        mine = batches.own_rows(plan)
        for first in range(0, tiny.IMAGES, 24):
            seen += batches.order(0, first + mine.start, len(mine), tiny.IMAGES).tolist()
    assert sorted(seen) == list(range(tiny.IMAGES))


@pytest.mark.parametrize("size", [2, 3])
def test_blocks_hold_the_rows_that_are_dealt_one_by_one(size):
    """What a GPU is dealt by the block is what it would have been dealt step by step."""
    plan = tiny.plan("infogan-selflabel", "batch=24", "critic_steps=2")
    for rank in range(size):
        object.__setattr__(plan.machine, "group", Group(rank, size))
        made = stepping.block(plan, 96, 3)
        for i in range(3):
            one = stepping.Single(plan, 96 + i * 48)
            now = {name: tensor[i] for name, tensor in made.items()}
            block = stepping.FromBlock(
                plan, plan.images.images, now, stepping.stage(plan.config, 96 + i * 48)
            )
            for turn in (0, 1):
                assert torch.equal(one.batch(turn)[0], block.batch(turn)[0])
                theirs = block.draws("critic", turn)
                for name, value in one.draws("critic", turn).items():
                    assert torch.equal(value, theirs[name])


def test_rows_lie_evenly_and_are_shared_out():
    for rows, count, size in ((8, 5, 3), (6, 6, 2), (4, 16, 4), (5, 15, 3)):
        found = []
        for rank in range(size):
            with ranks.playing(Group(rank, size)):
                mine = ranks.spread(count, rows)
            mine = torch.arange(rows) if mine is None else mine
            assert len(mine) >= count // size
            found += [rank * rows + int(i) for i in mine]
        assert sorted(found) == [i * rows * size // count for i in range(count)]


def test_a_batch_that_cannot_be_shared_out_is_refused():
    config = configured("dcgan", ["batch=64"], data=tiny.source())
    with pytest.raises(ConfigError, match=r"batch is 64, and 3 processes .* batch=63"):
        check_batch(config, Group(0, 3))
    few = configured("cgan", ["batch=64", "penalty_share=0.02"], data=tiny.source())
    with pytest.raises(ConfigError, match=r"penalty_share=0\.03125"):
        check_batch(few, Group(0, 2))
    check_batch(config, Group(3, 4))


# ---------------------------------------------------------------------- who started them
SLURM = {
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_JOB_ID": "123456",
}
TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "host", "MASTER_PORT": "29500"}


def test_places_are_read_from_the_environment():
    assert cluster.place({}) is None
    assert cluster.place({**TORCHRUN, "LOCAL_RANK": "1"}) == (1, 2, 1, "host", 29500)
    assert cluster.place(TORCHRUN) == (1, 2, 0, "host", 29500)  # as a PyTorchJob sets them
    assert cluster.place(SLURM) == (3, 4, 1, "gpu07", 23456)
    assert cluster.place({**SLURM, **TORCHRUN}).size == 2  # srun torchrun
    batch = {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "1"}
    assert cluster.place(batch) is None  # within sbatch, before srun: nobody else is coming


@pytest.mark.parametrize(
    "change, said",
    [
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is not set"),
        ({"RANK": "one"}, "RANK is 'one'"),
        ({"RANK": "2"}, "process 2 of 2"),
    ],
)
def test_half_an_environment_is_refused(change, said):
    with pytest.raises(ConfigError, match=said):
        cluster.place({**TORCHRUN, **change})


@pytest.mark.parametrize(
    "nodes, first",
    [
        ("gpu[03-05,9],other", "gpu03"),
        ("one,two", "one"),
        ("alone", "alone"),
        ("rack-a[2]", "rack-a2"),
        ("n[1-4]-ib", "n1-ib"),
    ],
)
def test_the_first_machine_of_a_list(nodes, first):
    assert cluster.first_host(nodes) == first


def test_devices_among_started_processes(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert not launching.wanted(2)
    with pytest.raises(ConfigError, match="one of 2 that were started together"):
        launching.wanted(3)
    with pytest.raises(ConfigError, match="from 1 to 1,024"):
        launching.wanted(0)


# ---------------------------------------------------------------------- whole commands
LONG = 96 * 400
WORDS = [*tiny.SMALL, "save_seconds=0.2", "log_images=96"]


def command(out, *settings, images=96 * 4, devices=2):
    words = ["-m", "gander", "train", "gan", "--data", tiny.source(), "--out", str(out)]
    words += ["--images", str(images), "--devices", str(devices)]
    return [sys.executable, *words, "--set", *WORDS, *settings]


def lines(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def seen(run):
    try:
        return int(weights.read_facts(run / "state" / "state.safetensors")["images_seen"])
    except Exception:  # not there yet
        return 0


@pytest.mark.slow
def test_a_killed_process_ends_the_job_which_goes_on_exactly(tmp_path):
    """The message comes soon, and the same command ends in the bits of a run that nobody killed."""
    whole, out = tmp_path / "whole", tmp_path / "killed"
    done = subprocess.run(command(whole, images=LONG), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    job = subprocess.Popen(command(out, images=LONG), stderr=subprocess.PIPE, text=True)
    while job.poll() is None and not seen(out):
        time.sleep(0.02)
    os.kill(child_of(job.pid, rank=1), signal.SIGKILL)
    began = time.monotonic()
    said = job.communicate()[1]
    assert time.monotonic() - began < 30
    assert job.returncode == 1
    assert "cannot reach the others any more" in said
    assert "is kept in" in said and "The same command goes on from there" in said
    assert "process 1 of 2 (they count from 0) was ended by SIGKILL" in said
    assert "Traceback" not in said
    assert 0 < seen(out) < LONG
    again = subprocess.run(command(out, images=LONG), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "resuming at" in again.stderr
    assert tiny.same(tiny.state(out), tiny.state(whole))


def child_of(parent, rank):
    for process in Path("/proc").iterdir():
        try:
            above = (process / "stat").read_text().rpartition(")")[2].split()[1]
            own = (process / "environ").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        if above == str(parent) and f"RANK={rank}".encode() in own:
            return int(process.name)
    raise AssertionError("no such process")


@pytest.mark.slow
def test_another_number_of_processes_goes_on(tmp_path):
    out = tmp_path / "run"
    for devices, images in ((2, 96 * 2), (1, 96 * 3), (3, 96 * 4)):
        words = command(out, "batch=12", images=images, devices=devices)
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert seen(out) == images
    assert len(lines(out)) == 4
    again = subprocess.run(words, capture_output=True, text=True)  # with nothing left to do
    assert again.returncode == 0 and "gander: " not in again.stderr, again.stderr
    assert len(lines(out)) == 4
    assert not [p for p in out.rglob("*") if p.name.startswith(".") and p.name != ".lock"]


@pytest.mark.slow
def test_a_request_to_end_is_passed_on_and_saves(tmp_path):
    out = tmp_path / "run"
    job = subprocess.Popen(command(out, images=10**7), stderr=subprocess.PIPE, text=True)
    while job.poll() is None and not seen(out):
        time.sleep(0.02)
    job.terminate()
    said = job.communicate(timeout=60)[1]
    assert job.returncode == 130, said
    assert "stopped and saved at" in said
    assert f"{seen(out):,}" in said


@pytest.mark.slow
def test_two_agents_of_torchrun_are_two_machines(tmp_path):
    """Each agent starts one process, and they meet at an address, as on two machines."""
    words = [word for word in command(tmp_path / "two")[3:] if word not in ("--devices", "2")]
    port = str(launching.free_port())
    agents = [
        subprocess.Popen(
            [
                *[sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"],
                *["--node-rank", node, "--nproc-per-node", "1"],
                *["--master-addr", "127.0.0.1", "--master-port", port, "-m", "gander", *words],
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        for node in ("0", "1")
    ]
    said = [agent.communicate(timeout=240)[1] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], said
    done = subprocess.run(command(tmp_path / "one"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert tiny.same(tiny.state(tmp_path / "two"), tiny.state(tmp_path / "one"))


GIVEN = """
import sys
import torch.distributed as dist
import gander
dist.init_process_group("gloo")
gander.train("gan", data=sys.argv[1], out=sys.argv[2], images=96, settings=sys.argv[3:], quiet=True)
assert dist.is_initialized()
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_a_group_that_is_there_is_taken_and_left(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(GIVEN)
    playing = started([program, tiny.source(), tmp_path / "run", *WORDS], 2)
    assert [process.wait(240) for process in playing] == [0, 0]
    assert seen(tmp_path / "run") == 96


# ---------------------------------------------------------------------- who starts them
def launched(tmp_path, capfd, first, others):
    """The exit code of two processes that run those lines, and what was said."""
    file = tmp_path / "run.py"
    file.write_text(
        "import os, signal, sys, time\nif os.environ['RANK'] == '0':\n"
        f"    {first}\nelse:\n    {others}\n"
    )
    code = launching.launch(2, [sys.executable, str(file)])
    return code, capfd.readouterr().err


COMPLAIN = "print('something', file=sys.stderr); sys.exit(%d)"


def test_all_that_end_well_end_well(tmp_path, capfd):
    told = "sys.exit(os.environ['WORLD_SIZE'] != '2' or os.environ['LOCAL_RANK'] != '%d')"
    assert launched(tmp_path, capfd, told % 0, told % 1) == (0, "")


def test_wrong_use_is_said_once(tmp_path, capfd):
    code, said = launched(tmp_path, capfd, COMPLAIN % 2, COMPLAIN % 2)
    assert (code, said) == (2, "something\n")


def test_who_fails_first_is_heard(tmp_path, capfd):
    code, said = launched(tmp_path, capfd, "time.sleep(1); sys.exit(1)", COMPLAIN % 1)
    assert code == 1
    assert said == "gander: process 1 of 2 (they count from 0) failed first:\nsomething\n"


def test_who_is_killed_is_named_and_the_others_do_not_stay(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(launching, "GRACE", 0.5)
    began = time.monotonic()
    kill = "os.kill(os.getpid(), signal.SIGKILL)"
    code, said = launched(tmp_path, capfd, "time.sleep(60)", kill)
    assert code == 1
    assert said == "gander: process 1 of 2 (they count from 0) was ended by SIGKILL.\n"
    assert time.monotonic() - began < 30


def test_an_interrupted_job_is_interrupted(tmp_path, capfd):
    assert launched(tmp_path, capfd, "sys.exit(130)", "sys.exit(130)") == (130, "")
