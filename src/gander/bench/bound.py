"""How near a step is to what the machine can do: its arithmetic and traffic counted, the ceilings measured, the fraction reached.

The arithmetic is that of the matrix products and convolutions of a step, forward and backward, by the formulas of
``torch.utils.flop_counter`` (a multiply-add is two FLOPs). Two kinds of traffic are counted:

    unfused   every operation reads each of its inputs once and writes each of its results once, through memory: what
              a step moves whose operations are played one after another and find nothing in a cache
    least     each result of a matrix product or convolution is written once and read once, all else fused into them, and each
              parameter costs its step: weight and two moments read and written, so 24 bytes in fp32

The bound of a step is the larger of FLOPs / peak and bytes / bandwidth (the roofline: Williams et al., 2009), with the least traffic. No
program that keeps the layers apart is faster. Operation by operation, with the unfused traffic, it is what the same operations would take at
the ceilings; caches can beat that one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gander.bench import Request, Row, Say, ceilings, clock, spread
from gander.bench.ceilings import Ceilings, Shape

ABOUT = "the fraction of the machine's bound that a step reaches"
PRESETS = ("infogan",)
SIZES = (28, 64)
SECONDS = 1.5
"""Of a chunk in which the step is timed."""
CHUNKS = 3
SHAPES = 6
"""Products of the step that are tried for the ceiling, the largest ones."""
OVERWRITES = {"zero_", "fill_", "copy_", "normal_", "uniform_", "bernoulli_", "random_"}
"""Operations in place that do not read what they overwrite."""
OWN = {"aten", "prim", "prims", "profiler"}
"""Where PyTorch keeps its own operations."""
PER_PARAMETER = 6 * 4
"""Bytes of an Adam step in fp32: weight and two moments, each read and written."""


@dataclass
class Counts:
    """What one step does."""

    flops: int = 0
    bytes_unfused: int = 0
    bytes_of_products: int = 0
    """Results of matrix products and convolutions, each written once."""
    operations: int = 0
    each: list[tuple[int, int]] = field(default_factory=list)
    """FLOPs and unfused bytes of every operation that moves any."""
    shapes: dict[Shape, int] = field(default_factory=dict)
    """FLOPs spent in products of each (m, k, n); a convolution is the product it is lowered to."""
    foreign: set[str] = field(default_factory=set)
    """Operations that are not PyTorch's own: their arithmetic is not known."""


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts every operation that runs inside it, forward and backward, on any device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts = Counts()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self._note(func, args, kwargs, result)
        return result

    def _note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        packet = func._overloadpacket
        moved = traffic(func, args, kwargs, result)
        flops = 0
        if packet in flop_registry:
            flops = int(flop_registry[packet](*args, **kwargs, out_val=result))
            self.counts.bytes_of_products += sum(map(size, tensors(result)))
            shape = lowered(packet, args, flops)
            if shape is not None:
                self.counts.shapes[shape] = self.counts.shapes.get(shape, 0) + flops
        elif func.namespace not in OWN:
            self.counts.foreign.add(str(packet))
        if moved or flops:
            self.counts.each.append((flops, moved))
        self.counts.flops += flops
        self.counts.bytes_unfused += moved
        self.counts.operations += bool(moved)


def counted(step: Callable[[], object]) -> Counts:
    """What one call of ``step`` does."""
    mode = Counting()
    with mode:
        step()
    return mode.counts


# ---------------------------------------------------------------------- one operation
def traffic(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> int:
    """Bytes an operation moves: each distinct input once, each distinct result once. A view moves nothing, nor does allocating."""
    name = func._overloadpacket.__name__
    if "empty" in name:
        return 0
    given = list(tensors([args, kwargs]))
    here = {tensor.untyped_storage()._cdata for tensor in given}
    written = distinct(mutated(func, args, kwargs))
    fresh = distinct(t for t in tensors(result) if t.untyped_storage()._cdata not in here)
    if not written and not fresh:
        return 0
    read = distinct(given)
    if name in OVERWRITES:
        read = {key: tensor for key, tensor in read.items() if key not in written}
    return sum(size(t) for group in (read, written, fresh) for t in group.values())


def mutated(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    """The inputs an operation writes to, as its schema says."""
    for number, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[number] if number < len(args) else kwargs.get(argument.name)
            yield from tensors(given)


def tensors(given: Any) -> Iterator[Tensor]:
    """Every tensor in what an operation takes or returns."""
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, Mapping):
        yield from tensors(list(given.values()))
    elif isinstance(given, list | tuple):
        for one in given:
            yield from tensors(one)


def distinct(given: Iterable[Tensor]) -> dict[tuple[int, int, int], Tensor]:
    """Tensors under the memory they lie in, each once."""
    return {(t.untyped_storage()._cdata, int(t.storage_offset()), t.numel()): t for t in given}


def size(tensor: Tensor) -> int:
    """Bytes of a tensor; what it repeats without keeping it twice counts once."""
    kept = (n for n, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    return math.prod(kept) * tensor.element_size()


def lowered(packet: Any, args: tuple[Any, ...], flops: int) -> Shape | None:
    """The matrix product (m, k, n) of an operation: a convolution's is (rows of patches, patch, maps)."""
    aten = torch.ops.aten
    if packet in (aten.mm, aten.addmm):
        one, other = args[-2:] if packet is aten.mm else args[1:3]
        return (one.shape[0], one.shape[1], other.shape[1])
    if packet in (aten.convolution, aten._convolution):
        weight = args[1]
        n, k = weight.shape[0], math.prod(weight.shape[1:])
        return (flops // (2 * n * k), k, n)
    return None


# ---------------------------------------------------------------------- one step
@dataclass(frozen=True)
class Bound:
    """The least seconds a step can take on a machine of these ceilings."""

    bytes_least: int
    arithmetic: float
    """Seconds that the FLOPs take at the peak."""
    moving: float
    """Seconds that the least traffic takes at the full bandwidth."""
    one_by_one: float
    """Seconds of all operations, each at the ceiling that holds it back, with the unfused traffic."""

    @property
    def seconds(self) -> float:
        """The roofline of the step."""
        return max(self.arithmetic, self.moving)

    @property
    def binds(self) -> str:
        """Which of the two ceilings it is."""
        return "arithmetic" if self.arithmetic >= self.moving else "memory"


def bound(counts: Counts, parameters: int, machine: Ceilings) -> Bound:
    """The bound of a step in which so many parameters are moved (one moved twice counts twice)."""
    least = 2 * counts.bytes_of_products + PER_PARAMETER * parameters
    return Bound(
        bytes_least=least,
        arithmetic=counts.flops / machine.flops,
        moving=least / machine.bandwidth,
        one_by_one=sum(
            max(flops / machine.flops, moved / machine.bandwidth) for flops, moved in counts.each
        ),
    )


def heaviest(counts: Counts, most: int = SHAPES) -> list[Shape]:
    """The products in which the step spends most of its arithmetic."""
    return sorted(counts.shapes, key=lambda shape: counts.shapes[shape], reverse=True)[:most]


def settled(step: Callable[[], object]) -> Counts:
    """What a step does once buffers are made. A step that replays a recording shows nothing: count one that is not recorded."""
    step()
    return counted(step)


def to_dict(
    counts: Counts, parameters: int, machine: Ceilings, step_seconds: Sequence[float]
) -> dict[str, Any]:
    """Everything about one step as JSON: counted, ceilings, bound, and the fractions reached in each chunk."""
    least = bound(counts, parameters, machine)
    return {
        "flops": counts.flops,
        "bytes_unfused": counts.bytes_unfused,
        "bytes_least": least.bytes_least,
        "operations": counts.operations,
        "not_counted": sorted(counts.foreign),
        "ceilings": ceilings.to_dict(machine),
        "bound_ms": round(1000 * least.seconds, 3),
        "binds": least.binds,
        "arithmetic_ms": round(1000 * least.arithmetic, 3),
        "moving_ms": round(1000 * least.moving, 3),
        "one_by_one_ms": round(1000 * least.one_by_one, 3),
        "step_ms": spread([1000 * seconds for seconds in step_seconds], 3),
        "fraction": spread([least.seconds / seconds for seconds in step_seconds], 4),
        "fraction_one_by_one": spread([least.one_by_one / s for s in step_seconds], 4),
    }


# ---------------------------------------------------------------------- the part
def measure(request: Request, say: Say) -> dict[str, Any]:
    """The bound and the fraction of it that each preset reaches at each size, at the precision gander chooses."""
    from gander.bench import playing
    from gander.bench.throughput import sample

    seconds = request.seconds or SECONDS
    points = []
    for size in request.sizes or SIZES:
        with sample(request, size) as source:
            for preset in request.presets or PRESETS:
                say(f"bound: {preset}, {size} px, counting and timing a step")
                ready = playing.preset(preset, request, source, size=size)
                precision = ready.about["precision"]
                counts = settled(playing.by_itself(preset, request, source, size, precision))
                clock.warm_up(ready.step, seconds, ready.device)
                chunks = [clock.chunk(ready.step, seconds, ready.device) for _ in range(CHUNKS)]
                ready.close()
                say(f"bound: {preset}, {size} px, measuring the ceilings")
                machine = ceilings.measured(
                    ready.device,
                    precision,
                    heaviest(counts),
                    min(ceilings.SECONDS, seconds),
                )
                told = to_dict(
                    counts, ready.parameters, machine, [c.seconds / c.steps for c in chunks]
                )
                points.append(ready.about | {"size": size, "parameters": ready.parameters} | told)
    return {
        "meaning": " ".join((__doc__ or "").split()),
        "seconds_of_a_chunk": seconds,
        "points": points,
    }


def rows(measured: Mapping[str, Any]) -> Iterable[Row]:
    """For each point the fraction of the bound, then of the operations one by one."""
    for point in measured["points"]:
        what = f"{point['preset']}, {point['size']} px, {point['precision']}"
        top = point["ceilings"]
        yield Row(
            what,
            f"{point['fraction']['median']:.1%} of the bound",
            _range(point["fraction"]),
            f"{point['binds']} binds: {point['flops'] / 1e9:,.1f} GFLOP a step of {point['batch']} at "
            f"{top['flops_per_second'] / 1e9:,.0f} GFLOP/s, at least {point['bytes_least'] / 1e6:,.0f} MB at "
            f"{top['bytes_per_second'] / 1e9:,.1f} GB/s",
        )
        yield Row(
            "",
            f"{point['fraction_one_by_one']['median']:.1%} one by one",
            _range(point["fraction_one_by_one"]),
            f"the same {point['operations']:,} operations at the ceilings, {point['bytes_unfused'] / 1e6:,.0f} MB unfused",
        )


def _range(found: Mapping[str, Any]) -> str:
    return f"{found['min']:.1%} to {found['max']:.1%}, n {found['n']}"
