"""Images/s and memory as images, batches and data grow; a fresh process for every point.

``python -m gander.bench.growth TOLD`` is the process of one point.
"""

from __future__ import annotations

import json
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gander.bench import Request, Row, Say, clock, spread
from gander.errors import UseError

ABOUT = "images/s and memory at 28, 64 and 128 px, batch 32 to 1024, data of 10^4 to 10^7 images"
COSTS = "some ten minutes on a CPU"
PRESET = "infogan"
BACKBONES = {28: "dcgan", 64: "dcgan", 128: "resnet"}
BATCHES = (32, 128, 512, 1024)
AMOUNTS = (10_000, 100_000, 1_000_000, 10_000_000)
SIDE = 28
"""Of the images whose number grows, px."""
PLAIN_BATCH = 128
"""Of the points whose data grow."""
MADE_UP = 2_048
"""Images at each size."""
SECONDS = 2.0
"""Of a chunk."""
CHUNKS = 3
PATIENCE = 120.0
"""Seconds for one point, from the start of its process; for one whose bytes are all read, three times as many."""
MEMORY = 8 << 30
"""Bytes a process on a CPU may hold."""
CLASSES = 10
WARM_UP_STEPS = 2
RULES = (
    "Each point is a process of its own that trains `{preset}` on made-up gray images: {steps} steps that are not counted, then {chunks} chunks of "
    "{seconds:g} s and at least a step. Images/s counts real images through the critic's step. Memory is the peak of the whole process (what "
    "the system calls the maximum resident set), Python and PyTorch included, in MB of 10^6 bytes; on a GPU what PyTorch held there at most stands beside it. A point that would hold "
    "more than {memory:.0f} GB or take more than {patience:g} s is left out, and larger batches of its size with it. The data that grow are uncompressed IDX "
    "files with labels beside them, {side} px, without contents on disk (a sparse file), so that reading them costs the system's work and not the disk's. "
    "`load` is from the start of the process to networks that are ready, `order` the first step, which shuffles all images, and `hash` reading every byte for the "
    "fingerprint, which `gander train` does once when a run begins."
)


@dataclass(frozen=True)
class Point:
    """What one process trains, and on what."""

    source: str
    backbone: str
    size: int
    batch: int
    seconds: float
    preset: str = PRESET
    device: str | None = None
    precision: str = "auto"
    threads: int = 0
    images: int = MADE_UP
    hashed: bool = False
    """Whether to read every byte for the fingerprint as well."""


def measure(request: Request, say: Say) -> dict[str, Any]:
    """Sizes times batches, then amounts of data."""
    preset = next(iter(request.presets), PRESET)
    seconds = request.seconds or SECONDS
    plain = Point(
        source="",
        backbone="",
        size=0,
        batch=PLAIN_BATCH,
        seconds=seconds,
        preset=preset,
        device=request.device,
        precision=request.precision,
        threads=request.threads,
    )
    batches = BATCHES if request.batch is None else (request.batch,)
    sizes = request.sizes or tuple(BACKBONES)
    with tempfile.TemporaryDirectory(prefix="gander-bench-") as folder:
        grown = [
            point
            for size in sizes
            for point in _of_size(replace(plain, size=size), batches, Path(folder), say)
        ]
        amounts = [n for n in AMOUNTS if request.images is None or n <= request.images]
        data = [_of_data(plain, count, Path(folder), say) for count in amounts]
    said = RULES.format(
        preset=preset,
        steps=WARM_UP_STEPS,
        chunks=CHUNKS,
        seconds=seconds,
        memory=MEMORY / 1e9,
        patience=PATIENCE,
        side=SIDE,
    )
    return {"rules": said, "preset": preset, "points": grown, "data": data, "flat": flat(data)}


def _of_size(
    plain: Point, batches: tuple[int, ...], folder: Path, say: Say
) -> list[dict[str, Any]]:
    """The batches of one size, until one is too much for this machine."""
    found: list[dict[str, Any]] = []
    backbone = BACKBONES.get(plain.size) or _serving(plain.size)
    source = made_up(folder / f"{plain.size}", max(MADE_UP, *batches), plain.size)
    why = ""
    for batch in sorted(batches):
        point = replace(plain, source=str(source), backbone=backbone, batch=batch)
        say(f"growth: {plain.size} px, {backbone}, batch {batch}")
        said = {"size": plain.size, "backbone": backbone, "batch": batch}
        answer = {"left_out": why} if why else one_point(point)
        why = why or answer.get("left_out", "")
        found.append(said | answer)
    return found


def _serving(size: int) -> str:
    """The first backbone that serves images of that size. Raises ``UseError``."""
    from gander import backbones

    for name in ("dcgan", *backbones.names()):
        low, high = backbones.find(name).SIZES
        if low <= size <= high:
            return name
    raise UseError(f"growth: no backbone serves images of {size} px; see gander list backbones.")


def _of_data(plain: Point, count: int, folder: Path, say: Say) -> dict[str, Any]:
    """One amount of data."""
    say(f"growth: {count:,} images")
    place = folder / f"n{count}"
    source = made_up(place, count, SIDE, empty=True)
    point = replace(plain, source=str(source), backbone="dcgan", size=SIDE, hashed=True)
    answer = one_point(replace(point, images=count))
    for file in place.iterdir():
        file.unlink()
    return {"images": count} | answer


def flat(data: list[dict[str, Any]]) -> dict[str, Any] | None:
    """How many bytes of memory each further image takes, from the least to the largest amount that was measured."""
    done = [one for one in data if "peak_mb" in one]
    if len(done) < 2:
        return None
    few, many = done[0], done[-1]
    more = (many["peak_mb"] - few["peak_mb"]) * 1e6 / (many["images"] - few["images"])
    return {
        "from": few["images"],
        "to": many["images"],
        "bytes_an_image": round(more, 1),
        "bytes_of_an_image": SIDE * SIDE,
    }


def made_up(folder: Path, count: int, size: int, empty: bool = False) -> Path:
    """An IDX file of that many images of noise, or of nothing at all, with labels beside it."""
    import numpy as np

    from gander import rng

    folder.mkdir(parents=True, exist_ok=True)
    images = folder / "made-images-idx3-ubyte"
    with images.open("wb") as file:
        file.write(struct.pack(">HBB3I", 0, 8, 3, count, size, size))
        if empty:
            file.truncate(file.tell() + count * size * size)
        else:
            for row in range(count):
                words = rng.raw(0, f"bench/{size}", row, 1, -(-size * size // 8))
                file.write(words.tobytes()[: size * size])
    with (folder / "made-labels-idx1-ubyte").open("wb") as file:
        file.write(struct.pack(">HBBI", 0, 8, 1, count))
        file.write((np.arange(count) % CLASSES).astype(np.uint8).tobytes())
    return images


def one_point(point: Point) -> dict[str, Any]:
    """What the process of one point found, or why it found nothing."""
    words = [sys.executable, "-m", "gander.bench.growth"]
    patience = 3 * PATIENCE if point.hashed else PATIENCE
    told = json.dumps(asdict(point) | {"began": time.monotonic()})
    try:
        done = subprocess.run(
            [*words, told], capture_output=True, text=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        return {"left_out": f"it took more than {patience:g} s"}
    try:
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"left_out": _last_words(done.stderr)}
    return answer


def _last_words(text: str) -> str:
    """Why a process ended, in one line."""
    lines = text.strip().splitlines()
    if any("memory" in line.lower() for line in lines[-3:]) or not lines:
        return f"it needs more than {MEMORY / 1e9:.0f} GB of memory"
    return f"it ended early: {lines[-1]}"


def rows(measured: Mapping[str, Any]) -> Iterable[Row]:
    """A line for each point, then how flat memory is."""
    for point in measured["points"]:
        what = f"{point['size']} px, {point['backbone']}, batch {point['batch']}"
        yield _row(what, point)
    for point in measured["data"]:
        times = ""
        if "load_seconds" in point:
            times = (
                f"; load {point['load_seconds']:.1f} s, order {point['first_step_seconds']:.1f} s, "
                f"hash {point['hash_seconds']:.1f} s"
            )
        yield _row(f"{point['images']:,} images", point, times)
    if measured["flat"]:
        one = measured["flat"]
        yield Row(
            "memory for each further image",
            f"{one['bytes_an_image']:.0f} bytes",
            "",
            f"from {one['from']:,} to {one['to']:,} images of {one['bytes_of_an_image']} bytes",
        )


def _row(what: str, point: Mapping[str, Any], more: str = "") -> Row:
    if "left_out" in point:
        return Row(what, "-", "", point["left_out"])
    found = point["images_per_second"]
    middle = f"{found['min']:,.0f} to {found['max']:,.0f}, n {found['n']}"
    gpu = f", GPU {point['gpu_peak_mb']:,.0f} MB" if "gpu_peak_mb" in point else ""
    return Row(
        what, f"{found['median']:,.0f} images/s", middle, f"{point['peak_mb']:,.0f} MB{gpu}{more}"
    )


# ---------------------------------------------------------------------- the process of one point
def grow(point: Point, began: float) -> dict[str, Any]:
    """One point: loaded, shuffled, trained for some chunks."""
    import torch

    from gander import engine
    from gander.plan import configured, make_plan
    from gander.players import make_players
    from gander.stepping import step
    from gander.tally import Tally

    device = engine.find_device(point.device)
    if device.type == "cpu":  # a GPU's driver lays out more than it holds
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    settings = {"backbone": point.backbone, "batch": point.batch, "precision": point.precision}
    words = [f"{key}={value}" for key, value in settings.items()] + [f"threads={point.threads}"]
    plan = make_plan(
        configured(point.preset, words, data=point.source, images=10**12), point.device
    )
    players, tally = make_players(plan), Tally()

    def play() -> int:
        before = players.images_seen
        step(plan, players, tally)
        return players.images_seen - before

    load = time.monotonic() - began
    first = clock.chunk(play, 0.0, device)
    clock.chunk(play, 0.0, device, WARM_UP_STEPS - 1)
    rates = [clock.chunk(play, point.seconds, device).rate for _ in range(CHUNKS)]
    found: dict[str, Any] = {
        "images_per_second": spread(rates),
        "load_seconds": round(load, 2),
        "first_step_seconds": round(first.seconds, 2),
    }
    if point.hashed:
        begun = time.monotonic()
        found["fingerprint"] = plan.images.fingerprint[:16]
        found["hash_seconds"] = round(time.monotonic() - begun, 2)
    if device.type == "cuda":
        found["gpu_peak_mb"] = round(torch.cuda.max_memory_reserved(device) / 1e6, 1)
    return found | {"peak_mb": round(peak() / 1e6, 1), "machine": plan.machine.description}


def peak() -> int:
    """Bytes of memory this process held at most."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main(told: str) -> None:
    """One point; its last line of output is what it found."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this process ends it
    asked = json.loads(told)
    began = asked.pop("began")
    try:
        answer = grow(Point(**asked), began)
    except (UseError, MemoryError) as why:
        answer = {"left_out": str(why) or f"it needs more than {MEMORY / 1e9:.0f} GB of memory"}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
