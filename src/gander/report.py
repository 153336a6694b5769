"""report.html: a run on one page that needs no network and no script, to send to a colleague.

The page is made from the run directory alone; what is missing is said, not fatal.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gander import charts, health, history, strangers
from gander import config as configuration
from gander.charts import bar, chart, folded, grid, listed, short, text
from gander.errors import GanderError
from gander.history import Lines, Measured, Table, number, series, table
from gander.images import write
from gander.runs import Run

Sheets = dict[str, list[tuple[int, Path]]]  # images, knobs or sweep-CODE -> (images seen, file)
SHEET = re.compile(r"(images|knobs|sweep-.+)-(\d+)\.png", re.DOTALL)
EVALUATION = re.compile(r"evaluation-(.+)\.png", re.DOTALL)
EARLIER = 12  # earlier sheets kept in the page, evenly spaced
MAKER = "gander report"
PICTURES = {
    "neighbours": "in each row a drawn image, then the training images nearest to it",
}


def write_report(run: Run) -> Path:
    """Writes RUN/report.html, whole or not at all, and returns its path. Raises ``RunError`` where there is no run."""
    write(path := run.path / "report.html", page(look(run)))
    return path


@dataclass(frozen=True)
class Facts:
    """A run directory as read, with nothing taken for granted."""

    run: Run
    tables: Table  # config.toml
    resolved: Table  # its part that the data filled in
    codes: dict[str, Table]
    knobs: list[str]  # the codes that steer: all but the noise
    log: list[Table]
    evaluations: list[Table]
    sheets: Sheets
    pictures: dict[str, Path]  # what the evaluation wants looked at
    images_seen: int


def look(run: Run) -> Facts:
    """Everything the page needs, from disk."""
    tables = run.read_tables()
    resolved = table(tables.get("resolved"))
    said = table(resolved.get("codes")) or table(tables.get("codes"))
    codes = {name: table(code) for name, code in said.items()}
    knobs = [n for n, c in codes.items() if c.get("given") or number(c.get("recognised"))]
    log = history.placed(run.lines())
    sheets: Sheets = {}
    pictures = {}
    for path in sorted(run.samples.iterdir()) if run.samples.is_dir() else []:
        if not path.is_file() or not os.access(path, os.R_OK) or path.is_symlink():
            continue
        if named := SHEET.fullmatch(path.name):
            sheets.setdefault(named[1], []).append((int(named[2]), path))
        elif named := EVALUATION.fullmatch(path.name):
            pictures[named[1]] = path
    seen = int(log[-1]["images_seen"]) if log else 0
    evaluations = run.lines("metrics.jsonl")
    return Facts(run, tables, resolved, codes, knobs, log, evaluations, sheets, pictures, seen)


def page(facts: Facts) -> bytes:
    """The whole page."""
    data = facts.resolved.get("data") or table(facts.tables.get("data")).get("source", "images")
    title = f"{facts.resolved.get('family', 'A run')} on {data}"
    total = number(table(facts.tables.get("training")).get("images"))
    lead = f"{facts.images_seen:,}{f' of {total:,.0f}' if total and total > facts.images_seen else ''} images seen"
    seconds = number(facts.log[-1].get("seconds")) if facts.log else None
    lead += f" in {seconds / 60:,.1f} minutes" if seconds is not None else ""
    parts = (_codes, _sheets, _evaluation, _alarms, _curves, _commands, _provenance)
    return charts.frame(title, lead, "".join(part(facts) for part in parts), MAKER)


def _codes(facts: Facts) -> str:
    rows = []
    for name, code in facts.codes.items():
        given, shown, weight = code.get("given"), code.get("shown"), number(code.get("recognised"))
        what = "discovered" if weight else "noise"
        if given:
            what = "condition and class" if shown and weight else "condition" if shown else "class"
        kind = f"{code.get('kind', '')} {code.get('size', '')}"
        cells = (name, kind, what, given or "–", shown or "–", short(weight or None))
        rows.append([text(cell) for cell in cells])
    line, head = text(facts.resolved.get("line", "")), "code kind it_is given shown λ"
    return f"<h2>Specification</h2>\n<p><code>{line}</code></p>\n{grid(head, rows)}"


def _sheets(facts: Facts) -> str:
    classes = [name for name in facts.knobs if facts.codes[name].get("kind") == "categorical"]
    rows = next((n for n in classes if facts.codes[n].get("given")), (classes or [""])[0])
    about = f"a row for each {rows}, a column for each seed" if rows else "a seed each"
    shown = [_sheet(file, "Drawn images", about) for file in facts.sheets.get("images", [])]
    page = f"<h2>Samples</h2>\n{(shown or ['<p>No sheet has been written yet.</p>'])[-1]}"
    if earlier := shown[:-1][:: -(-len(shown[:-1]) // EARLIER) or 1]:
        summary = f"Earlier sheets ({len(earlier)} of {len(shown) - 1})"
        page += folded(summary, f'<div class="grid">{"".join(earlier)}</div>')
    page += '<h2>Knobs</h2>\n<div class="grid wide">'
    about = "from end to end, left to right; along a row nothing else changes"
    swept = {key: files[-1] for key, files in facts.sheets.items() if key != "images"}
    for key, file in swept.items():
        name, all_ = ("All", " class=all") if key == "knobs" else (key.removeprefix("sweep-"), "")
        page += f"<div{all_}><h3>{text(name)}</h3>\n{_sheet(file, name, about)}</div>\n"
    have = {key.removeprefix("sweep-").partition(".")[0] for key in swept}
    rest = ", ".join(name for name in facts.knobs if name not in have)
    note = f"Without a sweep of their own: {text(rest)}." if rest else ""
    return f"{page}</div>\n<p>{note if facts.knobs else 'None: the only input is noise.'}</p>\n"


def _sheet(sheet: tuple[int, Path], title: str, about: str) -> str:
    seen, path = sheet
    return charts.picture(path.read_bytes(), path.name, title, f"{about}; after {seen:,} images")


def _evaluation(facts: Facts) -> str:
    if not facts.evaluations:
        return (
            "<h2>Evaluation</h2>\n<p>Not evaluated yet: <code>gander evaluate</code> does it.</p>\n"
        )
    last = facts.evaluations[-1]
    figures, missing = history.latest(facts.evaluations)
    now = number(last.get("images_seen")) or 0
    present = {n: f for n, f in figures.items() if f.images_seen == now}
    earlier = {n: f for n, f in figures.items() if n not in present}
    whom = [text(_counted(last.get(key, "?"))) for key in ("n", "images_seen", "data")]
    parts = [
        f'<h2>Evaluation</h2>\n<p class="soft">{whom[0]} images drawn after {whom[1]} images seen, measured against '
        f"{whom[2]}. {_bounds(present.values())}</p>\n"
    ]
    for said in (last.get("judge"), last.get("features") and f"Features: {last['features']}"):
        parts.append(f'<p class="soft">{_sentence(said)}</p>\n' if said else "")
    parts.append(grid("metric _ value floor ceiling", _rows(present, last)))
    parts.append(_best(facts.run))
    if missing:
        reasons: dict[str, list[str]] = {}
        for name, reason in missing.items():
            reasons.setdefault(str(reason), []).append(str(name))
        why = [f"{text(', '.join(names))}: {text(reason)}" for reason, names in reasons.items()]
        parts.append(f"<p>Not measured:</p>\n{listed(why)}")
    for name, path in facts.pictures.items():
        said = PICTURES.get(name, "written by the last evaluation that drew it")
        parts.append(charts.picture(path.read_bytes(), path.name, name, f"{name}: {said}"))
    if earlier:
        rows = _rows(earlier, last)
        body = grid("metric _ value floor ceiling", rows)
        parts.append(folded(f"Measured earlier only ({len(rows)})", body))
    return "".join(parts)


def _best(run: Run) -> str:
    """Which weights are kept as the best, where some are."""
    try:
        said = table(strangers.from_json(strangers.content(run.path / "best" / "best.json")))
    except (OSError, ValueError):
        return ""
    value, seen = number(said.get("value")), _counted(said.get("images_seen"))
    return (
        f"<p>Best by {text(said.get('figure'))}: {short(value)}, after {text(seen)} images seen; the weights are kept in "
        f"<code>{text(run.path / 'best')}</code>.</p>\n"
    )


def _counted(said: object) -> object:
    """A count as a person writes it; anything else as it is."""
    return f"{said:,}" if isinstance(said, int) else said


def _sentence(said: object) -> str:
    """Words of a run, begun and ended as a sentence."""
    words = str(said).strip()
    return text(words[:1].upper() + words[1:] + ("" if words.endswith(".") else "."))


def _bounds(figures: Iterable[Measured]) -> str:
    """What the floors and ceilings in sight mean."""
    real = {figure.real for figure in figures if figure.floor is not None}
    floor = {
        frozenset({True}): "The floor is what real training images score in the same number.",
        frozenset(
            {True, False}
        ): "The floor is what knowing nothing scores; marked real, what real training images score in "
        "the same number.",
    }.get(frozenset(real), "The floor is what knowing nothing scores.")
    return (
        f"{floor} The ceiling is the most there is; ± is one standard error from the images drawn."
    )


def _rows(figures: Mapping[str, Measured], last: Table) -> list[list[str]]:
    """Each figure beside its bounds; where and how it was measured, if not as the last line says."""
    rows = []
    for name, figure in figures.items():
        about = [figure.about] if figure.about else []
        if (figure.n, figure.data) != (last.get("n", "?"), last.get("data", "?")):
            about.append(f"measured with {figure.how}")
        if figure.images_seen != (number(last.get("images_seen")) or 0):
            about.append(f"after {figure.images_seen:,} images seen")
        ratio = figure.ratio
        far = bar(figure.value, figure.floor, figure.ceiling) if ratio is None else ""
        value = short(figure.value) + (f" ± {short(figure.error)}" if figure.error else "")
        floor = short(figure.floor) + (" real" if figure.real and figure.floor is not None else "")
        rows.append(
            [
                f"{text(name)}<br><small>{text('; '.join(about))}</small>",
                far or f"{short(ratio)} × real",
                f'<span class="nowrap">{value}</span>',
                f'<span class="nowrap">{floor}</span>',
                short(figure.ceiling),
            ]
        )
    return rows


def _alarms(facts: Facts) -> str:
    raised: dict[str, list[int]] = {}
    for line in facts.log:
        names = line.get("alarms")
        for name in names if isinstance(names, list) else []:
            raised.setdefault(str(name), []).append(int(line["images_seen"]))
    parts = []
    for name, when in raised.items():
        span = f"in {len(when):,} of {len(facts.log):,} reports, the first at {when[0]:,} images"
        span += ", the last too" if when[-1] == facts.images_seen else f", the last at {when[-1]:,}"
        words = health.meaning(name)
        parts.append(
            f'<div class="alarm"><b>{text(name)}</b> {span}<p>{text(words[:1].upper() + words[1:])}</p></div>\n'
        )
    return f"<h2>Alarms</h2>\n{''.join(parts) or '<p>None was raised.</p>'}\n"


def _curves(facts: Facts) -> str:
    groups: dict[str, Lines] = {}
    for name, points in series(facts.log, "terms").items():
        groups.setdefault(name.partition("/")[0] if "/" in name else "", {})[name] = points
    terms = [chart(history.TAGS.get(tag, tag), group) for tag, group in groups.items()]
    tops = history.ceilings(facts.log)
    read = []
    for name, points in series(facts.log, "information").items():
        top = tops.get(name, 1.0)
        least = min(0.0, max(min(y for _, y in points), -0.2 * top))
        title = f"{name}, {history.unit(facts.codes.get(name))}"
        read.append(chart(title, {name: points}, (top, f"ceiling {short(top)}"), least))
    signs = []
    for name, points in history.signals(facts.log).items():
        title, guide = history.SIGNS.get(name, (name, None))
        signs.append(chart(title, {name: points}, guide, 0.0))
    last, _ = history.latest(facts.evaluations)
    measured = [
        chart(name, {name: points}, charts.guide_of(last[name]))
        for name, points in history.progress(facts.evaluations).items()
        if len(points) > 1
    ]
    body = "" if facts.log else "<p>Nothing has been reported yet.</p>\n"
    shown = {"Metrics": measured, "Read back of each code": read, "Terms": terms, "Health": signs}
    for heading, those in shown.items():
        body += f'<h3>{heading}</h3>\n<div class="grid">{"".join(those)}</div>\n' if those else ""
    return f"<h2>Curves over images seen</h2>\n{body}"


def _commands(facts: Facts) -> str:
    run, config = shlex.quote(str(facts.run.path)), shlex.quote(str(facts.run.config_file))
    draw = [f"gander sample {run} --out sheet.png"]
    for name in facts.knobs:
        ordered = facts.codes[name].get("kind") == "categorical"
        what = f"--n 16 --set {shlex.quote(name)}=1" if ordered else f"--sweep {shlex.quote(name)}"
        draw.append(f"gander sample {run} {what} --out {shlex.quote(name + '.png')}")
    return (
        "<h2>Draw and resume</h2>\n<p>From the folder the run was started in:</p>\n"
        f"<pre>{text(chr(10).join(draw))}</pre>\n<p>Go on from the last saved state:</p>\n"
        f"<pre>{text(f'gander train {config} --out {run}')}</pre>\n"
    )


def _provenance(facts: Facts) -> str:
    rows, found = table(facts.tables.get("provenance")), facts.resolved.get("found")
    rows["data, SHA-256"] = facts.resolved.get("fingerprint", "not recorded")
    told = "".join(f"<dt>{text(k)}</dt><dd>{text(v)}</dd>\n" for k, v in rows.items())
    lines = listed(text(line) for line in (found if isinstance(found, list) else []))
    try:
        whole = configuration.to_toml(facts.run.read_config())
    except GanderError:  # made by another version: as it stands
        whole = facts.run.config_file.read_text("utf-8", errors="replace")
    start = f"<h2>Provenance</h2>\n<dl>\n{told}</dl>\n<h3>Data found</h3>\n{lines}"
    return start + folded("Configuration", f"<pre>{text(whole)}</pre>")
