"""From what was counted and measured (results/scale.json) to what many GPUs would give: arithmetic alone, and the tables of docs/scale.md.

Nothing here was measured on many GPUs. Every figure that goes in is of one of four sorts, and the tables say which: **counted** by
running gander's own step, **measured** here, **cited** from somebody's measurement or data sheet, **assumed**. Where a figure is
cited or assumed it has two values, a favourable and an unfavourable one, and so has everything derived from it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

Record = Mapping[str, Any]
"""What ``benchmarks/scale.py`` wrote."""

GPUS = (1, 8, 64, 512)
NODE = 8
"""GPUs of a machine."""
WEAK = 64
"""Images a GPU and step where the batch grows with the GPUs."""
READERS = 3
"""Threads that deal blocks of images ahead of the iterations, ``stepping.AHEAD``."""
STRONG = 4096
"""Images a step where it does not."""
SEEN = 10**9
"""Real images through the critic: the whole run."""

PEAK = 989e12
"""Dense bf16 FLOP/s of an H100 SXM (data sheet: 1,979e12 with sparsity, half of it without)."""
MEMORY = 80e9
"""Its bytes (data sheet)."""
TRAFFIC = 3.35e12
"""Bytes/s of its memory (data sheet)."""
NVLINK = 450e9
"""Bytes/s in one direction (data sheet: 900e9 in both)."""
NETWORK = 50e9
"""Bytes/s of one 400 Gb/s InfiniBand port; one for each GPU."""

ONE_NODE = ((32, 3.15), (64, 6.16), (128, 12.46), (256, 24.68), (512, 48.15), (1024, 74.57))
ONE_NODE = (
    *ONE_NODE,
    (2048, 96.26),
    (4096, 145.14),
    (8192, 196.56),
    (16384, 255.90),
    (32768, 301.25),
)
"""KiB of an all-reduce -> bus bandwidth in GB/s, 8 H200 of one machine (the same NVLink as an H100), as cited in ``SOURCES``."""
FOUR_NODES = ((32, 0.65), (64, 1.27), (128, 2.35), (256, 4.06), (512, 6.99), (1024, 12.47))
FOUR_NODES = (
    *FOUR_NODES,
    (2048, 20.79),
    (4096, 31.63),
    (8192, 50.61),
    (16384, 71.80),
    (32768, 142.90),
)
"""The same, 32 B200 of four machines; the network between them is what binds."""

SOURCES = {
    "h100": "NVIDIA, H100 Tensor Core GPU data sheet",
    "bench": "S. Bekman, Machine Learning Engineering, network/benchmarks/README.md (github.com/stas00/ml-engineering)",
    "16": "github.com/NVIDIA/nccl/issues/1244: 16 GPUs, 2 machines, 400 Gb/s InfiniBand, 4 to 1,024 bytes in 46 to 48 µs",
    "256": "github.com/NVIDIA/nccl/issues/652: 256 A100, 32 machines, 200 Gb/s InfiniBand, 4 to 128 bytes in 62 to 71 µs",
    "graph": "Bekman: 2.5 µs between all-reduces replayed from a CUDA graph",
}


@dataclass(frozen=True)
class Case:
    """One choice of everything that is cited or assumed."""

    name: str
    reached: float
    """Share of the peak that the step's arithmetic reaches."""
    kernel: float
    """Seconds that a replayed kernel takes at least."""
    launch: float
    """Seconds in which the host issues one operation, where nothing is replayed."""
    latency: Mapping[int, float]
    """GPUs -> seconds of an exchange of a few bytes."""
    nominal: bool
    """Whether large exchanges reach the links' nominal bandwidth, or that of the cited measurements."""
    judge_threads: float
    """Threads' worth of speed at which the judge, which runs on the processor, goes."""
    save: str
    """Which of the measures a saved state takes: the processor's alone, or that by the clock on a slow disk."""


GOOD = Case("favourable", 0.45, 2e-6, 6e-6, {8: 10e-6, 64: 47e-6, 512: 63e-6}, True, 8, "save")
POOR = Case(
    "unfavourable", 0.20, 4e-6, 12e-6, {8: 18e-6, 64: 98e-6, 512: 130e-6}, False, 4, "save_wall"
)
CASES = (GOOD, POOR)


@dataclass(frozen=True)
class Remedy:
    """What is done otherwise than gander does it today."""

    name: str = "as it is"
    fixed: bool = False
    """Batch statistics go round as sums, whose size does not grow with the processes."""
    gathered: bool = False
    """The single numbers of a step go round together, one exchange for each of its two turns."""
    statistics: bool = True
    """Whether there are batch statistics at all."""
    half: bool = False
    """Gradients go round in bf16."""
    overlapped: bool = False
    """Each bucket goes round while the others are still walked back; the last one has nothing to hide behind."""
    shared: bool = False
    """Evaluations are every process' work, and the judge's on the GPU."""
    beside: bool = False
    """Lines, sheets and saved states are made beside the steps, not between them."""


TODAY = Remedy()


# ---------------------------------------------------------------------- one exchange
def cited(table: Sequence[tuple[int, float]], size: float, gpus: int) -> float:
    """Seconds of an all-reduce of so many bytes by a table of bus bandwidths, between its points in proportion on both logarithmic axes."""
    points = [(k * 1024, 2 * (gpus - 1) / gpus * k * 1024 / (g * 1e9)) for k, g in table]
    if size <= points[0][0]:
        return points[0][1]
    if size >= points[-1][0]:
        return points[-1][1] * size / points[-1][0]
    for (low, quick), (high, slow) in pairwise(points):
        if size <= high:
            share = math.log(size / low) / math.log(high / low)
            return quick * (slow / quick) ** share
    raise AssertionError


def all_reduce(size: float, gpus: int, case: Case) -> float:
    """Seconds in which ``gpus`` make the sum of ``size`` bytes.

    Within a machine a ring, 2 (n-1)/n of the bytes through each GPU's links; between machines each GPU does so with its eighth of the
    bytes through its own port, before and after which the machine's GPUs exchange the eighths.
    """
    if gpus == 1:
        return 0.0
    latency = case.latency[gpus]
    if not case.nominal:
        table, among = (ONE_NODE, 8) if gpus <= NODE else (FOUR_NODES, 32)
        further = latency - cited(table, 0, among)
        return cited(table, size, among) * ((gpus - 1) / gpus) / ((among - 1) / among) + further
    inside, nodes = min(gpus, NODE), max(1, gpus // NODE)
    seconds = 2 * (inside - 1) / inside * size / NVLINK
    return latency + seconds + 2 * (nodes - 1) / nodes * (size / inside) / NETWORK


# ---------------------------------------------------------------------- one step
@dataclass(frozen=True)
class Step:
    """Seconds of one iteration, part by part; one after another, as gander plays them."""

    compute: float
    gradients: float = 0.0
    statistics: float = 0.0
    numbers: float = 0.0
    aside: float = 0.0
    """Of what the first process does while the others wait, a step's share."""

    @property
    def seconds(self) -> float:
        return self.compute + self.gradients + self.statistics + self.numbers + self.aside


def computed(record: Record, images: float, case: Case) -> float:
    """Seconds of one iteration's arithmetic on so many images: measured, where a GPU measured it, else derived."""
    timed = [one for one in record.get("steps", []) if one["on_gpu"] and one["recorded"]]
    if timed:
        return between([(one["batch"], one["seconds"]["median"]) for one in timed], images)
    model = record["model"]
    arithmetic = model["flops_per_image"] * images / (case.reached * PEAK)
    moved = model["bytes_fixed"] + model["bytes_per_image"] * images
    return max(arithmetic, moved / TRAFFIC, model["operations"] * case.kernel)


def between(points: Sequence[tuple[float, float]], images: float) -> float:
    """On the line through the two nearest measured batches; beyond them in proportion."""
    points = sorted(points)
    if images <= points[0][0]:
        return points[0][1]
    for (a, s), (b, t) in pairwise(points):
        if images <= b:
            return s + (t - s) * (images - a) / (b - a)
    return points[-1][1] * images / points[-1][0]


def step(record: Record, gpus: int, images: float, case: Case, remedy: Remedy = TODAY) -> Step:
    """One iteration of ``images`` images on each of ``gpus`` GPUs."""
    compute = computed(record, images, case)
    if gpus == 1:
        return Step(compute)
    heard = record["exchanges"][str(gpus)]
    share = 0.5 if remedy.half else 1.0
    each = [all_reduce(size * share, gpus, case) for size in heard["gradients"]]
    if (
        remedy.overlapped
    ):  # of each player's buckets all but one hide behind half of its walking back
        hidden = sum(each) * (1 - len(record["model"]["players"]) / len(each))
        each = [sum(each) - min(hidden, compute / 3)]
    sizes = [size / gpus if remedy.fixed else size for size in heard["statistics"]]
    statistics = [all_reduce(size, gpus, case) for size in sizes] if remedy.statistics else []
    numbers = heard["numbers"] if not remedy.gathered else [sum(heard["numbers"]) / 2] * 2
    numbers = [all_reduce(size, gpus, case) for size in numbers]
    return Step(compute, sum(each), sum(statistics), sum(numbers))


# ---------------------------------------------------------------------- what the first one does alone
@dataclass(frozen=True)
class Schedule:
    """How often the first process does something while the others wait."""

    name: str
    line: int
    """Images between lines of the log, each of which looks at 512 images."""
    sheet: int
    evaluate: int
    images: int
    """Images drawn for an evaluation."""
    save: float
    """Seconds between saved states."""


PLAIN = Schedule("the defaults", 5_000, 50_000, 0, 2_000, 60.0)
LARGE = Schedule("deploy/128px.toml", 10_000_000, 100_000_000, 100_000_000, 10_000, 600.0)
WATCHED = replace(
    PLAIN, name="the defaults, evaluated every 1,000,000", evaluate=1_000_000, images=10_000
)


def evaluation(record: Record, images: int, case: Case, among: int = 1) -> float:
    """Seconds of one evaluation: the generator draws on the GPU, twice, the judge looks on the processor, twice.

    ``among`` several processes all do their part, and the judge looks on the GPU.
    """
    model, took = record["model"], record["measured"]
    fp32 = case.reached * PEAK / 4
    drawn = 2 * images * model["draw_flops"] / fp32
    if among > 1:
        return (drawn + 2 * images * model["judge_flops"] / fp32) / among
    return drawn + 2 * images * took["judge"]["median"] / case.judge_threads


def aside(
    record: Record, gpus: int, images: float, case: Case, how: Schedule, remedy: Remedy = TODAY
) -> dict[str, float]:
    """What each of the first one's duties adds to a step, by name, in seconds."""
    took, model = record["measured"], record["model"]
    batch, seconds = gpus * images, step(record, gpus, images, case, remedy).seconds
    looks = 256 * (model["draw_flops"] + 2 * model["judge_flops"]) / (case.reached * PEAK / 4)
    line, sheet = looks + took["line_aside"]["median"], took["sheet_aside"]["median"]
    # whatever falls due, it can fall due once a step at most
    found = {
        "lines of the log": line * min(1.0, batch / how.line),
        "sheets": sheet * min(1.0, batch / how.sheet),
        "saved states": took[case.save]["median"] * min(1.0, seconds / how.save),
    }
    if remedy.beside:
        found = dict.fromkeys(found, 0.0)
    if how.evaluate:
        each = evaluation(record, how.images, case, gpus if remedy.shared else 1)
        found["evaluations"] = each * min(1.0, batch / how.evaluate)
    return found


def whole(
    record: Record, gpus: int, images: float, case: Case, how: Schedule, remedy: Remedy = TODAY
) -> Step:
    """A step with its share of what the first process does alone."""
    one = step(record, gpus, images, case, remedy)
    return replace(one, aside=sum(aside(record, gpus, images, case, how, remedy).values()))


def speed(
    record: Record,
    gpus: int,
    images: float,
    case: Case,
    how: Schedule = LARGE,
    remedy: Remedy = TODAY,
) -> float:
    """Real images a second of all GPUs together."""
    return gpus * images / whole(record, gpus, images, case, how, remedy).seconds


def fits(record: Record) -> int:
    """Images a GPU's memory has room for, by what the walk back keeps of each; a tenth is left for what is not counted."""
    model = record["model"]
    return int((0.9 * MEMORY - 2 * model["state_bytes"]) // model["kept_bytes_per_image"])


def limits(ones: Sequence[Step]) -> str:
    """What takes the most time besides the arithmetic, and its share; nothing where all of it is less than a tenth."""
    parts = {
        "gradients": "gradients",
        "batch statistics": "statistics",
        "single numbers": "numbers",
        "the first process alone": "aside",
    }
    found: dict[str, list[float]] = {}
    for one in ones:
        name = max(parts, key=lambda which: getattr(one, parts[which]))
        if one.seconds - one.compute < 0.1 * one.seconds:
            found["the arithmetic"] = [one.compute / one.seconds]
        else:
            found.setdefault(name, []).append(getattr(one, parts[name]) / one.seconds)
    return "; ".join(f"{name}, {span(shares, '.0%')}" for name, shares in found.items())


# ---------------------------------------------------------------------- tables
@dataclass
class Table:
    """Rows under a head; the first column is text, the others figures."""

    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    """Three figures, with separators."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    rounded = round(value, 2 - math.floor(math.log10(abs(value))))
    return f"{rounded:,.{min(digits, 6)}f}"


def span(values: Sequence[float], form: str = "") -> str:
    """From the least to the most, once where they print the same."""
    shown = [format(v, form) if form else number(v) for v in sorted(values)]
    return shown[0] if shown[0] == shown[-1] else f"{shown[0]} to {shown[-1]}"


def model_table(record: Record) -> Table:
    """What was counted of the networks and of one iteration."""
    model, heard = record["model"], record["exchanges"]
    table = Table(("of one iteration", "figure", "how"))
    for name, one in model["players"].items():
        buckets = " + ".join(f"{size / 1e6:.1f}" for size in one["buckets"])
        table.rows.append(
            (
                f"{name}: parameters; gradient in fp32; buckets, MB",
                f"{one['parameters']:,}; {one['bytes'] / 1e6:.1f} MB; {buckets}",
                "counted",
            )
        )
    flops, fixed = model["flops_per_image"], model["bytes_fixed"]
    table.rows += [
        (
            "arithmetic of an image, all passes of both players",
            f"{flops / 1e9:.1f} GFLOP",
            "counted",
        ),
        (
            "a drawn image; a look of the judge",
            f"{model['draw_flops'] / 1e9:.1f}; {model['judge_flops'] / 1e9:.2f} GFLOP",
            "counted",
        ),
        ("operations", f"{model['operations']:,}", "counted, bf16 on a processor"),
        (
            "memory traffic, operation by operation",
            f"{fixed / 1e9:.1f} GB + {model['bytes_per_image'] / 1e6:.0f} MB an image",
            "counted, bf16 on a processor",
        ),
        (
            "kept for walking back",
            f"{model['kept_bytes_per_image'] / 1e6:.0f} MB an image",
            "counted, bf16",
        ),
        (
            "a saved state; weights beside it",
            f"{model['state_bytes'] / 1e6:.0f} MB; {model['weight_bytes'] / 1e6:.0f} MB",
            "counted",
        ),
    ]
    for gpus in GPUS[1:]:
        one = heard[str(gpus)]
        table.rows.append(
            (
                f"exchanges of {gpus} processes",
                f"{len(one['statistics'])} of batch statistics, {sum(one['statistics']) / 1e6:.2f} MB in all, the largest {max(one['statistics']) / 1e3:,.0f} kB; "
                f"{len(one['numbers'])} of single numbers; {len(one['gradients'])} of gradients, {sum(one['gradients']) / 1e6:.1f} MB",
                "counted",
            )
        )
    return table


UNITS = ((1, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns"))


def measured_table(record: Record) -> Table:
    """What was measured on a processor."""
    table = Table(("on one thread", "processor time, median (least to most)", "how"))
    for name, one in record["measured"].items():
        scale, unit = next((f, u) for f, u in UNITS if one["median"] * f >= 1)
        low, middle, high = (number(one[key] * scale) for key in ("min", "median", "max"))
        table.rows.append(
            (one["about"], f"{middle} {unit} ({low} to {high})", f"measured, n {one['n']}")
        )
        if "bytes" in one and name in ("png", "jpeg", "photo"):
            table.rows.append(("bytes of it", number(one["bytes"]), "counted, mean"))
    return table


def assumed_table() -> Table:
    """What was neither counted nor measured here."""
    table = Table(("taken for an H100 SXM, 8 in a machine", "favourable", "unfavourable", "source"))
    table.rows += [
        ("dense bf16 peak", "989 TFLOP/s", "989 TFLOP/s", f"cited: {SOURCES['h100']}"),
        (
            "reached by the step's arithmetic",
            f"{GOOD.reached:.0%}",
            f"{POOR.reached:.0%}",
            "**assumed**",
        ),
        (
            "a replayed kernel takes at least",
            f"{GOOD.kernel * 1e6:.0f} µs",
            f"{POOR.kernel * 1e6:.0f} µs",
            f"**assumed**; {SOURCES['graph']}",
        ),
        (
            "an operation that is not replayed",
            f"{GOOD.launch * 1e6:.0f} µs",
            f"{POOR.launch * 1e6:.0f} µs",
            "**assumed**",
        ),
    ]
    for gpus, (one, other) in {
        8: ("**assumed**", f"cited, 8 H200, 32 KiB: {SOURCES['bench']}"),
        64: (f"cited: {SOURCES['16']}", "cited, 32 B200, 32 KiB: Bekman"),
        512: (f"cited: {SOURCES['256']}", "**assumed**"),
    }.items():
        pair = [f"{case.latency[gpus] * 1e6:.0f} µs" for case in CASES]
        table.rows.append((f"a small exchange of {gpus} GPUs", *pair, f"{one}; {other}"))
    table.rows += [
        (
            "NVLink, one direction",
            "450 GB/s",
            "by payload, 301 GB/s at 32 MiB",
            "cited: data sheet; 8 H200, Bekman",
        ),
        (
            "InfiniBand, a port for each GPU",
            "50 GB/s",
            "by payload, 143 GB/s of bus bandwidth at 32 MiB",
            "cited: 400 Gb/s; 32 B200 of four machines, Bekman",
        ),
        (
            "the judge, on the processor",
            f"{GOOD.judge_threads:.0f} threads' worth",
            f"{POOR.judge_threads:.0f} threads' worth",
            "**assumed**",
        ),
    ]
    return table


def scaling_table(record: Record, batch: int | None) -> Table:
    """Weak scaling, or strong scaling of a fixed batch: where a step's time goes, and what it comes to."""
    parts = ("compute", "gradients", "statistics", "numbers", "aside")
    head = ["GPUs", "batch", "arithmetic, ms", "gradients, ms", "statistics, ms", "numbers, ms"]
    head += [
        "first alone, ms",
        "images/s",
        "hours for 10⁹",
        "efficiency",
        "without the first alone",
    ]
    table = Table((*head, "the limit, its share of a step"))
    alone = [speed(record, 1, WEAK, case) for case in CASES]
    free = [WEAK / step(record, 1, WEAK, case).seconds for case in CASES]
    for gpus in GPUS:
        images = (batch or WEAK * gpus) / gpus
        start = (str(gpus), f"{gpus * images:,.0f}")
        if images > fits(record):
            last = f"does not fit: room for {fits(record):,} images at most"
            table.rows.append((*start, *["–"] * (len(head) - 2), last))
            continue
        ones = [whole(record, gpus, images, case, LARGE) for case in CASES]
        rates = [gpus * images / one.seconds for one in ones]
        bare = [images / (one.seconds - one.aside) for one in ones]
        cells = [span([getattr(one, part) * 1e3 for one in ones]) for part in parts]
        cells += [span(rates), span([SEEN / rate / 3600 for rate in rates])]
        cells.append(span([r / gpus / a for r, a in zip(rates, alone, strict=True)], ".0%"))
        cells.append(span([r / a for r, a in zip(bare, free, strict=True)], ".0%"))
        table.rows.append((*start, *cells, limits(ones)))
    return table


def loader_table(record: Record) -> Table:
    """What the images cost to bring, at the speeds of weak scaling."""
    took, pixels = record["measured"], record["model"]["image_bytes"]
    sorts = ("row", "jpeg", "png", "photo")
    head = ("GPUs", "images/s", "pixels, GB/s", "JPEG files of 128 px, GB/s", "photographs, GB/s")
    table = Table((*head, "cores a GPU: rows of a file", "JPEG", "PNG", "photographs"))
    for gpus in GPUS:
        rates = [speed(record, gpus, WEAK, case) for case in CASES]
        sizes = (pixels, took["jpeg"]["bytes"], took["photo"]["bytes"])
        bytes_a_second = [span([rate * size / 1e9 for rate in rates]) for size in sizes]
        cores = [span([rate / gpus * took[name]["median"] for rate in rates]) for name in sorts]
        table.rows.append((str(gpus), span(rates), *bytes_a_second, *cores))
    return table


def once_table(record: Record) -> Table:
    """What happens before the first step, and at the first evaluation."""
    took, model = record["measured"], record["model"]
    head = ("once, for a data set of", "10⁶ images", "10⁹ images", "by whom")
    table = Table(head)
    for about, each, who in (
        (
            "packed at 128 px (`gander data pack`): photographs decoded, hours of one core; more for the PNG",
            took["photo"]["median"],
            "whoever packs the set",
        ),
        (
            "pixels in a file, fingerprint: all rows read and hashed, hours",
            took["row"]["median"] + took["hash"]["median"],
            "every process, one thread; of shards it is that of their list",
        ),
        (
            "pixels in a file, order of an epoch, hours",
            took["order"]["median"],
            "every process, one thread, each epoch; of shards a window at a time",
        ),
    ):
        table.rows.append((about, *(number(each * count / 3600) for count in (10**6, 10**9)), who))
    table.rows += [
        (
            "features of real images at the first evaluation, hours of one thread",
            *(number(took["judge"]["median"] * n / 3600) for n in (10**6, 10**5)),
            "the first process, kept in the cache; of shards the first 100,000 images",
        ),
        (
            "pixels in a file, TB",
            *(number(model["image_bytes"] * n / 1e12) for n in (10**6, 10**9)),
            "one file for all",
        ),
        (
            "pixels in a file: order, labels and split in memory, GB",
            *(number(24 * n / 1e9) for n in (10**6, 10**9)),
            "every process: 24 bytes an image, measured (speed.md)",
        ),
        (
            "shards of PNG at 128 px, TB",
            *(number(took["png"]["bytes"] * n / 1e12) for n in (10**6, 10**9)),
            "a file server, or each machine its cache",
        ),
        (
            "shards: index, mapped from its files, GB",
            *(number(20 * n / 1e9) for n in (10**6, 10**9)),
            "12 bytes an image and 8 for its label, one copy in a machine",
        ),
    ]
    return table


def regimes_table(record: Record) -> Table:
    """Where the images lie, and what a step then takes on one GPU: the slower of itself and of the threads that read ahead of it."""
    model, took = record["model"], record["measured"]
    steps = [step(record, 1, WEAK, case).seconds for case in CASES]
    room = int(MEMORY / 2 // model["image_bytes"])
    table = Table(
        (
            "images of the data",
            "where they lie",
            f"a step of {WEAK} images, ms",
            "images/s of a GPU",
            "the limit",
        )
    )
    for count, where, each in (
        (f"up to {room:,}", "on the GPU", 0.0),
        ("any number", "pixels in a file, dealt with the block", took["row"]["median"]),
        ("any number", "shards of PNG at 128 px", took["png"]["median"]),
        ("any number", "shards of whole photographs", took["photo"]["median"]),
    ):
        read = WEAK * each / READERS
        ends = [max(one, read) for one in steps]
        slower = sum(read > one for one in steps)
        table.rows.append(
            (
                count,
                where,
                span([s * 1e3 for s in ends]),
                span([WEAK / s for s in ends]),
                ("the step", "one or the other", "the reading")[slower],
            )
        )
    return table


def aside_table(record: Record) -> Table:
    """What the first process does while the others wait, as a share of the whole time."""
    names = ("lines of the log", "sheets", "saved states", "evaluations")
    table = Table(("GPUs, weak scaling", "settings", *names, "left of the speed"))
    for gpus in GPUS[1:]:
        for how in (PLAIN, WATCHED, LARGE):
            found = [aside(record, gpus, WEAK, case, how) for case in CASES]
            total = [whole(record, gpus, WEAK, case, how).seconds for case in CASES]
            shares = [
                span(
                    [one.get(name, 0.0) / whole for one, whole in zip(found, total, strict=True)],
                    ".1%",
                )
                if name in found[0]
                else ""
                for name in names
            ]
            left = [1 - sum(one.values()) / whole for one, whole in zip(found, total, strict=True)]
            table.rows.append((str(gpus), how.name, *shares, span(left, ".0%")))
    return table


FIRST = Remedy("evaluated by all, the judge on the GPU", shared=True)
MESSAGES = {"fixed": True, "gathered": True}
REMEDIES = (
    TODAY,
    FIRST,
    Remedy("that, and lines, sheets and states beside the steps", shared=True, beside=True),
    Remedy("gradients in bf16", half=True),
    Remedy("gradients exchanged while walking back", overlapped=True),
    Remedy("batch statistics as sums: messages that do not grow", fixed=True),
    Remedy("the single numbers in one message a turn", gathered=True),
    Remedy("no batch statistics (a group norm)", statistics=False),
    Remedy(
        "all of it but the group norm",
        **MESSAGES,
        half=True,
        overlapped=True,
        shared=True,
        beside=True,
    ),
    Remedy(
        "all of it",
        gathered=True,
        statistics=False,
        half=True,
        overlapped=True,
        shared=True,
        beside=True,
    ),
)


def summary_table(record: Record) -> Table:
    """What comes out, in a line for each number of GPUs."""
    head = (
        "GPUs",
        f"{WEAK} images each: images/s",
        "hours for 10⁹",
        "the limit, its share of a step",
    )
    table = Table(
        (
            *head,
            f"{STRONG:,} images together: images/s",
            "hours for 10⁹",
            "the limit, its share of a step",
        )
    )
    for gpus in GPUS:
        cells: list[str] = []
        for images in (WEAK, STRONG / gpus):
            if images > fits(record):
                cells += ["–", "–", "the memory"]
                continue
            ones = [whole(record, gpus, images, case, LARGE) for case in CASES]
            rates = [gpus * images / one.seconds for one in ones]
            cells += [span(rates), span([SEEN / rate / 3600 for rate in rates]), limits(ones)]
        table.rows.append((str(gpus), *cells))
    return table


def remedy_table(record: Record) -> Table:
    """What each change would give where it matters most."""
    places = [(64, WEAK), (512, WEAK), (512, STRONG // 512)]
    table = Table(
        (
            "changed in gander",
            *(f"{gpus} GPUs, {images} images each: efficiency" for gpus, images in places),
        )
    )
    for remedy in REMEDIES:
        cells = []
        for gpus, images in places:
            alone = [speed(record, 1, WEAK, case) for case in CASES]
            rates = [speed(record, gpus, images, case, LARGE, remedy) / gpus for case in CASES]
            cells.append(span([rate / one for rate, one in zip(rates, alone, strict=True)], ".0%"))
        table.rows.append((remedy.name, *cells))
    return table


def source(record: Record) -> str:
    """Where and when the record was made."""
    machine = record["machine"]
    gpu = [one for one in record.get("steps", []) if one["on_gpu"]]
    said = (
        f"`{record['command']}`: {machine['processor']}, {machine['cores']} cores, one thread; Python {machine['python']}, PyTorch {machine['torch']}, "
        f"{machine['date'][:10]}, load average {machine['load_average']} when it began. Other work ran beside it, so what is told is processor time; "
        f"a busy neighbour still lengthens it."
    )
    if gpu:
        return f"{said} The arithmetic's time was measured on {gpu[0]['device']}."
    return f"{said}\n\n**No step of this model was ever timed on a GPU**: the arithmetic's time is derived."


def blocks(record: Record) -> dict[str, str]:
    """What stands between the marks of docs/scale.md, by name."""
    return {
        "source": source(record),
        "summary": str(summary_table(record)),
        "model": str(model_table(record)),
        "measured": str(measured_table(record)),
        "assumed": str(assumed_table()),
        "weak": str(scaling_table(record, None)),
        "strong": str(scaling_table(record, STRONG)),
        "regimes": str(regimes_table(record)),
        "loader": str(loader_table(record)),
        "once": str(once_table(record)),
        "aside": str(aside_table(record)),
        "remedies": str(remedy_table(record)),
    }


MARK = re.compile(r"<!-- (?P<name>[a-z-]+) -->\n.*?<!-- end -->", re.DOTALL)


def rendered(page: str, record: Record) -> str:
    """The page with every block between ``<!-- NAME -->`` and ``<!-- end -->`` made anew."""
    made = blocks(record)
    return MARK.sub(
        lambda found: f"<!-- {found['name']} -->\n{made[found['name']]}\n<!-- end -->", page
    )
