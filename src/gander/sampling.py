"""The drawing job: what is asked for on the command line, to PNG sheets, single PNGs or arrays."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gander import images as pictures
from gander import outputs, sheets
from gander.code import Values
from gander.errors import CodeError, UseError
from gander.model import Model

MOST = 1_000_000  # images in one call
MOST_SWEPT = 1000  # values along a sweep
MOST_PIXELS = 1 << 28  # of one sheet
LAST_SEED = 2**48
ENDINGS = (".png", ".npz")


@dataclass(frozen=True)
class Sweep:
    """One code from end to end: its name and the values it visits."""

    code: str
    points: Tensor


def sample(
    model: Model,
    out: str | Path,
    *,
    n: int | None = None,
    seed: int = 0,
    seeds: str | None = None,
    settings: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    sheet: str | None = None,
) -> list[Path]:
    """Draws and writes; returns the files written.

    ``out`` ending in .png is one sheet, in .npz arrays (``images`` uint8 (N, H, W, C) and one array per code under its
    name), anything else a folder of single PNGs, or of sheets when ``sheet`` (COLUMNSxROWS) is given. Raises ``UseError``.
    """
    out = Path(out)
    if out.suffix and out.suffix.lower() not in ENDINGS and not out.is_dir():
        raise UseError(f"--out {out}: give a file ending in .png or .npz, or a folder.")
    if not out.suffix and out.exists() and not out.is_dir():
        raise UseError(
            f"--out {out} is a file and no folder; give a folder, or a file ending in .png or .npz."
        )
    if out.suffix:
        outputs.spare(out)
    _check_together(out, seed, seeds, n, sweeps, sheet)
    fixed = parse_settings(model, settings)
    if list(sweeps) == ["all"]:
        return _every_knob(model, out, fixed, seed)
    asked = [parse_sweep(model, text) for text in sweeps]
    grid = parse_sheet(sheet) if sheet else None
    if not -LAST_SEED < seed < LAST_SEED:
        raise UseError(f"--seed is below 2^48, given {seed}; give one, as --seed 7.")
    if n is not None and not 1 <= n <= MOST:
        raise UseError(f"--n is from 1 to {MOST:,} images, given {n:,}; give so many, as --n 64.")
    if asked:
        return _sweep(model, out, asked, fixed, [seed] if seeds is None else parse_seeds(seeds), n)
    count = n or (grid[0] * grid[1] if grid else 64)
    chosen = list(range(seed, seed + count)) if seeds is None else parse_seeds(seeds)
    if out.suffix.lower() == ".png" or grid is not None:
        _check_sheet(model, grid or (_columns(len(chosen)), _columns(len(chosen))))
    values = model.values(chosen, **fixed)
    if out.suffix.lower() == ".npz":
        return _write_npz(model, values, out)
    if out.suffix.lower() == ".png" or grid is not None:
        return _write_sheets(model, values, out, grid)
    return _write_singles(model, values, chosen, out)


# ---------------------------------------------------------------------- what was asked
def _check_together(
    out: Path, seed: int, seeds: str | None, n: int | None, sweeps: Sequence[str], sheet: str | None
) -> None:
    """Refuses what cannot be met at once, instead of passing over a part of it."""
    more = n is not None and seeds is not None and n != len(parse_seeds(seeds))
    if seeds is not None and (seed or more):
        other = f"--seed {seed}" if seed else f"--n {n}"
        raise UseError(
            f"--seeds {seeds} says which images, and so does {other}; give --seeds alone, or --seed and --n."
        )
    if sheet and sweeps:
        raise UseError(
            f"--sheet {sheet} lays out pictures, and a sweep has a layout of its own; drop --sheet, or give --n for so many rows."
        )
    if sheet and out.suffix.lower() == ".npz":
        raise UseError(
            f"--sheet {sheet} lays out pictures, and {out} holds arrays; drop --sheet, or give --out FILE.png."
        )
    if "all" in sweeps and len(sweeps) > 1:
        raise UseError(
            "--sweep all sweeps every slider, so it stands alone; drop the others, or leave out all."
        )
    if n is not None and (len(sweeps) > 1 or list(sweeps) == ["all"]):
        raise UseError(
            f"--n {n} is so many rows of one sweep, and here the rows are swept too; drop --n, or sweep one code."
        )


def parse_settings(model: Model, settings: Sequence[str]) -> dict[str, Any]:
    """``code=value`` words to codes and values, every name and value checked."""
    fixed = dict(parse_setting(model, text) for text in settings)
    try:
        model.values([0], **fixed)
    except CodeError as error:
        hint = " Several values are for a film: --film FILE.gif."
        raise CodeError(f"{error}{hint if ',' in ''.join(fixed.values()) else ''}") from None
    return fixed


def parse_setting(model: Model, text: str) -> tuple[str, str]:
    """``code=value`` to the code, which must exist, under its own name, and the value as it was written."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UseError(
            f"--set takes code=value, given {text!r}; write it as --set {example(model)}."
        )
    return model.settled(name.strip()), value.strip()


def example(model: Model) -> str:
    knobs = [code.name for code in model.spec.knobs]
    return f"{knobs[0]}=1" if knobs else "digit=3"


def parse_sweep(model: Model, text: str) -> Sweep:
    """``code``, ``code=a:b`` or ``code=a:b:n``."""
    name, equals, span = text.partition("=")
    name = model.settled(name.strip())
    code = model.find(name)
    if not equals:
        points = model.points(name)
        return Sweep(name, points)
    parts = span.split(":")
    try:
        low, high = (code.resolved.parse(part) for part in parts[:2])
        count = int(parts[2]) if len(parts) == 3 else None
    except CodeError as error:
        raise CodeError(f"--sweep {text}: {error}") from None
    except ValueError:
        low, high, count = 0.0, 0.0, -1
    if len(parts) not in (2, 3) or (count is not None and not 1 <= count <= MOST_SWEPT):
        raise UseError(
            f"--sweep takes code, code=a:b or code=a:b:n with n up to {MOST_SWEPT}, given {text!r}; "
            f"write it as --sweep {name}=-1:1:9."
        )
    between = int(abs(high - low)) + 1 if code.resolved.discrete else 0
    count = count or between or None
    if count is not None and code.resolved.name == "categorical" and count > between:
        raise UseError(
            f"--sweep {text}: from {parts[0]} to {parts[1]} there are {between} values of {name}, given {count}; give as many or "
            f"fewer, as --sweep {name}={parts[0]}:{parts[1]}."
        )
    return Sweep(name, model.points(name, count, low, high))


def parse_seeds(text: str) -> list[int]:
    """``0,1,4-6`` -> [0, 1, 4, 5, 6]."""
    seeds: list[int] = []
    for part in text.split(","):
        span = re.fullmatch(r"\s*(\d{1,30})(?:\s*-\s*(\d{1,30}))?\s*", part)
        if not span or (span[2] and int(span[2]) < int(span[1])):
            raise UseError(
                f"--seeds takes numbers from 0 and rising ranges, given {text!r}; give them, as --seeds 0,1,4-6."
            )
        last = int(span[2] or span[1])
        if last - int(span[1]) + len(seeds) >= MOST or last >= LAST_SEED:
            raise UseError(
                f"--seeds: at most {MOST:,} seeds below 2^48, given {text!r}; give fewer, as --seeds 0,1,4-6."
            )
        seeds += range(int(span[1]), last + 1)
    return seeds


def parse_sheet(text: str) -> tuple[int, int]:
    """``8x12`` -> 8 columns, 12 rows."""
    size = re.fullmatch(r"(\d{1,3})[x×](\d{1,3})", text.strip())
    if not size or not int(size[1]) or not int(size[2]):
        raise UseError(
            f"--sheet takes COLUMNSxROWS, each from 1 to 999, given {text!r}; give it, as --sheet 8x12."
        )
    return int(size[1]), int(size[2])


def overlap(a: str, b: str) -> bool:
    """Whether two knobs are the same one, or one is a part of the other."""
    return a == b or a.startswith(f"{b}.") or b.startswith(f"{a}.")


def _check_sheet(model: Model, grid: tuple[int, int], cure: str = "") -> None:
    """Refuses a sheet that no viewer would open; ``cure`` is what to give where it is not --sheet."""
    side = max(max(model.card.shape[1:]), pictures.LEAST_SIDE)
    if grid[0] * grid[1] * side * side > MOST_PIXELS:
        most = math.isqrt(MOST_PIXELS) // side
        cure = (
            f"{cure}, or an .npz"
            if cure
            else (
                f"--sheet {most}x{most} or smaller (the rest goes to further sheets), an .npz or a folder"
            )
        )
        raise UseError(
            f"a sheet of {grid[0]} x {grid[1]} images is too large to look at; give {cure}."
        )


# ---------------------------------------------------------------------- writing
def _every_knob(model: Model, out: Path, fixed: dict[str, Any], seed: int) -> list[Path]:
    """``--sweep all``: one sheet, the rows are classes, each block of columns sweeps one slider."""
    names = [name for name in sheets.sliders(model) if name not in fixed]
    if not names:
        raise UseError(
            "--sweep all sweeps every slider, and this model has none left to turn; drop a --set, or train a model that has, as infogan."
        )
    if out.suffix.lower() == ".npz":
        raise UseError("--sweep all draws a sheet; give --out FILE.png or a folder.")
    path = out if out.suffix else out / "knobs.png"
    pictures.write_png(path, sheets.knobs_sheet(model, names, fixed=fixed, seed=seed))
    return [path]


def _sweep(
    model: Model,
    out: Path,
    sweeps: list[Sweep],
    fixed: dict[str, Any],
    seeds: list[int],
    n: int | None,
) -> list[Path]:
    """One sweep: rows are classes, or seeds. Two: the first along the rows, the second along the columns."""
    twice = {s.code for s in sweeps if any(overlap(s.code, name) for name in fixed)}
    if twice:
        raise UseError(
            f"{', '.join(sorted(twice))} is both set and swept; drop the --set or the --sweep."
        )
    if len(sweeps) > 2 or (len(sweeps) == 2 and overlap(sweeps[0].code, sweeps[1].code)):
        raise UseError(
            f"--sweep takes one code, or two different ones for rows and columns, given {', '.join(s.code for s in sweeps)}; give "
            f"each once, or --sweep all."
        )
    across = sweeps[-1]
    if n is not None and len(seeds) == 1:
        seeds = list(range(seeds[0], seeds[0] + n))
    high = len(sweeps[0].points) if len(sweeps) == 2 else max(len(seeds), sheets.MOST_ROWS)
    if high * len(across.points) > MOST:
        raise UseError(
            f"that would be {high * len(across.points):,} images; at most {MOST:,}. Sweep fewer values, as {across.code}=-1:1:9."
        )
    if out.suffix.lower() != ".npz":
        cure = f"fewer rows (--n) or columns (--sweep {across.code}=-1:1:9)"
        _check_sheet(model, (len(across.points), high), cure)
    if out.suffix.lower() == ".npz":
        return _write_npz(model, _swept_values(model, sweeps, fixed, seeds), out)
    if len(sweeps) == 2:
        down = sweeps[0]
        picture = sheets.two_way_sheet(
            model, (down.code, down.points), (across.code, across.points), fixed, seeds[0]
        )
    else:
        plain = n is None and len(seeds) == 1 and sheets.class_code(model) is None
        rows = list(range(seeds[0], seeds[0] + sheets.ROWS)) if plain else seeds
        picture = sheets.sweep_sheet(model, across.code, across.points, fixed, rows)
    path = out if out.suffix else out / f"sweep-{'-'.join(s.code for s in sweeps)}.png"
    pictures.write_png(path, picture)
    return [path]


def _swept_values(
    model: Model, sweeps: list[Sweep], fixed: dict[str, Any], seeds: list[int]
) -> Values:
    """The values of one sweep for each seed, or of two sweeps for the first seed, row by row."""
    across = sweeps[-1]
    rows = [seeds[0]] * len(sweeps[0].points) if len(sweeps) == 2 else seeds
    swept = dict(fixed) | {across.code: across.points.repeat(len(rows))}
    if len(sweeps) == 2:
        swept[sweeps[0].code] = sweeps[0].points.repeat_interleave(len(across.points))
    return model.values([seed for seed in rows for _ in across.points], **swept)


def _write_npz(model: Model, values: Values, out: Path) -> list[Path]:
    """``images`` (N, H, W, C) uint8, and every code under its name: (N,), or (N, d) where it is wide."""
    arrays = {"images": model.render(values).permute(0, 2, 3, 1).contiguous().numpy()}
    for name, value in values.items():
        narrow = value[:, 0] if value.dim() == 2 and value.shape[1] == 1 else value
        arrays[f"{name}_code" if name == "images" else name] = narrow.numpy()
    pictures.write(out, pictures.npz(arrays))
    return [out]


def _write_sheets(
    model: Model, values: Values, out: Path, grid: tuple[int, int] | None
) -> list[Path]:
    """Sheets of the size asked for, one file each; without a size, one sheet as square as it can be."""
    count = len(next(iter(values.values())))
    columns, rows = grid or (_columns(count), -(-count // _columns(count)))
    each, written = columns * rows, []
    for number, first in enumerate(range(0, count, each)):
        part = {name: value[first : first + each] for name, value in values.items()}
        path = out if out.suffix and count <= each else _numbered(out, number)
        pictures.write_png(path, pictures.sheet(model.render(part), columns))
        written.append(path)
    return written


def _columns(count: int) -> int:
    """The columns of a sheet as square as it can be."""
    return max(1, math.isqrt(count - 1) + 1)


def _numbered(out: Path, number: int) -> Path:
    if out.suffix:
        return out.with_name(f"{out.stem}-{number:03d}{out.suffix}")
    return out / f"sheet-{number:03d}.png"


def _write_singles(model: Model, values: Values, seeds: list[int], out: Path) -> list[Path]:
    """One PNG per seed, named after it, at the images' own size."""
    written = []
    for first in range(0, len(seeds), 1024):
        part = {name: value[first : first + 1024] for name, value in values.items()}
        for seed, image in zip(seeds[first:], model.render(part), strict=False):
            path = out / f"seed-{seed:06d}.png"
            pictures.write_png(path, pictures.picture(image))
            written.append(path)
    return written
