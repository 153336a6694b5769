"""Processes, placement, precision: the only module that knows what the game is played on.

Everything the training loop needs of a machine is here: which device, how many threads, bf16 or fp32, how a player takes a
step. Networks are not wrapped: a player is a list of parameters, its gradients are computed for exactly those.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from gander.errors import ConfigError, TrainingFailed

CHANNELS_LAST = torch.channels_last
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Engine:
    """Where and how the networks run."""

    device: torch.device
    precision: Precision
    threads: int

    @property
    def description(self) -> str:
        """As in "cpu, bf16, 2 threads"."""
        if self.device.type == "cuda":
            return f"{torch.cuda.get_device_name(self.device)}, {self.precision}"
        return (
            f"{self.device.type}, {self.precision}, {self.threads} thread{'s' * (self.threads > 1)}"
        )

    def place(self, network: nn.Module) -> nn.Module:
        """A network on this device, in the memory layout its convolutions like."""
        return network.to(self.device).to(memory_format=CHANNELS_LAST)  # type: ignore[call-overload, no-any-return]

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
        """Adam over one player's parameters, in one fused kernel where there is one."""
        fused = self.device.type in ("cpu", "cuda")
        return torch.optim.Adam(parameters, lr=rate, betas=betas, fused=fused)

    def step(self, optimiser: torch.optim.Optimizer, terms: dict[str, Tensor]) -> None:
        """One step of one player down the sum of its terms; nobody else's gradient is touched."""
        player = [p for group in optimiser.param_groups for p in group["params"]]
        optimiser.zero_grad(set_to_none=True)
        loss = torch.stack(list(terms.values())).sum()
        torch.autograd.backward(loss, inputs=player)
        optimiser.step()


def start(device: str | None, precision: str, threads: int) -> Engine:
    """An engine for this machine; settings left to it ("auto", 0) are decided here."""
    place = find_device(device)
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    threads = threads or cores
    torch.set_num_threads(threads)
    wants_bf16 = precision == "bf16" or (precision == "auto" and has_bf16(place))
    return Engine(place, "bf16" if wants_bf16 else "fp32", threads)


def find_device(name: str | None) -> torch.device:
    """The device of that name; None and "auto" are the GPU where there is one. Raises ``ConfigError``."""
    cuda = torch.cuda.is_available()
    mps = torch.backends.mps.is_available()
    if name in (None, "auto"):
        return torch.device("cuda" if cuda else "cpu")
    there = ["cpu", *["cuda"] * cuda, *["mps"] * mps]
    try:
        device = torch.device(str(name))
        absent = device.type not in there
        if device.type == "cuda" and cuda and (device.index or 0) >= torch.cuda.device_count():
            absent = True
    except RuntimeError:
        absent = True
    if absent:
        raise ConfigError(f"there is no device {name!r} here; valid: {', '.join(there)}.")
    return device


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 is arithmetic the processor has, rather than something slow that imitates it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, flag, lambda: False)() for flag in flags)


def check_finite(terms: dict[str, float], images_seen: int) -> None:
    """Stops a run one of whose terms is no longer a number."""
    for name, value in terms.items():
        if not math.isfinite(value):
            raise _diverged(f"the term {name!r} became {value}", images_seen)


def check_weights(tensors: dict[str, Tensor], images_seen: int) -> None:
    """Stops a run one of whose tensors is no longer of numbers, so that no such state replaces a good one."""
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise _diverged(f"{name!r} holds values that are no numbers", images_seen)


def _diverged(what: str, images_seen: int) -> TrainingFailed:
    return TrainingFailed(
        f"{what} after {images_seen:,} images. The last good state is kept. Try a lower rate "
        f"(--set critic_rate=1e-4), a penalty (--set r1=1) or --set precision=fp32, with --new."
    )
