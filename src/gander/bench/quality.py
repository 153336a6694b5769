"""Wall seconds from the start of the process to a stated quality; every seed is told, also those that never got there.

``python -m gander.bench.quality TOLD`` is the process of one seed.
"""

from __future__ import annotations

import json
import math
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gander.bench import Request, Row, Say
from gander.errors import TrainingFailed, UseError

if TYPE_CHECKING:
    from gander.data import Data
    from gander.plan import Plan
    from gander.players import Players

ABOUT = "wall seconds from the start of the process to a stated quality, every seed told"
COSTS = "up to four minutes a seed, an hour in all"
PRESETS = ("infogan", "cgan", "acgan")
GOALS = {"discovered": ("hungarian_accuracy", 0.95), "ordered": ("label_accuracy", 0.97)}
SECONDS = 240.0
"""That a seed may take, evaluations aside."""
EVERY = 5_000
"""Images between evaluations, at least."""
WAIT = 0.05
"""Of the seconds so far that pass between evaluations, at least, so that a fast machine does not evaluate all the time."""
SEARCHED, CONFIRMED = 2_000, 10_000
"""Images drawn to look for the threshold, and to confirm that it was passed."""
RULES = (
    "Each seed is a process of its own. The clock starts just before that process does, so starting Python, importing, reading the "
    "data and building the networks are counted, as is every step; it stands still while an evaluation runs, from when the "
    "device has done all it was given. A seed is evaluated after every {every:,} images, and not before {wait:.0%} more time has passed: on "
    "{searched:,} drawn images (hungarian_accuracy: on all real test images), and where that passes the threshold once "
    "more on {confirmed:,}, of which the threshold must be reached as well. The time told is that of the evaluation, so it is at most one interval "
    "too long. A seed ends at the threshold, after {seconds:g} s, or where `gander train PRESET` ends by itself. Every seed given is "
    "told; one that did not reach the threshold counts as longer than all that did. The judge was trained before, on real images alone; that "
    "time is not counted."
)


@dataclass(frozen=True)
class Goal:
    """What one seed is to reach, and what it may use."""

    preset: str
    seed: int
    figure: str
    threshold: float
    data: str
    seconds: float
    device: str | None = None
    precision: str = "auto"
    threads: int = 0
    batch: int | None = None
    size: int | None = None
    began: float = 0.0
    """The system's monotonic clock just before the process was started."""


def measure(request: Request, say: Say) -> dict[str, Any]:
    """Every preset with every seed, one after another; nothing else runs."""
    seconds = request.seconds or SECONDS
    goals = {name: goal_of(name) for name in request.presets or PRESETS}
    judged = _judge(request, say) if any(f == "label_accuracy" for f, _ in goals.values()) else None
    found = []
    for preset, (figure, threshold) in goals.items():
        seeds = []
        for seed in request.seeds:
            say(f"quality: {preset}, seed {seed}, until {figure} {threshold:g}")
            goal = Goal(
                preset,
                seed,
                figure,
                threshold,
                request.data,
                seconds,
                request.device,
                request.precision,
                request.threads,
                request.batch,
                next(iter(request.sizes), None),
            )
            seeds.append(one_seed(goal, say))
        about = {"preset": preset, "figure": figure, "threshold": threshold}
        found.append(about | {"summary": summary(seeds), "seeds": seeds})
    said = RULES.format(
        every=EVERY, wait=WAIT, searched=SEARCHED, confirmed=CONFIRMED, seconds=seconds
    )
    return {"rules": said, "seconds_of_a_seed": seconds, "judge_seconds": judged, "presets": found}


def goal_of(preset: str) -> tuple[str, float]:
    """The figure and the threshold for a preset: ordered labels, else discovered categories. Raises ``UseError``."""
    from gander import config

    codes = config.load(preset).codes.codes
    if any(code.given for code in codes):
        return GOALS["ordered"]
    if any(c.recognised and c.kind is not None and c.kind.name == "categorical" for c in codes):
        return GOALS["discovered"]
    raise UseError(
        f"quality: {preset!r} has neither an ordered label nor discovered categories, so there is no figure to wait "
        f"for; give --presets infogan,cgan,acgan."
    )


def _judge(request: Request, say: Say) -> float:
    """Makes sure that the judge is there before a clock runs; the seconds it took."""
    from gander import judge

    say("quality: the judge, trained on real images alone")
    began = time.monotonic()
    judge.judge_of(_images(request.data, "train", next(iter(request.sizes), None)))
    return round(time.monotonic() - began, 1)


def _images(source: str, split: str, size: int | None) -> Data:
    from gander import data

    return data.load(source, split, size=size)


def one_seed(goal: Goal, say: Say) -> dict[str, Any]:
    """The process of one seed, from its start to its end."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gander.bench.quality",
            json.dumps(asdict(goal) | {"began": time.monotonic()}),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    answer: dict[str, Any] = {}
    try:
        for line in process.stdout:
            answer = json.loads(line)
            if "seed" not in answer and "refused" not in answer:
                where = f"{answer['seconds']:.0f} s, {goal.figure} {answer['value']:.4f}"
                say(f"quality: {goal.preset}, seed {goal.seed}: {where}")
    finally:
        process.stdout.close()
        if process.poll() is None and "seed" not in answer:
            process.kill()
        process.wait()
    if "refused" in answer:
        raise UseError(f"quality: {answer['refused']}")
    if "seed" not in answer:
        raise TrainingFailed(f"the process of {goal.preset}, seed {goal.seed}, ended early.")
    return answer


def summary(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """n, how many got there, and the times; one that did not counts as longer than all others, told as None."""
    times = sorted((s["seconds"] if s["reached"] else math.inf) for s in seeds)
    middle = statistics.median_low(times) if math.inf in times else statistics.median(times)
    if len(times) % 2 == 0 and statistics.median_high(times) == math.inf:
        middle = math.inf  # between one that got there and one that did not
    known = [None if math.isinf(t) else round(t, 1) for t in (times[0], middle, times[-1])]
    return {
        "n": len(seeds),
        "reached": sum(bool(s["reached"]) for s in seeds),
        **dict(zip(("min", "median", "max"), known, strict=True)),
    }


def rows(measured: Mapping[str, Any]) -> Iterable[Row]:
    """A line for each preset, then one for each of its seeds."""
    for found in measured["presets"]:
        said = found["summary"]
        unit = f"{found['figure']} {found['threshold']:g}"
        ends = f"{in_seconds(said['min'])} to {in_seconds(said['max'])}, "
        spread = f"{ends if said['reached'] else ''}n {said['n']}"
        remark = f"{unit}; {said['reached']} of {said['n']} seeds got there"
        yield Row(found["preset"], in_seconds(said["median"]), spread, remark)
        for seed in found["seeds"]:
            yield Row(f"  seed {seed['seed']}", outcome(seed), "", aside(seed))


def in_seconds(value: float | None) -> str:
    """As in "41.2 s"; None is what was not reached."""
    return "not reached" if value is None else f"{value:.1f} s"


def outcome(seed: Mapping[str, Any]) -> str:
    """As in "41.2 s" or "not within 240 s, best .87"."""
    if seed["reached"]:
        return in_seconds(seed["seconds"])
    best = f"best {seed['best']['value']:.4f}" if seed["best"] else "never evaluated"
    return f"not within {seed['trained_seconds']:.0f} s, {best}"


def aside(seed: Mapping[str, Any]) -> str:
    """Images, the figure confirmed, and what was not counted."""
    confirmed = f"{seed['value']:.4f} confirmed, " if seed["reached"] else f"{seed['ended']}, "
    return (
        f"{confirmed}{seed['images']:,} images; {seed['start_up_seconds']:.1f} s to the first step counted, "
        f"{seed['evaluations']} evaluations of {seed['evaluation_seconds']:.0f} s not counted"
    )


# ---------------------------------------------------------------------- the process of one seed
class Watch:
    """A clock that began before this process and stands still at times."""

    def __init__(self, began: float) -> None:
        self._began = began
        self.still = 0.0
        """Seconds that were not counted."""

    def seconds(self) -> float:
        """What has been counted so far."""
        return time.monotonic() - self._began - self.still


def train(goal: Goal) -> dict[str, Any]:
    """One seed until its threshold, its time or its end; prints a line of JSON for every evaluation."""
    from gander.plan import configured, make_plan
    from gander.players import make_players
    from gander.regrouping import regroup
    from gander.stepping import step
    from gander.tally import Tally

    settings: dict[str, int | str | None] = {"batch": goal.batch, "data.size": goal.size}
    settings |= {"precision": goal.precision, "threads": goal.threads}
    words = [f"{key}={value}" for key, value in settings.items() if value is not None]
    plan = make_plan(configured(goal.preset, words, data=goal.data, seed=goal.seed), goal.device)
    players, tally, watch = make_players(plan), Tally(), Watch(goal.began)
    first: float | None = None
    asked, looked = 0, watch.seconds()
    course: list[dict[str, Any]] = []
    examiner = Examiner(goal, plan)
    ended, reached = "", False
    while not ended:
        regroup(plan, players)
        step(plan, players, tally)
        first = first if first is not None else watch.seconds()
        over = players.images_seen >= plan.config.training.images
        late = watch.seconds() >= goal.seconds
        due = players.images_seen - asked >= EVERY and watch.seconds() >= looked * (1 + WAIT)
        if not (over or late or due):
            continue
        passed, seen = examiner.look(players, watch)
        course.append(seen)
        print(json.dumps(seen), flush=True)
        asked, looked = players.images_seen, seen["seconds"]
        # What came a step after the time was up has not come in time.
        reached = passed and seen["seconds"] <= goal.seconds
        if reached:
            ended = "at the threshold"
        elif late or over:
            ended = "its time was up" if late else "it was trained to its end"
    best = max(course, key=lambda seen: float(seen["value"]), default=None)
    return {
        "seed": goal.seed,
        "reached": reached,
        "ended": ended,
        "seconds": round(course[-1]["seconds"], 2) if reached else None,
        "trained_seconds": round(course[-1]["seconds"], 1),
        "images": players.images_seen,
        "value": course[-1]["value"],
        "best": best,
        "start_up_seconds": round(first or 0.0, 2),
        "evaluations": examiner.count,
        "evaluation_seconds": round(watch.still, 1),
        "device": plan.machine.description,
        "course": course,
    }


class Examiner:
    """Measures the players as ``gander evaluate`` measures their run, while the clock stands still."""

    def __init__(self, goal: Goal, plan: Plan) -> None:
        self._goal, self._plan = goal, plan
        self._test: Data | None = None
        self.count = 0

    def look(self, players: Players, watch: Watch) -> tuple[bool, dict[str, Any]]:
        """Whether the threshold is passed and confirmed, and the figure with its place."""
        from gander.bench import clock

        clock.finish(self._plan.machine.device)
        seconds, began = watch.seconds(), time.monotonic()
        if self._test is None:
            self._test = _images(self._goal.data, "test", self._goal.size)
        value = self._figure(players, SEARCHED)
        passed = value >= self._goal.threshold
        if passed and self._goal.figure == "label_accuracy":
            value = self._figure(players, CONFIRMED)
            passed = value >= self._goal.threshold
        watch.still += time.monotonic() - began
        where = {"seconds": round(seconds, 2), "images": players.images_seen}
        return passed, where | {"value": round(value, 4)}

    def _figure(self, players: Players, n: int) -> float:
        import torch

        from gander import evaluation
        from gander.appraisal import undisturbed
        from gander.players import model_of

        assert self._test is not None
        self.count += 1
        model = model_of(self._plan, players)
        for network in (model.generator, model.critic):
            if network is not None:
                network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        with undisturbed(self._plan.machine.device):
            result = evaluation.measured(
                model, self._plan.images, self._test, metrics=[self._goal.figure], n=n
            )
        values = [figure.value for figure in result.figures.values()]
        if not values:
            why = "; ".join(result.missing.values()) or "it was interrupted"
            raise UseError(f"{self._goal.figure} of {self._goal.preset}: {why}.")
        return min(values)


def main(told: str) -> None:
    """One seed; its last line of output is its result."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this process ends it
    try:
        answer = train(Goal(**json.loads(told)))
    except UseError as why:
        answer = {"refused": str(why)}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
