"""Saved states: several are kept, damage is seen and mended by the one before, and no disk, folder or second process spoils them."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tiny
from gander import cli, images, rounds, runs, states, weights
from gander.errors import DamagedFile, GanderError, RunError, TrainingFailed
from gander.runs import Run

OFTEN = ("save_seconds=0", "log_images=16", "sample_images=100000")


def copied(to, steps=6):
    return Run(shutil.copytree(tiny.run("gan", *OFTEN, steps=steps), to))


# ---------------------------------------------------------------------- several are kept
@pytest.mark.parametrize("keep", [1, 2, 4])
def test_the_last_states_are_kept_and_each_goes_on_to_the_same_bits(keep, tmp_path):
    whole = tiny.state(tiny.run("gan", *OFTEN, steps=6))
    run = Run(tiny.train("gan", *OFTEN, f"keep_states={keep}", out=tmp_path / "run", steps=6))
    seen = [int(p.stem) for p in states.earlier(run)]
    assert seen == [16 * n for n in range(5, 6 - keep, -1)]
    for path in states.earlier(run):
        assert weights.read(path)[1]["images_seen"] == int(path.stem)
        copy = Run(shutil.copytree(run.path, tmp_path / f"from-{path.stem}"))
        os.replace(copy.earlier_states / path.name, copy.state_file)
        tiny.train("gan", *OFTEN, out=copy.path, steps=6)
        assert tiny.same(tiny.state(copy.path), whole)


def test_a_file_system_without_second_names_keeps_copies(tmp_path, monkeypatch):
    def refuses(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuses)
    run = Run(tiny.train("gan", *OFTEN, out=tmp_path / "run", steps=3))
    assert [weights.read(p)[1]["images_seen"] for p in states.earlier(run)] == [32, 16]


# ---------------------------------------------------------------------- damage
def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def flipped(file, at=0.7):
    content = bytearray(file.read_bytes())
    content[int(at * len(content))] ^= 16
    file.write_bytes(content)


DAMAGES = {
    "cut off": cut,
    "a bit of a tensor": flipped,
    "a bit of a fact": lambda file: file.write_bytes(
        file.read_bytes().replace(b'\\"images_seen\\": 96', b'\\"images_seen\\": 95')
    ),
    "emptied": lambda file: file.write_bytes(b""),
    "another's": lambda file: file.write_bytes(b"not safetensors at all"),
    "gone": lambda file: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_replaced_by_the_one_before_with_a_warning(damage, tmp_path, capfd):
    run = copied(tmp_path / "run")
    DAMAGES[damage](run.state_file)
    tiny.train("gan", *OFTEN, out=run.path, steps=6, quiet=False)
    said = capfd.readouterr().err
    assert "Going on from the state before" in said and "resuming at 80 images" in said
    assert ("is damaged" in said or "cannot be read" in said) or damage == "gone"
    assert tiny.same(tiny.state(run.path), tiny.state(tiny.run("gan", *OFTEN, steps=6)))
    assert (run.state_file.parent / states.DAMAGED).is_file() == (damage != "gone")
    seen = [line["images_seen"] for line in run.lines()]
    assert seen == sorted(set(seen)) == [16 * n for n in range(1, 7)]


def test_where_two_are_damaged_the_third_is_used_and_where_all_are_it_is_one_message(tmp_path):
    run = copied(tmp_path / "run")
    flipped(run.state_file)
    flipped(states.earlier(run)[0])
    say = []
    assert states.read(run, say.append)[1]["images_seen"] == 64 and len(say) == 2
    for path in states.earlier(run):
        flipped(path)
    there = sorted(p.name for p in run.path.rglob("*.safetensors"))
    with pytest.raises(RunError, match=r"is damaged.*move .*state away to begin again"):
        tiny.train("gan", *OFTEN, out=run.path, steps=6)
    assert sorted(p.name for p in run.path.rglob("*.safetensors")) == there


def test_who_only_asks_moves_nothing(tmp_path):
    """A dry run may look while another process trains."""
    run = copied(tmp_path / "run")
    flipped(run.state_file)
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    words = ["train", "gan", "--data", tiny.source(), "--out", str(run.path), "--images", "96"]
    assert cli.run([*words, "--dry-run", "--roll-back", "--set", *tiny.SMALL, *OFTEN]) == 0
    assert states.position(run) == 80
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before


def test_no_changed_bit_of_a_weight_file_goes_unseen(tmp_path):
    file, rolls = tmp_path / "x.safetensors", random.Random(0)
    tensors = {"a": torch.randn(5, 3), "b": torch.arange(7), "c": torch.tensor(2.0).bfloat16()}
    weights.write(file, tensors, {"images_seen": 7, "card": {"width": 3}})
    whole, (right, facts) = file.read_bytes(), weights.read(file)
    seen = 0
    for bit in rolls.sample(range(8 * len(whole)), 600):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        try:
            tensors, said = weights.read(file)
        except RunError:
            seen += 1
        else:  # as between two spaces
            assert said == facts and all(torch.equal(tensors[n], right[n]) for n in right)
    assert seen > 500


def test_a_header_that_claims_more_than_there_is_is_refused_before_memory_is_taken(tmp_path):
    file = tmp_path / "x.safetensors"
    for head in (2**63, 2**40, 10**9, 0):
        file.write_bytes(head.to_bytes(8, "little") + b"{}" * 20)
        with pytest.raises(RunError, match=r"cannot be read|not one that gander wrote"):
            weights.read(file)
    with file.open("wb") as huge:
        huge.write((weights.LARGEST_HEADER + 1).to_bytes(8, "little"))
        huge.truncate(weights.LARGEST_HEADER + 100)  # holes take no room
    with pytest.raises(RunError, match="is refused"):
        weights.read(file)
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(RunError, match="is not a plain file"):
        weights.read(tmp_path / "pipe.safetensors")


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (99, "newer gander"),
        (1, "laid out otherwise"),
        ("3", "says schema '3'"),
        (0, "reads 2 to 3"),
    ],
)
def test_a_schema_that_is_not_read_is_one_message(schema, says, tmp_path):
    weights.write(tmp_path / "x.safetensors", {"a": torch.ones(1)}, {"schema": schema})
    with pytest.raises(RunError, match=says) as refused:
        weights.read(tmp_path / "x.safetensors")
    assert not isinstance(refused.value, DamagedFile)  # the state before would be no better


# ---------------------------------------------------------------------- places that take no file
MOUNT = (
    'mount -t tmpfs -o size=1200k none "$PLACE" && cp -r "$RUN/." "$PLACE" && '
    '$THEN exec "$@"; exit 77'
)
READ = 'mount -o remount,ro "$PLACE" && '
HERE = Path(__file__).parent
FULL = {
    "files may not grow": ["bash", "-c", 'ulimit -f 400; trap "" XFSZ; exec "$@"', "_"],
    "a small disk": ["unshare", "-rm", "bash", "-c", MOUNT.replace("$THEN", ""), "_"],
    "a disk to be read": ["unshare", "-rm", "bash", "-c", MOUNT.replace("$THEN", READ), "_"],
}
"""What a process is run by so that what it writes soon finds no room."""
TRAIN = """
import sys, tiny
from gander import cli
code = cli.run(sys.argv[2:])
print(int(tiny.state(sys.argv[1])["images_seen"]))
sys.exit(code)
"""


def around(words, place, run, program, *arguments):
    """A program run on such a disk; the test is skipped where none can be mounted."""
    done = subprocess.run(
        [*words, sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PLACE": str(place), "RUN": str(run.path), "PYTHONPATH": str(HERE)},
        timeout=120,
    )
    if done.returncode in (1, 77) and ("unshare:" in done.stderr or "mount:" in done.stderr):
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    return done


@pytest.mark.parametrize(
    "kind", ["a small disk", pytest.param("files may not grow", marks=pytest.mark.slow)]
)
def test_a_full_disk_is_one_message_and_the_last_good_state_stays(kind, tmp_path):
    run, place = copied(tmp_path / "run", steps=2), tmp_path / "place"
    place.mkdir()
    out = place if kind == "a small disk" else run.path
    line = {"images_seen": 16, "padding": "x" * (407_000 if out == run.path else 0)}
    run.write_lines("log.jsonl", [line])
    command = ["train", "gan", "--data", tiny.source(), "--out", str(out), "--images", "8000"]
    command += ["--set", *tiny.SMALL, *OFTEN, "keep_states=400"]
    done = around(FULL[kind], place, run, TRAIN, str(out), *command)
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("gander: ") and "cannot be written: " in last
    assert "No space left on device" in last or "File too large" in last
    kept = int(done.stdout.split()[-1])
    assert f"The last good state, at {kept:,} images, is kept" in last and kept >= 32
    assert "Traceback" not in done.stderr


def test_a_directory_that_may_not_be_written_is_one_message(tmp_path):
    """On a file system that may only be read; where one can be mounted here, also for the superuser."""
    run, place = copied(tmp_path / "run"), tmp_path / "place"
    place.mkdir()
    command = ["train", "gan", "--data", tiny.source(), "--out", str(place), "--images", "160"]
    command += ["--set", *tiny.SMALL, *OFTEN]
    done = around(FULL["a disk to be read"], place, run, TRAIN, str(place), *command)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "cannot be written: Read-only file system; choose a place" in done.stderr
    assert done.stdout.split()[-1] == "96"
    said = images.reason(PermissionError(13, "Permission denied"))
    assert said == "Permission denied; choose a place that you may write"


def test_a_lock_that_is_removed_alone_stops_nobody(tmp_path, monkeypatch):
    step = rounds.step

    def removing(plan, players, tally):
        step(plan, players, tally)
        (tmp_path / "run" / ".lock").unlink(missing_ok=True)

    monkeypatch.setattr(rounds, "step", removing)
    run = tiny.train("gan", *OFTEN, out=tmp_path / "run", steps=3)
    assert tiny.state(run)["images_seen"] == 48


@pytest.mark.parametrize("fate", ["removed", "moved", "replaced"])
def test_a_directory_that_vanishes_is_one_message_and_is_not_made_again(
    fate, tmp_path, monkeypatch
):
    out, step = tmp_path / "run", rounds.step

    def vanishing(plan, players, tally):
        step(plan, players, tally)
        if players.images_seen == 64:
            out.rename(tmp_path / "elsewhere")
            if fate == "removed":
                shutil.rmtree(tmp_path / "elsewhere")
            if fate == "replaced":
                out.mkdir()

    monkeypatch.setattr(rounds, "step", vanishing)
    with pytest.raises(TrainingFailed, match=r"has gone: it was moved, removed or replaced"):
        tiny.train("gan", *OFTEN, out=out, steps=8)
    monkeypatch.undo()
    if fate == "replaced":
        assert list(out.iterdir()) == []
    else:
        assert not out.exists()
    if fate == "moved":  # and what was saved is good
        whole = tiny.state(tiny.run("gan", *OFTEN, steps=6))
        tiny.train("gan", *OFTEN, out=tmp_path / "elsewhere", steps=6)
        assert tiny.same(tiny.state(tmp_path / "elsewhere"), whole)


# ---------------------------------------------------------------------- two processes
def test_the_second_of_two_processes_is_told_who_holds_the_run(tmp_path, capsys):
    run = copied(tmp_path / "run")
    holder = f"import sys; sys.argv[1:] = ['train', 'gan']; from gander.runs import Run; from pathlib import Path\nwith Run(Path({str(run.path)!r})).held(): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        assert run.is_held
        words = ["train", "gan", "--data", tiny.source(), "--out", str(run.path), "--images", "160"]
        assert cli.run([*words, "--set", *tiny.SMALL, *OFTEN]) == 2
        said = capsys.readouterr().err
        assert f"is being trained by process {process.pid} (gander train gan), since 20" in said
        assert "Ctrl-C" in said and "--new" in said
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not run.is_held
    tiny.train("gan", *OFTEN, out=run.path, steps=7)  # the dead hold nothing


def test_of_two_that_begin_the_same_run_one_is_told_so(tmp_path, monkeypatch):
    held = Run.held

    def faster(run):
        if not run.config_file.is_file():
            monkeypatch.undo()
            tiny.train("gan", "critic_rate=1e-3", out=run.path, steps=1)
        return held(run)

    monkeypatch.setattr(Run, "held", faster)
    with pytest.raises(RunError, match="begun by another command just now"):
        tiny.train("gan", out=tmp_path / "run", steps=2)
    assert Run(tmp_path / "run").read_config().optimiser.critic_rate == 1e-3


def test_what_a_killed_process_left_half_written_is_cleared_and_what_a_living_one_writes_is_not(
    tmp_path,
):
    """A command killed before its run began leaves a folder that is as good as empty."""
    run = Run(tmp_path / "run")
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    dead, alive = int(gone.stdout), os.getpid()
    run.path.mkdir()
    for number in (dead, alive):
        (run.path / f".config.toml.abc.{number}{runs.PART}").write_text("half")
    (run.path / ".lock").write_text("")
    tiny.train("gan", out=run.path, steps=1)
    assert [p.name for p in run.path.rglob(".*.part")] == [f".config.toml.abc.{alive}.part"]


def test_states_of_schema_2_had_no_checksum_and_are_read(tmp_path):
    """And one of schema 3 cannot pass for one, so as to go unchecked."""
    run = copied(tmp_path / "run")
    tensors, _ = weights.read(run.state_file)
    old = tmp_path / "old.safetensors"
    from safetensors.torch import save_file

    save_file(tensors, old, {"gander": '{"images_seen": 96, "schema": 2}'})
    assert tiny.same(weights.read(old)[0], tensors)
    flipped_name = run.state_file.read_bytes().replace(b'\\"schema\\": 3', b'\\"schema\\": 2')
    run.state_file.write_bytes(flipped_name)
    with pytest.raises(GanderError):
        weights.read(run.state_file)
