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
    rows = [
        f"| {name} | {one['seeds']} | {one['inputs']:,} | {one['inputs'] / max(0.01, one['processor_seconds']):,.0f} | {len(one['findings'])} |"
        for name, one in sorted(said["targets"].items())
    ]
    return "\n".join(
        [
            f"`make fuzz`, seed {said['seed']}, guided by {said['guided_by']}, {said['seconds']:,.0f} s on one core: **{said['inputs']:,} "
            f"inputs, {said['findings']} finding{'s' * (said['findings'] != 1)}**. A reader took at most {said['peak_memory_bytes'] / 2**20:,.0f} MiB of memory, Python and "
            f"PyTorch included; planted faults missed: {len(said['planted_faults_missed'])}.",
            "",
            "| reader | valid files and corpus to begin with | inputs | a processor second | findings |",
            "|---|---|---|---|---|",
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
