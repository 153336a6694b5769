"""Images a second of presets, sizes and precisions."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gander.bench import Request, Row, Say, clock, in_threads, playing, spread
from gander.errors import ConfigError

ABOUT = "images/s of presets at several sizes, in fp32 and bf16"
PRESETS = ("infogan", "cgan", "gan")
SIZES = (28, 64)
PRECISIONS = ("fp32", "bf16")
SECONDS = 0.7
"""Of a chunk."""
CHUNKS = 3
IMAGES = 2048
"""Of the data that are used: speed does not depend on how many there are, and resizing them all would take long."""
RULES = (
    "Each point trains fresh networks for a warm-up and then in chunks one after another; images/s counts real images that went "
    "through the critic's step. Counted: picking images, drawing codes, every player's step, the moving average. Not counted: starting, "
    "resizing the data, the warm-up, log lines, pictures and saved states."
)


def measure(request: Request, say: Say) -> dict[str, Any]:
    """Every preset at every size in both precisions; what this machine cannot do says why."""
    from gander import engine

    presets, sizes = request.presets or PRESETS, request.sizes or SIZES
    precisions = PRECISIONS if request.precision == "auto" else (request.precision,)
    seconds = request.seconds or SECONDS
    points: list[dict[str, Any]] = []
    for size in sizes:
        with sample(request, size) as source:
            for preset in presets:
                for precision in precisions:
                    point = {"preset": preset, "size": size, "precision": precision}
                    say(f"throughput: {preset}, {size} px, {precision}")
                    place = engine.find_device(request.device)
                    if precision == "bf16" and not engine.has_bf16(place):
                        why = "this processor has no bf16 arithmetic of its own"
                        points.append(point | {"left_out": why})
                        continue
                    points.append(point | _point(point, request, source, seconds))
    return {"rules": RULES, "seconds_of_a_chunk": seconds, "points": points}


def _point(
    point: Mapping[str, Any], request: Request, source: str, seconds: float
) -> dict[str, Any]:
    """One preset at one size and precision: its chunks, or why there are none."""
    try:
        ready = playing.preset(
            point["preset"], request, source, size=point["size"], precision=point["precision"]
        )
    except ConfigError as why:  # a backbone has the sizes it has
        return {"left_out": str(why)}
    warm = clock.warm_up(ready.step, seconds, ready.device)
    rates = [clock.chunk(ready.step, seconds, ready.device).rate for _ in range(CHUNKS)]
    said = {k: ready.about[k] for k in ("backbone", "batch", "channels", "device", "threads")}
    ready.close()
    del ready
    gc.collect()  # the networks of one point are gone before the next begins
    return said | {"warm_up_seconds": round(warm.seconds, 2), "images_per_second": spread(rates)}


@contextmanager
def sample(request: Request, size: int) -> Iterator[str]:
    """A source with the first images of the data at that size, for as long as it is needed."""
    import numpy as np

    from gander import data, images
    from gander.data.reading.pixels import resized

    some = data.load(request.data, limit=max(request.images or IMAGES, request.batch or 0))
    pictures = some.images if some.shape[1:] == (size, size) else resized(some.images, size)
    arrays: dict[str, np.ndarray] = {"images": pictures.permute(0, 2, 3, 1).contiguous().numpy()}
    if some.label is not None:
        arrays["label"] = some.columns[some.label].values.numpy()
    with tempfile.TemporaryDirectory(prefix="gander-bench-") as folder:
        path = Path(folder) / "sample.npz"
        images.write(path, images.npz(arrays))
        yield str(path)


def rows(measured: Mapping[str, Any]) -> Iterable[Row]:
    """A line for each point."""
    for point in measured["points"]:
        what = f"{point['preset']}, {point['size']} px, {point['precision']}"
        if "left_out" in point:
            yield Row(what, "-", "", point["left_out"])
            continue
        found = point["images_per_second"]
        threads = f", {in_threads(point['threads'])}" if point["device"] == "cpu" else ""
        remark = f"{point['backbone']}, batch {point['batch']}, {point['device']}{threads}"
        middle = f"{found['min']:,.0f} to {found['max']:,.0f}, n {found['n']}"
        yield Row(what, f"{found['median']:,.0f} images/s", middle, remark)
