"""Trains presets on real images and measures each by a judge trained on real images alone.

    GANDER_DATA=... python benchmarks/presets.py cgan acgan --data mnist --images 240000 --out benchmarks/results/mnist.jsonl

One line per run: the command, processor seconds of training (user and system), images/s and every figure of
``gander evaluate`` on 10,000 samples. Lines are appended; all are kept, none is the best of several.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path


def trained(command: list[str]) -> tuple[float, float]:
    """Runs a command; its processor seconds and wall seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return round(used, 1), round(time.monotonic() - began, 1)


def measured(run: Path, n: int) -> dict[str, object]:
    """What ``gander evaluate`` says of a run: the last line of its metrics.jsonl."""
    command = ["evaluate", str(run), "--n", str(n)]
    subprocess.run([sys.executable, "-m", "gander", *command], check=True)
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--images", type=int, default=240_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=10_000)
    asked = parser.parse_args()
    for preset in asked.presets:
        for seed in asked.seeds:
            name = "-".join([preset, asked.data, f"s{seed}", *asked.set]).replace("=", "_")
            run = asked.runs / name
            options = ["--data", asked.data, "--images", str(asked.images), "--seed", str(seed)]
            settings = [word for setting in asked.set for word in ("--set", setting)]
            command = ["train", preset, *options, *settings, "--out", str(run)]
            cpu, wall = trained([sys.executable, "-m", "gander", *command])
            log = (run / "log.jsonl").read_text().splitlines()
            line = {
                "command": "gander " + " ".join(command),
                "preset": preset,
                "seed": seed,
                "images_seen": json.loads(log[-1])["images_seen"],
                "processor_seconds": cpu,
                "wall_seconds": wall,
                "evaluation": measured(run, asked.n),
            }
            asked.out.parent.mkdir(parents=True, exist_ok=True)
            with asked.out.open("a") as out:
                out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
