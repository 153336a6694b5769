"""The tables of 2014 again: the Parzen-window likelihood of the first GAN and the first CGAN, under their own protocol, from every seed asked for.

    GANDER_DATA=... python benchmarks/parzen_2014.py --seeds 0 1 2 --out benchmarks/results/parzen-2014.jsonl
    python benchmarks/parzen_2014.py --table --out benchmarks/results/parzen-2014.jsonl

A run trains on the first 50,000 digits and is measured every ``--every`` images; the weights that count are those with the best likelihood of the
validation images (as Mirza & Osindero chose theirs), the figure is that of the test images. It can be killed at any moment: the same command goes
on, and a run that is done is not done again. One line per run; none is left out. ``faithful`` is the recipe as published. Every other recipe keeps
the networks and says what else it changed; it answers what the architecture can do, not what the papers did.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

DATA = "mnist:train[:50000]"
PUBLISHED = {
    "gan-2014": "225 ± 2 (Goodfellow et al., 2014, table 1)",
    "cgan-2014": "132 ± 1.8 (Mirza & Osindero, 2014, table 1)",
}
RECIPES: dict[str, list[str]] = {
    "faithful": [],
    "average": ["average_halflife=200000"],
    "adam": [
        "method=adam",
        "critic_rate=4e-5",
        "generator_rate=4e-4",
        "shrink=1",
        "average_halflife=100000",
    ],
    "penalised": [
        "method=adam",
        "critic_rate=2e-4",
        "generator_rate=2e-4",
        "shrink=1",
        "decay=linear",
        "game.r1=0.1",
        "schedule=alternate",
        "average_halflife=100000",
    ],
}


def lines(path: Path) -> list[dict]:
    return [json.loads(text) for text in path.read_text().splitlines()] if path.is_file() else []


def trained(preset: str, recipe: str, seed: int, run: Path, asked: argparse.Namespace) -> None:
    """Trains, or goes on where it was stopped."""
    command = ["train", preset, "--data", DATA, "--seed", str(seed), "--out", str(run)]
    command += ["--images", str(asked.images)] if asked.images else []
    settings = [f"evaluate_images={asked.every}", "evaluate_metrics=parzen", "threads=1"]
    settings += ["best=parzen_validation", f"precision={asked.precision}", *RECIPES[recipe]]
    subprocess.run([sys.executable, "-m", "gander", *command, "--set", *settings], check=True)


def measured(preset: str, recipe: str, seed: int, run: Path) -> dict:
    """A line: the best by validation, the last, and how the run was made."""
    best, last = lines(run / "best" / "metrics.jsonl")[-1], lines(run / "metrics.jsonl")[-1]
    made = tomllib.loads((run / "config.toml").read_text())
    log = lines(run / "log.jsonl")[-1]
    return {
        "preset": preset,
        "recipe": recipe,
        "seed": seed,
        "images_seen": log["images_seen"],
        "training_seconds": log["seconds"],
        "command": made["provenance"]["command"],
        "precision": made["training"]["precision"],
        "best": {"images_seen": best["images_seen"], "metrics": best["metrics"]},
        "last": {"images_seen": last["images_seen"], "metrics": last["metrics"]},
    }


def table(found: list[dict]) -> str:
    """A row for each run, then the mean of each group, beside what was published."""
    head = ["run", "seed", "`parzen`, best by validation", "σ", "at images", "`parzen`, last"]
    rows = [[*head, "hours", "published"]]
    groups: dict[tuple[str, str], list[float]] = {}
    for line in found:
        name = f"`{line['preset']}`, {line['recipe']}, {line['precision']}, {line['images_seen']:,} images"
        group = (name, PUBLISHED[line["preset"]])
        best, last = (line[which]["metrics"]["parzen"] for which in ("best", "last"))
        groups.setdefault(group, []).append(best["value"])
        rows.append(
            [
                name,
                str(line["seed"]),
                f"{best['value']:.1f} ± {best['error']:.1f}",
                best["about"].partition("σ ")[2].partition(",")[0],
                f"{line['best']['images_seen']:,}",
                f"{last['value']:.1f} ± {last['error']:.1f}",
                f"{line['training_seconds'] / 3600:.2f}",
                PUBLISHED[line["preset"]],
            ]
        )
    for (name, published), values in groups.items():
        spread = f" ± {statistics.stdev(values):.1f} (sd)" if len(values) > 1 else ""
        mean = f"{statistics.mean(values):.1f}{spread}"
        rows.append([f"{name}, mean of {len(values)}", "", mean, "", "", "", "", published])
    for name in ("real training images", "k-means centroids") * bool(found):
        figures = found[0]["best"]["metrics"]
        about = {"real training images": figures["parzen"]["floor"]}
        value = about.get(name, figures["parzen_k_means"]["value"])
        rows.append([name, "", f"{value:.1f}", "", "", "", "", ""])
    return "\n".join(
        "| " + " | ".join(row) + " |" + ("\n|" + "---|" * len(row)) * (row is rows[0])
        for row in rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="+", default=list(PUBLISHED), choices=PUBLISHED)
    parser.add_argument("--recipes", nargs="+", default=["faithful"], choices=RECIPES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, help="instead of the preset's 12,500,000")
    parser.add_argument("--every", type=int, default=500_000, help="images between measurements")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--runs", type=Path, default=Path("runs/parzen-2014"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", action="store_true", help="only print what there is")
    asked = parser.parse_args()
    for seed in asked.seeds:  # all of one seed first, so that a table of few seeds has every row
        for preset in asked.presets:
            for recipe in asked.recipes:
                wanted = asked.images or 12_500_000
                name = f"{preset}-{recipe}-{asked.precision}-{wanted}-s{seed}"
                made = [line.get("run") for line in lines(asked.out)]
                if asked.table or name in made:
                    continue
                trained(preset, recipe, seed, asked.runs / name, asked)
                line = {"run": name, **measured(preset, recipe, seed, asked.runs / name)}
                asked.out.parent.mkdir(parents=True, exist_ok=True)
                with asked.out.open("a") as out:
                    out.write(json.dumps(line) + "\n")
    print(table(lines(asked.out)))


if __name__ == "__main__":
    main()
