"""Reels: pictures one after the other in one file that plays: .gif, .webp, .png (an animated PNG) or .mp4.

A .gif of gray pictures, a .webp and a .png hold the very pixels, and the same pictures always make the same bytes. A .gif of
colours has one palette for the whole film, without dithering, so that what stands still does not flicker.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path

from PIL import Image

from gander.errors import UseError, choose
from gander.images import PAPER, write

ENDINGS = (".gif", ".mp4", ".webp", ".png")
RATES = {".gif": 20, ".mp4": 25, ".webp": 25, ".png": 25}
"""Frames a second where none are asked for; a .gif counts in hundredths of a second."""
FASTEST = {".gif": 50, ".mp4": 60, ".webp": 60, ".png": 60}
"""Browsers slow a .gif down that asks for more."""
MOST_HELD = (
    1 << 27
)  # pixels of all frames together, of a film that is held in memory as it is written
MOST_STREAMED = 1 << 32  # of an .mp4, which is written frame by frame
LARGEST_SIDE = {".gif": 8192, ".mp4": 4096, ".webp": 8192, ".png": 8192}
SAMPLED = 24  # pictures that a palette is chosen from
QUALITY = {"crf": "16", "preset": "medium"}


def check_ending(path: Path) -> str:
    """The ending of a film's file, if there is a way to write it."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise UseError(
            f"--film {path}: {choose(ending or path.name, ENDINGS, 'kind of film')}"
            f" Give FILE.gif, FILE.mp4, FILE.webp or FILE.png (an animated PNG)."
        )
    if ending == ".mp4":
        _video_library()
    return ending


def find_rate(asked: float | None, ending: str) -> float:
    """Frames a second, if a file with that ending can have them."""
    rate, most = float(RATES[ending] if asked is None else asked), FASTEST[ending]
    if not 1 <= rate <= most:
        raise UseError(
            f"--fps is from 1 to {most} for a {ending}, given {rate:g}; give it so, as --fps 20."
        )
    return rate


def check_size(path: Path, size: tuple[int, int], frames: int, do: str) -> None:
    """Refuses a film that would not fit; ``do`` says what makes it smaller."""
    ending = path.suffix.lower()
    side, most = LARGEST_SIDE[ending], MOST_STREAMED if ending == ".mp4" else MOST_HELD
    pixels = size[0] * size[1] * frames
    if max(size) > side or pixels > most:
        limit = (
            f"{pixels:,} pixels, and {ending} may have {most:,}"
            if pixels > most
            else f"and a side may have {side:,}"
        )
        more = ", or an .mp4" if ending != ".mp4" and pixels > most else ""
        raise UseError(
            f"a film of {frames:,} frames of {size[0]:,} x {size[1]:,} pixels is too large ({limit}); "
            f"give {do}{more}."
        )


def write_reel(
    path: Path,
    frames: Iterable[Image.Image],
    seconds: Sequence[float],
    rate: float,
    *,
    loop: bool = True,
) -> None:
    """Writes pictures of one size and mode, each shown for its ``seconds``, whole or not at all.

    ``loop`` plays it over and over, where the kind of file can say so; ``rate`` is the frames a second of an .mp4,
    which repeats what is shown for longer. Raises ``UseError``.
    """
    save = {".gif": _gif, ".webp": _webp, ".png": _apng}.get(path.suffix.lower())
    if save is None:
        write(path, _mp4(frames, _ticks(seconds, rate), rate))
    else:
        write(path, save(iter(frames), list(seconds), loop))


def _ticks(seconds: Sequence[float], per_second: float) -> list[int]:
    """Durations in whole ticks whose sum never strays from the true one by more than half a tick."""
    passed, edges = 0.0, [0]
    for each in seconds:
        passed += each
        edges.append(round(passed * per_second))
    return [last - first for first, last in pairwise(edges)]


def _saved(kind: str, frames: Iterator[Image.Image], **how: object) -> bytes:
    buffer = io.BytesIO()
    first = next(frames)
    first.save(buffer, kind, save_all=True, append_images=list(frames), **how)
    return buffer.getvalue()


# ---------------------------------------------------------------------- pictures that move
def _gif(frames: Iterator[Image.Image], seconds: list[float], loop: bool) -> bytes:
    durations = [10 * tick for tick in _ticks(seconds, 100)]
    flat: Iterator[Image.Image] = map(opaque, frames)
    how: dict[str, object] = {"duration": durations, "disposal": 1, "optimize": False}
    how |= {"loop": 0} if loop else {}
    pictures = list(flat)
    if pictures[0].mode != "L":
        palette = _palette(pictures)
        for i, picture in enumerate(pictures):
            pictures[i] = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    return _saved("GIF", iter(pictures), **how)


def _palette(pictures: Sequence[Image.Image]) -> Image.Image:
    """The 255 colours that suit a whole film (one is left to mean: as before)."""
    step = max(1, len(pictures) // SAMPLED)
    chosen = pictures[::step]
    width, height = chosen[0].size
    strip = Image.new("RGB", (width, height * len(chosen)))
    for i, picture in enumerate(chosen):
        strip.paste(picture, (0, i * height))
    return strip.quantize(255, method=Image.Quantize.MEDIANCUT, kmeans=1)


def _webp(frames: Iterator[Image.Image], seconds: list[float], loop: bool) -> bytes:
    coloured = (f.convert("RGBA" if f.mode in ("LA", "RGBA") else "RGB") for f in frames)
    durations = _ticks(seconds, 1000)
    # An exact film: without loss, and what is see-through keeps its colour.
    return _saved(
        "WEBP",
        coloured,
        duration=durations,
        loop=0 if loop else 1,
        lossless=True,
        quality=40,
        method=2,
        exact=True,
    )


def _apng(frames: Iterator[Image.Image], seconds: list[float], loop: bool) -> bytes:
    durations = _ticks(seconds, 1000)
    return _saved("PNG", frames, duration=durations, loop=0 if loop else 1, compress_level=6)


def opaque(picture: Image.Image) -> Image.Image:
    """A picture on white paper where it is see-through."""
    if picture.mode not in ("LA", "RGBA"):
        return picture
    plain = Image.new(picture.mode[:-1], picture.size, (PAPER,) * (len(picture.mode) - 1))
    plain.paste(picture.convert(picture.mode[:-1]), mask=picture.getchannel("A"))
    return plain


# ---------------------------------------------------------------------- video
def _video_library() -> None:
    """Refuses what cannot be written, before anything is drawn."""
    try:
        import av
    except ImportError:
        raise UseError(
            "an .mp4 film needs av: pip install 'gander[film]'; or give FILE.gif or FILE.webp, which need nothing."
        ) from None
    if "libx264" not in av.codecs_available:
        raise UseError(
            "this installation of av cannot write H.264 (it has no libx264); give FILE.gif or FILE.webp."
        )


def _mp4(frames: Iterable[Image.Image], repeats: Sequence[int], rate: float) -> bytes:
    """H.264 in 4:2:0, which every player knows; sides are made even by repeating the last row and column."""
    import av

    shown = iter(frames)
    first = next(shown)
    size = (first.width + first.width % 2, first.height + first.height % 2)
    with tempfile.TemporaryDirectory(prefix="gander-film-") as folder:
        file = Path(folder) / "film.mp4"
        try:
            with av.open(str(file), "w", options={"movflags": "+faststart"}) as container:
                stream = container.add_stream(
                    "libx264", rate=Fraction(rate).limit_denominator(1000)
                )
                stream.width, stream.height = size
                stream.pix_fmt = "yuv420p"
                stream.options = QUALITY
                stream.thread_count = 1  # the same bytes whatever the machine has
                for picture, count in zip(chain([first], shown), repeats, strict=True):
                    even = _even(opaque(picture).convert("RGB"), size)
                    for _ in range(count):
                        container.mux(stream.encode(av.VideoFrame.from_image(even)))
                container.mux(stream.encode())
        except av.FFmpegError as error:
            raise UseError(
                f"av could not encode this film: {error}; give FILE.gif or FILE.webp."
            ) from None
        return file.read_bytes()


def _even(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    if picture.size == size:
        return picture
    larger = Image.new("RGB", size)
    for x in (size[0] - picture.width, 0):
        for y in (size[1] - picture.height, 0):
            larger.paste(picture, (x, y))
    return larger
