"""Images a second of one process with all threads, of several with one each, and of several seeds side by side, in turns.

    python benchmarks/distributed.py --out benchmarks/results/distributed.json

Every way is the whole command, with the same batch, on made-up glyphs; its speed is that of the lines of ``log.jsonl`` after the first. In
each round all ways are run one after another, so that a busy neighbour slows all of them; what is reported are the ratios to the first way in
the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH, IMAGES = 64, 24_000
PRESETS = ("infogan", "cgan")


def ways(count: int) -> dict[str, list[str]]:
    """Name -> options of the command."""
    return {
        f"one process, {count} threads": ["--set", f"threads={count}"],
        "one process, one thread": ["--set", "threads=1"],
        f"{count} processes, one thread each (--devices {count})": [
            *["--devices", str(count), "--set", "threads=1"]
        ],
        f"{count} runs, one thread each (--seeds, --at-once {count})": [
            *["--seeds", f"0-{count - 1}", "--at-once", str(count), "--set", "threads=1"]
        ],
    }


def speed(preset: str, options: list[str], folder: Path) -> float:
    """Images a second of all that the command trains."""
    out = folder / f"run-{time.monotonic_ns()}"
    words = ["train", preset, "--data", "glyphs", "--images", str(IMAGES), "--out", str(out)]
    words += ["--quiet", "--set", f"batch={BATCH}", "tensorboard=false", "log_images=4000"]
    subprocess.run(
        [sys.executable, "-m", "gander", *words, *options], check=True, stdout=subprocess.DEVNULL
    )
    total = 0.0
    for run in [out] if out.is_dir() else sorted(folder.glob(f"{out.name}-s*")):
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        total += statistics.median(line["images_per_second"] for line in lines[1:])
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    result = {
        "command": f"python benchmarks/distributed.py --rounds {asked.rounds} --processes {asked.processes}",
        "batch": BATCH,
        "images": IMAGES,
        "presets": {},
    }
    for preset in PRESETS:
        found: dict[str, list[float]] = {name: [] for name in ways(asked.processes)}
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(asked.rounds):
                for name, options in ways(asked.processes).items():
                    found[name].append(round(speed(preset, options, Path(folder)), 1))
        first = next(iter(found.values()))
        result["presets"][preset] = {
            name: {
                "images_per_second": speeds,
                "ratio": [round(a / b, 3) for a, b in zip(speeds, first, strict=True)],
                "median_ratio": round(
                    statistics.median(a / b for a, b in zip(speeds, first, strict=True)), 3
                ),
            }
            for name, speeds in found.items()
        }
        asked.out.write_text(json.dumps(result, indent=1) + "\n")
        for name, one in result["presets"][preset].items():
            print(f"{preset:8s} {name:52s} {one['median_ratio']:.2f}  {one['images_per_second']}")


if __name__ == "__main__":
    main()
