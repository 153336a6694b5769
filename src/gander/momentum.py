"""Gradient descent with momentum, as the papers before Adam used it, in a form that a GPU can record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Momentum(torch.optim.Optimizer):
    """velocity <- momentum * velocity - rate * gradient; weight <- weight + velocity (Polyak, 1964; Sutskever et al., 2013).

    The rate is inside the velocity, so that it and the momentum may change from step to step. Both may be tensors (), which a recorded
    step reads anew each time; as numbers they would be recorded with it, as PyTorch's own ``SGD`` records its momentum.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], lr: float | Tensor, momentum: float | Tensor
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Moves every parameter that has a gradient. A velocity begins at zero."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            for p in moved:
                if "velocity" not in self.state[p]:
                    self.state[p]["velocity"] = torch.zeros_like(p)
            velocity = [self.state[p]["velocity"] for p in moved]
            gradient = [p.grad for p in moved]
            torch._foreach_mul_(velocity, group["momentum"])
            if isinstance(group["lr"], Tensor):
                torch._foreach_sub_(velocity, torch._foreach_mul(gradient, group["lr"]))
            else:
                torch._foreach_add_(velocity, gradient, alpha=-group["lr"])
            torch._foreach_add_(moved, velocity)
