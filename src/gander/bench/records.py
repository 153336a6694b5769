"""From the JSON of ``gander bench`` to the tables of docs/speed.md: the prose is written by hand, every figure comes from a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gander import strangers
from gander.bench import Row, quality, rows, showing
from gander.errors import UseError

MARK = re.compile(r"<!-- (?P<name>[a-z-]+) -->\n(?P<old>.*?)<!-- end -->", re.DOTALL)
"""What stands between a name and an end is replaced."""
FILES = "speed*.json"
GPU = "gpu.json"
NOT_YET = {
    "gpu": "It has not been run yet: `make bench-gpu` does it where there is a CUDA GPU.",
    "": "It has not been run yet: `make bench` does it.",
}
Result = Mapping[str, Any]
"""One whole result, as ``gander bench --json`` wrote it."""


def read(folder: Path) -> dict[str, list[Result]]:
    """The results in a folder: "cpu" those of speed*.json in order of name, "gpu" that of gpu.json. Raises ``UseError``."""
    found = {"cpu": [_result(path) for path in sorted(folder.glob(FILES))], "gpu": []}
    if (folder / GPU).is_file():
        found["gpu"] = [_result(folder / GPU)]
    return found


def _result(path: Path) -> Result:
    try:
        table = strangers.from_json(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UseError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(table, dict) or not isinstance(table.get("parts"), dict):
        raise UseError(f"{path} is no result of `gander bench --json`: it has no parts.")
    return table


def rendered(text: str, results: Mapping[str, Sequence[Result]]) -> str:
    """The page with every block between ``<!-- NAME -->`` and ``<!-- end -->`` made anew; NAME is a part, or ``gpu``."""

    def block(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- {name} -->\n{blocks(name, results)}<!-- end -->"

    return MARK.sub(block, text)


def blocks(name: str, results: Mapping[str, Sequence[Result]]) -> str:
    """All there is of a part: its rules, and for each result where it was measured, how, and a table."""
    if name == "gpu":
        parts = [
            f"### {part}\n\n{_of_part(part, result)}"
            for result in results.get("gpu", ())
            for part in result["parts"]
        ]
    else:
        parts = [_of_part(name, one) for one in results.get("cpu", ()) if name in one["parts"]]
    return "\n".join(parts) if parts else f"\n{NOT_YET.get(name, NOT_YET[''])}\n\n"


def _of_part(name: str, result: Result) -> str:
    """One part of one result."""
    measured = result["parts"][name]
    lines = ["", _source(name, result), ""]
    if result.get("caution"):
        lines += [f"**Not a record.** {result['caution']}", ""]
    lines += TABLES.get(name, _plain)(name, measured)
    if measured.get("rules"):
        lines += ["", f"*Rules.* {measured['rules']}"]
    return "\n".join([*lines, "", ""])


def _source(name: str, result: Result) -> str:
    """The command and what it was measured on."""
    machine = result["machine"]
    load = machine.get("load_average")
    busy = "" if load is None else f", load average {load:g} when it began"
    command = _only(result["command"], name)
    return f"`{command}`\\\n{showing.machine(machine)}, {machine['date'][:10]}{busy}."


def _only(command: str, name: str) -> str:
    """The command that measures this part alone."""
    rest = re.sub(r" --parts \S+", "", command)
    return rest.replace("gander bench", f"gander bench --parts {name}", 1)


# ---------------------------------------------------------------------- tables
def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; columns of figures stand at the right."""
    rule = "|".join("---:" if _is_figures(column) else "---" for column in zip(*lines, strict=True))
    return [_line(heads), f"|{rule}|", *map(_line, lines)]


def _is_figures(column: Sequence[str]) -> bool:
    """Whether a column holds numbers, and where one is missing nothing or a dash."""
    return all(re.match(r"\d|-$|$", cell) for cell in column) and any(column)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """Text that cannot end its cell."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def _plain(name: str, measured: Mapping[str, Any]) -> list[str]:
    """The lines a part has for a person."""
    told: list[Row] = rows(name, measured)
    return table(("", "median", "min to max", ""), [tuple(line) for line in told])


def _quality(name: str, measured: Mapping[str, Any]) -> list[str]:
    heads = ("preset", "until", "seeds that got there", "median", "shortest", "longest")
    lines, seeds = [], []
    for found in measured["presets"]:
        said = found["summary"]
        times = [quality.in_seconds(said[key]) for key in ("median", "min", "max")]
        times = times if said["reached"] else [times[0], "", ""]
        until = f"{found['figure']} ≥ {found['threshold']:g}"
        lines.append((f"`{found['preset']}`", until, f"{said['reached']} of {said['n']}", *times))
        for seed in found["seeds"]:
            seeds.append(
                (
                    f"`{found['preset']}`",
                    str(seed["seed"]),
                    quality.outcome(seed),
                    f"{seed['value']:.4f}" if seed["reached"] else "",
                    f"{seed['images']:,}",
                    f"{seed['start_up_seconds']:.1f} s",
                    f"{seed['evaluation_seconds']:.0f} s, {seed['evaluations']} times",
                )
            )
    every = (
        "preset",
        "seed",
        "time",
        "confirmed",
        "images",
        "of it start-up",
        "evaluating, not counted",
    )
    judge = measured["judge_seconds"]
    about = [] if judge is None else ["", f"Getting the judge ready, not counted: {judge:g} s."]
    return [*table(heads, lines), "", *table(every, seeds), *about]


def _growth(name: str, measured: Mapping[str, Any]) -> list[str]:
    points, data = [], []
    for one in measured["points"]:
        where = (f"{one['size']} px", one["backbone"], f"{one['batch']:,}")
        points.append((*where, *_speed(one), one.get("left_out", "")))
    for one in measured["data"]:
        times = [
            f"{one[key]:.1f} s" if key in one else ""
            for key in ("load_seconds", "first_step_seconds", "hash_seconds")
        ]
        data.append((f"{one['images']:,}", *_speed(one), *times, one.get("left_out", "")))
    lines = table(
        ("images of", "networks", "batch", "images/s", "min to max", "memory", ""), points
    )
    heads = ("images in the data", "images/s", "min to max", "memory", "load", "order", "hash", "")
    lines += ["", *table(heads, data)]
    if measured["flat"]:
        one = measured["flat"]
        lines += [
            "",
            f"From {one['from']:,} to {one['to']:,} images, memory grows by {one['bytes_an_image']:.0f} bytes for each further "
            f"image; an image itself is {one['bytes_of_an_image']} bytes.",
        ]
    return lines


def _speed(one: Mapping[str, Any]) -> tuple[str, str, str]:
    """Images/s, their range, and memory."""
    if "left_out" in one:
        return ("-", "", "")
    said = one["images_per_second"]
    gpu = f", GPU {one['gpu_peak_mb']:,.0f} MB" if "gpu_peak_mb" in one else ""
    return (
        _count(said["median"]),
        f"{_count(said['min'])} to {_count(said['max'])}",
        f"{one['peak_mb']:,.0f} MB{gpu}",
    )


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _startup(name: str, measured: Mapping[str, Any]) -> list[str]:
    lines = []
    for command, found in measured["commands"].items():
        said, limit = found["seconds"], found["limit"]
        kept = (
            ""
            if limit is None
            else f"under {limit:g} s: {'yes' if said['median'] < limit else 'no'}"
        )
        middle = f"{said['min']:.2f} to {said['max']:.2f} s, n {said['n']}"
        lines.append((f"`{command}`", f"{said['median']:.2f} s", middle, kept))
    return table(("", "median", "min to max", "limit"), lines)


def _recorded(name: str, measured: Mapping[str, Any]) -> list[str]:
    """Whether a recorded step is the step taken kernel by kernel, and a resumed run the uncut one."""
    lines = [
        (
            one["preset"],
            one["schedule"],
            f"{one['largest_difference']:.0e}",
            "yes" if one["same_bits"] else "no",
        )
        for one in measured["agreement"]
    ]
    cut = measured["resumed"]
    heads = ("preset", "schedule", "largest difference of a term", "all bits the same")
    told = f"Cut in the middle of {cut['steps']} iterations and resumed, {cut['different']} of {cut['tensors']} tensors differ from the uncut run."
    twice = measured.get("repeated")
    if twice:
        same = {True: "the same bits", False: "other bits"}
        told += (
            f" Two runs of {twice['steps']} iterations end in {same[twice['deterministic']]} with `--deterministic` and in "
            f"{same[twice['otherwise']]} without."
        )
    return [*table(heads, lines), "", told]


def _gpu_speed(name: str, measured: Mapping[str, Any]) -> list[str]:
    """Images/s of each way on a GPU; for the infogan step the fraction of its bound."""
    reached = {(one["schedule"], one["batch"], one["precision"]): one for one in measured["bound"]}
    lines = []
    for one in [*measured["throughput"], *([measured["compiled"]] if _ran(measured) else [])]:
        said = one["images_per_second"]
        how = "recorded" if one["recorded"] else "kernel by kernel"
        how += ", compiled" * one["compiled"] + ", deterministic" * one.get("deterministic", False)
        key = (one["schedule"], one["batch"], one["precision"])
        of = reached.get(key) if one["preset"] == "infogan" and one["recorded"] else None
        of = None if one.get("deterministic") else of
        bound = f"{of['fraction']['median']:.1%}, {of['binds']}" if of else ""
        lines.append(
            (
                one["preset"],
                one["schedule"],
                f"{one['batch']:,}",
                one["precision"],
                how,
                _count(said["median"]),
                f"{_count(said['min'])} to {_count(said['max'])}",
                bound,
            )
        )
    heads = ("preset", "schedule", "batch", "precision", "how", "images/s", "min to max", "bound")
    return table(heads, lines)


def _ran(measured: Mapping[str, Any]) -> bool:
    return "images_per_second" in measured.get("compiled", {})


TABLES: dict[str, Callable[[str, Mapping[str, Any]], list[str]]] = {
    "recorded": _recorded,
    "speed": _gpu_speed,
    "quality": _quality,
    "growth": _growth,
    "startup": _startup,
}
"""The parts that have tables of their own."""
