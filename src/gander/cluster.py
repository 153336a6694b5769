"""Which of how many processes this is, as whoever started them says it: torchrun, Kubernetes or Slurm.

    torchrun, PyTorchJob    RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT (and LOCAL_RANK)
    srun                    SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID, SLURM_STEP_NODELIST

Inside ``sbatch`` or ``salloc``, without ``srun``, there is one process, whatever SLURM_NTASKS says: it would wait for others that never come.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from gander.errors import ConfigError

FIRST_PORT, PORTS = 20_000, 20_000
"""Slurm names no port: one is made of the job's number, so that two jobs on a machine are not in each other's way."""


class Place(NamedTuple):
    """This process among those that were started together."""

    rank: int
    size: int
    local: int
    """Its number on its machine, from 0: that of its GPU."""
    address: str
    """Where the first process can be reached, as host and port."""
    port: int


def place(environment: Mapping[str, str]) -> Place | None:
    """What the environment says; None where it says nothing. Raises ``ConfigError`` where it says half."""
    if "RANK" in environment and "WORLD_SIZE" in environment:
        local = "LOCAL_RANK" if "LOCAL_RANK" in environment else ""
        return _checked(
            Place(
                _number(environment, "RANK"),
                _number(environment, "WORLD_SIZE"),
                _number(environment, local) if local else 0,
                _said(environment, "MASTER_ADDR"),
                _number(environment, "MASTER_PORT"),
            )
        )
    if "SLURM_STEP_ID" in environment and "SLURM_PROCID" in environment:
        count = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environment else "SLURM_NTASKS"
        job = environment.get("SLURM_JOB_ID", "0")
        port = FIRST_PORT + int(job) % PORTS if job.isdecimal() else FIRST_PORT
        return _checked(
            Place(
                _number(environment, "SLURM_PROCID"),
                _number(environment, count),
                _number(environment, "SLURM_LOCALID"),
                environment.get("MASTER_ADDR") or first_host(_nodes(environment)),
                int(environment.get("MASTER_PORT") or port),
            )
        )
    return None


def first_host(nodes: str) -> str:
    """The first of a list of machines as Slurm writes it: ``gpu[03-05,9],other`` is gpu03, gpu04, gpu05, gpu9, other."""
    first = re.match(r"([^\[,]*)(?:\[([0-9]+)[^\]]*\]([^,]*))?", nodes)
    return "".join(part or "" for part in first.groups()) if first else nodes


def _nodes(environment: Mapping[str, str]) -> str:
    own = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST")
    return own or _said(environment, "SLURM_NODELIST")


def _said(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise ConfigError(
            f"this is started as one of several processes, and {name} is not set; start them by torchrun, srun, a PyTorchJob, or "
            f"by --devices."
        )
    return environment[name]


def _number(environment: Mapping[str, str], name: str) -> int:
    text = _said(environment, name)
    if not (text.isascii() and text.isdecimal()):
        raise ConfigError(f"{name} is {text!r} in the environment; it is a whole number.")
    return int(text)


def _checked(found: Place) -> Place:
    if not 0 <= found.rank < found.size:
        raise ConfigError(
            f"this is process {found.rank} of {found.size} by the environment; they are numbered from 0 to {found.size - 1}."
        )
    return found
