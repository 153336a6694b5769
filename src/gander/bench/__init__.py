"""``gander bench``: what is measured on this machine, one file each: the file name is the registry.

A part is a file of this room with ``ABOUT`` (one line, shown above its figures) and
``measure(request, say) -> dict[str, Any]``, a result that is JSON as it stands. It may also have ``rows(measured)``, which
says the result in lines of a table, and ``COSTS``, for a part that takes minutes and is measured only when it is asked for
by name. Files without ``ABOUT`` serve the parts.
"""

from __future__ import annotations

import ast
import importlib
import math
import shlex
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from gander.errors import GanderError, UseError, choose

SCHEMA = 1
PRECISIONS = ("auto", "fp32", "bf16")
LONGEST = 24 * 3600
"""Seconds that one measurement may last."""
FEWEST, MOST = 20, 10**8
"""Images of the data that may be asked for."""

Say = Callable[[str], None]
"""Tells the user in a few words what is measured now."""


@dataclass(frozen=True)
class Request:
    """What is asked of every part; each takes what concerns it, and None, 0 or an empty tuple leaves the choice to the part."""

    presets: tuple[str, ...] = ()
    data: str = "glyphs"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """The seeds of a part that trains to the end; the others use the first."""
    seconds: float | None = None
    """Of one measurement: a chunk of throughput, a seed's way to a quality."""
    device: str | None = None
    precision: str = "auto"
    threads: int = 0
    """Processor threads of gander; 0 is what it chooses itself."""
    sizes: tuple[int, ...] = ()
    """Sides of the images in px."""
    batch: int | None = None
    images: int | None = None
    """How many images of the data are used at most."""


class Row(NamedTuple):
    """One figure for a person: what it is, its middle value, its spread, and a remark."""

    what: str
    value: str
    spread: str = ""
    remark: str = ""


def parts() -> dict[str, str]:
    """Every part there is, with its one line."""
    found = {}
    for path in sorted(Path(__path__[0]).glob("*.py")):
        about = _constant(path, "ABOUT")
        if about is not None:
            found[path.stem] = about
    return found


def costs(name: str) -> str | None:
    """What a part costs that is measured only when it is asked for by name; None for all others."""
    return _constant(Path(__path__[0]) / f"{name}.py", "COSTS")


def _constant(path: Path, name: str) -> str | None:
    """A text at the top of a file, read without importing it."""
    for node in ast.parse(path.read_text("utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert isinstance(node, ast.Assign)
            return str(ast.literal_eval(node.value))
    return None


# ---------------------------------------------------------------------- the job
def chosen(names: Sequence[str] | None) -> list[str]:
    """The parts of those names; None is all that do not take minutes. Raises ``UseError``."""
    there = parts()
    if names is not None and list(names) == ["all"]:
        return list(there)
    if names is None:
        return [name for name in there if not costs(name)]
    if not names:
        raise UseError(f"--parts takes one or more of {', '.join(there)}, or all.")
    for name in names:
        if name not in there:
            raise UseError(f"--parts: {choose(name, there, 'part')}")
    return list(dict.fromkeys(names))


def check(request: Request) -> None:
    """Everything about a request that can be wrong, before minutes are spent. Raises ``UseError``."""
    from gander import data, engine
    from gander.plan import configured

    seconds = request.seconds
    if seconds is not None and not (math.isfinite(seconds) and 0 < seconds <= LONGEST):
        raise UseError(
            f"--seconds is more than 0 and at most {LONGEST:,}, given {seconds:g}; give it so, as --seconds 5."
        )
    if request.precision not in PRECISIONS:
        raise UseError(f"--precision: {choose(request.precision, PRECISIONS, 'precision')}")
    if request.images is not None and not FEWEST <= request.images <= MOST:
        raise UseError(
            f"--images is from {FEWEST} to {MOST:,}, given {request.images:,}; give so many."
        )
    if not request.seeds or min(request.seeds) < 0:
        raise UseError("--seeds takes one or more whole numbers from 0, as in --seeds 0,1,2.")
    for size in request.sizes:
        if not data.SMALLEST <= size <= data.LARGEST:
            raise UseError(
                f"--sizes are from {data.SMALLEST} to {data.LARGEST} px, given {size}; as in --sizes 28,64."
            )
    place = engine.find_device(request.device)
    if request.precision == "bf16" and not engine.has_bf16(place):
        raise UseError(f"--precision bf16: this {place.type} has no bf16 arithmetic; give fp32.")
    told = {"batch": request.batch, "threads": request.threads}
    settings = [f"{key}={value}" for key, value in told.items() if value is not None]
    for preset in request.presets or ("infogan",):
        configured(preset, settings, seed=request.seeds[0])
    data.load(request.data, limit=FEWEST)


def bench(
    names: Sequence[str] | None = None,
    request: Request | None = None,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Measures parts on this machine: facts, the request and each part's result, as JSON. Raises ``UseError``.

    Interrupted, it returns the parts that were done, with ``cut`` true; a part that cannot be measured says why under ``failed``,
    and if that is all there is to say, it is raised.
    """
    from gander.bench.facts import busy, facts

    request = Request() if request is None else request
    asked = chosen(names)
    check(request)
    found = facts()
    results: dict[str, Any] = {}
    failed: dict[str, str] = {}
    cut = False
    for name in asked:
        module = importlib.import_module(f"{__name__}.{name}")
        began = time.perf_counter()
        try:
            measured = module.measure(request, say)
        except KeyboardInterrupt:
            cut = True
            break
        except GanderError as why:
            if name == asked[-1] and not results:
                raise
            failed[name] = str(why)
            continue
        took = round(time.perf_counter() - began, 1)
        results[name] = {"about": parts()[name], "took_seconds": took, **measured}
    return {
        "schema": SCHEMA,
        "command": command(names, request),
        "machine": found,
        "caution": busy(found["load_average"]),
        "request": asdict(request) | {"data": told(request.data)},
        "cut": cut,
        "failed": failed,
        "parts": results,
    }


def rows(name: str, measured: Mapping[str, Any]) -> list[Row]:
    """A part's result in lines for a person; none where the part has no short form."""
    module = importlib.import_module(f"{__name__}.{name}")
    return list(module.rows(measured)) if hasattr(module, "rows") else []


def told(source: str) -> str:
    """A source as others may read it: a path is its last name."""
    return Path(source).name if "/" in source or "\\" in source else source


def command(names: Sequence[str] | None, request: Request) -> str:
    """The command that measures the same again."""
    words = ["gander", "bench"]
    if names is not None:
        words += ["--parts", ",".join(names)]
    for one in fields(Request):
        value = getattr(request, one.name)
        if value == one.default:
            continue
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += [f"--{one.name}", told(text) if one.name == "data" else text]
    return shlex.join(words)


def spread(values: Sequence[float], digits: int = 1) -> dict[str, Any]:
    """Repeated figures as n, their range, their median and all of them."""
    return {
        "n": len(values),
        "min": round(min(values), digits),
        "median": round(statistics.median(values), digits),
        "max": round(max(values), digits),
        "values": [round(value, digits) for value in values],
    }


def in_threads(count: int) -> str:
    """As in "1 thread", "2 threads"."""
    return f"{count} thread{'s' * (count != 1)}"
