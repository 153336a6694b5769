"""What the machine can do at most: matrix multiplications and memory traffic, measured on the spot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from gander.bench import Request, Row, Say, clock, in_threads

ABOUT = "the ceilings of this machine: matrix FLOP/s and memory bytes/s"
SQUARES = {
    "cpu": (256, 512, 1024, 2048),
    "cuda": (1024, 2048, 4096, 8192),
    "mps": (512, 1024, 2048),
}
"""Sides of the square matrices that are multiplied."""
ARRAY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30, "mps": 1 << 28}
"""Of each array that is copied: far larger than the caches."""
LARGEST = 1 << 30
"""Bytes of the matrices of one product; larger ones of a step are not tried."""
SECONDS = 0.3
"""Spent on each product and each way of copying."""
REPEATS = 3
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Shape = tuple[int, int, int]
"""A matrix product (m, k) x (k, n)."""


@dataclass(frozen=True)
class Ceilings:
    """The best of many trials, at a precision and a number of threads."""

    device: str
    precision: str
    arithmetic: str
    """How products round: fp32, tf32 or bf16."""
    threads: int
    flops: float
    """FLOP/s of the fastest matrix product; a multiply-add is two."""
    bandwidth: float
    """Bytes/s of the faster of copy and triad, read and written bytes both counted."""
    products: dict[str, float]
    """FLOP/s of each product tried, as "m x k x n"."""
    copies: dict[str, float]
    """Bytes/s of each way of copying."""


def measured(
    device: torch.device,
    precision: str,
    shapes: Iterable[Shape] = (),
    seconds: float = SECONDS,
) -> Ceilings:
    """The ceilings of a device at a precision, over square products and those of ``shapes``; at the threads PyTorch has now."""
    kind = device.type
    squares = [(side, side, side) for side in SQUARES[kind]]
    tried = [shape for shape in (*squares, *shapes) if _bytes(shape, TYPES[precision]) <= LARGEST]
    with as_convolutions(device, TYPES[precision]) as arithmetic:
        products = {
            " x ".join(map(str, shape)): product(device, TYPES[precision], shape, seconds)
            for shape in dict.fromkeys(tried)
        }
    copies = bandwidths(device, ARRAY_BYTES[kind], seconds)
    return Ceilings(
        device=kind,
        precision=precision,
        arithmetic=arithmetic,
        threads=torch.get_num_threads() if kind == "cpu" else 0,
        flops=max(products.values()),
        bandwidth=max(copies.values()),
        products=products,
        copies=copies,
    )


@contextmanager
def as_convolutions(device: torch.device, kind: torch.dtype) -> Iterator[str]:
    """The arithmetic of products inside, by name: on CUDA fp32 ones may round as that device's convolutions do, which is TF32 unless told otherwise."""
    if device.type != "cuda" or kind != torch.float32:
        yield {torch.float32: "fp32", torch.bfloat16: "bf16"}[kind]
        return
    products = torch.backends.cuda.matmul
    before = products.fp32_precision
    if torch.backends.cudnn.conv.fp32_precision == "tf32":  # type: ignore[attr-defined]
        products.fp32_precision = "tf32"
    try:
        yield "tf32" if products.fp32_precision == "tf32" else "fp32"
    finally:
        products.fp32_precision = before


def product(device: torch.device, kind: torch.dtype, shape: Shape, seconds: float) -> float:
    """FLOP/s of the best of several products (m, k) x (k, n) into memory that is there already."""
    m, k, n = shape
    one = torch.ones(m, k, dtype=kind, device=device)
    other = torch.ones(k, n, dtype=kind, device=device)
    result = torch.empty(m, n, dtype=kind, device=device)
    best = fastest(lambda: torch.mm(one, other, out=result), device, seconds)
    return 2 * m * k * n / best


def bandwidths(device: torch.device, size: int, seconds: float) -> dict[str, float]:
    """Bytes/s of copying (one array read, one written) and of a triad c = a + s·b (two read, one written).

    A processor that reads a line of memory before it overwrites it moves more than is counted here.
    """
    one, two, three = (torch.zeros(size // 4, device=device) for _ in range(3))
    return {
        "copy": 2 * size / fastest(lambda: two.copy_(one), device, seconds),
        "triad": 3
        * size
        / fastest(lambda: torch.add(one, two, alpha=3.0, out=three), device, seconds),
    }


def fastest(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Seconds of the fastest of many calls, after one that does not count.

    A GPU is given enough calls at once that starting them does not matter, and its own clock is read.
    """
    work()
    clock.finish(device)
    if device.type == "cuda":
        return _by_events(work, seconds)
    best, ends, tries = float("inf"), time.perf_counter() + seconds, 0
    while tries < REPEATS or time.perf_counter() < ends:
        began = time.perf_counter()
        work()
        clock.finish(device)
        best = min(best, time.perf_counter() - began)
        tries += 1
    return best


def _by_events(work: Callable[[], object], seconds: float) -> float:
    best, ends, calls = float("inf"), time.perf_counter() + seconds, 10
    tries = 0
    while tries < REPEATS or time.perf_counter() < ends:
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        before.record()
        for _ in range(calls):
            work()
        after.record()
        after.synchronize()
        best = min(best, before.elapsed_time(after) / 1000 / calls)
        tries += 1
    return best


def _bytes(shape: Shape, kind: torch.dtype) -> int:
    m, k, n = shape
    return (m * k + k * n + m * n) * kind.itemsize


def measure(request: Request, say: Say) -> dict[str, Any]:
    """The ceilings in every precision the device has."""
    from gander import engine

    asked = ("fp32", "bf16") if request.precision == "auto" else (request.precision,)
    found = []
    for precision in asked:
        machine = engine.start(request.device, precision, request.threads)
        if precision == "bf16" and not engine.has_bf16(machine.device):
            continue
        say(f"ceilings: {precision}")
        found.append(
            to_dict(
                measured(machine.device, precision, (), min(SECONDS, request.seconds or SECONDS))
            )
        )
    return {"ceilings": found}


def to_dict(ceilings: Ceilings) -> dict[str, Any]:
    """As JSON, whole FLOP/s and bytes/s."""
    return {
        "device": ceilings.device,
        "precision": ceilings.precision,
        "arithmetic": ceilings.arithmetic,
        "threads": ceilings.threads,
        "flops_per_second": round(ceilings.flops),
        "bytes_per_second": round(ceilings.bandwidth),
        "products": {name: round(value) for name, value in ceilings.products.items()},
        "copies": {name: round(value) for name, value in ceilings.copies.items()},
    }


def best_product(products: Mapping[str, float]) -> str:
    """Which product was the fastest."""
    return max(products, key=lambda name: products[name])


def rows(measured: Mapping[str, Any]) -> Sequence[Row]:
    """Matrix FLOP/s and bytes/s for each precision."""
    lines = []
    for one in measured["ceilings"]:
        where = f"{one['precision']}, {one['device']}" + (
            f", {in_threads(one['threads'])}" if one["threads"] else ""
        )
        flops, moved = one["flops_per_second"] / 1e9, one["bytes_per_second"] / 1e9
        lines.append(
            Row(
                f"matrices, {where}",
                f"{flops:,.0f} GFLOP/s",
                "",
                f"best: {best_product(one['products'])}",
            )
        )
        lines.append(
            Row(
                f"memory, {where}", f"{moved:,.1f} GB/s", "", f"best: {best_product(one['copies'])}"
            )
        )
    return lines
