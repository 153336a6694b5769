"""Puts the figures of the long tests into docs/trust.md: kills from results/kills.json, inputs from results/fuzz.json.

python benchmarks/trust.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "trust.md"


def kills(said: dict[str, Any]) -> str:
    """How many kills there were, where they fell and how many ends differed."""
    places = ", ".join(f"{count} {place}" for place, count in sorted(said["by_place"].items()))
    cases = ", ".join(f"{case} {count}" for case, count in said["by_case"].items())
    differ = len(said["differences"])
    ends = "every one ended in the same bits" if not differ else f"**{differ} ended otherwise**"
    return "\n".join(
        [
            f"`make test-kill`, seed {said['seed']}, PyTorch {said['torch']}, {said['seconds']:,} s: **{said['kills']} kills in "
            f"{said['runs']} runs; {ends}**. {places}; {said['killed_twice_or_more_in_a_row']} runs were killed twice or three "
            f"times in a row.",
            "",
            f"Kills by case: {cases}.",
        ]
    )


def fuzz(said: dict[str, Any]) -> str:
    """How many inputs each reader was given, how fast, and what was found."""
    guided = "guided by coverage" if said["guided"] else "not guided by coverage"
    rows = [
        f"| {name} | {one['inputs']:,} | {one['refused'] / max(1, one['inputs']):.0%} | {len(one['findings'])} |"
        for name, one in sorted(said["targets"].items())
    ]
    return "\n".join(
        [
            f"`make fuzz`, seed {said['seed']}, {guided}, {said['seconds']:,.0f} s on one core: **{said['inputs']:,} inputs, "
            f"{said['findings']} findings**; the longest took {said['longest_seconds']:.1f} s of processor time.",
            "",
            "| reader | inputs | refused in words | findings |",
            "|---|---|---|---|",
            *rows,
        ]
    )


def rendered(page: str, folder: Path) -> str:
    """The page with the figures of the records in a folder; a part without a record stays as it is."""
    for name, told in (("kills", kills), ("fuzz", fuzz)):
        file = folder / f"{name}.json"
        if file.is_file():
            part = f"<!-- {name} -->\n{told(json.loads(file.read_text('utf-8')))}\n<!-- end -->"
            page = re.sub(rf"<!-- {name} -->.*?<!-- end -->", lambda _, p=part: p, page, flags=re.S)
    return page


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text("utf-8"), HERE / "results"), "utf-8")
