"""The result of a benchmark as tables on a terminal."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gander.bench import Say, costs, parts, rows
from gander.images import write

if TYPE_CHECKING:
    from rich.console import Console


def show(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints a table for each part, the machine above and what was not measured below."""
    from rich.console import Console
    from rich.text import Text

    if console is None:  # a file has no edge to fold at
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(Text(machine(result["machine"])))
    if result["caution"]:
        console.print(Text(result["caution"], style="yellow"))
    for name, measured in result["parts"].items():
        _part(console, name, measured)
    for name, why in result["failed"].items():
        console.print(Text(f"{name}: not measured. {why}", style="yellow"))
    if result["cut"]:
        console.print(Text("interrupted: what came later is missing", style="yellow"))
    for name in parts():
        if "--parts" not in result["command"] and (cost := costs(name)):
            why = f"{name}: not measured, it takes {cost}; ask for it: --parts {name}"
            console.print(Text(why, style="dim"))


def machine(found: Mapping[str, Any]) -> str:
    """As in "AMD EPYC, 2 cores, 24.0 GB; Python 3.12, PyTorch 2.11, gander 0.1.0 at 1a2b3c4"."""
    gpus = "".join(f", {gpu['name']} {gpu['memory_gb']:g} GB" for gpu in found["gpus"])
    commit = (
        f" at {found['commit'][:7]}{' (changed)' * found['changed']}" if found["commit"] else ""
    )
    return (
        f"{found['processor']}, {found['cores']} core{'s' * (found['cores'] != 1)}, {found['memory_gb']:g} GB{gpus}; "
        f"Python {found['python']}, PyTorch {found['torch']}, gander {found['gander']}{commit}"
    )


def write_json(result: Mapping[str, Any], path: str | Path) -> None:
    """The whole result, for records and other people's scripts."""
    write(Path(path), (json.dumps(result, indent=2) + "\n").encode())


@contextlib.contextmanager
def spoken(console: Console) -> Iterator[Say]:
    """A function that says what is measured now: in one place on a terminal, else a line each."""
    if not console.is_terminal:
        yield lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)
        return
    from rich.markup import escape

    with console.status("measuring") as status:
        yield lambda text: status.update(escape(text))


def _part(console: Console, name: str, measured: Mapping[str, Any]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console.print()
    console.print(Text(f"{name}: {measured['about']}", style="bold"), end="")
    console.print(Text(f"  ({measured['took_seconds']:.0f} s)", style="dim"))
    lines = rows(name, measured)
    if not lines:
        console.print(Text("no short form; --json FILE has its figures", style="dim"))
        return
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    grid.add_column("", no_wrap=True)
    grid.add_column("median", justify="right", no_wrap=True)
    grid.add_column("min to max", justify="right", no_wrap=True)
    grid.add_column("", style="dim", overflow="fold")
    for line in lines:
        grid.add_row(*map(Text, line))
    console.print(grid)
