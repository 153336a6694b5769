"""Trains on few images with and without augmentation, and measures whether the critic learns them by heart.

    GANDER_DATA=... python benchmarks/small_data.py --out benchmarks/results/small-data.jsonl
    python benchmarks/small_data.py --out benchmarks/results/small-data.jsonl --table

Each run is ``cgan`` at width 16 on one thread in fp32: on scikit-learn's digits, on 500 of MNIST's in a folder that has the next 2,000 held out
(``test/``, which makes the gap's error small), and on a folder of 500 glyphs without a split of its own, of which the tool holds out about 50. A line for each run: how
it was made, processor seconds, and the evaluations as it went (gap, Fréchet distance, precision, recall) beside the probability. Lines are appended; a run
that has its line is not repeated, one that was stopped goes on. A run takes about three minutes of one core, all 63 about three hours.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

import gander
from gander.data import load

COMMON = ("width=16", "threads=1", "precision=fp32", "tensorboard=false", "decay=none")
DIGITS = "augment=rotate,scale,shift"
ZHAO = "augment=shift,brightness,contrast,cutout"
WAYS = {
    "none": (),
    "always": (DIGITS,),
    "adaptive 0.6": (DIGITS, "augment_target=0.6"),
    "adaptive 0.3": (DIGITS, "augment_target=0.3"),
    "adaptive 0.15": (DIGITS, "augment_target=0.15"),
    "always, Zhao et al.'s": (ZHAO,),
    "adaptive 0.3, Zhao et al.'s": (ZHAO, "augment_target=0.3"),
}
SETS = {"digits": {}, "mnist-500": {"train": 500, "test": 2000}, "glyphs-500": {"": 500}}
"""Named sets, and folders with how many images each part of them gets."""
FIGURES = ("critic_gap", "critic_gap_membership", "frechet", "precision", "recall")


def source(name: str, home: Path) -> str:
    """What ``--data`` is given; the folder is made where it is not there yet."""
    folder = home / name
    if SETS[name] and not folder.is_dir():
        fresh = folder.with_name(f"{name}.part")
        shutil.rmtree(fresh, ignore_errors=True)
        data = load(name.partition("-")[0], limit=sum(SETS[name].values()))
        labels, first = data.columns["digit"].values.tolist(), 0
        for part, count in SETS[name].items():
            for k in range(first, first + count):
                place = fresh / part / str(labels[k]) / f"{k:05d}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(data.images[k, 0].numpy()).save(place)
            first += count
        fresh.rename(folder)
    return str(folder) if SETS[name] else name


def measured(name: str, way: str, seed: int, asked: argparse.Namespace) -> dict:
    """One run, trained and evaluated as it goes."""
    words = [name, way, *asked.set, str(asked.images), f"s{seed}"]
    run = asked.runs / "-".join(words).replace(" ", "_").replace("'", "")
    watched = (
        f"evaluate_images={asked.every}",
        f"evaluate_n={asked.n}",
        f"log_images={asked.every}",
    )
    watched += ("evaluate_metrics=critic_gap,frechet,precision,recall", "sample_images=10000000")
    settings = [*COMMON, *WAYS[way], *asked.set]
    began, clock = time.process_time(), time.monotonic()
    gander.train(
        "cgan",
        data=source(name, asked.runs),
        out=str(run),
        images=asked.images,
        seed=seed,
        settings=[*settings, *watched],
        quiet=True,
    )
    evaluations, logged = (
        [json.loads(line) for line in (run / file).read_text().splitlines()]
        for file in ("metrics.jsonl", "log.jsonl")
    )
    return {
        "data": name,
        "way": " ".join([way, *asked.set]),
        "seed": seed,
        "settings": settings,
        "images": asked.images,
        "processor_seconds": round(time.process_time() - began, 1),
        "wall_seconds": round(time.monotonic() - clock, 1),
        "evaluations": [
            {"images_seen": x["images_seen"], "n": x["n"], "metrics": x["metrics"]}
            for x in evaluations
        ],
        "health": [{"images_seen": x["images_seen"], **x["health"]} for x in logged],
        "alarms": sorted({name for x in logged for name in x["alarms"]}),
    }


def rows(lines: list[dict]) -> Iterator[list[str]]:
    """A row for each way and data: mean ± sd over the seeds, at the end of the runs."""
    heads = [*(f"`{figure}`" for figure in FIGURES), "probability", "told apart"]
    yield ["data", "way", "images", "seeds", *heads]
    groups: dict[tuple, list[dict]] = {}
    for line in lines:
        groups.setdefault((line["data"], line["way"], line["images"]), []).append(line)
    for (name, way, images), runs in groups.items():
        row = [name, way, f"{images:,}", str(len(runs))]
        for figure in FIGURES:
            row.append(
                spread([x["evaluations"][-1]["metrics"].get(figure, {}).get("value") for x in runs])
            )
        for sign in ("augment_probability", "told_apart"):
            row.append(spread([x["health"][-1].get(sign) for x in runs]))
        yield row


def spread(values: list[float | None]) -> str:
    """As in ".12 ± .03"; of fewer seeds than there are where some have no figure."""
    there = [value for value in values if value is not None]
    if not there:
        return ""
    text = f"{statistics.mean(there):.3g}"
    if len(there) > 1:
        text += f" ± {statistics.stdev(there):.2g}"
    return text if len(there) == len(values) else f"{text} (n = {len(there)})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=150_000)
    parser.add_argument("--every", type=int, default=50_000, help="images between evaluations")
    parser.add_argument("--n", type=int, default=2000, help="images drawn for each of them")
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--runs", type=Path, default=Path("runs/small-data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--table", action="store_true", help="only print the table of what is there"
    )
    asked = parser.parse_args()
    there = (
        [json.loads(x) for x in asked.out.read_text().splitlines()] if asked.out.is_file() else []
    )
    done = {(x["data"], x["way"], x["seed"], x["images"]) for x in there}
    asked.runs.mkdir(parents=True, exist_ok=True)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    todo = [(d, w, s) for s in asked.seeds for d in asked.data for w in asked.ways]
    for name, way, seed in [] if asked.table else todo:
        if (name, " ".join([way, *asked.set]), seed, asked.images) in done:
            continue
        line = measured(name, way, seed, asked)
        there.append(line)
        with asked.out.open("a") as out:
            out.write(json.dumps(line) + "\n")
    for row in rows(there):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
