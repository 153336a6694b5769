"""Processes, placement, precision: the only module that knows what the game is played on.

Everything the training loop needs of a machine is here: which device, how many threads, bf16 or fp32, how a player takes a
step, how an iteration is recorded once and replayed. Networks are not wrapped: a player is a list of parameters, its gradients
are computed for exactly those.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from gander.errors import ConfigError, Diverged
from gander.momentum import Momentum

CHANNELS_LAST = torch.channels_last
Precision = Literal["fp32", "bf16"]
WARM_UP = 3
"""Iterations before one is recorded: libraries choose their kernels and the optimisers make their moments in them."""
LARGE = 32 << 20  # bytes; the largest threshold that glibc takes


@dataclass(frozen=True)
class Engine:
    """Where and how the networks run."""

    device: torch.device
    precision: Precision
    threads: int

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
        return f"{self.device_name}, {self.precision}{threads * (self.device.type != 'cuda')}"

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
        with torch.cuda.graph(graph):
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
        for one in stepping:
            one.step()


def start(device: str | None, precision: str, threads: int, deterministic: bool = False) -> Engine:
    """An engine for this machine; settings left to it ("auto", 0) are decided here.

    ``deterministic`` refuses kernels that sum in no fixed order: a run on a GPU then repeats to the bit as one on a processor does.
    """
    place = find_device(device)
    threads = threads or cores()
    torch.set_num_threads(threads)
    keep_memory()
    if place.type == "cuda":
        # cuBLAS reads this when it starts; without it a stream may get another workspace, and another order of sums
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = not deterministic
    wants_bf16 = precision == "bf16" or (precision == "auto" and has_bf16(place))
    return Engine(place, "bf16" if wants_bf16 else "fp32", threads)


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
