"""How a run learned, as a film of the grids it kept in RUN/samples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from gander import images as pictures
from gander import outputs, reels, runs
from gander.errors import RunError, UseError

GRID = re.compile(r"(.+)-(\d{9,})\.png")
SECONDS = 0.7  # that a grid is shown
HELD = 4  # times as long for the last
LETTER = 14  # pixels
LONGEST = 60.0  # seconds a grid may be shown
MOST_SIDE = 8192


@dataclass(frozen=True)
class Grid:
    """One sheet a run kept: the images seen by then, its file and its size."""

    images_seen: int
    path: Path
    size: tuple[int, int]
    mode: str


def chronicle(
    run: str | Path,
    out: str | Path,
    *,
    grids: str = "images",
    seconds: float | None = None,
    fps: float | None = None,
    once: bool = False,
) -> Path:
    """Plays the grids of a run in order, the last for longer; returns the file. ``fps`` is of an .mp4. Raises ``UseError``."""
    path = Path(out)
    ending = reels.check_ending(path)
    outputs.check(path)
    rate = reels.find_rate(fps, ending)
    shown = SECONDS if seconds is None else seconds
    if not 1 / rate <= shown <= LONGEST:
        raise UseError(
            f"--seconds that a grid is shown: from {1 / rate:.2g} to {LONGEST:g}, given {shown:g}."
        )
    kept = find(runs.open_run(run).samples, grids)
    width, height = (max(grid.size[k] for grid in kept) for k in (0, 1))
    times = [shown] * (len(kept) - 1) + [HELD * shown]
    count = round(sum(times) * rate) if ending == ".mp4" else len(kept)
    reels.check_size(path, (width, height + 2 * LETTER), count, "an .mp4")
    reels.write_reel(path, _frames(kept, (width, height)), times, rate, loop=not once)
    return path


def find(folder: Path, name: str) -> list[Grid]:
    """The grids of one name in the order they were drawn, at least two. Raises ``RunError``."""
    there: dict[str, list[Grid]] = {}
    for path in sorted(folder.glob("*.png")) if folder.is_dir() else []:
        match = GRID.fullmatch(path.name)
        if match and path.is_file():
            grid = Grid(int(match[2]), path, (1, 1), "L")
            there.setdefault(match[1], []).append(grid)
    kept = sorted(there.get(name, []), key=lambda grid: grid.images_seen)
    if len(kept) < 2:
        rich = sorted(n for n, grids in there.items() if len(grids) > 1)
        valid = (
            f"this run has {', '.join(rich)}"
            if rich
            else "this run has none of which two were kept"
        )
        raise RunError(
            f"--progress {name}: a film needs two grids or more, and {folder} has {len(kept)} of that name; "
            f"{valid}. A grid is kept every report.sample_images images of training."
        )
    return [_measured(grid) for grid in kept]


def _measured(grid: Grid) -> Grid:
    """The grid with what its header says, which is checked before anything is decoded."""
    try:
        with Image.open(grid.path, formats=["PNG"]) as file:
            size, mode = file.size, file.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RunError(f"{grid.path} cannot be read as a picture: {error}") from None
    if max(size) > MOST_SIDE:
        raise RunError(f"{grid.path} is {size[0]:,} x {size[1]:,} pixels; at most {MOST_SIDE:,}.")
    return Grid(grid.images_seen, grid.path, size, mode)


def _frames(grids: Sequence[Grid], size: tuple[int, int]) -> Iterator[Image.Image]:
    """Each grid at the right lower corner, where the images of sheets with other headings are too."""
    mode = "L" if all(grid.mode in ("L", "1") for grid in grids) else "RGB"
    for grid in grids:
        try:
            with Image.open(grid.path, formats=["PNG"]) as file:
                picture = reels.opaque(file.convert("RGBA" if "A" in file.mode else mode))
        except (OSError, SyntaxError, ValueError) as error:  # how Pillow says that a PNG is broken
            raise RunError(f"{grid.path} cannot be read as a picture: {error}") from None
        paper = Image.new(mode, size, (pictures.PAPER,) * len(mode))
        paper.paste(picture, (size[0] - picture.width, size[1] - picture.height))
        yield pictures.captioned(paper, f"{grid.images_seen:,} images seen", LETTER)
