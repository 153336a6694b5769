"""Work that only draws and measures takes one thread where more are slower, says so, and leaves the choice to who has made it."""

import shutil

import pytest
import torch

import tiny
from gander import pace
from gander.cli import run as command


@pytest.fixture
def four_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(1)


def takes(monkeypatch, *, one, more):
    monkeypatch.setattr(pace, "_convolving", lambda count: one if count == 1 else more)


def test_a_busy_machine_gets_one_thread(monkeypatch, four_threads):
    takes(monkeypatch, one=1.0, more=3.0)
    said = pace.suit("cpu")
    assert "3.0 times as fast as 4" in said


@pytest.mark.parametrize("more", [0.3, 1.0, 1.1])
def test_a_quiet_one_keeps_all(monkeypatch, four_threads, more):
    """Also where it is a draw, so that chance changes nothing."""
    takes(monkeypatch, one=1.0, more=more)
    assert pace.suit("cpu") is None
    assert torch.get_num_threads() == 4


def test_who_has_chosen_is_obeyed(monkeypatch, four_threads):
    takes(monkeypatch, one=1.0, more=3.0)
    assert pace.suit("cuda") is None
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert pace.suit("cpu") is None
    assert torch.get_num_threads() == 4


def test_what_is_tried_takes_as_many_threads_as_it_says(four_threads):
    assert pace._convolving(2) > 0
    assert torch.get_num_threads() == 2


def test_a_measuring_command_says_it(monkeypatch, four_threads, capsys, tmp_path):
    made = shutil.copytree(tiny.run(), tmp_path / "run")
    torch.set_num_threads(4)
    takes(monkeypatch, one=1.0, more=3.0)
    assert command(["evaluate", str(made), "--metrics", "mutual_information", "--n", "64"]) == 0
    assert "one thread: beside what else runs here" in capsys.readouterr().err
