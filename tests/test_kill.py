"""Killed at any moment, a run ends in the same bits: a few kills here, hundreds by `make test-kill`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def killed(tmp_path, *options):
    words = [sys.executable, str(HERE / "killing.py"), "--json", str(tmp_path / "kills.json")]
    done = subprocess.run([*words, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((tmp_path / "kills.json").read_text())


def test_eight_kills_end_in_the_same_bits(tmp_path):
    result = killed(tmp_path, "--kills", "8", "--steps", "8", "--few", "--seed", "3")
    assert result["kills"] >= 8 and result["differences"] == []
    assert len(result["by_case"]) >= 3
    assert {"in an evaluation", "at a file call"} <= result["by_place"].keys()
    assert result["killed_twice_or_more_in_a_row"] >= 1


@pytest.mark.slow
def test_every_case_is_killed_and_ends_in_the_same_bits(tmp_path):
    result = killed(tmp_path, "--kills", "60", "--seed", "4")
    assert result["kills"] >= 60 and len(result["by_case"]) >= 15


def test_a_difference_is_seen(tmp_path):
    """A run whose state is changed behind its back is told apart from one that was not: else nothing above means anything."""
    import killing
    import tiny
    from gander import weights
    from gander.runs import Run

    run = tiny.train("gan", *killing.ALWAYS, out=tmp_path / "run", steps=3)
    whole = killing.Whole(killing.digests(run), killing.told(run), 1.0, 1)
    assert killing.differences(run, whole) == []
    tensors, facts = weights.read(Run(run).state_file)
    name = next(n for n in tensors if n.startswith("optimiser.") and tensors[n].numel() > 1)
    tensors[name].view(-1)[0] += 1e-9 + tensors[name].view(-1)[0].abs() * 2**-20
    weights.write(Run(run).state_file, tensors, facts)
    assert killing.differences(run, whole) == [f"state/state.safetensors:{name}"]
    (run / ".log.jsonl.x.1.part").write_text("")
    assert "left behind: .log.jsonl.x.1.part" in killing.differences(run, whole)


def test_the_page_says_what_was_recorded():
    import runpy

    trust = runpy.run_path(str(HERE.parent / "benchmarks" / "trust.py"))
    page = trust["PAGE"].read_text("utf-8")
    results = HERE.parent / "benchmarks" / "results"
    assert trust["rendered"](page, results) == page
    for name in ("kills", "fuzz"):
        assert (results / f"{name}.json").is_file() and f"<!-- {name} -->\n`make " in page
