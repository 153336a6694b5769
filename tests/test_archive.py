"""Runs and weights as every schema so far wrote them: what was handed out once draws, reads and goes on for ever.

tests/archive/SCHEMA/ was made by the gander that wrote that schema, and is never changed: run/ by
``gander train acgan-infogan --data digits --images 64 --set width=1 batch=16 size=16 threads=1 precision=fp32 decay=none``, with c1 named
slant; exported/ by ``gander export run --to weights``; drawn.npz by ``gander sample run --n 4 --set digit=3``.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import gander
from gander import weights
from gander.data import load
from gander.runs import Run

ARCHIVE = Path(__file__).parent / "archive"
every_schema = pytest.mark.parametrize("schema", weights.READS)


def test_every_schema_that_is_read_has_its_runs():
    assert {p.name for p in ARCHIVE.iterdir()} == {f"schema-{number}" for number in weights.READS}


@every_schema
@pytest.mark.parametrize("what", ["run", "exported"])
def test_an_archived_model_draws_what_it_drew(schema, what):
    home = ARCHIVE / f"schema-{schema}"
    if what == "run":
        assert Run(home / "run").read_tables()["schema"] == schema
    model = gander.load(home / what)
    right = np.load(home / "drawn.npz")["images"]
    drawn = model.draw(4, seed=0, digit=3).permute(0, 2, 3, 1).numpy()
    assert np.abs(drawn.astype(int) - right).max() <= 2
    assert torch.equal(model.draw(2, slant=0.5), model.draw(2, c1=0.5))  # its names are read too
    read = model.read(load("digits", size=16).images[:3])
    assert read["digit"].shape == (3, 10)


@every_schema
def test_an_archived_run_goes_on_and_is_then_of_the_present_schema(schema, tmp_path):
    run = Run(shutil.copytree(ARCHIVE / f"schema-{schema}" / "run", tmp_path / "run"))
    before, _ = weights.read(run.state_file)
    own = shutil.copy(run.config_file, tmp_path / "own.toml")
    gander.train(str(own), out=str(run.path), images=96, quiet=True)
    after, facts = weights.read(run.state_file)
    assert facts["images_seen"] == 96 and facts["schema"] == weights.SCHEMA
    assert after.keys() == before.keys()
    assert not torch.equal(before["critic.judge.weight"], after["critic.judge.weight"])
    assert run.read_tables()["schema"] == weights.SCHEMA
    assert [line["images_seen"] for line in run.lines()] == [64, 96]
    assert torch.equal(gander.load(run.path).draw(2, slant=1), gander.load(run.path).draw(2, c1=1))
