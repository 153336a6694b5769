"""report.html: a run on one page that needs no network and no script, to send to a colleague.

The page is text made from the run directory. Names, commands and descriptions come from strangers' files, so every string of a
run goes through ``text`` before it enters the page; what is missing is said, not fatal.
"""

from __future__ import annotations

import base64
import math
import re
import shlex
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from gander import config as configuration
from gander.errors import GanderError
from gander.images import write
from gander.runs import Run

Table = dict[str, Any]
Points = list[tuple[float, float]]
SHEET = re.compile(r"(images|knobs|sweep-.+)-(\d+)\.png", re.DOTALL)
PNG = b"\x89PNG\r\n\x1a\n"
EARLIER = 12  # earlier sheets kept in the page, evenly spaced
MOST_POINTS = 240  # of a curve; longer ones are averaged
WIDE, HIGH, LEFT, TOP, BOTTOM = 330, 170, 40, 10, 22  # of a chart, in its own units
TAGS = {
    "": "The players",
    "real": "Reading real images (critic's step)",
    "fake": "Reading generated images (critic's step)",
    "draws": "Making codes readable (generator's step)",
    "reads": "Reading real images (third optimiser)",
    "penalty": "Penalties",
}
SIGNS = {  # title, dashed line, its meaning
    "diversity": ("Diversity: spread of the samples", 1.0, "as real images"),
    "told_apart": ("Told apart: share of (real, generated) pairs", 0.5, "cannot tell"),
}
ALARMS = {
    "collapse": "The samples had collapsed: they differed much less than real images do. Try a lower generator_rate, a penalty "
    "(--set r1=1) or a larger batch.",
    "critic_won": "The critic had won: it told nearly every real image from a generated one, so the generator heard little. Try "
    "a lower critic_rate or a penalty (--set r1=1).",
    "dead_code": "The code was dead: the recogniser read next to nothing of it. Try a larger weight (--set {code}.recognised=…) or "
    "fewer codes.",
}
STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf8;--card:#fff;--ink:#24262b;--soft:#666a72;--line:#e3e1dc;--mark:#a5462f;
--c0:#2b6a8c;--c1:#bd6a33;--c2:#4f8450;--c3:#84589b;--c4:#b04a5d;--c5:#85742f}
@media (prefers-color-scheme:dark){:root{--paper:#17191c;--card:#1f2226;--ink:#dfe1e4;--soft:#9aa0a9;--line:#33373d;
--mark:#e2917c;--c0:#74b3d6;--c1:#e0a073;--c2:#8fc48f;--c3:#bd98d3;--c4:#e48d9d;--c5:#c9b76c}img{filter:brightness(.88)}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);overflow-wrap:anywhere;
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1040px;margin:0 auto;padding:2.2rem 1.25rem 4rem}p{margin:.4rem 0 .8rem;max-width:46rem}
h1{font-size:2rem;line-height:1.2;margin:0 0 .3rem;letter-spacing:-.01em}h1,h2{font-weight:650}
h2{font-size:1.25rem;margin:3rem 0 .6rem}h3{font-size:1rem;font-weight:600;margin:1.6rem 0 .5rem}.grid h3{margin-top:0}
.soft,figcaption,.key,dt,summary{color:var(--soft)}figcaption,.key,th{font-size:.85rem;line-height:1.4}
code,pre{font:.85rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.7rem .9rem;margin:.5rem 0;
white-space:pre-wrap;max-height:32rem;overflow:auto}.scroll{overflow-x:auto}
table{border-collapse:collapse;min-width:100%;font-variant-numeric:tabular-nums;overflow-wrap:normal}
th,td{text-align:left;padding:.4rem 1rem .4rem 0;border-bottom:1px solid var(--line);vertical-align:baseline}
th{font-weight:600;color:var(--soft)}.n{text-align:right;white-space:nowrap}figure{margin:0;min-width:0}
img{display:block;max-width:100%;height:auto;border-radius:6px;border:1px solid var(--line)}figcaption{margin-top:.4rem}
.grid{display:grid;gap:1.6rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,290px),1fr))}
.grid.wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr))}summary{cursor:pointer;margin:.8rem 0}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font-size:10px}svg.bar{width:5rem;height:.5rem}
.axis{stroke:var(--line)}.guide{stroke:var(--soft);stroke-dasharray:4 3}.track{fill:var(--line)}.fill{fill:var(--c0)}
.curve{fill:none;stroke:var(--c);stroke-width:1.6;stroke-linejoin:round}.dot{fill:var(--c)}
.chart figcaption{margin:0 0 .25rem;color:var(--ink)}.key{list-style:none;display:flex;flex-wrap:wrap;gap:0 .9rem;padding:0;
margin:.25rem 0 0}.key i{display:inline-block;width:.8rem;height:.2rem;vertical-align:middle;margin-right:.35rem;
background:var(--c)}.alarm{border-left:3px solid var(--mark);padding-left:.9rem;margin:.8rem 0}ul{padding-left:1.2rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem}dd{margin:0}
@media (max-width:520px){main{padding-top:1.4rem}h1{font-size:1.6rem}dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}
"""


def write_report(run: Run) -> Path:
    """Writes RUN/report.html, whole or not at all, and returns its path. Raises ``RunError`` where there is no run."""
    path = run.path / "report.html"
    write(path, page(Facts(run)).encode("utf-8", "replace"))
    return path


def page(facts: Facts) -> str:
    """The whole page."""
    title = f"{text(facts.resolved.get('family', 'A run'))} on {text(facts.data)}"
    parts = (_codes, _samples, _knobs, _evaluation, _alarms, _curves, _commands, _provenance)
    body = "".join(part(facts) for part in parts)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{title}: a gander run</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{title}</h1>\n{_lead(facts)}{body}</main>\n</body>\n</html>\n"
    )


# ---------------------------------------------------------------------- what a run directory says
@dataclass(frozen=True)
class Facts:
    """A run directory as read, with nothing taken for granted."""

    run: Run

    @cached_property
    def tables(self) -> Table:
        return self.run.read_tables()

    @cached_property
    def resolved(self) -> Table:
        return table(self.tables.get("resolved"))

    @cached_property
    def data(self) -> Any:
        return self.resolved.get("data", table(self.tables.get("data")).get("source", "images"))

    @cached_property
    def codes(self) -> dict[str, Table]:
        """The codes as the data resolved them, else as they were asked for."""
        codes = table(self.resolved.get("codes")) or table(self.tables.get("codes"))
        return {name: table(code) for name, code in codes.items()}

    @cached_property
    def knobs(self) -> list[str]:
        return [n for n, c in self.codes.items() if c.get("given") or number(c.get("recognised"))]

    @cached_property
    def log(self) -> list[Table]:
        return [line for line in self.run.lines() if number(line.get("images_seen")) is not None]

    @cached_property
    def sheets(self) -> dict[str, list[tuple[int, Path]]]:
        """``images``, ``knobs`` or ``sweep-CODE`` -> (images seen, file), the oldest first."""
        found: dict[str, list[tuple[int, Path]]] = {}
        folder = self.run.samples
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            named = SHEET.fullmatch(path.name)
            if named and path.is_file() and not path.is_symlink():
                found.setdefault(named[1], []).append((int(named[2]), path))
        return {name: sorted(files) for name, files in found.items()}

    @cached_property
    def images_seen(self) -> int:
        stamps = [stamp for files in self.sheets.values() for stamp, _ in files]
        return int(self.log[-1]["images_seen"]) if self.log else max(stamps, default=0)

    @property
    def total(self) -> int:
        """The images the run is to see; 0 where its configuration does not say."""
        return int(number(table(self.tables.get("training")).get("images")) or 0)


def table(value: Any) -> Table:
    return dict(value) if isinstance(value, Mapping) else {}


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and math.isfinite(value) else None


def text(value: Any) -> str:
    """Anything a run says, as harmless text."""
    return escape(str(value), quote=True)


def short(value: float | None) -> str:
    """Three digits, or a dash for what is not known."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def axis(value: float) -> str:
    """As on an axis: 50k, 1.2M."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}"


# ---------------------------------------------------------------------- the parts of the page
def _lead(facts: Facts) -> str:
    shape, backbone = facts.resolved.get("shape"), table(facts.tables.get("model")).get("backbone")
    said = [f"{facts.images_seen:,}{f' of {facts.total:,}' * bool(facts.total)} images seen"]
    seconds = number(facts.log[-1].get("seconds")) if facts.log else None
    if seconds is not None:
        said.append(f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min")
    if isinstance(shape, list):
        said.append(" × ".join(map(text, shape)))
    said += [text(backbone)] if backbone else []
    return f'<p class="soft">{" · ".join(said)}</p>\n'


def _codes(facts: Facts) -> str:
    rows = []
    for name, code in facts.codes.items():
        given, shown, weight = code.get("given"), code.get("shown"), number(code.get("recognised"))
        if given:
            what = "condition and class" if shown and weight else "condition" if shown else "class"
        else:
            what = "discovered" if weight else "noise"
        kind = code.get("kind", "") + (f" of {code['size']}" if "size" in code else "")
        rows.append([name, kind, what, given or "–", shown or "–", short(weight or None)])
    head = ("code", "kind", "it is", "given by", "shown by", "recognised, λ")
    line = text(facts.resolved.get("line", ""))
    return f"<h2>Specification</h2>\n<p><code>{line}</code></p>\n{rows_table(head, rows)}"


def _samples(facts: Facts) -> str:
    files = facts.sheets.get("images", [])
    if not files:
        return "<h2>Samples</h2>\n<p>No sheet of samples has been written yet.</p>\n"
    classes = [n for n in facts.knobs if facts.codes[n].get("kind") == "categorical"]
    rows = next((n for n in classes if facts.codes[n].get("given")), (classes or [""])[0])
    about = f"a row for each {rows}, a column for each seed" if rows else "a seed each"
    earlier = files[:-1][:: -(-len(files[:-1]) // EARLIER) or 1]
    folded = "".join(picture(file, "Drawn images", about) for file in earlier)
    if earlier:
        summary = f"<summary>Earlier sheets ({len(earlier)} of {len(files) - 1})</summary>"
        folded = f'<details>{summary}\n<div class="grid">{folded}</div></details>\n'
    return f"<h2>Samples</h2>\n{picture(files[-1], 'Drawn images', about)}{folded}"


def _knobs(facts: Facts) -> str:
    if not facts.knobs:
        return "<h2>Knobs</h2>\n<p>None: the only input is noise.</p>\n"
    parts, seen = [], set()
    for key in [key for key in facts.sheets if key != "images"]:
        name = key.removeprefix("sweep-")
        seen |= {name, name.partition(".")[0]}
        about = "from end to end, left to right; along a row nothing else changes"
        title = "All knobs" if key == "knobs" else name
        shown = picture(facts.sheets[key][-1], title, about)
        parts.append(f"<div><h3>{text(title)}</h3>\n{shown}</div>\n")
    rest = text(", ".join(name for name in facts.knobs if name not in seen))
    note = f'<p class="soft">Without a sweep of their own: {rest}.</p>\n' if rest else ""
    return f'<h2>Knobs</h2>\n<div class="grid wide">{"".join(parts)}</div>\n{note}'


def _evaluation(facts: Facts) -> str:
    lines = facts.run.lines("metrics.jsonl")
    if not lines:
        return "<h2>Evaluation</h2>\n<p>Not evaluated yet.</p>\n"
    last, rows = lines[-1], []
    for name, said in table(last.get("metrics")).items():
        bounds = [number(table(said).get(key)) for key in ("value", "floor", "ceiling")]
        rows.append([name, *map(short, bounds), bar(*bounds), table(said).get("about", "")])
    head = ("metric", "value", "floor", "ceiling", "floor to ceiling", "what")
    reasons = table(last.get("missing")).items()
    missing = "".join(f"<li>{text(name)}: {text(why)}</li>" for name, why in reasons)
    return (
        f'<h2>Evaluation</h2>\n<p class="soft">{text(last.get("n", "?"))} images drawn after '
        f"{text(last.get('images_seen', '?'))} images seen, judged against {text(last.get('data', '?'))}. The floor is what "
        f"knowing nothing scores, the ceiling the most there is.</p>\n{rows_table(head, rows, (1, 2, 3))}"
    ) + (f"<p>Not measured:</p>\n<ul>{missing}</ul>\n" if missing else "")


def _alarms(facts: Facts) -> str:
    raised: dict[str, list[int]] = {}
    for line in facts.log:
        names = line.get("alarms")
        for name in names if isinstance(names, list) else []:
            raised.setdefault(str(name), []).append(int(line["images_seen"]))
    parts = []
    for name, when in raised.items():
        about, _, code = name.partition("/")
        words = ALARMS.get(about, "{code}").replace("{code}", code)
        span = f"at {when[0]:,} images"
        if len(when) > 1:
            span = f"from {when[0]:,} to {when[-1]:,} images, in {len(when):,} reports"
        span += "; still so at the last report" * (when[-1] == facts.images_seen)
        title = f'<strong>{text(name)}</strong> <span class="soft">{span}</span>'
        parts.append(f'<div class="alarm">{title}<p>{text(words)}</p></div>\n')
    return f"<h2>Alarms</h2>\n{''.join(parts) or '<p>None was raised.</p>'}\n"


def _curves(facts: Facts) -> str:
    groups: dict[str, dict[str, Points]] = {}
    for name, points in series(facts.log, "terms").items():
        groups.setdefault(name.partition("/")[0] if "/" in name else "", {})[name] = points
    terms = [chart(TAGS.get(tag, tag), group) for tag, group in groups.items()]
    tops = {name: points[-1][1] for name, points in series(facts.log, "ceilings").items()}
    information = []
    for name, points in series(facts.log, "information").items():
        discrete = table(facts.codes.get(name)).get("kind") in ("categorical", "binary")
        top, unit = tops.get(name), "nats" if discrete else "R²"
        least = min(0.0, max(min(y for _, y in points), -0.2 * (top or 1)))
        guide = (top, f"ceiling {short(top)}")
        information.append(chart(f"{name}, {unit}", {name: points}, guide, least))
    signs = [
        chart(SIGNS.get(name, (name,))[0], {name: points}, SIGNS.get(name, (name, None, ""))[1:], 0)
        for name, points in series(facts.log, "health").items()
    ]
    speed = series([{**line, "speed": line} for line in facts.log], "speed")
    rate = {"images/s": speed["images_per_second"]} if "images_per_second" in speed else {}
    blocks = {
        "What is read back of each code": information,
        "What the players minimise": terms,
        "Health and speed": signs + [chart("Speed, images a second", rate, least=0)] * bool(rate),
    }
    body = "".join(
        f'<h3>{title}</h3>\n<div class="grid">{"".join(charts)}</div>\n'
        for title, charts in blocks.items()
        if charts
    )
    lead = "Over real images seen." if facts.log else "Nothing has been reported yet."
    return f'<h2>Curves</h2>\n<p class="soft">{lead}</p>\n{body}'


def _commands(facts: Facts) -> str:
    run, config = shlex.quote(str(facts.run.path)), shlex.quote(str(facts.run.config_file))
    draw = [f"gander sample {run} --out sheet.png"]
    for name in facts.knobs:
        names = facts.codes[name].get("names")
        order = shlex.quote(f"{name}={names[-1] if isinstance(names, list) and names else 1}")
        sweeps = facts.codes[name].get("kind") not in ("categorical", "binary")
        what = f"--sweep {shlex.quote(name)}" if sweeps else f"--n 16 --set {order}"
        draw.append(f"gander sample {run} {what} --out {shlex.quote(name)}.png")
    return (
        f"<h2>Draw and resume</h2>\n<p>From the folder the run was started in:</p>\n<pre>{text(chr(10).join(draw))}</pre>\n"
        f"<p>Go on from the last saved state, as the first command would have:</p>\n"
        f"<pre>{text(f'gander train {config} --out {run}')}</pre>\n"
    )


def _provenance(facts: Facts) -> str:
    rows, found = table(facts.tables.get("provenance")), facts.resolved.get("found")
    rows["SHA-256 of the data"] = facts.resolved.get("fingerprint", "not recorded")
    listed = "".join(f"<dt>{text(key)}</dt><dd>{text(value)}</dd>\n" for key, value in rows.items())
    lines = "".join(
        f"<li>{text(line)}</li>\n" for line in (found if isinstance(found, list) else [])
    )
    try:
        whole = configuration.to_toml(facts.run.read_config())
    except GanderError:  # made by another version: as it stands
        whole = facts.run.config_file.read_text("utf-8", errors="replace")
    return (
        f"<h2>Provenance</h2>\n<dl>\n{listed}</dl>\n<h3>Data found</h3>\n<ul>\n{lines}</ul>\n"
        f"<details><summary>Configuration</summary>\n<pre>{text(whole)}</pre></details>\n"
    )


# ---------------------------------------------------------------------- tables, pictures, curves
class Markup(str):
    """Text that is part of the page already, made here and not by a run."""


def rows_table(
    head: Sequence[str], rows: Iterable[Sequence[Any]], numeric: Sequence[int] = ()
) -> str:
    """A table whose cells are escaped, those of ``Markup`` excepted."""

    def cells(row: Sequence[Any], tag: str) -> str:
        return "".join(
            f"<{tag}{' class="n"' * (i in numeric)}>{cell if isinstance(cell, Markup) else text(cell)}</{tag}>"
            for i, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>\n" for row in rows)
    top = f"<thead><tr>{cells(head, 'th')}</tr></thead>"
    return f'<div class="scroll"><table>{top}\n<tbody>\n{body}</tbody></table></div>\n'


def bar(value: float | None, floor: float | None, ceiling: float | None) -> Markup:
    """How far from the floor to the ceiling a figure is; nothing where a bound does not apply."""
    if value is None or floor is None or ceiling is None or floor == ceiling:
        return Markup()
    share = 100 * min(1.0, max(0.0, (value - floor) / (ceiling - floor)))
    return Markup(
        f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{share:.0f} %">'
        f'<rect class="track" width="100" height="10"/><rect class="fill" width="{share:.1f}" height="10"/></svg>'
    )


def picture(sheet: tuple[int, Path], title: str, about: str) -> str:
    """A PNG inside the page, with what it shows and when; a line of text where it cannot be read."""
    seen, path = sheet
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    said = f"{text(about)}; after {seen:,} images"
    if not content.startswith(PNG) or len(content) < 24:
        return f"<p>{text(path.name)} is not a picture ({said}).</p>\n"
    width, height = struct.unpack(">II", content[16:24])
    source = base64.b64encode(content).decode()
    return (
        f'<figure><img alt="{text(title)}: {said}" width="{width}" height="{height}" '
        f'src="data:image/png;base64,{source}">\n<figcaption>{said}</figcaption></figure>\n'
    )


def series(log: Iterable[Table], group: str) -> dict[str, Points]:
    """Name -> (images seen, value) of one group of the log's lines, thinned to what a chart can show."""
    found: dict[str, Points] = {}
    for line in log:
        for name, value in table(line.get(group)).items():
            y = number(value)
            if y is not None:
                found.setdefault(name, []).append((float(line["images_seen"]), y))
    thin: dict[str, Points] = {}
    for name, points in found.items():
        each = -(-len(points) // MOST_POINTS)
        parts = [points[i : i + each] for i in range(0, len(points), each)]
        thin[name] = [(p[-1][0], sum(y for _, y in p) / len(p)) for p in parts]
    return thin


def ticks(low: float, high: float) -> list[float]:
    """Two to five round numbers between the ends."""
    step = 10.0 ** math.floor(math.log10(high - low))
    step *= next(f for f in (0.2, 0.5, 1) if (high - low) / (f * step) <= 5)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def chart(
    title: str,
    lines: Mapping[str, Points],
    guide: tuple[Any, ...] = (None, ""),
    least: float | None = None,
) -> str:
    """Curves over images seen as SVG, with a dashed line where ``guide`` says; values far outside lie on the frame."""
    ys = sorted(y for points in lines.values() for _, y in points)
    inner = ys[len(ys) // 50], ys[-1 - len(ys) // 50]
    low, high = inner if ys[-1] - ys[0] > 4 * (inner[1] - inner[0]) > 0 else (ys[0], ys[-1])
    level, meaning = guide
    low = low if least is None else least
    high = max(high, low + (abs(low) or 1) * 1e-3, *([level * 1.06] if level else []))
    end = max(x for points in lines.values() for x, _ in points) or 1

    def across(x: float) -> float:
        return round(LEFT + (WIDE - LEFT - 6) * x / end, 1)

    def down(y: float) -> float:
        share = (min(high, max(low, y)) - low) / (high - low)
        return round(HIGH - BOTTOM - (HIGH - BOTTOM - TOP) * share, 1)

    parts = []
    for y in ticks(low, high):
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDE}" y1="{down(y)}" y2="{down(y)}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{down(y) + 3}" text-anchor="end">{axis(y)}</text>')
    for x in (0, end / 2, end):
        anchor = "start" if x == 0 else "end" if x == end else "middle"
        parts.append(
            f'<text x="{across(x)}" y="{HIGH - 6}" text-anchor="{anchor}">{axis(x)}</text>'
        )
    if level is not None:
        y = down(level)
        parts.append(f'<line class="guide" x1="{LEFT}" x2="{WIDE}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{WIDE}" y="{y - 3}" text-anchor="end">{text(meaning)}</text>')
    keys = []
    for i, (name, points) in enumerate(lines.items()):
        colour = f'style="--c:var(--c{i % 6})"'
        drawn = " ".join(f"{across(x)},{down(y)}" for x, y in points)
        x, y = points[-1]
        parts.append(f'<polyline class="curve" {colour} points="{drawn}"/>')
        parts.append(f'<circle class="dot" {colour} cx="{across(x)}" cy="{down(y)}" r="2.2"/>')
        keys.append(f"<li><i {colour}></i>{text(name)} {short(y)}</li>")
    return (
        f'<figure class="chart"><figcaption>{text(title)}</figcaption>\n<svg viewBox="0 0 {WIDE} {HIGH}" role="img" '
        f'aria-label="{text(title)}, over images seen">{"".join(parts)}</svg>\n<ul class="key">{"".join(keys)}</ul></figure>\n'
    )
