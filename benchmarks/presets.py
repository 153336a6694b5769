"""Trains presets on real images and measures each by a judge trained on real images alone.

    GANDER_DATA=... python benchmarks/presets.py cgan acgan --data mnist --images 240000 --out benchmarks/results/mnist.jsonl

One line per run: the command, processor seconds of training (user and system), images/s and every figure of
``gander evaluate`` on 10,000 samples. Lines are appended; all are kept, none is the best of several. What has its line is not repeated, a run that
was stopped goes on.
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


def measured(run: Path, n: int, metrics: str) -> dict[str, object]:
    """What ``gander evaluate`` says of a run: the last line of its metrics.jsonl."""
    command = ["evaluate", str(run), "--n", str(n)]
    command += ["--metrics", metrics] if metrics else []
    subprocess.run([sys.executable, "-m", "gander", *command], check=True)
    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return line | {"run": run.name}  # where it lies is of no use elsewhere


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--images", type=int, default=0, help="0: as the preset says")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--metrics", default="", help="as gander evaluate takes them; empty: all")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=10_000)
    asked = parser.parse_args()
    there = asked.out.read_text().splitlines() if asked.out.is_file() else []
    done = {json.loads(line)["command"] for line in there}
    for preset, seed in [(p, s) for p in asked.presets for s in asked.seeds]:
        data = Path(asked.data).stem  # a name, or a file's
        name = "-".join([preset, data, *[str(asked.images)] * bool(asked.images), f"s{seed}"])
        run = asked.runs / "-".join([name, *asked.set]).replace("=", "_").replace("*", "x")
        settings = [word for setting in asked.set for word in ("--set", setting)]
        options = ["--data", asked.data, "--seed", str(seed), *settings]
        options += ["--images", str(asked.images)] if asked.images else []
        said = f"gander train {preset} {' '.join(options)}"
        if said in done:
            continue
        command = [sys.executable, "-m", "gander", "train", preset, *options, "--out", str(run)]
        cpu, wall = trained(command)  # from where it was, should it have been stopped
        log = (run / "log.jsonl").read_text().splitlines()
        line = {
            "command": said,
            "preset": preset,
            "data": asked.data,
            "seed": seed,
            "images_seen": json.loads(log[-1])["images_seen"],
            "processor_seconds": cpu,
            "wall_seconds": wall,
            "evaluation": measured(run, asked.n, asked.metrics),
        }
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        with asked.out.open("a") as out:
            out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
