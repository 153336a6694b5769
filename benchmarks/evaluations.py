"""Measures finished runs with every metric that applies, and keeps how they were made beside the figures.

    GANDER_DATA=... python benchmarks/evaluations.py runs/benchmarks/cgan-mnist-s* --out benchmarks/results/mnist-seeds.jsonl

One line per run: the training command, the seconds it trained on the clock, images/s, the whole of ``gander evaluate``, and how long that took.
Lines are appended; all are kept, none is the best of several. With ``--commands`` it only prints how to make the runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path

RUNS = [("acgan", 240_000), ("infogan", 240_000), ("cgan", 240_000)]
RUNS += [("gan", 1_500_000), ("gan", 3_000_000)]


def commands() -> list[str]:
    """The runs behind docs/results.md."""
    return [
        f"gander train {preset} --data mnist --images {images} --seed {seed} --set threads=1 --out runs/{preset}-{images}-mnist-s{seed}"
        for seed in range(3)
        for preset, images in RUNS
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--metrics")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--commands", action="store_true")
    asked = parser.parse_args()
    if asked.commands:
        print("\n".join(commands()))
    for run in asked.runs:
        made = tomllib.loads((run / "config.toml").read_text())
        last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
        command = [sys.executable, "-m", "gander", "evaluate", str(run), "--n", str(asked.n)]
        command += ["--metrics", asked.metrics] if asked.metrics else []
        began = time.monotonic()
        subprocess.run(command, check=True)
        line = {
            "command": made["provenance"]["command"].partition(" --quiet")[0],
            "preset": made["preset"],
            "seed": made["training"]["seed"],
            "images_seen": last["images_seen"],
            "training_seconds": last["seconds"],
            "evaluation_seconds": round(time.monotonic() - began, 1),
            "evaluation": json.loads((run / "metrics.jsonl").read_text().splitlines()[-1]),
        }
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        with asked.out.open("a") as out:
            out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
