"""Renders what `gander bench --json` measured into docs/speed.md: its tables and rules come from the files, its prose is written by hand.

    python benchmarks/speed.py               # renders benchmarks/results/speed*.json and gpu.json
    python benchmarks/speed.py --check       # says whether the page is as they would make it, exit code 1 where it is not

`make bench` measures every part on this machine and renders.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gander.bench import records
from gander.errors import GanderError
from gander.images import write

HERE = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "speed.md")
    parser.add_argument("--render", action="store_true", help="what it does without a word")
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    try:
        old = asked.page.read_text("utf-8")
        new = records.rendered(old, records.read(asked.results))
    except (OSError, GanderError) as error:
        print(error, file=sys.stderr)
        return 2
    if asked.check:
        print(
            "as the results make it"
            if old == new
            else f"{asked.page.name} is not as the results make it"
        )
        return int(old != new)
    write(asked.page, new.encode())
    print(asked.page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
