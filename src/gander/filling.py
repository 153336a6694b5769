"""Networks filled with the weights of a file, and not drawn first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gander.errors import RunError

Network = TypeVar("Network", bound=nn.Module)


def filled(
    build: Callable[[], Network],
    tensors: dict[str, Tensor],
    file: Path,
    told_by: Path | None = None,
) -> Network:
    """A network with the weights of a file; it is built in memory only if the file has all of its weights.

    ``told_by`` is the file that describes the network, where it is another one. Raises ``RunError``.
    """
    try:
        with torch.device("meta"), Undrawn():
            build().load_state_dict(tensors, assign=True)
    except RuntimeError:
        if told_by is not None:
            raise RunError(
                f"{file} and {told_by.name} beside it are not of one model. Give a run as `gander train` made it, or {told_by} "
                f"alone, which draws and does not read."
            ) from None
        raise RunError(
            f"{file} does not hold the weights of the network that it describes. Give weights/averaged.safetensors or "
            f"weights/generator.safetensors of a run, or the run itself."
        ) from None
    with Undrawn():
        network = build()
    network.load_state_dict(tensors)
    return network


class Undrawn(TorchFunctionMode):
    """Leaves first weights undrawn, where others take their place.

    Drawing them on the device without memory makes PyTorch import its compiler, which takes longer than loading and drawing.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        of_init = getattr(function, "__module__", "") == "torch.nn.init"
        if of_init or function in (Tensor.normal_, Tensor.uniform_):
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)
