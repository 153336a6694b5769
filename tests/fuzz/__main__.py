"""``python -m fuzz --inputs 1000000 --json FILE``: fuzzes every reader; exit code 1 where something was found."""

import argparse
import contextlib
import io
import json
import os
import sys
from pathlib import Path

for name in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
):  # a child is made of a process that has one thread
    os.environ.setdefault(name, "1")
os.environ.setdefault("GANDER_CACHE", "/nonexistent")

WATCHED = ["gander", "zipfile", "tomllib", "json", "csv", "tarfile", "gzip", "PIL"]
"""Packages whose branches guide the fuzzing, where it is guided."""


def asked():
    words = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    words.add_argument("--inputs", type=int, default=1_000_000)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--targets", default="", help="some of them, as npz,idx; else all")
    words.add_argument(
        "--unguided", action="store_true", help="changes alone, the same on every machine"
    )
    words.add_argument(
        "--short", action="store_true", help="without the targets that take seconds to begin"
    )
    words.add_argument("--json", type=Path, help="where the summary goes")
    words.add_argument(
        "--keep", type=Path, default=Path("runs/fuzz"), help="where inputs go that broke something"
    )
    return words.parse_args()


def main():
    options = asked()
    by_coverage = False
    if not options.unguided:
        try:
            import atheris

            by_coverage = True
        except ImportError:
            print(
                "atheris is not installed, so nothing guides the changes; `make fuzz` installs it where it exists."
            )
    if by_coverage:
        quiet = contextlib.redirect_stderr(io.StringIO())  # a line for each module
        with quiet, atheris.instrument_imports(include=WATCHED, enable_loader_override=False):
            from PIL import Image

            from fuzz import driver, targets

            Image.init()  # the readers of its formats, which it imports late
    else:
        from fuzz import driver, targets
    import torch

    from gander.images import write

    torch.set_num_threads(1)
    names = [name for name in options.targets.split(",") if name]
    chosen = [targets.TARGETS[name] for name in names] if names else list(targets.TARGETS.values())
    plan = driver.Plan(options.inputs, options.seed, by_coverage, short=options.short)
    missed = driver.missed(options.keep / "planted")
    summary = driver.fuzzed(plan, chosen, options.keep) | {"planted_faults_missed": missed}
    if options.unguided:
        summary["digests"] = {
            one.name: driver.digest(plan, one) for one, _ in driver.shares(plan, chosen)
        }
    if options.json:
        write(options.json, (json.dumps(summary, indent=1) + "\n").encode())
    print(
        f"{summary['inputs']:,} inputs in {summary['seconds']:,.0f} s, {summary['findings']} findings"
    )
    for one in summary["targets"].values():
        for told in one["findings"]:
            print(f"  {told['input']}: {told['sort']} at {told['where']}: {told['said'][:160]!r}")
    if missed:
        print(f"  the fuzzer is broken: it did not find {', '.join(missed)}")
    sys.exit(bool(summary["findings"] or missed))


main()
