"""Ten thousand hostile inputs to every reader, the same ones each time, and all that ever broke one; `make fuzz` reads a million."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CORPUS = HERE / "fuzz" / "corpus"
INPUTS = 5_000

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="children with bounded memory are Linux's"
)


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    """What one process of its own says after reading them all; readers may crash, hang or run out of memory there."""
    home = tmp_path_factory.mktemp("fuzz")
    words = [sys.executable, "-m", "fuzz", "--unguided", "--short", "--inputs", str(INPUTS)]
    words += ["--json", str(home / "fuzz.json"), "--keep", str(home / "found")]
    paths = os.pathsep.join([str(HERE), *sys.path])
    done = subprocess.run(
        words, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert (home / "fuzz.json").is_file(), done.stderr
    return json.loads((home / "fuzz.json").read_text())


def test_every_reader_answers_every_input(summary):
    found = [told for one in summary["targets"].values() for told in one["findings"]]
    assert not found, json.dumps(found, indent=1)
    assert summary["inputs"] == INPUTS


def test_all_that_ever_broke_a_reader_is_read_again(summary):
    for folder in CORPUS.iterdir():
        one = summary["targets"].get(folder.name)
        assert one is None or len(list(folder.iterdir())) < one["seeds"] <= one["inputs"]


def test_the_fuzzer_finds_a_fault_of_every_sort(summary):
    assert summary["planted_faults_missed"] == []


def test_inputs_are_a_function_of_the_seed(summary):
    from fuzz import driver, targets

    for name, digest in summary["digests"].items():
        assert driver.digest(driver.Plan(0), targets.TARGETS[name]) == digest
        assert driver.digest(driver.Plan(0, seed=1), targets.TARGETS[name]) != digest
