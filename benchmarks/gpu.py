"""The records of a GPU in one command: is the recorded step right, how fast is it, and how near the bound.

    make bench-gpu                       or    PYTHONPATH=src python benchmarks/gpu.py --out benchmarks/results/gpu.json

Under 8 minutes. Needs PyTorch 2.11 or newer, numpy, Python 3.12 and this checkout, nothing else. First it proves that a step recorded as
a graph and replayed is the step taken kernel by kernel, and that a run resumed in the middle ends in the same bits; it exits with 1
where that fails. Then it measures images/s (real images the critic sees; median, least and most of the chunks), counts the FLOPs and bytes of a step and
sets them against ceilings measured in the same run. ``--device cpu --seconds 0.1`` goes through all of it without a GPU, for a look.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gander import bench
from gander import config as configuration
from gander.bench import bound, ceilings, clock, spread
from gander.bench.facts import facts
from gander.data import Column, Data
from gander.plan import Plan, configured, make_plan
from gander.players import Players, make_players, state
from gander.stepping import Steps, step
from gander.tally import Tally

BATCHES = (128, 256, 512, 1024, 2048, 4096)
CHUNKS = 3
CLOSE = 1e-3
"""Share of a term by which a recorded step may differ from one taken kernel by kernel: libraries may choose other kernels."""
STEPS = 12
MADE_UP = 60_000
RULES = (
    "Images/s counts real images that went through the critic's step: median, least and most of the chunks, after warming up. Counted: the whole "
    "iteration, also reading images on the device, drawing codes on the host and copying them. Not counted: starting, recording, log lines, pictures, saved states. "
    "The images are made up; speed does not depend on them."
)
KERNELS = 15
"""Kernels listed, the longest ones."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def made_up(count: int) -> Data:
    """Squares of a class's place and a random brightness, 28 px."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 10
    images = generator.integers(0, 30, (count, 1, 28, 28), dtype=np.uint8)
    bright = generator.integers(100, 255, count, dtype=np.uint8)
    for image, label, light in zip(images, labels, bright, strict=True):
        down, across = 2 + label // 5 * 12, 1 + label % 5 * 5
        image[0, down : down + 12, across : across + 5] = light
    names = tuple(map(str, range(10)))
    column = Column("class", "categorical", torch.from_numpy(labels), names)
    columns = {"class": column}
    return Data(
        "squares", "squares", "train", torch.from_numpy(images), columns, "class", ("made up",)
    )


def planned(data: Data, device: str, preset: str, *settings: str, images: int = 10**9) -> Plan:
    """A preset on these images, resolved; so long a run that no rate decays while it is timed."""
    return make_plan(configured(preset, list(settings), images=images, seed=0), device, data)


# ---------------------------------------------------------------------- is it right
def taken(plan: Plan, players: Players, count: int, recorded: bool) -> dict[str, float]:
    """Takes so many iterations and returns the sums of their terms."""
    tally = Tally()
    steps = Steps(plan, players, tally) if recorded else None
    for _ in range(count):
        if steps is None:
            step(plan, players, tally)
        else:
            steps.step()
    if steps is not None:
        steps.close()
    return {name: float(total) for name, total in tally.sums.items()}


def agreement(
    data: Data, device: str, presets: list[str], settings: tuple[str, ...]
) -> list[dict[str, Any]]:
    """For each preset and schedule: the terms of recorded and eager steps from the same seed, and whether all bits are the same."""
    found = []
    schedules = ("alternate", "reuse", "one-stage")
    for preset, schedule in itertools.product(presets, schedules):
        plan = planned(data, device, preset, f"schedule={schedule}", "decay=linear", *settings)
        one, other = make_players(plan), make_players(plan)
        plain = taken(plan, one, STEPS, recorded=False)
        replayed = taken(plan, other, STEPS, recorded=True)
        apart = max(
            abs(plain[name] - replayed[name]) / max(1.0, abs(plain[name])) for name in plain
        )
        first, second = state(one), state(other)
        same = all(torch.equal(first[name], second[name]) for name in first)
        found.append(
            {
                "preset": preset,
                "schedule": schedule,
                "steps": STEPS,
                "largest_difference": apart,
                "same_bits": same,
                "right": apart <= CLOSE and plain.keys() == replayed.keys(),
            }
        )
        say(f"recorded against eager, {preset} {schedule}: {apart:.1e}, same bits: {same}")
    return found


def resumed(data: Data, device: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """Whether a run cut in the middle, restored into fresh players and recorded again ends in the bits of an uncut one."""
    plan = planned(data, device, "infogan", *settings)
    whole, cut, rest = (make_players(plan) for _ in range(3))
    taken(plan, whole, 2 * STEPS, recorded=True)
    taken(plan, cut, STEPS, recorded=True)
    rest.game.generator.load_state_dict(cut.game.generator.state_dict())
    rest.game.critic.load_state_dict(cut.game.critic.state_dict())
    rest.averaged.load_state_dict(cut.averaged.state_dict())
    for name, adam in cut.optimisers.items():
        rest.optimisers[name].load_state_dict(adam.state_dict())
    rest.images_seen = cut.images_seen
    taken(plan, rest, STEPS, recorded=True)
    first, second = state(whole), state(rest)
    different = [name for name in first if not torch.equal(first[name], second[name])]
    say(f"resumed in the middle: {len(different)} of {len(first)} tensors differ")
    return {
        "steps": 2 * STEPS,
        "tensors": len(first),
        "different": len(different),
        "right": not different,
    }


def repeated(data: Data, device: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """Whether ``--deterministic`` gives the same bits twice, recorded; and, to know what it is worth, whether two runs without it do."""
    found: dict[str, Any] = {"steps": STEPS}
    for name, how in (("deterministic", "true"), ("otherwise", "false")):
        plan = planned(data, device, "infogan", f"deterministic={how}", *settings)
        one, other = make_players(plan), make_players(plan)
        for players in (one, other):
            taken(plan, players, STEPS, recorded=True)
        first, second = state(one), state(other)
        found[name] = all(torch.equal(first[key], second[key]) for key in first)
    say(f"the same bits twice: {found}")
    return found | {"right": found["deterministic"]}


# ---------------------------------------------------------------------- how fast
def timed(plan: Plan, seconds: float, recorded: bool, compiled: bool = False) -> dict[str, Any]:
    """Images/s of a plan in chunks, after warming up; a recording is made before."""
    players, tally = make_players(plan), Tally()
    if compiled:
        players.game.generator.compile()
        players.game.critic.compile()
    steps = Steps(plan, players, tally) if recorded else None
    each = plan.config.training.batch * plan.config.game.critic_steps

    def once() -> int:
        steps.step() if steps is not None else step(plan, players, tally)
        return each

    clock.warm_up(once, seconds, plan.machine.device)
    chunks = [clock.chunk(once, seconds, plan.machine.device) for _ in range(CHUNKS)]
    if steps is not None:
        steps.close()
    speeds = [chunk.images / chunk.seconds for chunk in chunks]
    on_gpu = plan.machine.device.type == "cuda"
    return {
        "preset": plan.config.preset,
        "schedule": plan.config.game.schedule,
        "batch": plan.config.training.batch,
        "precision": plan.machine.precision,
        "recorded": recorded,
        "deterministic": plan.config.training.deterministic,
        "compiled": compiled,
        "images_per_second": spread(speeds),
        "finite": all(bool(torch.isfinite(total)) for total in tally.sums.values()),
        "memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if on_gpu else None,
    }


def throughput(data: Data, device: str, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Batches, schedules and precisions of the 28 px InfoGAN step, recorded and not; the other presets at one batch."""
    ways = [("infogan", ("schedule=one-stage",), batch, True) for batch in asked.batches]
    ways += [("infogan", ("schedule=alternate",), batch, True) for batch in asked.batches[:4:3]]
    ways += [("infogan", ("schedule=one-stage",), batch, False) for batch in asked.batches[:4:3]]
    ways += [("infogan", ("precision=fp32",), asked.batches[-1], True)]
    exact = ("schedule=one-stage", "deterministic=true")
    ways += [("infogan", exact, batch, True) for batch in asked.batches[:4:3]]
    for preset in ("gan", "cgan", "acgan", "infogan-lsgan"):
        ways.append((preset, (), asked.batches[min(3, len(asked.batches) - 1)], True))
    found = []
    for preset, settings, batch, recorded in ways:
        plan = planned(data, device, preset, *asked.settings, f"batch={batch}", *settings)
        line = timed(plan, asked.seconds, recorded)
        found.append(line)
        how = "recorded" if recorded else "eager"
        say(
            f"{preset} {' '.join(settings)} batch {batch} {line['precision']} {how}: "
            f"{line['images_per_second']['median']:,.0f} images/s"
        )
    return found


def compiled(data: Data, device: str, batch: int, seconds: float) -> dict[str, Any]:
    """The same step with the networks compiled, where a compiler works: whether it pays."""
    plan = planned(data, device, "infogan", "schedule=one-stage", f"batch={batch}")
    try:
        line = timed(plan, seconds, recorded=True, compiled=True)
    except Exception as why:  # whatever a compiler may raise: it is an experiment
        say(f"compiled: not possible ({type(why).__name__})")
        return {"failed": f"{type(why).__name__}: {str(why).splitlines()[0][:200]}"}
    say(f"compiled, batch {batch}: {line['images_per_second']['median']:,.0f} images/s")
    return line


# ---------------------------------------------------------------------- how near the bound
def bounds(
    data: Data, device: str, lines: list[dict[str, Any]], settings: tuple[str, ...], seconds: float
) -> list[dict[str, Any]]:
    """The bound of each timed infogan step and the fraction of it that was reached."""
    place = torch.device(device)
    found: list[dict[str, Any]] = []
    known: dict[str, ceilings.Ceilings] = {}
    for line in lines:
        if line["preset"] != "infogan" or not line["recorded"] or line["deterministic"]:
            continue
        how = [f"{key}={line[key]}" for key in ("schedule", "batch", "precision")]
        plan = planned(data, device, "infogan", *settings, *how)
        players, tally = make_players(plan), Tally()
        step(plan, players, tally)
        counts = bound.counted(lambda p=plan, q=players, t=tally: step(p, q, t))
        precision = line["precision"]
        if precision not in known:
            shapes = bound.heaviest(counts)
            known[precision] = ceilings.measured(place, precision, shapes, min(0.3, seconds))
        moved = sum(
            p.numel()
            for adam in players.optimisers.values()
            for group in adam.param_groups
            for p in group["params"]
        )
        took = [line["batch"] / speed for speed in line["images_per_second"]["values"]]
        told = bound.to_dict(counts, moved, known[precision], took)
        facts = {"schedule": line["schedule"], "batch": line["batch"], "precision": precision}
        found.append(facts | told)
        say(
            f"bound, {line['schedule']} batch {line['batch']} {precision}: "
            f"{told['fraction']['median']:.1%} of it ({told['binds']} binds)"
        )
    return found


def kernels(data: Data, device: str, batch: int) -> list[dict[str, Any]]:
    """Where the time of a replayed step goes: the longest kernels, microseconds a step."""
    if not device.startswith("cuda"):
        return []
    plan = planned(data, device, "infogan", "schedule=one-stage", f"batch={batch}")
    steps = Steps(plan, make_players(plan), Tally())
    for _ in range(5):
        steps.step()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(10):
            steps.step()
        torch.cuda.synchronize()
    steps.close()
    events = sorted(profile.key_averages(), key=lambda event: -event.device_time_total)
    return [
        {"kernel": e.key[:120], "calls": e.count / 10, "microseconds": e.device_time_total / 10}
        for e in events[:KERNELS]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each timed chunk")
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--images", type=int, default=MADE_UP, help="made-up images on the device")
    parser.add_argument("--presets", nargs="+", default=configuration.preset_names(), help="proved")
    parser.add_argument("--settings", nargs="*", default=[], help="key=value, for a quick look")
    asked = parser.parse_args()
    if asked.device.startswith("cuda") and not torch.cuda.is_available():
        print("there is no CUDA device here; --device cpu --seconds 0.1 is for a look without one")
        return 2
    began = time.monotonic()
    settings = tuple(asked.settings)
    data = made_up(asked.images)
    record: dict[str, Any] = {
        "schema": bench.SCHEMA,
        "command": f"make bench-gpu{'' if asked.device == 'cuda' else ', without a GPU'}",
        "machine": facts(),
        "caution": "" if asked.device == "cuda" else "There was no GPU: a look at the path alone.",
    }
    proofs = {
        "agreement": agreement(data, asked.device, asked.presets, settings),
        "resumed": resumed(data, asked.device, settings),
        "repeated": repeated(data, asked.device, settings),
    }
    lines = throughput(data, asked.device, asked)
    speed = {
        "rules": RULES,
        "throughput": lines,
        "bound": bounds(data, asked.device, lines, settings, asked.seconds),
        "kernels": kernels(data, asked.device, asked.batches[-1]),
    }
    if asked.device == "cuda":
        speed["compiled"] = compiled(data, asked.device, asked.batches[-1], asked.seconds)
    record["parts"] = {"recorded": proofs, "speed": speed}
    record["took_seconds"] = round(time.monotonic() - began, 1)
    best = max(line["images_per_second"]["median"] for line in lines)
    shown = [*proofs["agreement"], proofs["resumed"], proofs["repeated"]]
    right = all(line["right"] for line in shown)
    right = right and all(line["finite"] for line in lines)
    say(f"best: {best:,.0f} images/s; recorded steps are {'right' if right else 'WRONG'}")
    text = json.dumps(record, indent=1)
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(text + "\n")
    else:
        print(text)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
