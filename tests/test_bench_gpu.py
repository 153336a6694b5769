"""The one command for a GPU, gone through without one, on a machine that has little more than PyTorch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gander.bench import records

HERE = Path(__file__).resolve().parents[1]
ABSENT = ("cyclopts", "tomli_w", "starlette", "uvicorn", "pooch", "PIL", "rich", "safetensors")
ABSENT = (*ABSENT, "sklearn", "torchmetrics", "onnx")
LOOK = "--device cpu --seconds 0.01 --batches 16 32 --images 64 --presets infogan gan"


def look(out):
    """Runs the command in a process where those packages cannot be imported."""
    words = [
        "gpu.py",
        *LOOK.split(),
        "--settings",
        "width=4",
        "batch=16",
        "threads=1",
        "--out",
        str(out),
    ]
    program = (
        "import sys, runpy\n"
        f"for name in {ABSENT}: sys.modules[name] = None\n"
        f"sys.path.insert(0, {str(HERE / 'src')!r})\n"
        f"sys.argv = {words!r}\n"
        f"runpy.run_path({str(HERE / 'benchmarks' / 'gpu.py')!r}, run_name='__main__')\n"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


@pytest.mark.slow
def test_the_record_of_a_gpu_needs_pytorch_and_the_checkout_alone(tmp_path):
    done = look(tmp_path / "gpu.json")
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads((tmp_path / "gpu.json").read_text())
    proofs, speed = result["parts"]["recorded"], result["parts"]["speed"]
    assert {(one["preset"], one["schedule"]) for one in proofs["agreement"]} == {
        (preset, schedule)
        for preset in ("infogan", "gan")
        for schedule in ("alternate", "reuse", "one-stage")
    }
    assert all(one["right"] and one["same_bits"] for one in proofs["agreement"])
    assert proofs["repeated"]["right"]
    assert proofs["resumed"]["right"] and proofs["resumed"]["tensors"] > 100
    assert all(
        line["images_per_second"]["n"] == 3 and line["finite"] for line in speed["throughput"]
    )
    assert all(0 < one["fraction"]["median"] < 1 for one in speed["bound"])
    page = records.blocks("gpu", records.read(tmp_path))
    assert "Not a record" in page and "| infogan | one-stage |" in page
    assert "0 of" in page and "end in the same bits with `--deterministic`" in page


def test_without_a_gpu_it_says_so(tmp_path):
    if torch.cuda.is_available():
        return
    words = [sys.executable, str(HERE / "benchmarks" / "gpu.py"), "--out", str(tmp_path / "x.json")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2 and "no CUDA device" in done.stdout
    assert not (tmp_path / "x.json").exists()
