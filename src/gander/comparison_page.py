"""The page of a comparison: what was compared, how it differs, every figure, the same seeds drawn, and the curves."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from gander import charts, history, model, sheets
from gander.charts import Mark, chart, chip, folded, grid, listed, short, text
from gander.errors import GanderError
from gander.groups import WHERE, Comparison, Entry, Group, Row, Spread, differing
from gander.history import Lines, Points, Table

MAKER = "gander compare"
COLUMNS = 10  # seeds in a row of a sheet
ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}


def page(result: Comparison, device: str, tell: Callable[[str], None]) -> bytes:
    """The whole page, drawing the samples on the way."""
    count, several = len(result.entries), len(result.groups)
    lead = f"{count} {'runs' if count > 1 else 'run'}"
    lead += f" in {several} groups" if several > 1 else ""
    lead += "; figures and curves are means over seeds" if count > several else ""
    body = [
        _runs(result),
        _differences(result.groups),
        _metrics(result),
        _samples(result.groups, device, tell),
        _curves(result),
    ]
    return charts.frame(result.title, f"{text(lead)}.", "".join(body), MAKER)


def _runs(result: Comparison) -> str:
    cells = []
    for place, group in enumerate(result.groups):
        for entry in group.entries:
            minutes = "–" if entry.minutes is None else f"{entry.minutes:,.1f}"
            count = len(entry.figures)
            cells.append(
                [
                    f'<span class="nowrap">{chip(place, group.name)}</span>',
                    text(entry.seed),
                    f"{entry.images_seen:,}",
                    minutes,
                    f"{count} figures" if count else "not evaluated",
                    f'<code class="nowrap">{text(entry.run.path)}</code>',
                ]
            )
    said = listed(text(line) for line in result.cautions)
    return f"<h2>Runs</h2>\n{grid('group seed images_seen minutes evaluation run', cells)}{said}"


def _differences(groups: Sequence[Group]) -> str:
    """Only the settings in which groups differ, and only the circumstances in which runs do."""
    if len(groups) == 1:
        return ""
    head = ["", *(chip(place, group.name) for place, group in enumerate(groups))]
    cells = [
        [text(key), *(text(_plain(group.settings.get(key))) for group in groups)]
        for key in differing(groups)
    ]
    where = [
        [text(key), *("<br>".join(text(said) for said in group.where(key)) for group in groups)]
        for key in WHERE
        if len({said for group in groups for said in group.where(key)}) > 1
    ]
    body = grid(head, cells) if cells else "<p>None in the settings.</p>\n"
    if where:
        body += f"<h3>Made with</h3>\n{grid(head, where)}"
    return f"<h2>Differences</h2>\n{body}"


def _plain(value: Any) -> str:
    return "–" if value is None or value == "" else str(value)


# ---------------------------------------------------------------------- figures
def _metrics(result: Comparison) -> str:
    if not result.rows:
        return "<h2>Metrics</h2>\n<p>No run has been evaluated: <code>gander evaluate RUN</code> does it.</p>\n"
    head = ["metric", *(chip(k, group.name) for k, group in enumerate(result.groups))]
    cells = []
    for row in result.rows:
        about = [row.there[0].measured.about, row.why_not and f"not compared: {row.why_not}"]
        notes = "<br>".join(text(words) for words in about if words)
        name = f"<div>{text(row.name)}{ARROWS[row.way]}<br><small>{notes}</small></div>"
        shown = [_cell(cell, k == row.best) for k, cell in enumerate(row.cells)]
        cells.append([f'<div class="named">{name}{_strip(row)}</div>', *shown])
    real = any(figure.real for figure in result.measured)
    floor = (
        "what knowing nothing or, where it says real, real images score"
        if real
        else "what knowing nothing scores"
    )
    how = list(dict.fromkeys(figure.how for figure in result.measured))
    judges = list(dict.fromkeys(figure.judge for figure in result.measured if figure.judge))
    return (
        '<h2>Metrics</h2>\n<p class="soft">Mean ± standard deviation over seeds, and the 95 % bootstrap interval of the mean. '
        "Beside the name a dot for each seed, a bar for the mean and a line for its interval; dashed are the floor, "
        f"{floor}, and the ceiling, the most there is. ↑ higher is better, ↓ lower; a group is marked ◆ only where the "
        f"intervals lie apart.</p>\n{listed(text(words) for words in (*how, *judges))}"
        f'<div class="metrics">{grid(head, cells)}</div>{_not_measured(result)}'
    )


def _strip(row: Row) -> str:
    marks = [
        Mark(k, cell.values, cell.interval) for k, cell in enumerate(row.cells) if cell is not None
    ]
    floor, ceiling = row.common("floor"), row.common("ceiling")
    ends = []
    if any(cell.floor is not None for cell in row.there):
        real = " real" if row.there[0].measured.real else ""
        ends.append(f"floor {short(floor)}{real}" if floor is not None else "floors differ")
    if any(cell.ceiling is not None for cell in row.there):
        ends.append(f"ceiling {short(ceiling)}" if ceiling is not None else "ceilings differ")
    drawn = charts.strip(f"{row.name} by group", marks, floor, ceiling)
    return f"<div>{drawn}<small>{', '.join(ends)}</small></div>"


def _cell(cell: Spread | None, best: bool) -> str:
    if cell is None:
        return "–"
    ratio = "" if cell.ratio is None else f"{short(cell.ratio)} × real"
    count = f"n = {cell.n}" if cell.n > 1 else "one seed"
    small = [line for line in (between(cell), ", ".join(filter(None, (ratio, count)))) if line]
    mark = ' class="best"' if best else ""
    words = f"<span{mark}>{said(cell)}{' ◆' if best else ''}</span>"
    return f'<span class="figure">{words}<br><small>{"<br>".join(small)}</small></span>'


def said(cell: Spread) -> str:
    """Mean ± deviation over seeds; for one seed ± the figure's own standard error."""
    beside = cell.deviation if cell.n > 1 else cell.error
    value = precise(cell.mean, beside)
    return value if beside is None else f"{value} ± {precise(beside, beside)}"


def between(cell: Spread) -> str:
    """Where the mean over seeds lies; empty for one seed."""
    if cell.interval is None:
        return ""
    low, high = (precise(end, cell.deviation) for end in cell.interval)
    return f"{low} to {high}"


def precise(value: float, spread: float | None) -> str:
    """As many digits as its spread makes worth reading: two of the spread."""
    if spread and 0 <= (digits := 1 - math.floor(math.log10(spread))) <= 6:
        return f"{value:.{digits}f}"
    return f"{value:.4g}" if 1e-3 <= abs(value) < 1e4 else short(value)


def _not_measured(result: Comparison) -> str:
    """Why figures are missing, by group."""
    why = {
        (group.name, name, reason)
        for group in result.groups
        for entry in group.entries
        for name, reason in entry.missing.items()
    }
    lines = [f"{text(group)}: {text(name)}, {text(reason)}" for group, name, reason in sorted(why)]
    return folded(f"Not measured ({len(lines)})", listed(lines)) if lines else ""


# ---------------------------------------------------------------------- samples
def _samples(groups: Sequence[Group], device: str, tell: Callable[[str], None]) -> str:
    shown: list[str] = []
    rest: list[str] = []
    for place, group in enumerate(groups):
        for k, entry in enumerate(group.entries):
            tell(str(entry.run.path))
            heading = f"<h3>{chip(place, group.name)}, seed {entry.seed}</h3>\n"
            (rest if k else shown).append(f"<div>{heading}{sheet(entry, device)}</div>\n")
    body = f'<div class="grid wide">{"".join(shown)}</div>\n'
    if rest:
        more = f'<div class="grid wide">{"".join(rest)}</div>\n'
        body += folded(f"The other seeds ({len(rest)})", more)
    return (
        '<h2>Samples</h2>\n<p class="soft">Drawn now, all from the same drawing seeds, 0 and on: a row for each class where '
        f"there are classes.</p>\n{body}"
    )


def sheet(entry: Entry, device: str) -> str:
    """One run's images at the common seeds, or why there are none."""
    try:
        loaded = model.load(entry.run.path, device)
        image = sheets.class_sheet(loaded, COLUMNS)
    except (GanderError, OSError) as error:
        return f"<p>No images: {text(error)}</p>\n"
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    rows_of = sheets.class_code(loaded)
    about = f"a row for each {rows_of.name}, " if rows_of else ""
    words = f"{about}after {loaded.images_seen:,} images"
    return charts.picture(buffer.getvalue(), str(entry.run.path), "Drawn images", words)


# ---------------------------------------------------------------------- curves
def mean_curve(curves: Sequence[Points]) -> Points:
    """The mean of curves where all of them are, at the places of the first."""
    begin, end = max(c[0][0] for c in curves), min(c[-1][0] for c in curves)
    mean = []
    for x, _ in curves[0]:
        if begin <= x <= end:
            ys = [y for curve in curves if (y := history.at(curve, x)) is not None]
            mean.append((x, fmean(ys)))
    return mean


@dataclass(frozen=True)
class Family:
    """The curves of one name: group -> a curve for each seed."""

    title: str
    curves: dict[str, list[Points]]
    guide: charts.Guide = None
    least: float | None = None

    def drawn(self, places: Sequence[str], over: str) -> str:
        """As a chart: the mean of each group, and its seeds faintly where there are several."""
        means = {group: mean_curve(several) for group, several in self.curves.items()}
        means = {group: points for group, points in means.items() if points}
        faint = {group: several for group, several in self.curves.items() if len(several) > 1}
        if not means:
            return ""
        return chart(
            self.title, means, self.guide, self.least, faint=faint, places=places, over=over
        )


def gathered(
    groups: Sequence[Group], lines_of: Callable[[Entry], Lines]
) -> dict[str, dict[str, list[Points]]]:
    """Name -> group -> a curve for each seed that has one."""
    found: dict[str, dict[str, list[Points]]] = {}
    for group in groups:
        for entry in group.entries:
            for name, points in lines_of(entry).items():
                if points:
                    found.setdefault(name, {}).setdefault(group.name, []).append(points)
    return found


def families(groups: Sequence[Group], by_time: bool) -> Iterable[tuple[str, list[Family]]]:
    """Every chart under its heading, over images seen or over minutes of training."""

    def clocked(make: Callable[[list[Table]], Lines]) -> Callable[[Entry], Lines]:
        def lines_of(entry: Entry) -> Lines:
            lines = make(entry.log)
            return _timed(lines, entry) if by_time else lines

        return lines_of

    guides = {
        n: charts.guide_of(f) for g in groups for e in g.entries for n, f in e.figures.items()
    }
    measured = {
        name: own
        for name, own in gathered(groups, lambda e: _progress(e, by_time)).items()
        if any(len(points) > 1 for several in own.values() for points in several)
    }
    yield "Metrics", [Family(name, own, guides.get(name)) for name, own in measured.items()]
    tops = {n: y for g in groups for e in g.entries for n, y in history.ceilings(e.log).items()}
    codes = {n: c for g in groups for e in g.entries for n, c in e.codes.items()}
    read_back = []
    for name, own in gathered(
        groups, clocked(lambda log: history.series(log, "information"))
    ).items():
        top = tops.get(name, 1.0)
        lowest = min(y for several in own.values() for points in several for _, y in points)
        title, least = f"{name}, {history.unit(codes.get(name))}", min(0.0, max(lowest, -0.2 * top))
        read_back.append(Family(title, own, (top, f"ceiling {short(top)}"), least))
    yield "Read back of each code", read_back
    signs = []
    for name, own in gathered(groups, clocked(history.signals)).items():
        title, guide = history.SIGNS.get(name, (name, None))
        signs.append(Family(title, own, guide, 0.0))
    yield "Health", signs
    terms = gathered(groups, clocked(lambda log: history.series(log, "terms")))
    yield "Terms", [Family(name, own) for name, own in terms.items()]


def _timed(lines: Lines, entry: Entry) -> Lines:
    return {name: history.over_minutes(points, entry.log) for name, points in lines.items()}


def _progress(entry: Entry, by_time: bool) -> Lines:
    lines = history.progress(entry.evaluations)
    return _timed(lines, entry) if by_time else lines


def _curves(result: Comparison) -> str:
    places = [group.name for group in result.groups]
    body = ""
    for by_time, over in ((False, "images seen"), (True, "minutes of training")):
        part = ""
        for heading, those in families(result.groups, by_time):
            drawn = "".join(family.drawn(places, over) for family in those)
            part += f'<h3>{text(heading)}</h3>\n<div class="grid">{drawn}</div>\n' if drawn else ""
        if by_time and part:
            body += folded("The same over minutes of training", part)
        else:
            body += part or "<p>Nothing has been reported yet.</p>\n"
    thin = any(len(group.entries) > 1 for group in result.groups)
    note = '<p class="soft">Thick: the mean over seeds; thin: each seed.</p>\n' if thin else ""
    return f"<h2>Curves over images seen</h2>\n{note}{body}"
