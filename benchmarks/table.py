"""Prints a results file as one Markdown table: a row for each run, none left out; or, with --seeds, mean ± sd over the seeds of each preset and length.

python benchmarks/table.py benchmarks/results/mnist.jsonl
python benchmarks/table.py --seeds benchmarks/results/mnist-seeds.jsonl
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path


def cell(name: str, figure: dict) -> str:
    """A figure beside its ceiling; what a knob turned out to be stands behind it."""
    ceiling = "" if figure["ceiling"] is None else f" of {figure['ceiling']:.4g}"
    knob = name.startswith(("correlation", "steering"))
    about = f" ({figure.get('about', '').partition(',')[0]})" if knob else ""
    return f"{figure['value']:.4f}{ceiling}{about}"


def runs(lines: list[dict]) -> list[list[str]]:
    """A row for each run, a column for each figure."""
    names = sorted({name for line in lines for name in line["evaluation"]["metrics"]})
    rows = [["preset", "seed", "images", "processor minutes", *(f"`{n}`" for n in names)]]
    for line in lines:
        figures = line["evaluation"]["metrics"]
        row = [f"`{line['preset']}`", str(line["seed"]), f"{line['images_seen']:,}"]
        row += [f"{line['processor_seconds'] / 60:.1f}"] if "processor_seconds" in line else [""]
        rows.append(row + [cell(name, figures[name]) if name in figures else "" for name in names])
    return rows


def seeds(lines: list[dict]) -> list[list[str]]:
    """A row for each figure, a column for each preset: mean ± sd over the seeds; floor and ceiling are those of real images or of chance."""
    groups: dict[str, list[dict[str, dict]]] = {}
    for line in lines:
        name = f"`{line['preset']}`, {line['images_seen']:,} images"
        groups.setdefault(name, []).append(line["evaluation"]["metrics"])
    names = sorted({name for runs in groups.values() for figures in runs for name in figures})
    rows = [["figure", *(f"{p} (n = {len(g)})" for p, g in groups.items()), "floor", "ceiling"]]
    for name in names:
        found = [[figures[name] for figures in g if name in figures] for g in groups.values()]
        bounds = []
        for bound in ("floor", "ceiling"):
            told = [f[bound] for figures in found for f in figures if f[bound] is not None]
            low, high = (min(told), max(told)) if told else (0.0, 0.0)
            same = short(low) == short(high)
            bounds.append(
                (short(low) if same else f"{short(low)} to {short(high)}") if told else ""
            )
        real = any(f.get("floor_is") == "real" for figures in found for f in figures)
        rows.append(
            [f"`{name}`", *(spread(f) for f in found), bounds[0] + " (real)" * real, bounds[1]]
        )
    return rows


def spread(figures: list[dict]) -> str:
    values = [figure["value"] for figure in figures]
    if not values:
        return ""
    deviation = f" ± {short(statistics.stdev(values))}" if len(values) > 1 else ""
    return short(statistics.mean(values)) + deviation


def short(value: float) -> str:
    """Three or four digits that matter."""
    if value == 0:
        return "0"
    return (
        f"{value:.4f}"
        if 0.1 <= abs(value) < 10
        else f"{value:.4g}"
        if abs(value) >= 10
        else f"{value:.3g}"
    )


def main() -> None:
    by_seed = "--seeds" in sys.argv
    for path in sys.argv[1:]:
        if path == "--seeds":
            continue
        lines = [json.loads(text) for text in Path(path).read_text().splitlines()]
        head, *rows = seeds(lines) if by_seed else runs(lines)
        print("| " + " | ".join(head) + " |")
        print("|" + "---|" * len(head))
        for row in rows:
            print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
