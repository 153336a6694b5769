"""How fast streamed images come, alone and with training, and what a set of ten million takes of memory.

    GANDER_DATA=… python benchmarks/streams.py --out benchmarks/results/streams.json
    python benchmarks/streams.py --table --out benchmarks/results/streams.json

The same images come from memory, from shards in a folder, and from shards behind a server on this machine (once with an empty cache, once with a full one). Alone, batches
are taken as fast as they come; with training, the speed is that of a preset's lines in ``log.jsonl`` after the first, on one thread. All ways are taken in turns, so that a busy neighbour slows all
of them. The large sets are simulated: their shards are links to one file, their index is as long as they are.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

BATCH, BATCHES = 64, 150
IMAGES = 12_000  # of a training run
SIZES = {"28 px gray": (1, 28), "64 px RGB": (3, 64), "128 px RGB": (3, 128)}
MANY = (10**5, 10**6, 10**7)
EACH = 10_000


class Quiet(SimpleHTTPRequestHandler):
    """A folder over HTTP."""

    def log_message(self, *_):
        pass


def served(folder: Path) -> tuple[ThreadingHTTPServer, str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}/shards.json"


def pictures(channels: int, side: int, count: int) -> np.ndarray:
    """Smooth pictures with a little noise: they pack as photographs do, and not as noise."""
    dice = np.random.default_rng(0)
    grid = np.linspace(0, 3, side)
    found = np.empty((count, side, side, channels), np.uint8)
    for one in found:
        waves = [
            np.outer(np.sin(grid * a + b), np.cos(grid * c + d))
            for a, b, c, d in dice.uniform(0, 4, (channels, 4))
        ]
        one[:] = np.stack(waves, -1) * 100 + 128 + dice.normal(0, 2, one.shape)
    return found


# ---------------------------------------------------------------------- alone
def alone(data, batches: int) -> float:
    """Images a second of a set, as training takes them."""
    from gander.batches import order
    from gander.data.reading.streamed import Streamed

    images, begun = data.images, time.perf_counter()
    for number in range(batches):
        if isinstance(images, Streamed):
            images.next_batch(0, number * BATCH, BATCH, BATCH)
        else:
            images[order(0, number * BATCH, BATCH, len(images))]
    passed = time.perf_counter() - begun
    if isinstance(images, Streamed):
        images.close()
    return batches * BATCH / passed


def loaders(folder: Path, rounds: int) -> dict:
    from gander import data, packing

    found = {}
    for name, (channels, side) in SIZES.items():
        count = 6_000 if side < 100 else 2_000
        source = folder / f"{side}.npy"
        np.save(source, pictures(channels, side, count))
        packing.pack(str(source), folder / f"{side}", size=side, each=500, tell=lambda _: None)
        shards = sum(p.stat().st_size for p in (folder / f"{side}").glob("train-*.tar"))
        server, url = served(folder / f"{side}")
        kept = data.load(str(source), size=side)
        speeds: dict[str, list[float]] = {}
        for _ in range(rounds):
            ways = {
                "memory": lambda kept=kept: kept,
                "shards": lambda side=side: data.load(str(folder / f"{side}")),
                "server, empty cache": lambda url=url: emptied(url),
                "server, full cache": lambda url=url: data.load(url),
            }
            for way, of in ways.items():
                speeds.setdefault(way, []).append(round(alone(of(), BATCHES), 1))
        server.shutdown()
        server.server_close()
        bytes_each = round(shards / len(data.load(str(folder / f"{side}"))))
        found[name] = {"images_per_second": speeds, "bytes_of_an_image_in_its_shard": bytes_each}
        print(name, {way: statistics.median(s) for way, s in speeds.items()}, flush=True)
    return found


def emptied(url: str):
    from gander import data
    from gander.data.reading.places import cache_folder

    shutil.rmtree(cache_folder() / "shards", ignore_errors=True)
    return data.load(url)


# ---------------------------------------------------------------------- with training
def trained(preset: str, source: str, folder: Path) -> float:
    out = folder / f"run-{time.monotonic_ns()}"
    words = ["train", preset, "--data", source, "--images", str(IMAGES), "--out", str(out)]
    words += ["--quiet", "--set", "threads=1", "tensorboard=false", "log_images=2000"]
    subprocess.run([sys.executable, "-m", "gander", *words], check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return statistics.median(line["images_per_second"] for line in lines[1:])


def training(folder: Path, rounds: int) -> dict:
    from gander import packing

    packing.pack("mnist", folder / "mnist", tell=lambda _: None)
    server, url = served(folder / "mnist")
    found = {}
    for preset in ("infogan", "cgan"):
        speeds: dict[str, list[float]] = {}
        for _ in range(rounds):
            for way, source in (
                ("memory", "mnist"),
                ("shards", str(folder / "mnist")),
                ("server", url),
            ):
                speeds.setdefault(way, []).append(trained(preset, source, folder))
        ratios = {
            way: [round(a / b, 3) for a, b in zip(s, speeds["memory"], strict=True)]
            for way, s in speeds.items()
        }
        found[preset] = {"images_per_second": speeds, "ratio": ratios}
        print(preset, {way: statistics.median(r) for way, r in ratios.items()}, flush=True)
    server.shutdown()
    server.server_close()
    return found


# ---------------------------------------------------------------------- memory
def simulated(folder: Path, count: int) -> Path:
    """A set of so many images whose shards are links to one file of 10,000."""
    from gander import packing

    one = folder / "one"
    if not one.exists():
        np.savez(
            folder / "one.npz",
            images=pictures(1, 28, EACH),
            label=np.arange(EACH) % 10,
        )
        packing.pack(f"{folder / 'one.npz'}:all", one, each=EACH, tell=lambda _: None)
    made, said = folder / f"many-{count}", json.loads((one / "shards.json").read_text())
    (made / "index").mkdir(parents=True)
    split, times = said["splits"].pop("all"), count // EACH
    (shard,) = split["shards"]
    for number in range(times):
        os.link(one / shard["file"], made / f"train-{number:06d}.tar")
    split["shards"] = [shard | {"file": f"train-{n:06d}.tar"} for n in range(times)]
    split["images"] = count
    for file in split["index"]:
        array = np.load(one / file["file"])
        path = made / file["file"]
        long = np.lib.format.open_memmap(path, "w+", array.dtype, (count, *array.shape[1:]))
        for number in range(times):
            long[number * EACH : (number + 1) * EACH] = array
        long.flush()
        file["bytes"] = path.stat().st_size
    (made / "shards.json").write_text(json.dumps(said | {"splits": {"train": split}}))
    return made


MEASURE = """
import json, resource, sys, time
from gander import engine, stepping
from gander.plan import configured, make_plan
from gander.players import make_players
from gander.tally import Tally
begun = time.monotonic()
settings = ["batch=64", "width=8", "threads=1", "tensorboard=false"]
plan = make_plan(configured("cgan", settings, data=sys.argv[1], images=10**9))
loaded = time.monotonic() - begun
players, tally = make_players(plan), Tally()
players.images_seen = int(sys.argv[2]) // 64 * 64  # somewhere in the middle
for _ in range(200):
    stepping.step(plan, players, tally)
said = dict(line.split(":") for line in open("/proc/self/status").read().splitlines())
kb = {name: int(said[name].split()[0]) for name in ("RssAnon", "RssFile", "VmHWM")}
plan.images.images.close()
print(json.dumps({"seconds_to_load": round(loaded, 2), "anonymous_mb": round(kb["RssAnon"] / 1e3, 1),
                  "mapped_files_mb": round(kb["RssFile"] / 1e3, 1), "peak_mb": round(kb["VmHWM"] / 1e3, 1)}))
"""


def memory(folder: Path) -> dict:
    """What a process that trains on so many images holds after 200 batches from the middle of an epoch."""
    found = {}
    for count in MANY:
        made = simulated(folder, count)
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(made), str(count // 2)],
            check=True,
            capture_output=True,
            text=True,
        )
        found[str(count)] = json.loads(done.stdout)
        print(count, found[str(count)], flush=True)
        shutil.rmtree(made)
    return found


# ---------------------------------------------------------------------- shown
def spread(numbers: list[float], digits: int = 0) -> str:
    middle, low, high = statistics.median(numbers), min(numbers), max(numbers)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def table(result: dict) -> str:
    ways = ("memory", "shards", "server, empty cache", "server, full cache")
    lines = [f"| images a second, alone | {' | '.join(ways)} | bytes an image in its shard |"]
    lines.append("|---" * (len(ways) + 2) + "|")
    for name, one in result["alone"].items():
        cells = [spread(one["images_per_second"][way]) for way in ways]
        lines.append(
            f"| {name} | {' | '.join(cells)} | {one['bytes_of_an_image_in_its_shard']:,} |"
        )
    lines += ["", "| training, to the same from memory | shards | server |", "|---|---|---|"]
    for preset, one in result["training"].items():
        cells = [spread(one["ratio"][way], 2) for way in ("shards", "server")]
        speed = spread(one["images_per_second"]["memory"])
        lines.append(
            f"| `{preset}`, mnist, {speed} images a second from memory | {' | '.join(cells)} |"
        )
    lines += [
        "",
        "| images | memory of its own, MB | mapped files, MB | most at any time, MB | seconds until it is loaded |",
        "|---|---|---|---|---|",
    ]
    for count, one in result["memory"].items():
        lines.append(
            f"| {int(count):,} | {one['anonymous_mb']:,.0f} | {one['mapped_files_mb']:,.0f} | {one['peak_mb']:,.0f} | {one['seconds_to_load']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    if asked.table:
        print(table(json.loads(asked.out.read_text())))
        return
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["GANDER_CACHE"] = str(folder / "cache")
        result = {
            "command": f"python benchmarks/streams.py --rounds {asked.rounds}",
            "cores": os.cpu_count(),
            "batch": BATCH,
            "alone": loaders(folder, asked.rounds),
            "memory": memory(folder),
            "training": training(folder, asked.rounds),
        }
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
