"""What a 128 px model costs, counted and measured, and what that means on many GPUs: results/scale.json and the tables of docs/scale.md.

    PYTHONPATH=src python benchmarks/scale.py                    # counts and measures on one thread: some four minutes
    PYTHONPATH=src python benchmarks/scale.py --measure-step     # on a machine with a GPU: adds the time of a step to the record
    PYTHONPATH=src python benchmarks/scale.py --render           # the tables anew from the record
    PYTHONPATH=src python benchmarks/scale.py --check            # whether the page is as the record makes it

Counts come from gander's own step, on a few made-up images: arithmetic and memory traffic by operation, and every message to the other
processes, of which one is played with a group that writes down what it would have sent. With ``--measure-step`` the arithmetic's time is the
GPU's own and no longer derived. That needs PyTorch, numpy and this checkout; the first form also Pillow and scikit-learn.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import scaling
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gander import engine
from gander.bench import SCHEMA, bound, clock, spread
from gander.bench.facts import busy, facts
from gander.data import Column, Data
from gander.plan import Plan, configured, make_plan
from gander.players import Players, make_players, model_of, save, state
from gander.ranks import ALONE, Group
from gander.stepping import Steps, step
from gander.tally import Tally

HERE = Path(__file__).resolve().parent
RECORD, PAGE = HERE / "results" / "scale.json", HERE.parent / "docs" / "scale.md"
PRESET, BACKBONE, SIDE, CLASSES = "acgan-infogan", "resnet", 128, 10
BATCHES = (8, 16, 32, 64, 128, 256, 512)
ROUNDS, CHUNKS = 9, 5
CROPS = 48
QUALITY = 90
"""Of the JPEG files."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ---------------------------------------------------------------------- the game
def made_up(count: int, side: int = SIDE) -> Data:
    """Noise in colour, and classes."""
    images = np.random.default_rng(0).integers(0, 256, (count, 3, side, side), dtype=np.uint8)
    labels = torch.arange(count) % CLASSES
    column = Column("class", "categorical", labels, tuple(map(str, range(CLASSES))))
    made = torch.from_numpy(images)
    return Data("noise", "noise", "train", made, {"class": column}, "class", ("made up",))


def planned(data: Data, *settings: str, device: str = "cpu", group: Group = ALONE) -> Plan:
    """The model of the page; so long a run that no rate decays while it is looked at."""
    words = [f"backbone={BACKBONE}", *settings]
    return make_plan(configured(PRESET, words, images=10**9, seed=0), device, data, group)


@dataclass(frozen=True)
class Listening(Group):
    """A group of which the others say nothing: it writes down what it would send them, as (sort, bytes)."""

    heard: list[tuple[str, int]] = field(default_factory=list)
    averaging: list[bool] = field(default_factory=list)

    def add(self, tensor: Tensor) -> None:
        whole = tensor.dim() == 2 and tensor.shape[0] == self.size
        sort = "gradients" if self.averaging else "statistics" if whole else "numbers"
        self.heard.append((sort, tensor.nbytes))


class Overheard(engine.Engine):
    """An engine that tells its group when gradients are averaged, and a watcher when a walk back is done."""

    done: Callable[[], None] | None = None

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        if self.done is not None:
            self.done()
        if isinstance(self.group, Listening):
            self.group.averaging.append(True)
            super().average(parameters)
            self.group.averaging.clear()


def overheard(plan: Plan) -> Plan:
    return replace(plan, machine=Overheard(**vars(plan.machine)))


# ---------------------------------------------------------------------- counts
def exchanges(processes: int, *settings: str, rows: int = 2) -> dict[str, list[int]]:
    """Bytes of every message of one iteration among so many processes, in their order, by what it is for."""
    group = Listening(0, processes)
    batch = rows * processes
    side = next((int(s.partition("=")[2]) for s in settings if s.startswith("data.size")), SIDE)
    data = made_up(batch, side)
    given = [s for s in settings if not s.startswith("data.size")]
    plan = overheard(planned(data, f"batch={batch}", "precision=fp32", *given, group=group))
    step(plan, make_players(plan), Tally())
    sorts = ("statistics", "numbers", "gradients")
    return {sort: [size for name, size in group.heard if name == sort] for sort in sorts}


def kept(plan: Plan, players: Players) -> int:
    """Bytes that the largest walk back of an iteration has kept, parameters and images aside."""
    own = {
        p.untyped_storage().data_ptr()
        for net in players.networks.values()
        for p in net.parameters()
    }
    held: dict[int, tuple[int, Tensor]] = {}
    most = [0]

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            held[storage.data_ptr()] = (
                storage.nbytes(),
                tensor,
            )  # held, so that its place is not used twice
        return tensor

    def done() -> None:
        most[0] = max(most[0], sum(size for size, _ in held.values()))
        held.clear()

    plan = overheard(plan)
    object.__setattr__(plan.machine, "done", done)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step(plan, players, Tally())
    return most[0]


def counted(batches: tuple[int, int] = (2, 4)) -> dict[str, Any]:
    """Parameters, arithmetic, memory traffic and state of the model; what grows with the batch from two batches."""
    found: list[tuple[bound.Counts, int]] = []
    for batch in batches:
        plan = planned(made_up(batch), f"batch={batch}", "precision=bf16")
        players = make_players(plan)
        step(plan, players, Tally())
        memory = kept(plan, players)
        found.append((bound.counted(lambda p=plan, q=players: step(p, q, Tally())), memory))
    (one, small), (other, large) = found
    more = batches[1] - batches[0]
    traffic = (other.bytes_unfused - one.bytes_unfused) / more
    sides: dict[str, Any] = {}
    for name in ("generator", "critic"):
        network = players.networks[name]
        slopes = [torch.empty_like(p) for p in network.parameters()]
        sizes = [sum(t.nbytes for t in bucket) for bucket in engine._buckets(slopes)]
        parameters = sum(t.numel() for t in slopes)
        sides[name] = {"parameters": parameters, "bytes": sum(sizes), "buckets": sizes}
    tensors = state(players)
    weights = [t for net in players.networks.values() for t in net.state_dict().values()]
    return {
        "preset": PRESET,
        "backbone": BACKBONE,
        "side": SIDE,
        "classes": CLASSES,
        "schedule": plan.config.game.schedule,
        "players": sides,
        "image_bytes": 3 * SIDE * SIDE,
        "flops_per_image": (other.flops - one.flops) / more,
        "operations": other.operations,
        "bytes_per_image": round(traffic),
        "bytes_fixed": round(one.bytes_unfused - traffic * batches[0]),
        "kept_bytes_per_image": round((large - small) / more),
        "state_bytes": sum(t.nbytes for t in tensors.values()),
        "weight_bytes": sum(t.nbytes for t in weights),
        **forwards(plan, players),
    }


def forwards(plan: Plan, players: Players) -> dict[str, float]:
    """FLOPs of one drawn image, and of one look of the judge."""
    from gander.judge import Judge, heads_of

    model = model_of(plan, players)
    values = plan.spec.draw_at(range(4))
    judge = Judge(plan.images.shape, heads_of(plan.images))
    judge.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as drawing:
        model.generator(values)
    with torch.no_grad(), FlopCounterMode(display=False) as looking:
        judge(torch.zeros(4, *plan.images.shape))
    return {
        "draw_flops": drawing.get_total_flops() / 4,
        "judge_flops": looking.get_total_flops() / 4,
    }


# ---------------------------------------------------------------------- measures
def timed(
    body: Callable[[], object], each: int, rounds: int = ROUNDS, wall: bool = False
) -> dict[str, Any]:
    """Seconds of ``body`` by what it does ``each`` of; processor time, since other work runs beside, or wall time of what waits."""
    now = time.perf_counter if wall else time.process_time
    body()
    seconds = []
    for _ in range(rounds):
        began = now()
        body()
        seconds.append((now() - began) / each)
    return spread(seconds, 7)


def crops() -> list[np.ndarray]:
    """Squares of two photographs, (128, 128, 3) uint8."""
    from sklearn.datasets import load_sample_images

    found = []
    for photograph in load_sample_images().images:
        high, wide = photograph.shape[0] - SIDE, photograph.shape[1] - SIDE
        for k in range(CROPS // 2):
            down, across = k % 4 * high // 3, k // 4 * wide // (CROPS // 8 - 1)
            found.append(
                np.ascontiguousarray(photograph[down : down + SIDE, across : across + SIDE])
            )
    return found


def decoding() -> dict[str, Any]:
    """From the bytes of a file to pixels."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    from gander.data.reading.pixels import squared

    def files_of(pictures: Sequence[np.ndarray], sort: str) -> list[bytes]:
        files = []
        for pixels in pictures:
            held = io.BytesIO()
            options = {"quality": QUALITY} if sort == "JPEG" else {}
            Image.fromarray(pixels).save(held, sort, **options)
            files.append(held.getvalue())
        return files

    def decode(files: Sequence[bytes], reduce: bool) -> None:
        for file in files:
            image = Image.open(io.BytesIO(file)).convert("RGB")
            np.asarray(squared(image, SIDE) if reduce else image)

    photographs = load_sample_images().images
    wanted = {
        "png": (
            crops(),
            "PNG",
            f"a {SIDE} px PNG file decoded by Pillow, {CROPS} crops of two photographs",
        ),
        "jpeg": (crops(), "JPEG", f"the same as JPEG, quality {QUALITY}"),
        "photo": (
            photographs,
            "JPEG",
            f"a whole 640 x 427 JPEG decoded and reduced to {SIDE} px, two photographs",
        ),
    }
    measured = {}
    for name, (pictures, sort, about) in wanted.items():
        files = files_of(pictures, sort)
        took = timed(lambda f=files, n=name: decode(f, n == "photo"), len(files), 3 * ROUNDS)
        measured[name] = took | {"about": about, "bytes": sum(map(len, files)) / len(files)}
    return measured


def reading() -> dict[str, Any]:
    """What every process does with the whole data once."""
    from gander import rng

    images = np.random.default_rng(0).integers(0, 256, (500, 3, SIDE, SIDE), dtype=np.uint8)
    turn = iter(range(100))
    return {
        "hash": timed(lambda: hashlib.sha256(images.data).hexdigest(), len(images))
        | {"about": "an image's share of the fingerprint (SHA-256)"},
        "order": timed(lambda: rng.permutation(0, "order", next(turn), 10**6), 10**6, 5)
        | {"about": "an image's share of an epoch's order"},
    }


def rows(folder: Path, count: int = 6_000, batch: int = 64) -> dict[str, Any]:
    """Images of one batch out of a file that is not held in memory."""
    from gander import data

    path = folder / "images.npy"
    made = np.lib.format.open_memmap(path, "w+", np.uint8, (count, SIDE, SIDE, 3))
    del made
    images = data.load(str(path), "all").images
    order = np.random.default_rng(0).integers(0, count, (ROUNDS + 1, 20, batch))
    turn = iter(order)

    def read() -> None:
        for chosen in next(turn):
            images[torch.from_numpy(chosen)]

    about = f"an image of a batch of {batch} out of an .npy in the system's cache"
    return timed(read, 20 * batch) | {"about": about}


def evaluating(plan: Plan, players: Players) -> dict[str, Any]:
    """An image drawn, and an image looked at by the judge."""
    from gander.judge import Judge, heads_of

    model = model_of(plan, players)
    values = plan.spec.draw_at(range(8))
    judge = Judge(plan.images.shape, heads_of(plan.images))
    images = made_up(100).images
    with torch.no_grad():
        drawn = timed(lambda: model.generator(values), 8, 3)
        looked = timed(lambda: judge.features(images), len(images))
    return {
        "draw": drawn | {"about": "an image drawn in fp32 by the generator, on a processor"},
        "judge": looked | {"about": "an image looked at by the judge"},
    }


def duties(plan: Plan, players: Players, folder: Path) -> dict[str, Any]:
    """What the first process does alone, the networks' own arithmetic aside."""
    from gander.images import to_unit
    from gander.runs import Run

    run = Run(folder / "run")
    images = made_up(256).images

    def line() -> None:
        model_of(plan, players)
        plan.spec.draw_at(range(256))
        to_unit(images)

    return {
        "line_aside": timed(line, 1)
        | {"about": "a line of the log, the networks' arithmetic aside"},
        "sheet_aside": sheet(folder / "sheets"),
        "save": timed(lambda: save(plan, players, run), 1, 3)
        | {"about": "a state and the weights written"},
        "save_wall": timed(lambda: save(plan, players, run), 1, 3, wall=True)
        | {"about": "the same by the clock, on this machine's disk"},
    }


def sheet(folder: Path, rounds: int = 3) -> dict[str, Any]:
    """A set of sheets, by networks of a sixteenth of the width; what these take is left out."""
    from gander import sheets

    small = planned(made_up(4), "batch=4", "width=4", "precision=fp32")
    model = model_of(small, make_players(small))
    told, spent, drawn = model.generator.told, [0.0], [0]

    def watched(values: dict[str, Tensor]) -> Tensor:
        began = time.process_time()
        images = told(values)
        spent[0] += time.process_time() - began
        drawn[0] += len(images)
        return images

    model.generator.told = watched  # type: ignore[method-assign]
    folder.mkdir()
    seconds = []
    for _ in range(rounds):
        spent[0], drawn[0], began = 0.0, 0, time.process_time()
        sheets.write_samples(model, folder)
        seconds.append(time.process_time() - began - spent[0])
    about = "a set of sheets, the networks' arithmetic aside"
    return spread(seconds, 4) | {"about": about, "images": drawn[0]}


def measures() -> dict[str, Any]:
    """Everything that is timed on a processor."""
    found = decoding() | reading()
    plan = planned(made_up(4), "batch=4", "precision=fp32")
    players = make_players(plan)
    step(plan, players, Tally())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found["row"] = rows(folder)
        found |= evaluating(plan, players)
        found |= duties(plan, players, folder)
    return found


# ---------------------------------------------------------------------- a step, on a GPU
def measured_step(plan: Plan, recorded: bool, seconds: float) -> dict[str, Any]:
    """Seconds of an iteration, in chunks after warming up; a recording is made before."""
    device = plan.machine.device
    players, tally = make_players(plan), Tally()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    steps = Steps(plan, players, tally) if recorded else None

    def once() -> int:
        steps.step() if steps is not None else step(plan, players, tally)
        return 1

    clock.warm_up(once, seconds, device)
    chunks = [clock.chunk(once, seconds, device) for _ in range(CHUNKS)]
    if steps is not None:
        steps.close()
    on_gpu = device.type == "cuda"
    return {
        "device": plan.machine.device_name,
        "on_gpu": on_gpu,
        "precision": plan.machine.precision,
        "batch": plan.config.training.batch,
        "recorded": recorded,
        "seconds": spread([chunk.seconds / chunk.steps for chunk in chunks], 7),
        "memory_bytes": torch.cuda.max_memory_allocated(device) if on_gpu else None,
        "finite": all(bool(torch.isfinite(total)) for total in tally.sums.values()),
    }


def measure_steps(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """The step at every batch, replayed and operation by operation; larger batches are left where memory ends."""
    data = made_up(max(512, *asked.batches), asked.side)
    found: list[dict[str, Any]] = []
    for batch in asked.batches:
        try:
            for recorded in (True, False):
                plan = planned(data, f"batch={batch}", *asked.settings, device=asked.device)
                found.append(measured_step(plan, recorded, asked.seconds))
                took = found[-1]["seconds"]["median"]
                how = "replayed" if recorded else "operation by operation"
                say(f"batch {batch}, {how}: {took * 1e3:.2f} ms, {batch / took:,.0f} images/s")
        except RuntimeError as error:
            if not engine.is_out_of_memory(error):
                raise
            say(f"batch {batch}: no memory for it")
            break
    return found


# ---------------------------------------------------------------------- the job
def record() -> dict[str, Any]:
    """Everything that is counted and measured here."""
    torch.set_num_threads(1)
    machine = facts()
    say("counting the step")
    found = {"model": counted()}
    found["exchanges"] = {}
    for gpus in scaling.GPUS[1:]:
        say(f"listening to {gpus} processes")
        found["exchanges"][str(gpus)] = exchanges(gpus)
    say("measuring")
    found["measured"] = measures()
    return {
        "schema": SCHEMA,
        "command": "python benchmarks/scale.py",
        "machine": machine,
        "caution": busy(machine["load_average"]),
        **found,
        "steps": [],
    }


def written(table: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(table, indent=1) + "\n", "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--measure-step", action="store_true")
    parser.add_argument("--device", default="cuda", help="of --measure-step")
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--side", type=int, default=SIDE, help="px; for a quick look")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each timed chunk")
    parser.add_argument("--settings", nargs="*", default=[], help="key=value, for a quick look")
    parser.add_argument("--render", action="store_true")
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    if asked.measure_step:
        if asked.device.startswith("cuda") and not torch.cuda.is_available():
            print("there is no CUDA device here; --device cpu is for a look without one")
            return 2
        table = json.loads(asked.record.read_text("utf-8")) if asked.record.is_file() else {}
        written({**table, "steps": measure_steps(asked), "steps_machine": facts()}, asked.record)
        if "model" not in table:
            return 0
    elif not (asked.render or asked.check):
        before = json.loads(asked.record.read_text("utf-8")) if asked.record.is_file() else {}
        kept_steps = {k: before[k] for k in ("steps", "steps_machine") if k in before}
        written({**record(), **kept_steps}, asked.record)
    page = asked.page.read_text("utf-8")
    made = scaling.rendered(page, json.loads(asked.record.read_text("utf-8")))
    if asked.check:
        print("as the record makes it" if made == page else "not as the record makes it")
        return int(made != page)
    asked.page.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
