"""Continuous codes that mean one thing: InfoGAN with the contrastive regulariser and without, every seed, and the one chosen without labels.

    python benchmarks/disentangle.py --images 1000000 --size 32 --seeds 0 1 2 3 4 --set threads=1 --out benchmarks/results/disentangle.jsonl
    python benchmarks/disentangle.py --full --seeds 0 1 2 3 4 --out benchmarks/results/disentangle-full.jsonl    # for a GPU: 20.6 M images of 64 px
    python benchmarks/disentangle.py --table benchmarks/results/disentangle.jsonl

Trains, measures and appends one line per run; the same command goes on where it was stopped, and skips what is written. Three seeds or more of
an arm are then ranked by ModelCentrality, another line. Last the table: mean ± sd over all seeds, beside it the chosen run's own figure. All
lines are kept, none is the best of several. On data without recorded factors only label-free figures are measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from gander import config, selection

PRESET = "infogan-cr"
ARMS = {
    "plain": ["contrast=0"],
    "contrast": [],
    "profile": ["contrast=0", *(f"c{k}.scored=profile" for k in range(1, 6))],
    "profile and contrast": [f"c{k}.scored=profile" for k in range(1, 6)],
    "views": [
        "contrast=0",
        *("c1.read_in=lift*3", "c2.read_in=slide*3", "c3.read_in=rotate*9+shift*3"),
        *("c4.read_in=scale*3+shift*3", "c5.read_in=rotate*9+scale*3+shift*3"),
        *(f"c{k}.scored=profile" for k in range(1, 6)),
        *(f"c{k}.recognised=0.15" for k in range(1, 6)),
        "decay=linear",
    ],
}
"""What each arm sets beside the preset; `profile` is gander's own way to single out the axes, which costs nothing. `views` tells each knob what it must
survive, which is knowledge of the factors put in by hand: it is no unsupervised method."""
FULL = (20_643_840, 64)  # images and px: 28 epochs of dSprites in batches of 64
OWN = "mig,sap,dci,factor_vae"
CR = "mig_cr,sap_cr,dci_cr,factor_vae_cr,modularity_cr,explicitness_cr"
FIGURES = {
    "sprites": f"{OWN},{CR},beta_vae_cr,r2,frechet",
    "other": "r2,frechet",
}
SHOWN = ("factor_vae_cr", "dci_cr/forest", "sap_cr", "mig_cr", "modularity_cr", "explicitness_cr")
SHOWN += ("beta_vae_cr", "factor_vae", "dci", "sap", "mig", "frechet")
PUBLISHED = {
    "InfoGAN, modified (Lin et al., 2020)": "factor_vae_cr .82±.01, dci_cr .60±.02, sap_cr .41±.02, mig_cr .22±.01",
    "InfoGAN-CR": "factor_vae_cr .88±.01, dci_cr .71±.01, sap_cr .58±.01, mig_cr .37±.01",
    "InfoGAN-CR + ModelCentrality": "factor_vae_cr .92, dci_cr .77, sap_cr .65, mig_cr .45",
    "OSRGAN, released model (2024)": "factor_vae_cr .956, sap_cr .667, mig_cr .507",
    "best single models of Locatello et al., 2019": "factor_vae .85-.90, dci .5-.6, sap .08-.10, mig .35-.45",
}
"""On dSprites itself, 64 px, 20.6 M images for the first three; another protocol has another name, and the two are never mixed."""


def settings_of(arm: str, asked: argparse.Namespace) -> list[str]:
    size = [f"data.size={asked.size}"] if asked.size else []
    return [*ARMS[arm], *size, *asked.set]


def trained(arm: str, seed: int, asked: argparse.Namespace) -> Path:
    """The run of an arm and a seed, trained to its end."""
    run = folder(arm, seed, asked)
    options = ["--data", asked.data, "--images", str(asked.images), "--seed", str(seed)]
    words = [word for setting in settings_of(arm, asked) for word in ("--set", setting)]
    command = ["train", PRESET, *options, *words, "--out", str(run)]
    print("gander", " ".join(command), flush=True)
    subprocess.run([sys.executable, "-m", "gander", *command, *asked.how], check=True)
    return run


def folder(arm: str, seed: int, asked: argparse.Namespace) -> Path:
    name = "-".join(
        [arm.replace(" ", "-"), asked.data, f"{asked.images}", f"{asked.size or 'own'}"]
    )
    return asked.runs / f"{name}-s{seed}"


def measured(run: Path, asked: argparse.Namespace) -> dict[str, object]:
    """The figures of a run, and how it was made."""
    figures = asked.metrics or FIGURES.get(asked.data, FIGURES["other"])
    began = time.monotonic()
    command = ["evaluate", str(run), "--metrics", figures, "--n", str(asked.n)]
    subprocess.run([sys.executable, "-m", "gander", *command], check=True)
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    return {
        "images_seen": last["images_seen"],
        "training_seconds": last["seconds"],
        "images_per_second": last["images_per_second"],
        "terms": last["terms"],
        "evaluation_seconds": round(time.monotonic() - began, 1),
        "evaluation": json.loads((run / "metrics.jsonl").read_text().splitlines()[-1]),
    }


def lines(path: Path) -> list[dict]:
    return [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, line: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as out:
        out.write(json.dumps(line) + "\n")


def chosen(arm: str, runs: list[Path], asked: argparse.Namespace) -> dict[str, object]:
    """Which run the others agree with most."""
    began = time.monotonic()
    result = selection.select(runs, n=asked.n)
    took = round(time.monotonic() - began, 1)
    return {"arm": arm, "centrality": selection.to_dict(result), "selection_seconds": took}


# ---------------------------------------------------------------------- the table
def show(path: Path) -> None:
    """The figures of every arm, mean ± sd over all seeds, and of the chosen run."""
    found = lines(path)
    runs = [line for line in found if "evaluation" in line]
    picked = {line["arm"]: line["centrality"]["chosen"] for line in found if "centrality" in line}
    arms = list(dict.fromkeys(line["arm"] for line in runs))
    names = [name for name in SHOWN if any(name in values(line) for line in runs)]
    names += sorted({n for line in runs for n in values(line) if n.startswith("r2/")})
    heads = [f"{arm} (n = {sum(x['arm'] == arm for x in runs)}) | chosen" for arm in arms]
    print(f"| figure | {' | '.join(heads)} |\n|{'---|' * (1 + 2 * len(arms))}")
    for name in names:
        cells = []
        for arm in arms:
            own = [x for x in runs if x["arm"] == arm and name in values(x)]
            cells.append(spread([values(x)[name] for x in own]))
            best = [values(x)[name] for x in own if x["run"] == picked.get(arm)]
            cells.append(f"{best[0]:.3f}" if best else "")
        print(f"| `{name}` | {' | '.join(cells)} |")
    print("\nPublished, on dSprites:")
    for who, what in PUBLISHED.items():
        print(f"* {who}: {what}")


def values(line: dict) -> dict[str, float]:
    return {name: figure["value"] for name, figure in line["evaluation"]["metrics"].items()}


def spread(figures: list[float]) -> str:
    if not figures:
        return ""
    more = f" ± {statistics.stdev(figures):.3f}" if len(figures) > 1 else ""
    return f"{statistics.fmean(figures):.3f}{more}"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="sprites")
    parser.add_argument("--arms", nargs="+", default=["plain", "contrast"], choices=ARMS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=float, default=1_000_000)
    parser.add_argument("--size", type=int, default=0, help="px a side; 0 is the data's own")
    parser.add_argument("--full", action="store_true", help="20.6 M images of 64 px")
    parser.add_argument("--set", nargs="*", default=[], help="further settings of every run")
    parser.add_argument("--metrics", help="other figures than those of the table")
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--runs", type=Path, default=Path("runs/disentangle"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/disentangle.jsonl"))
    parser.add_argument("--table", type=Path, help="only print the table of such a file")
    parser.add_argument("--device")
    asked = parser.parse_args()
    asked.images = int(asked.images)
    if asked.full:
        asked.images, asked.size = FULL
    asked.how = ["--device", asked.device] if asked.device else []
    return asked


def main() -> None:
    asked = parsed()
    if asked.table:
        show(asked.table)
        return
    for seed in asked.seeds:  # seed by seed, so that what is there is whole at any time
        for arm in asked.arms:
            run = folder(arm, seed, asked)
            if any(
                line.get("run") == str(run) and "evaluation" in line for line in lines(asked.out)
            ):
                continue
            trained(arm, seed, asked)
            said = {"run": str(run), "arm": arm, "seed": seed, "data": asked.data}
            recipe = config.load(PRESET, settings_of(arm, asked)).to_dict()
            append(asked.out, {**said, "recipe": recipe, **measured(run, asked)})
    for arm in asked.arms:
        runs = [folder(arm, seed, asked) for seed in asked.seeds]
        before = [
            line["centrality"]["runs"]
            for line in lines(asked.out)
            if line["arm"] == arm and "centrality" in line
        ]
        if len(runs) >= 3 and {*map(str, runs)} not in [
            {x["run"] for x in ranked} for ranked in before
        ]:
            append(asked.out, chosen(arm, runs, asked))
    show(asked.out)


if __name__ == "__main__":
    main()
