"""What a figure of speed depends on besides the program: the machine and the versions, without its name or its paths."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

BUSY = 0.5
"""Load average for each core above which other work is said to have been running."""


def facts() -> dict[str, Any]:
    """The machine, the versions and the moment. Memory in GB (10⁹ bytes), load as processes wanting a core."""
    import numpy
    import torch

    from gander import __version__

    gpus = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(index)
            gpus.append({"name": about.name, "memory_gb": round(about.total_memory / 1e9, 1)})
    return {
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": cores(),
        "memory_gb": round(memory() / 1e9, 1),
        "gpus": gpus,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "numpy": numpy.__version__,
        "gander": __version__,
        **commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "threads_of_pytorch": torch.get_num_threads(),
        "load_average": load(),
    }


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The processor's own name, as in "AMD EPYC"."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def memory() -> int:
    """Bytes of main memory, 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def load() -> float | None:
    """Processes that wanted a core, the mean of the last minute; None where the system does not say."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def busy(before: float | None) -> str:
    """A caution where other work was running when it began; empty where the machine was quiet."""
    if before is None or before <= BUSY * cores():
        return ""
    return (
        f"The load average was {before:g} on {cores()} cores when it began: other work was running. These figures are no "
        f"record: rates are too low, and ratios favour whoever uses fewer threads."
    )


def commit() -> dict[str, Any]:
    """The commit of the checkout this package lies in and whether it was changed since; None where it lies in none."""
    source = Path(__file__).resolve().parents[1]
    if source.parent.name != "src" or not (source.parents[1] / ".git").exists():
        return {"commit": None, "changed": None}
    try:
        return {
            "commit": _git(source, "rev-parse", "HEAD"),
            "changed": bool(_git(source, "status", "--porcelain", "--", str(source))),
        }
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "changed": None}


def _git(place: Path, *words: str) -> str:
    answer = subprocess.run(
        ["git", "-C", str(place), *words], capture_output=True, text=True, check=True, timeout=20
    )
    return answer.stdout.strip()
