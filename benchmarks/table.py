"""Prints a results file of ``presets.py`` as a Markdown table, a row for each run, all of them.

python benchmarks/table.py benchmarks/results/mnist.jsonl
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def figures(line: dict) -> dict[str, str]:
    """The figures of one run, with their floor and ceiling."""
    shown = {}
    for name, figure in line["evaluation"]["metrics"].items():
        bounds = "/".join(
            "-" if figure[b] is None else f"{figure[b]:.3g}" for b in ("floor", "ceiling")
        )
        about = (
            f" {figure.get('about', '').partition(',')[0]}"
            if name.startswith("correlation")
            else ""
        )
        shown[name] = f"{figure['value']:.4f} ({bounds}){about}"
    return shown


def main() -> None:
    for path in sys.argv[1:]:
        lines = [json.loads(text) for text in Path(path).read_text().splitlines()]
        for line in lines:
            print(
                f"\n`{line['command']}`  \n{line['images_seen']:,} images, "
                f"{line['processor_seconds'] / 60:.1f} processor minutes, "
                f"{line['wall_seconds'] / 60:.1f} minutes on the clock\n"
            )
            print("| metric | value (floor/ceiling) |\n|---|---|")
            for name, text in figures(line).items():
                print(f"| {name} | {text} |")


if __name__ == "__main__":
    main()
