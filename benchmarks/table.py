"""Prints a results file of ``presets.py`` as one Markdown table, a row for each run, none left out.

python benchmarks/table.py benchmarks/results/mnist.jsonl
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def cell(name: str, figure: dict) -> str:
    """A figure beside its ceiling; what a knob turned out to be stands behind it."""
    ceiling = "" if figure["ceiling"] is None else f" of {figure['ceiling']:.4g}"
    knob = name.startswith(("correlation", "steering"))
    about = f" ({figure.get('about', '').partition(',')[0]})" if knob else ""
    return f"{figure['value']:.4f}{ceiling}{about}"


def main() -> None:
    for path in sys.argv[1:]:
        lines = [json.loads(text) for text in Path(path).read_text().splitlines()]
        names = sorted({name for line in lines for name in line["evaluation"]["metrics"]})
        heads = ["preset", "seed", "images", "processor minutes", *(f"`{n}`" for n in names)]
        print("| " + " | ".join(heads) + " |")
        print("|" + "---|" * len(heads))
        for line in lines:
            figures = line["evaluation"]["metrics"]
            row = [f"`{line['preset']}`", str(line["seed"]), f"{line['images_seen']:,}"]
            row += [f"{line['processor_seconds'] / 60:.1f}"]
            row += [cell(name, figures[name]) if name in figures else "" for name in names]
            print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
