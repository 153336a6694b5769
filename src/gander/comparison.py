"""The comparing job: runs side by side on one page that needs no network and no script, and as a table for a terminal.

Runs that differ in their seed alone are one group, shown as mean ± standard deviation over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from gander import engine, outputs
from gander.cautions import cautions
from gander.charts import short
from gander.comparison_page import MAKER, between, page, said
from gander.errors import RunError
from gander.groups import Comparison, Entry, Row, grouped, read, rows
from gander.images import write

OUT = "report.html"
ENDINGS = (".html", ".htm")
PIPED = 160  # columns of a table that goes to a file


def compare(
    paths: Sequence[str | Path],
    out: str | Path = OUT,
    *,
    device: str = "cpu",
    tell: Callable[[str], None] | None = None,
) -> Comparison:
    """Writes the page ``out`` of these runs and returns what is on it. Raises ``RunError``.

    A file that is there already is replaced only if it is such a page.
    """
    engine.find_device(device)
    if not paths:
        raise RunError("there is nothing to compare: give one run or more.")
    target = checked(Path(out))
    entries: dict[Path, Entry] = {}
    for path in paths:
        entry = read(path)
        entries.setdefault(entry.run.path.resolve(), entry)
    groups = grouped(list(entries.values()))
    figures = rows(groups)
    result = Comparison(tuple(groups), tuple(figures), tuple(cautions(groups, figures)))
    write(target, page(result, device, tell or (lambda said: None)))
    return result


def checked(out: Path, maker: str = MAKER, name: str = OUT) -> Path:
    """A place where that command may write its page. Raises ``RunError``."""
    if out.is_dir():
        raise RunError(f"--out {out} is a folder; give a file, as {out / name}.")
    if out.suffix.lower() not in ENDINGS:
        raise RunError(f"--out {out} is to be a page; give a file ending in .html, as {name}.")
    if not outputs.is_writable(out.absolute().parent):
        raise RunError(
            f"--out {out} cannot be written; give a file in a folder that is yours to write in, as {name}."
        )
    if out.exists():
        try:
            with out.open("rb") as file:
                start = file.read(2000)
        except OSError as error:
            raise RunError(f"--out {out} cannot be read: {error.strerror}.") from None
        if f'<meta name="generator" content="{maker}">'.encode() not in start:
            raise RunError(
                f"--out {out} is there and was not written by `{maker}`; give another file, as other-{name}."
            )
    return out


# ---------------------------------------------------------------------- the terminal
def show(result: Comparison, out: str | Path, console: Console | None = None) -> None:
    """Prints the figures side by side, what must be said with them, and where the page is."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, PIPED)
    if result.rows:
        console.print(_grid(result))
    for line in result.cautions:
        console.print(Text(printable(f"· {line}")), soft_wrap=True)
    console.print(Text(printable(str(out))), soft_wrap=True)


def _grid(result: Comparison) -> Grid:
    table = Grid(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("metric")
    for name in ("floor", "ceiling"):
        table.add_column(name, justify="right")
    for group in result.groups:
        table.add_column(
            Text(
                printable(
                    f"{group.name}\n{len(group.entries)} seed{'s' * (len(group.entries) > 1)}"
                )
            ),
            justify="right",
        )
    for row in result.rows:
        bounds = [_bound(row, "floor"), _bound(row, "ceiling")]
        cells = []
        for k, cell in enumerate(row.cells):
            words = "–" if cell is None else said(cell)
            if cell is not None and cell.interval is not None:
                words += f"\n{between(cell)}"
            cells.append(
                Text(words + (" ◆" if k == row.best else ""), "bold" if k == row.best else "")
            )
        table.add_row(Text(printable(row.name)), *bounds, *cells)
    return table


def _bound(row: Row, name: str) -> str:
    """A floor or a ceiling that all groups share, whose it is, or that they share none."""
    value = row.common(name)
    if value is None:
        return "differs" if any(getattr(cell, name) is not None for cell in row.there) else "–"
    real = name == "floor" and row.there[0].measured.real
    return f"{short(value)}{' real' if real else ''}"


def printable(words: str) -> str:
    """What strangers' files say may not steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in words)
