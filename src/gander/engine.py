"""Processes, placement, precision: the only module that knows what the game is played on.

Everything the training loop needs of a machine is here: which device, how many threads, bf16 or fp32, how a player takes a
step, how an iteration is recorded once and replayed. Networks are not wrapped: a player is a list of parameters, its gradients
are computed for exactly those.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributions import Distribution

from gander import cluster
from gander.errors import ConfigError, Diverged, ProcessLost, is_out_of_memory
from gander.momentum import Momentum
from gander.ranks import ALONE, Group

CHANNELS_LAST = torch.channels_last
Precision = Literal["fp32", "bf16"]
WARM_UP = 3
"""Iterations before one is recorded: libraries choose their kernels and the optimisers make their moments in them."""
LARGE = 32 << 20  # bytes; the largest threshold that glibc takes


# ---------------------------------------------------------------------- processes
WAITS = timedelta(hours=12)
"""The others wait as long as the first one evaluates or makes a judge. One that has ended is noticed at once, by its closed connection."""


@dataclass(frozen=True)
class Processes(Group):
    """Processes that were started together, connected."""

    local: int = 0
    """This one's number among those on its machine."""
    beside: int = 1
    """How many are on its machine."""
    own: bool = True
    """Whether the connection was made here and ends here."""

    def add(self, tensor: Tensor) -> None:
        with self._reaching():
            dist.all_reduce(tensor)

    def agree(self, *wishes: int) -> list[int]:
        """Of each number the largest that any process names."""
        said = torch.tensor(wishes)
        with self._reaching():
            dist.all_reduce(said, dist.ReduceOp.MAX)
        return said.tolist()

    def tell(self, content: bytes = b"") -> bytes:
        """What the first process says, on every one."""
        size = torch.tensor([len(content)])
        with self._reaching():
            dist.broadcast(size, 0)
            held = torch.empty(int(size), dtype=torch.uint8)
            if self.first and content:
                held = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            dist.broadcast(held, 0)
        return held.numpy().tobytes()

    def leave(self) -> None:
        """Ends the connection, where it was made here."""
        if self.own and dist.is_initialized():
            dist.destroy_process_group()

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise ProcessLost(
                f"process {self.rank} of {self.size} (they count from 0) cannot reach the others any more: one has ended, or its "
                f"machine or the network between them"
            ) from None


def join() -> Group:
    """Those who were started together with this process, once all are there; one alone where there are no others.

    A process group that is there already is taken as it is. Raises ``ConfigError``.
    """
    if dist.is_available() and dist.is_initialized():
        return _among(own=False)
    place = cluster.place(os.environ)
    if place is None or place.size == 1:
        return ALONE
    os.environ |= {
        "RANK": str(place.rank),
        "WORLD_SIZE": str(place.size),
        "MASTER_ADDR": place.address,
        "MASTER_PORT": str(place.port),
    }
    cuda = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=WAITS)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"process {place.rank} of {place.size} cannot connect to the first at {place.address}, port {place.port}: "
            f"{str(error).splitlines()[0]}"
        ) from None
    return _among(own=True)


def _among(own: bool) -> Group:
    """This process among all, and among those on its machine, which are told by its name."""
    rank, size = dist.get_rank(), dist.get_world_size()
    if size == 1:
        return ALONE
    named = torch.zeros(size, dtype=torch.int64)
    named[rank] = 1 + zlib.crc32(socket.gethostname().encode())
    try:
        dist.all_reduce(named)
    except RuntimeError as error:
        raise ConfigError(
            f"the process group that is there cannot exchange what lies in the memory of a processor ({str(error).splitlines()[0]}); "
            f"initialise it with backend='cpu:gloo,cuda:nccl'."
        ) from None
    here = (named == named[rank]).nonzero().flatten().tolist()
    return Processes(rank, size, here.index(rank), len(here), own)


# ---------------------------------------------------------------------- one machine
@dataclass(frozen=True)
class Engine:
    """Where and how the networks run."""

    device: torch.device
    precision: Precision
    threads: int
    group: Group = ALONE
    """The processes over which each batch is spread."""

    @property
    def records(self) -> bool:
        """Whether an iteration can be recorded as a graph of kernels and replayed."""
        return self.device.type == "cuda"

    @property
    def device_name(self) -> str:
        """As in "cpu", or what a GPU calls itself."""
        if self.device.type == "cuda":
            return str(torch.cuda.get_device_name(self.device))
        return self.device.type

    @property
    def description(self) -> str:
        """As in "cpu, bf16, 2 threads"."""
        threads = f", {self.threads} thread{'s' * (self.threads > 1)}"
        processes = f", {self.group.size} processes" if self.group.size > 1 else ""
        of_cpu = threads * (self.device.type != "cuda")
        return f"{self.device_name}, {self.precision}{of_cpu}{processes}"

    def place(self, network: nn.Module) -> nn.Module:
        """A network on this device, in the memory layout its convolutions like."""
        return network.to(self.device).to(memory_format=CHANNELS_LAST)  # type: ignore[call-overload, no-any-return]

    def holds(self, images: Tensor) -> bool:
        """Whether a set of images fits into half of the device's free memory, so that no batch need be fetched."""
        if self.device.type != "cuda":
            return True
        free, _ = torch.cuda.mem_get_info(self.device)
        return images.nbytes < free // 2

    def images(self, batch: Tensor) -> Tensor:
        """(B, C, H, W) uint8 of the data -> float in [-1, 1] on this device."""
        moved = batch.to(self.device, non_blocking=True).float() / 127.5 - 1
        return moved.contiguous(memory_format=CHANNELS_LAST)

    def values(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Code values on this device."""
        return {name: value.to(self.device, non_blocking=True) for name, value in values.items()}

    @contextlib.contextmanager
    def arithmetic(self) -> Iterator[None]:
        """The precision of what is computed inside.

        What is not a number is let through, for ``check_finite`` to report by name: PyTorch's distributions would stop at
        it with a text for programmers, and wait for the device to look.
        """
        strict: bool = Distribution._validate_args
        Distribution.set_default_validate_args(False)
        try:
            with torch.autocast(
                self.device.type,
                torch.bfloat16,
                enabled=self.precision == "bf16",
                cache_enabled=True,
            ):
                yield
        finally:
            Distribution.set_default_validate_args(strict)

    def adam(
        self, parameters: Sequence[nn.Parameter], rate: float, betas: tuple[float, float]
    ) -> torch.optim.Adam:
        """Adam over one player's parameters, in one fused kernel where there is one.

        Where iterations are recorded the rate is a tensor: a number would be recorded with them.
        """
        fused = self.device.type in ("cpu", "cuda")
        held = torch.tensor(rate, device=self.device) if self.records else rate
        return torch.optim.Adam(
            parameters, lr=held, betas=betas, fused=fused, capturable=self.records
        )

    def momentum(
        self, parameters: Sequence[nn.Parameter], rate: float, momentum: float
    ) -> Momentum:
        """Gradient descent with momentum over one player's parameters; where iterations are recorded both numbers are tensors."""
        held = [
            torch.tensor(x, device=self.device) if self.records else x for x in (rate, momentum)
        ]
        return Momentum(parameters, *held)

    def set_rate(
        self, optimiser: torch.optim.Optimizer, rate: float | Tensor, momentum: float | Tensor = 0.0
    ) -> None:
        """The learning rate of an optimiser's next steps, and their momentum where it has one."""
        for group in optimiser.param_groups:
            for name, value in (("lr", rate), ("momentum", momentum)):
                held = group.get(name)
                if isinstance(held, Tensor) and isinstance(value, Tensor):
                    held.copy_(value)
                elif isinstance(held, Tensor):
                    held.fill_(value)
                elif name in group:
                    group[name] = float(value)

    def blend(self, slow: list[Tensor], live: list[Tensor], share: float | Tensor) -> None:
        """Moves each of ``slow`` that share of the way to its partner, in place."""
        if not self.records:
            torch._foreach_lerp_(slow, live, float(share))
            return
        # No fused kernel takes its weight from a tensor; recorded or not, the arithmetic is the same.
        way = torch._foreach_sub(live, slow)
        torch._foreach_mul_(way, torch.as_tensor(share, dtype=torch.float32, device=self.device))
        torch._foreach_add_(slow, way)

    def record(
        self, body: Callable[[], None], state: Callable[[], Mapping[str, Tensor]]
    ) -> Callable[[], None]:
        """``body`` recorded once, to be replayed: the same kernels on the same memory, in one launch.

        ``state`` names every tensor that ``body`` changes and training depends on; it is afterwards as it was before, since a
        recording needs iterations that warm the libraries up. What appears during those begins at zero, as moments do. Where nothing can be recorded
        the body itself is returned, which does the same step by step.
        """
        before = {name: tensor.clone() for name, tensor in state().items()}
        stream = torch.cuda.Stream() if self.records else None  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            if stream is not None:
                stream.wait_stream(torch.cuda.default_stream())
            for _ in range(WARM_UP):
                body()
        if stream is not None:
            torch.cuda.default_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph() if self.records else None
        self._put_back(before, state())
        if graph is None:
            return body
        # what watches over the exchange with other processes asks the device for its state meanwhile
        mode = "global" if self.group.size == 1 else "thread_local"
        with torch.cuda.graph(graph, capture_error_mode=mode):
            body()
        replay: Callable[[], None] = graph.replay
        return replay

    @staticmethod
    @torch.no_grad()
    def _put_back(before: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> None:
        for name, tensor in now.items():
            if name in before:
                tensor.copy_(before[name])
            else:
                tensor.zero_()

    def step(
        self,
        optimiser: torch.optim.Optimizer,
        terms: dict[str, Tensor],
        *more: torch.optim.Optimizer,
    ) -> None:
        """One step of one player, and of those who share its terms, down their sum; nobody else's gradient is touched."""
        stepping = (optimiser, *more)
        moved = [p for one in stepping for group in one.param_groups for p in group["params"]]
        for one in stepping:
            one.zero_grad(set_to_none=True)
        loss = torch.stack(list(terms.values())).sum()
        torch.autograd.backward(loss, inputs=moved)
        self.move(*stepping)

    def move(self, *optimisers: torch.optim.Optimizer) -> None:
        """One step of each along the gradients that are there: their mean over the processes."""
        self.average(p for one in optimisers for group in one.param_groups for p in group["params"])
        for one in optimisers:
            one.step()

    @torch.no_grad()
    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Makes each gradient its mean over the processes, exchanged in flat buckets.

        Afterwards, not while walking back: a wrapper that does it then must know which parameters a loss reaches, and here it is
        now the critic's, now the generator's through the critic.
        """
        if self.group.size == 1:
            return
        slopes = [p.grad for p in parameters if p.grad is not None]
        for bucket in _buckets(slopes):
            flat = torch.cat([slope.flatten() for slope in bucket])
            self.group.add(flat)
            flat.div_(self.group.size)
            parts = torch.split(flat, [slope.numel() for slope in bucket])
            for slope, part in zip(bucket, parts, strict=True):
                slope.copy_(part.view_as(slope))


BUCKET = 32 << 20
"""Bytes of gradients exchanged at once; fewer and larger messages waste less time on setting out."""


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors of one type in their order, as many as fit."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        size = sum(each.nbytes for each in bucket) + tensor.nbytes
        if bucket and (size > BUCKET or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def start(
    device: str | None,
    precision: str,
    threads: int,
    deterministic: bool = False,
    group: Group = ALONE,
) -> Engine:
    """An engine for this machine; settings left to it ("auto", 0) are decided here.

    Of several processes on a machine each has a GPU and a share of the cores of its own.

    ``deterministic`` refuses kernels that sum in no fixed order: a run on a GPU then repeats to the bit as one on a processor does.
    """
    place = find_device(device)
    if isinstance(group, Processes) and place.type == "cuda":
        if place.index is not None and group.beside > 1:
            raise ConfigError(
                f"--device {device} is one GPU, and {group.beside} processes on this machine need one each; give --device cuda."
            )
        if group.beside > torch.cuda.device_count():
            raise ConfigError(
                f"{group.beside} processes on this machine and {torch.cuda.device_count()} GPUs; start one for each, or give "
                f"--device cpu."
            )
        place = torch.device("cuda", group.local % torch.cuda.device_count())
        torch.cuda.set_device(place)
    threads = threads or max(1, cores() // (group.beside if isinstance(group, Processes) else 1))
    torch.set_num_threads(threads)
    keep_memory()
    if place.type == "cuda":
        # cuBLAS reads this when it starts; without it a stream may get another workspace, and another order of sums
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = not deterministic
    wants_bf16 = precision == "bf16" or (precision == "auto" and has_bf16(place))
    return Engine(place, "bf16" if wants_bf16 else "fp32", threads, group)


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_memory() -> None:
    """Has glibc keep freed memory for the next step, where it is the C library.

    By default it hands large blocks back at once, and a step then spends a tenth of its time on page faults.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((-3, LARGE), (-1, 2**31 - 1), (-2, 2 * LARGE)):
            mallopt(parameter, value)  # mmap threshold, trim threshold, padding at the top


def find_device(name: str | None) -> torch.device:
    """The device of that name; None and "auto" are the GPU where there is one. Raises ``ConfigError``."""
    cuda = torch.cuda.is_available()
    mps = torch.backends.mps.is_available()
    if name in (None, "auto"):
        return torch.device("cuda" if cuda else "cpu")
    there = ["cpu", *["cuda"] * cuda, *["mps"] * mps]
    try:
        device = torch.device(str(name))
        absent = device.type not in there or (device.type == "cpu" and bool(device.index))
        if device.type == "cuda" and cuda and (device.index or 0) >= torch.cuda.device_count():
            absent = True
    except RuntimeError:
        absent = True
    if absent:
        raise ConfigError(f"there is no device {name!r} here; give {' or '.join(there)}.")
    return device


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 is arithmetic the processor has, rather than something slow that imitates it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, flag, lambda: False)() for flag in flags)


def check_weights(tensors: Mapping[str, Tensor], images_seen: int) -> None:
    """Stops a run one of whose tensors is no longer of numbers, so that no such state replaces a good one. Raises ``Diverged``."""
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise Diverged(
                f"{name!r} holds values that are no numbers after {images_seen:,} images"
            )
