"""The children one after another: what each is to read, what becomes of it, and the summary of it all."""

import hashlib
import json
import os
import random
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
    deaths: int = 50
    """Children of one target that may die before the next one's turn."""


def fuzzed(plan, chosen, keep, tell=print):
    """Fuzzes the targets and returns the summary; what is found is kept in a folder, an input and a note each."""
    keep.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    results = {}
    for target, quota in shares(plan, chosen):
        results[target.name] = one = _target(plan, target, quota, keep)
        rate = one["inputs"] / max(one["processor_seconds"], 1e-9)
        tell(
            f"{target.name:10} {one['inputs']:8,} inputs, {rate:8,.0f} a processor second, {len(one['findings'])} findings"
        )
    seconds = time.monotonic() - began
    spent = sum(one["processor_seconds"] for one in results.values())
    inputs = sum(one["inputs"] for one in results.values())
    return {
        "inputs": inputs,
        "seed": plan.seed,
        "seeds": sum(one["seeds"] for one in results.values()),
        "guided_by": "coverage (atheris)" if plan.by_coverage else "nothing",
        "seconds": round(seconds, 1),
        "processor_seconds": round(spent, 1),
        "inputs_per_second": round(inputs / seconds, 1),
        "inputs_per_processor_second": round(inputs / spent, 1),
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
    began, done, deaths, peak, spent, findings = time.monotonic(), 0, 0, 0, 0.0, {}
    pool = pool_of(target)
    with tempfile.TemporaryDirectory(prefix="gander-fuzz-", dir=root) as place:
        home = Path(place)
        while done < quota and deaths <= plan.deaths:
            shutil.rmtree(home / "found", ignore_errors=True)
            for name in ("found", "work"):
                (home / name).mkdir(exist_ok=True)
            board = Board.make(home / "board")
            seed = plan.seed * 1000 + deaths
            number = os.fork()
            if not number:
                reader = Reader(target, home / "work", board, home / "found", quota - done)
                work(reader, pool, seed, plan.by_coverage, plan.beyond)
            ended, usage = _watched(number, board, plan.hangs)
            peak = max(peak, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
            spent += usage.ru_utime + usage.ru_stime
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
                raise RuntimeError(f"the child for {target.name} ended before it had read anything")
            done += max(1, board.begun)
            deaths += bool(ended)
            shutil.rmtree(home / "work", ignore_errors=True)
    return {
        "inputs": done,
        "seeds": len(pool),
        "seconds": round(time.monotonic() - began, 2),
        "processor_seconds": round(spent, 2),
        "peak_memory_bytes": peak,
        "findings": sorted(findings.values(), key=lambda told: told["input"]),
    }


def _watched(number, board, hangs):
    """Waits for a child: how it ended (empty where it came to its end), and what it used."""
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
                return f"a hang: {why}", usage
        time.sleep(LOOKS)
    if os.WIFSIGNALED(status):
        return f"a crash: signal {signal.Signals(os.WTERMSIG(status)).name}", usage
    if board.begun > board.done:
        return f"a crash: it ended with code {os.WEXITSTATUS(status)}", usage
    if os.WEXITSTATUS(status):
        raise RuntimeError(f"the fuzzer itself failed after {board.done:,} inputs")
    return "", usage


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


def missed(keep):
    """The planted faults that are not found, or not called what they are."""
    from fuzz.planted import FAULTS, planted

    wanted = {read.__name__: sort for read, sort in FAULTS.items()}
    plan = Plan(20 * len(wanted), hangs=0.3, deaths=0)
    summary = fuzzed(plan, planted(), keep, tell=lambda _: None)
    found = {n: {told["sort"] for told in one["findings"]} for n, one in summary["targets"].items()}
    return [name for name, sort in wanted.items() if found[name] != {sort}]


def digest(plan, target, count=20):
    """A hash of a target's first inputs: equal exactly where the same inputs are made."""
    pool, found = pool_of(target), hashlib.sha256()
    for number in range(count):
        chance = random.Random(f"{plan.seed * 1000}/{target.name}/{number}")
        found.update(changed(chance.choice(pool), target.file, chance, pool))
    return found.hexdigest()
