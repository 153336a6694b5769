"""report.html: a run on one page that needs no network and no script, to send to a colleague.

The page is text made from the run directory. Names, commands and descriptions come from strangers' files, so every string of a
run goes through ``text`` before it enters the page; what is missing is said, not fatal.
"""

from __future__ import annotations

import base64
import math
import os
import re
import shlex
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from gander import config as configuration
from gander.errors import GanderError
from gander.images import write
from gander.runs import Run

Table = dict[str, Any]
Lines = dict[str, list[tuple[float, float]]]  # name -> (images seen, value), a curve each
Guide = tuple[float, str] | None  # a dashed line and its meaning
Sheets = dict[str, list[tuple[int, Path]]]  # images, knobs or sweep-CODE -> (images seen, file)
SHEET = re.compile(r"(images|knobs|sweep-.+)-(\d+)\.png", re.DOTALL)
EARLIER = 12  # earlier sheets kept in the page, evenly spaced
MOST_POINTS = 240  # of a curve; longer ones are averaged
SIZES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (0.0, ""))
WIDE, HIGH, LEFT, TOP, BOTTOM = 330, 170, 40, 10, 22  # of a chart, in its own units
TAGS = {
    "": "The players",
    "real": "Reading real images (critic's step)",
    "fake": "Reading generated images (critic's step)",
    "draws": "Making codes readable (generator's step)",
}
SIGNS: dict[str, tuple[str, Guide]] = {
    "speed": ("Speed, images a second", None),
    "diversity": ("Diversity: spread of the samples", (1.0, "as real images")),
    "told_apart": ("Told apart: share of (real, generated) pairs", (0.5, "cannot tell")),
}
ALARMS = {
    "collapse": "The samples had collapsed: they differed much less than real images do. Try a lower generator_rate, a penalty (--set r1=1) or a larger batch.",
    "critic_won": "The critic had won: it told nearly all real images from generated ones, so the generator heard little. Try a lower critic_rate or a penalty (--set r1=1).",
    "dead_code": "The code was dead: the recogniser read next to nothing of it. Try a larger weight (--set {code}.recognised=…) or fewer codes.",
}
STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf8;--card:#fff;--ink:#24262b;--soft:#666a72;--line:#e3e1dc;--mark:#a5462f;--c0:#2b6a8c;--c1:#bd6a33;--c2:#4f8450;--c3:#84589b;--c4:#b04a5d;--c5:#85742f}@media (prefers-color-scheme:dark){:root{--paper:#17191c;--card:#1f2226;--ink:#dfe1e4;--soft:#9aa0a9;--line:#33373d;--mark:#e2917c;--c0:#74b3d6;--c1:#e0a073;--c2:#8fc48f;--c3:#bd98d3;--c4:#e48d9d;--c5:#c9b76c}img{filter:brightness(.88)}}*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);overflow-wrap:anywhere;font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1040px;margin:0 auto;padding:2.2rem 1.25rem 4rem}p{margin:.4rem 0 .8rem;max-width:46rem}h1{font-size:2rem;line-height:1.2;margin:0 0 .3rem;letter-spacing:-.01em}h1,h2{font-weight:650}h2{font-size:1.25rem;margin:3rem 0 .6rem}h3{font-size:1rem;font-weight:600;margin:1.6rem 0 .5rem}.grid h3{margin-top:0}.soft,figcaption,.key,dt,summary,small{color:var(--soft)}figcaption,.key,th{font-size:.85rem;line-height:1.4}code,pre{font:.85rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.7rem .9rem;margin:.5rem 0;white-space:pre-wrap;max-height:32rem;overflow:auto}.scroll{overflow-x:auto}table{border-collapse:collapse;min-width:100%;font-variant-numeric:tabular-nums;overflow-wrap:normal}th,td{text-align:left;padding:.4rem 1rem .4rem 0;border-bottom:1px solid var(--line);vertical-align:baseline}th{font-weight:600;color:var(--soft)}.bar{display:inline-block;width:5rem;height:.5rem;background:linear-gradient(90deg,var(--c0) var(--v),var(--line) 0)}.all{grid-column:1/-1}figure{margin:0;min-width:0}
img{display:block;max-width:100%;height:auto;border-radius:6px;border:1px solid var(--line)}figcaption{margin-top:.4rem}.grid{display:grid;gap:1.6rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,290px),1fr))}.grid.wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr))}summary{cursor:pointer;margin:.8rem 0}svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font-size:10px}.axis{stroke:var(--line)}.guide{stroke:var(--soft);stroke-dasharray:4 3}.curve{fill:none;stroke:var(--c);stroke-width:1.6;stroke-linejoin:round}.dot,.key i{fill:var(--c);background:var(--c)}
.chart figcaption{margin:0 0 .25rem;color:var(--ink)}.key{list-style:none;display:flex;flex-wrap:wrap;gap:0 .9rem;padding:0;margin:.25rem 0 0}.key i{display:inline-block;width:.8rem;height:.2rem;vertical-align:middle;margin-right:.35rem}.alarm{border-left:3px solid var(--mark);padding-left:.9rem;margin:.8rem 0}ul{padding-left:1.2rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem}dd{margin:0}@media (max-width:520px){table{font-size:.88rem}th,td{padding-right:.45rem}.bar{width:2.2rem}main{padding-top:1.4rem}h1{font-size:1.6rem}dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}
"""


def write_report(run: Run) -> Path:
    """Writes RUN/report.html, whole or not at all, and returns its path. Raises ``RunError`` where there is no run."""
    write(path := run.path / "report.html", page(look(run)).encode("utf-8", "replace"))
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
    sheets: Sheets
    images_seen: int


def look(run: Run) -> Facts:
    """Everything the page needs, from disk."""
    tables = run.read_tables()
    resolved = table(tables.get("resolved"))
    listed = table(resolved.get("codes")) or table(tables.get("codes"))
    codes = {name: table(code) for name, code in listed.items()}
    knobs = [n for n, c in codes.items() if c.get("given") or number(c.get("recognised"))]
    log = [line for line in run.lines() if (number(line.get("images_seen")) or -1) >= 0]
    sheets: Sheets = {}
    for path in sorted(run.samples.iterdir()) if run.samples.is_dir() else []:
        named = SHEET.fullmatch(path.name)
        if named and path.is_file() and os.access(path, os.R_OK) and not path.is_symlink():
            sheets.setdefault(named[1], []).append((int(named[2]), path))
    seen = int(log[-1]["images_seen"]) if log else 0
    return Facts(run, tables, resolved, codes, knobs, log, sheets, seen)


def table(value: Any) -> Table:
    return dict(value) if isinstance(value, Mapping) else {}


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and abs(value) < 1e300 else None


def text(value: Any) -> str:
    """Anything a run says, as harmless text."""
    return escape(str(value), quote=True)


def short(value: float | None) -> str:
    """Three digits, 50k, 1.2M; a dash for what is not known."""
    if value is None:
        return "–"
    size, letter = next((s, c) for s, c in SIZES if abs(value) >= s)
    return f"{value / (size or 1):.3g}{letter}"


def page(facts: Facts) -> str:
    """The whole page."""
    data = facts.resolved.get("data") or table(facts.tables.get("data")).get("source", "images")
    title = f"{text(facts.resolved.get('family', 'A run'))} on {text(data)}"
    total = number(table(facts.tables.get("training")).get("images"))
    lead = f"{facts.images_seen:,}{f' of {total:,.0f}' if total and total > facts.images_seen else ''} images seen"
    seconds = number(facts.log[-1].get("seconds")) if facts.log else None
    lead += f" in {seconds / 60:,.1f} minutes" if seconds is not None else ""
    parts = (_codes, _sheets, _evaluation, _alarms, _curves, _commands, _provenance)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">\n"""
        f"<title>{title}: a gander run</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{title}</h1>\n<p class="soft">{lead}</p>\n{"".join(part(facts) for part in parts)}'
        "</main>\n</body>\n</html>\n"
    )


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
    shown = [picture(file, "Drawn images", about) for file in facts.sheets.get("images", [])]
    page = f"<h2>Samples</h2>\n{(shown or ['<p>No sheet has been written yet.</p>'])[-1]}"
    if earlier := shown[:-1][:: -(-len(shown[:-1]) // EARLIER) or 1]:
        summary = f"<summary>Earlier sheets ({len(earlier)} of {len(shown) - 1})</summary>"
        page += f'<details>{summary}\n<div class="grid">{"".join(earlier)}</div></details>\n'
    page += '<h2>Knobs</h2>\n<div class="grid wide">'
    about = "from end to end, left to right; along a row nothing else changes"
    swept = {key: files[-1] for key, files in facts.sheets.items() if key != "images"}
    for key, file in swept.items():
        name, all_ = ("All", " class=all") if key == "knobs" else (key.removeprefix("sweep-"), "")
        page += f"<div{all_}><h3>{text(name)}</h3>\n{picture(file, name, about)}</div>\n"
    have = {key.removeprefix("sweep-").partition(".")[0] for key in swept}
    rest = ", ".join(name for name in facts.knobs if name not in have)
    note = f"Without a sweep of their own: {text(rest)}." if rest else ""
    return f"{page}</div>\n<p>{note if facts.knobs else 'None: the only input is noise.'}</p>\n"


def _evaluation(facts: Facts) -> str:
    lines = facts.run.lines("metrics.jsonl")
    if not lines:
        return "<h2>Evaluation</h2>\n<p>Not evaluated yet.</p>\n"
    last, rows = lines[-1], []
    for name, figure in table(last.get("metrics")).items():
        bounds = [number(table(figure).get(key)) for key in ("value", "floor", "ceiling")]
        said = f"{text(name)}<br><small>{text(table(figure).get('about', ''))}</small>"
        rows.append([said, bar(*bounds), *map(short, bounds)])
    why = table(last.get("missing")).items()
    missing = "".join(f"<li>{text(name)}: {text(reason)}</li>\n" for name, reason in why)
    whom = [text(last.get(key, "?")) for key in ("n", "images_seen", "data")]
    return (
        f'<h2>Evaluation</h2>\n<p class="soft">{whom[0]} images drawn after {whom[1]} images seen, judged against {whom[2]}. The '
        f"floor is what knowing nothing scores, the ceiling the most there is.</p>\n{grid('metric _ value floor ceiling', rows)}"
    ) + (f"<p>Not measured:</p>\n<ul>\n{missing}</ul>\n" if missing else "")


def _alarms(facts: Facts) -> str:
    raised: dict[str, list[int]] = {}
    for line in facts.log:
        names = line.get("alarms")
        for name in names if isinstance(names, list) else []:
            raised.setdefault(str(name), []).append(int(line["images_seen"]))
    parts = []
    for name, when in raised.items():
        about, _, code = name.partition("/")
        words = ALARMS.get(about, "").replace("{code}", code)
        span = f"in {len(when):,} of {len(facts.log):,} reports, the first at {when[0]:,} images"
        span += ", the last too" if when[-1] == facts.images_seen else f", the last at {when[-1]:,}"
        parts.append(f'<div class="alarm"><b>{text(name)}</b> {span}<p>{text(words)}</p></div>\n')
    return f"<h2>Alarms</h2>\n{''.join(parts) or '<p>None was raised.</p>'}\n"


def _curves(facts: Facts) -> str:
    groups: dict[str, Lines] = {}
    for name, points in series(facts.log, "terms").items():
        groups.setdefault(name.partition("/")[0] if "/" in name else "", {})[name] = points
    tops = {name: points[-1][1] for name, points in series(facts.log, "ceilings").items()}
    read = []
    for name, points in series(facts.log, "information").items():
        kind = table(facts.codes.get(name)).get("kind")
        top = tops.get(name, 1.0)
        least = min(0.0, max(min(y for _, y in points), -0.2 * top))
        title = f"{name}, {'nats' if kind in ('categorical', 'binary') else 'R²'}"
        read.append(chart(title, {name: points}, (top, f"ceiling {short(top)}"), least))
    signs = []
    speed = [{**line, "speed": {"speed": line.get("images_per_second")}} for line in facts.log]
    for name, points in (series(facts.log, "health") | series(speed, "speed")).items():
        title, guide = SIGNS.get(name, (name, None))
        signs.append(chart(title, {name: points}, guide, 0.0))
    terms = [chart(TAGS.get(tag, tag), group) for tag, group in groups.items()]
    body = "" if facts.log else "<p>Nothing has been reported yet.</p>\n"
    for heading, charts in (("Read back of each code", read), ("Terms", terms), ("Health", signs)):
        shown = f'<h3>{heading}</h3>\n<div class="grid">{"".join(charts)}</div>\n'
        body += shown if charts else ""
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
    listed = "".join(f"<dt>{text(k)}</dt><dd>{text(v)}</dd>\n" for k, v in rows.items())
    lines = "".join(f"<li>{text(x)}</li>\n" for x in (found if isinstance(found, list) else []))
    try:
        whole = configuration.to_toml(facts.run.read_config())
    except GanderError:  # made by another version: as it stands
        whole = facts.run.config_file.read_text("utf-8", errors="replace")
    return (
        f"<h2>Provenance</h2>\n<dl>\n{listed}</dl>\n<h3>Data found</h3>\n<ul>\n{lines}</ul>\n"
        f"<details><summary>Configuration</summary>\n<pre>{text(whole)}</pre></details>\n"
    )


def grid(head: str, rows: list[list[str]]) -> str:
    """A table of cells that are page text already."""
    top = "".join(f"<th>{word.replace('_', ' ')}</th>" for word in head.split())
    body = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>\n" for row in rows)
    return f'<div class="scroll"><table><tr>{top}</tr>\n{body}</table></div>\n'


def bar(value: float | None, floor: float | None, ceiling: float | None) -> str:
    """How far from the floor to the ceiling a figure is; a dash where a bound does not apply."""
    if value is None or floor is None or ceiling is None or floor == ceiling:
        return "–"
    share = 100 * min(1.0, max(0.0, (value - floor) / (ceiling - floor)))
    return f'<i class="bar" style="--v:{share:.0f}%"></i>'


def picture(sheet: tuple[int, Path], title: str, about: str) -> str:
    """A PNG inside the page, with what it shows and when; a line of text where it cannot be read."""
    seen, path = sheet
    content = path.read_bytes()
    said = f"{text(about)}; after {seen:,} images"
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or len(content) < 24:
        return f"<p>{text(path.name)} is not a picture.</p>\n"
    width, height = struct.unpack(">II", content[16:24])
    return (
        f'<figure><img alt="{text(title)}: {said}" width="{width}" height="{height}" '
        f'src="data:image/png;base64,{base64.b64encode(content).decode()}">\n'
        f"<figcaption>{said}</figcaption></figure>\n"
    )


def series(log: Iterable[Table], group: str) -> Lines:
    """Name -> (images seen, value) of one group of the log's lines, thinned to what a chart can show."""
    found: Lines = {}
    for line in log:
        for name, value in table(line.get(group)).items():
            if (y := number(value)) is not None:
                found.setdefault(name, []).append((float(line["images_seen"]), y))
    for name, points in found.items():
        each = -(-len(points) // MOST_POINTS)
        parts = [points[i : i + each] for i in range(0, len(points), each)]
        found[name] = [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]
    return found


def ticks(low: float, high: float) -> list[float]:
    """Two to five round numbers between the ends."""
    step = float(10.0 ** math.floor(math.log10(high - low)))
    step *= next(f for f in (0.2, 0.5, 1.0, 2.0, 5.0) if (high - low) / (f * step) <= 5)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(math.ceil(low / step - 1e-9), last + 1)]


def chart(title: str, lines: Lines, guide: Guide = None, least: float | None = None) -> str:
    """Curves as SVG, with a dashed line where ``guide`` says; what is far outside the rest lies on the frame."""
    ys = sorted(y for points in lines.values() for _, y in points)
    low, high = ys[len(ys) // 50], ys[-1 - len(ys) // 50]
    low, high = (low, high) if ys[-1] - ys[0] > 4 * (high - low) > 0 else (ys[0], ys[-1])
    low = low if least is None else least
    high = max(high, low + 1e-3 * (abs(low) or 1), 1.06 * guide[0] if guide else low)
    end = max(x for points in lines.values() for x, _ in points) or 1.0

    def across(x: float) -> float:
        return round(LEFT + (WIDE - LEFT - 6) * x / end, 1)

    def down(y: float) -> float:
        share = (min(high, max(low, y)) - low) / (high - low)
        return round(HIGH - BOTTOM - (HIGH - BOTTOM - TOP) * share, 1)

    def level(y: float, style: str, at: float, dy: int, name: str) -> str:
        line = f'<line class="{style}" x1="{LEFT}" x2="{WIDE}" y1="{down(y)}" y2="{down(y)}"/>'
        return f'{line}<text x="{at}" y="{down(y) + dy}" text-anchor="end">{text(name)}</text>'

    parts = [level(y, "axis", LEFT - 5, 3, short(y)) for y in ticks(low, high)]
    parts += [level(guide[0], "guide", WIDE, -3, guide[1])] if guide else []
    for x in ticks(0.0, end):
        place = f'x="{min(across(x), WIDE - 12)}" y="{HIGH - 6}" text-anchor="middle"'
        parts.append(f"<text {place}>{short(x)}</text>")
    keys = ""
    for i, (name, points) in enumerate(lines.items()):
        colour, (x, y) = f'style="--c:var(--c{i % 6})"', points[-1]
        drawn = " ".join(f"{across(x)},{down(y)}" for x, y in points)
        parts.append(f'<polyline class="curve" {colour} points="{drawn}"/>')
        parts.append(f'<circle class="dot" {colour} cx="{across(x)}" cy="{down(y)}" r="2.2"/>')
        keys += f"<li><i {colour}></i>{text(name)} {short(y)}</li>"
    return (
        f'<figure class="chart"><figcaption>{text(title)}</figcaption>\n<svg viewBox="0 0 {WIDE} {HIGH}" role="img" '
        f'aria-label="{text(title)}, over images seen">{"".join(parts)}</svg>\n<ul class="key">{keys}</ul></figure>\n'
    )
