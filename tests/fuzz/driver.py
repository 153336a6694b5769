"""The children one after another: what each is to read, what becomes of it, and the summary of it all."""

import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from fuzz.mutation import changed
from fuzz.worker import BEYOND, Board, Reader, work

CORPUS = Path(__file__).parent / "corpus"
HANGS = 5.0  # seconds of processor time one input may take
WAITS = 60.0  # seconds it may take at all
SLEEPS = 3.0  # seconds it may wait for something, as for the other end of a pipe
LOOKS = 0.02  # seconds between looks at a child
MOST_DEATHS = 50  # of children of one target


@dataclass(frozen=True)
class Plan:
    """A whole run."""

    inputs: int
    seed: int = 0
    by_coverage: bool = False
    hangs: float = HANGS
    beyond: int = BEYOND
    short: bool = False
    """Whether targets that take seconds to begin are left out."""


def fuzzed(plan, chosen, keep, tell=print):
    """Fuzzes the targets and returns the summary; what is found is kept in a folder, an input and a note each."""
    keep.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    results = {}
    for target, quota in shares(plan, chosen):
        results[target.name] = one = _target(plan, target, quota, keep)
        rate = one["inputs"] / max(one["seconds"], 1e-9)
        tell(
            f"{target.name:10} {one['inputs']:8,} inputs, {rate:8,.0f}/s, {len(one['findings'])} findings"
        )
    seconds = time.monotonic() - began
    inputs = sum(one["inputs"] for one in results.values())
    return {
        "inputs": inputs,
        "seed": plan.seed,
        "seeds": sum(one["seeds"] for one in results.values()),
        "guided_by": "coverage (atheris)" if plan.by_coverage else "nothing",
        "seconds": round(seconds, 1),
        "inputs_per_second": round(inputs / seconds, 1),
        "peak_memory_bytes": max(one["peak_memory_bytes"] for one in results.values()),
        "memory_bound_bytes": plan.beyond,
        "hang_seconds": plan.hangs,
        "findings": sum(len(one["findings"]) for one in results.values()),
        "targets": results,
    }


def shares(plan, chosen):
    """Each target and how many inputs it gets; together exactly as many as were asked for."""
    taken = [one for one in chosen if not (plan.short and one.slow_start)]
    total, left = sum(one.share for one in taken), plan.inputs
    for place, one in enumerate(taken):
        quota = left if place == len(taken) - 1 else plan.inputs * one.share // total
        left -= quota
        yield one, quota


def pool_of(target):
    """What fuzzing of a target begins with: its seeds, and whatever once broke it."""
    kept = sorted((CORPUS / target.name).glob("*")) if (CORPUS / target.name).is_dir() else []
    return [*target.seeds(), *(path.read_bytes() for path in kept)]


def _target(plan, target, quota, keep):
    """One target by as many children as it takes."""
    root = "/dev/shm" if Path("/dev/shm").is_dir() else None
    began, done, deaths, peak, findings = time.monotonic(), 0, 0, 0, {}
    pool = pool_of(target)
    with tempfile.TemporaryDirectory(prefix="gander-fuzz-", dir=root) as place:
        home = Path(place)
        while done < quota and deaths <= MOST_DEATHS:
            shutil.rmtree(home / "found", ignore_errors=True)
            for name in ("found", "work"):
                (home / name).mkdir(exist_ok=True)
            board = Board.make(home / "board")
            seed = plan.seed * 1000 + deaths
            number = os.fork()
            if not number:
                reader = Reader(target, home / "work", board, home / "found", quota - done)
                work(reader, pool, seed, plan.by_coverage, plan.beyond)
            ended, memory = _watched(number, board, plan.hangs)
            peak = max(peak, memory)
            for note in sorted((home / "found").glob("*.json")):
                _keep(
                    findings,
                    json.loads(note.read_text()),
                    note.with_suffix(".input").read_bytes(),
                    keep,
                )
            if ended:
                said = {
                    "target": target.name,
                    "sort": ended,
                    "where": "",
                    "said": ended,
                    "trace": [],
                }
                _keep(findings, said | {"bytes": len(board.content)}, board.content, keep)
            elif not board.done:
                raise RuntimeError(f"the child for {target.name} read nothing")
            done += max(1, board.begun)
            deaths += bool(ended)
            shutil.rmtree(home / "work", ignore_errors=True)
    return {
        "inputs": done,
        "seeds": len(pool),
        "seconds": round(time.monotonic() - began, 2),
        "peak_memory_bytes": peak,
        "findings": sorted(findings.values(), key=lambda told: told["input"]),
    }


def _watched(number, board, hangs):
    """Waits for a child: how it ended (empty where it came to its end), and the most memory it held."""
    seen, since, used = -1, time.monotonic(), 0.0
    while True:
        ended, status, usage = os.wait4(number, os.WNOHANG)
        if ended:
            break
        now = time.monotonic()
        if board.begun != seen:
            seen, since, used = board.begun, now, _spent(number)[0]
        elif board.begun > board.done and now - since > min(hangs, SLEEPS):
            spent, sleeps = _spent(number)
            waits = sleeps and spent - used < 0.1
            if waits or spent - used > hangs or now - since > WAITS:
                os.kill(number, signal.SIGKILL)
                _, _, usage = os.wait4(number, 0)
                why = "it waits for something" if waits else f"no answer in {hangs:g} seconds"
                return f"a hang: {why}", usage.ru_maxrss * 1024
        time.sleep(LOOKS)
    memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if os.WIFSIGNALED(status):
        return f"a crash: signal {signal.Signals(os.WTERMSIG(status)).name}", memory
    if board.begun > board.done:
        return f"a crash: it ended with code {os.WEXITSTATUS(status)}", memory
    return "", memory


def _spent(number):
    """The processor time of a child in seconds, and whether it sleeps."""
    try:
        words = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, False
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"), words[0] == "S"


def _keep(findings, told, content, keep):
    """One finding, and the smallest input that leads to it."""
    key = (told["sort"], told["where"], told["said"][:40] if not told["where"] else "")
    name = (
        f"{told['target']}-{hashlib.sha256(repr(key).encode('utf-8', 'replace')).hexdigest()[:8]}"
    )
    if name in findings and findings[name]["bytes"] <= told["bytes"]:
        return
    (keep / name).write_bytes(content)
    findings[name] = {**told, "input": name}


def digest(plan, target, count=50):
    """A hash of a target's first inputs: equal exactly where the same inputs are made."""
    import random

    pool, found = pool_of(target), hashlib.sha256()
    for number in range(count):
        chance = random.Random(f"{plan.seed * 1000}/{target.name}/{number}")
        found.update(changed(chance.choice(pool), target.file, chance, pool))
    return found.hexdigest()
