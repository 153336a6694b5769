"""What an iteration moves besides weights: tensors on the device that are part of a run's state."""

from __future__ import annotations

import abc
from collections.abc import Mapping

import torch
from torch import Tensor


class Following(abc.ABC):
    """Notices something in every iteration and moves by it after. Its tensors change in place, so that a recorded iteration reads them anew."""

    @property
    @abc.abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What training depends on between two iterations, each under the name of its attribute."""

    @abc.abstractmethod
    def move(self) -> None:
        """Moves by all that was noticed since the last time; nothing was, then it stays."""

    def to(self, device: torch.device) -> None:
        """Moves every tensor to a device, also what was noticed."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts those values back, in place; what is not among them stays at its beginning."""
        for name, tensor in self.tensors.items():
            if name in tensors:
                tensor.copy_(tensors[name])
