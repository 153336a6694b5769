"""What must also hold on a GPU; skipped with the reason where there is none. One command: ``make test-gpu``."""

import pytest
import torch

import gander
from gander import config, runs, states

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
SMALL = ["batch=16", "width=8", "tensorboard=false"]


@pytest.mark.parametrize("preset", config.preset_names())
def test_every_preset_trains_on_the_gpu_and_draws_the_same_seed_on_the_cpu(preset, tmp_path):
    run = gander.train(
        preset, images=160, device="cuda", out=str(tmp_path / "run"), settings=SMALL, quiet=True
    )
    here, there = gander.load(run), gander.load(run, device="cuda")
    difference = (here.draw(8).int() - there.draw(8).int()).abs().max()
    assert int(difference) <= 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resuming_on_the_gpu_follows_an_uninterrupted_run(precision, tmp_path):
    settings = [*SMALL, f"precision={precision}", "decay=none"]

    def trained(images, name):
        return gander.train(
            "acgan",
            images=images,
            device="cuda",
            out=str(tmp_path / name),
            settings=settings,
            quiet=True,
        )

    trained(160, "parts")
    saved = [
        states.read(runs.open_run(run), print)[0]
        for run in (trained(320, "parts"), trained(320, "whole"))
    ]
    assert saved[0].keys() == saved[1].keys()
    for name, tensor in saved[0].items():
        assert torch.allclose(tensor.float(), saved[1][name].float(), atol=1e-2), name
