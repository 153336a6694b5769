"""Where a run came from: versions, processor, device, data. It stands in the run's config.toml and is compared when the run goes on.

A resumed run is bitwise one that was never stopped as long as what computes it is the same. Where that has changed it goes on soundly
all the same, from the saved state, and says so.
"""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gander import __version__
from gander.plan import Plan

DECIDES_BITS = {
    "gander": "gander",
    "commit": "gander's commit",
    "torch": "PyTorch",
    "numpy": "numpy",
    "machine": "system",
    "processor": "processor",
    "device": "device",
}
"""What the bits of a result depend on besides the configuration and the data, and how people call it."""


def of(plan: Plan) -> dict[str, Any]:
    """The resolved specification, what was found, and on what it is made: the tables of a run that begins."""
    return {
        "resolved": {
            "family": plan.spec.family,
            "line": str(plan.spec),
            "shape": list(plan.images.shape),
            "data": plan.images.name,
            "found": list(plan.images.found),
            "factors": list(plan.images.factors),
            "fingerprint": plan.images.fingerprint,
            "codes": plan.spec.to_dict(),
        },
        "provenance": {
            **here(plan),
            "python": platform.python_version(),
            "engine": plan.machine.description,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["gander", *sys.argv[1:]]),
        },
    }


def here(plan: Plan) -> dict[str, str]:
    """What decides bits, as it is now; what cannot be known is left out."""
    facts = {
        "gander": __version__,
        "commit": commit(Path(__file__)),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "device": plan.machine.device_name,
    }
    return {name: value for name, value in facts.items() if value}


def changed(origin: Mapping[str, Any], plan: Plan, images_seen: int) -> tuple[dict[str, Any], str]:
    """The tables of a run that goes on at this position, and what to say where its bits will be others; else an empty text."""
    before, now = dict(origin["provenance"]), here(plan)
    other = [
        f"{called} {before[name]} -> {now[name]}"
        for name, called in DECIDES_BITS.items()
        if name in before and name in now and before[name] != now[name]
    ]
    if not other:
        return {**origin, "provenance": {**now, **before}}, ""
    said = f"from {images_seen:,} images on: {'; '.join(other)}"
    changes = [*before.get("changes", []), said]
    text = (
        f"! not as it began ({'; '.join(other)}): it goes on from the saved state as it should, but no longer to the bits of "
        f"a run that was never stopped."
    )
    return {**origin, "provenance": {**before, **now, "changes": changes}}, text


def processor() -> str:
    """The processor by name, and the instructions PyTorch uses of it, as in "Intel Xeon, AVX512"; as much as can be known."""
    name = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
        name = next(
            (x.partition(":")[2].strip() for x in lines if x.startswith("model name")), name
        )
    except OSError:
        pass
    return ", ".join(part for part in (name, torch.backends.cpu.get_cpu_capability()) if part)


def commit(module: Path) -> str:
    """The commit that is checked out where ``module`` lies under src/ of a repository; empty where it was installed."""
    source = module.resolve().parents[1]
    store = source.parent / ".git"
    try:
        if source.name != "src":
            return ""
        head = (store / "HEAD").read_text("ascii").strip()
        if not head.startswith("ref: "):
            return head[:12]
        name = head.removeprefix("ref: ")
        if (store / name).is_file():
            return (store / name).read_text("ascii").strip()[:12]
        packed = (store / "packed-refs").read_text("ascii").splitlines()
        return next((line[:12] for line in packed if line.endswith(f" {name}")), "")
    except (OSError, UnicodeDecodeError):
        return ""
