"""Kills training with SIGKILL, resumes it, and compares every tensor with those of a run that nobody killed.

    python tests/killing.py --kills 200 --seed 0 --json kills.json

Processes are forked from this one, which has imported all that they need, so that a kill costs half a second and not five. A run is
killed once, twice or three times in a row before it may end: at a random moment, at a random call to the file system
(what was not yet flushed to the disk is cut off at a random byte, as a power cut does), or inside an evaluation.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch

import tiny
from gander import appraisal, cli, weights
from gander.runs import Run

STEPS = 24
ALWAYS = ("log_images=48", "sample_images=160", "save_seconds=0.03", "keep_states=3")
EVALUATED = ("evaluate_images=96", "evaluate_n=20", "evaluate_metrics=r2", "best=r2/c1")
PENALTIES = ("r1=0.1", "r2=0.1", "gradient=1")
CASES = {
    "gan": ("gan",),
    "gan one-stage": ("gan", "schedule=one-stage", "backbone=mlp"),
    "gan augmented": ("gan", "augment=flip,rotate,shift,cutout", "precision=bf16"),
    "gan adaptive": ("gan", "augment=rotate,shift", "augment_target=0.1", "augment_images=96"),
    "gan penalised": ("gan", "precision=bf16", *PENALTIES),
    "cgan": ("cgan", "precision=bf16"),
    "cgan reuse": ("cgan", "schedule=reuse", "critic_norm=spectral"),
    "cgan one-stage penalised": ("cgan", "schedule=one-stage", "r1=1", "decay=linear"),
    "cgan article": ("cgan-embed", "backbone=article"),
    "acgan": ("acgan", "decay=linear"),
    "acgan reuse augmented": ("acgan", "schedule=reuse", "precision=bf16", "augment=rotate,scale"),
    "acgan one-stage": ("acgan", "schedule=one-stage", "r2=0.1"),
    "acgan resnet": ("acgan", "backbone=resnet", "size=32", "critic_steps=2"),
    "infogan": ("infogan", *EVALUATED),
    "infogan alternate penalised": ("infogan", "schedule=alternate", *PENALTIES, *EVALUATED),
    "infogan reuse": ("infogan", "schedule=reuse", "precision=bf16", "decay=linear", *EVALUATED),
    "infogan one-stage": ("infogan", "schedule=one-stage", "precision=bf16"),
    "infogan augmented": ("infogan", "augment=shift,brightness", "r1=0.1", *EVALUATED),
    "infogan own labels": (
        "infogan-selflabel",
        "category.frequencies=learned",
        "frequencies_from=48",
        "self_label_from=0",
        "self_label_sure=0",
        "settle_from=48",
        "settle_near_images=64",
        *EVALUATED,
    ),
    "infogan-lsgan": ("infogan-lsgan", *EVALUATED),  # dropout, two critic steps, three optimisers
    "acgan-infogan": ("acgan-infogan", "tensorboard=true", "precision=bf16", *EVALUATED),
}
FEW = ("gan one-stage", "cgan reuse", "acgan reuse augmented", "infogan alternate penalised")
"""What the short version plays: every member, every schedule, both precisions, penalties, augmentation, evaluations."""
ALONE, IMPORTS = 0.15, 2.0
"""Share of the kills at any moment that are of a command started anew, and the seconds it takes to begin."""
CALLS = ("replace", "fsync", "link", "rename", "unlink")


@dataclass
class Whole:
    """A run that nobody killed: what it ended in, how long it took, and its calls to the file system."""

    digests: dict[str, str]
    lines: list
    seconds: float
    calls: int


@dataclass
class Tale:
    """What happened to one run: how it was killed, and how its end differs from that of the whole one."""

    case: str
    kills: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)


# ---------------------------------------------------------------------- what is compared
def digests(run):
    """SHA-256 of every tensor and position that a run ends in: its state, its weights, and those of its best."""
    found = {}
    for file in sorted(run.rglob("*.safetensors")):
        place = file.relative_to(run).as_posix()
        if "earlier" in place:
            continue
        tensors, facts = weights.read(file)
        for name, tensor in tensors.items():
            raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
            found[f"{place}:{name}"] = hashlib.sha256(raw).hexdigest()
        found[f"{place}:position"] = str(facts["images_seen"])
    return found


def told(run):
    """The lines of a run without its clock and its name."""
    clock = {"seconds", "images_per_second", "threads", "run"}
    files = ("log.jsonl", "metrics.jsonl")
    return [
        {k: v for k, v in x.items() if k not in clock} for f in files for x in Run(run).lines(f)
    ]


def differences(run, whole):
    """Whatever is not as in the run that nobody killed, and what should not have been left."""
    found = digests(run)
    names = sorted(found.keys() | whole.digests.keys())
    wrong = [name for name in names if found.get(name) != whole.digests.get(name)]
    if told(run) != whole.lines:
        wrong.append("lines of log.jsonl or metrics.jsonl")
    left = [p.name for p in run.rglob(".*.part")]
    left += [p.name for p in run.iterdir() if p.name in ("best.new", "best.old")]
    return wrong + [f"left behind: {name}" for name in left]


# ---------------------------------------------------------------------- processes
def child(run, case, prepare=lambda: None, at_end=lambda: None):
    """A process that trains the case in a directory; its number."""
    number = os.fork()
    if number:
        return number
    code = 99
    try:
        sink = os.open(run.with_suffix(".said"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        prepare()
        code = cli.run(command(run, case))
        at_end()
    finally:
        os._exit(code)


def command(run, case):
    preset, *settings = CASES[case]
    words = ["train", preset, "--data", tiny.source(), "--out", str(run), "--quiet"]
    words += ["--images", str(STEPS * tiny.BATCH)]
    return [*words, "--set", *tiny.SMALL, *ALWAYS, *settings]


def ended(number):
    """The exit code of a process, negative where a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def counted(run, when, rolls, count):
    """Hooks every call to the file system; the ``when``-th is not survived."""
    there = (path.stat() for path in run.rglob("*") if path.is_file())
    flushed = {about.st_ino: about.st_size for about in there}
    for name in CALLS:
        plain = getattr(os, name)

        def hooked(*given, _plain=plain, _name=name, **named):
            count.append(_name)
            if len(count) == when:
                if _name == "fsync" and rolls.random() < 0.5:
                    lose(given[0], flushed, rolls)
                elif rolls.random() < 0.5:
                    _plain(*given, **named)
                os.kill(os.getpid(), signal.SIGKILL)
            if _name == "fsync":
                about = os.fstat(given[0])
                flushed[about.st_ino] = about.st_size
            return _plain(*given, **named)

        setattr(os, name, hooked)


def lose(number, flushed, rolls):
    """Cuts a file off at a random byte of what never reached the disk, as a power cut does."""
    about = os.fstat(number)
    kept = flushed.get(about.st_ino, 0)
    if stat.S_ISREG(about.st_mode) and about.st_size > kept:
        os.truncate(number, rolls.randrange(kept, about.st_size))


def killed_when_evaluating(delay):
    """Has the process killed so long after an evaluation begins."""
    plain = appraisal.appraise

    def hooked(*given):
        end = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL))
        end.daemon = True
        end.start()
        return plain(*given)

    appraisal.appraise = hooked


# ---------------------------------------------------------------------- one run
def whole(folder, case):
    """Trains a case without a kill."""
    run, count = folder / "whole", folder / "calls"
    calls = []
    began = time.monotonic()
    code = ended(
        child(
            run,
            case,
            lambda: counted(run, 0, None, calls),
            lambda: count.write_text(str(len(calls))),
        )
    )
    if code:
        raise SystemExit(f"{case} does not train: {run.with_suffix('.said').read_text()}")
    return Whole(digests(run), told(run), time.monotonic() - began, int(count.read_text()))


def kill_once(run, case, about, rolls, share):
    """Trains on until the process is killed in one of three ways; which, or nothing where the run was faster.

    ``share`` of the whole run's time and calls is where the kill falls at the latest.
    """
    ways = ["anywhere", "at a file call", "at a file call"]
    if set(EVALUATED) <= set(CASES[case]):
        ways.append("in an evaluation")
    way, dice = rolls.choice(ways), random.Random(rolls.random())
    if way == "anywhere" and dice.random() < ALONE:
        way, environment = (
            "anywhere, in a process of its own",
            os.environ | {"OMP_NUM_THREADS": "1"},
        )
        words = [sys.executable, "-m", "gander", *command(run, case)]
        with run.with_suffix(".said").open("a") as sink:
            number = subprocess.Popen(words, stdout=sink, stderr=sink, env=environment).pid
        time.sleep(dice.uniform(0, about.seconds + IMPORTS))
        os.kill(number, signal.SIGKILL)
    elif way == "anywhere":
        number = child(run, case)
        time.sleep(dice.uniform(0, share * about.seconds))
        os.kill(number, signal.SIGKILL)
    elif way == "at a file call":
        number = child(
            run,
            case,
            lambda: counted(run, dice.randint(1, max(1, int(share * about.calls))), dice, []),
        )
    else:
        number = child(run, case, lambda: killed_when_evaluating(dice.uniform(0, 0.05)))
    code = ended(number)
    if code == -signal.SIGKILL:
        return way
    if code:
        raise SystemExit(f"{case}, {way}: {run.with_suffix('.said').read_text()}")
    return None


def tell(folder, case, about, rolls, most):
    """One run: killed up to ``most`` times in a row, then left to end, then compared."""
    tale, run = Tale(case), folder / f"killed-{rolls.randrange(10**9)}"
    for killed in range(most):
        way = kill_once(run, case, about, rolls, 1 / (killed + 1))
        if way is None:
            break
        tale.kills.append(way)
    code = ended(child(run, case))
    if code:
        tale.differs.append(f"exit code {code}: {run.with_suffix('.said').read_text()[-2000:]}")
    else:
        tale.differs += differences(run, about)
    if not tale.differs:
        shutil.rmtree(run)
    return tale


def play(kills, seed, cases, folder, say):
    """Tales until so many kills have happened, the cases in turns."""
    rolls, tales, wholes = random.Random(seed), [], {}
    while sum(len(tale.kills) for tale in tales) < kills:
        case = cases[len(tales) % len(cases)]
        home = folder / case.replace(" ", "-")
        if case not in wholes:
            home.mkdir()
            wholes[case] = whole(home, case)
        tale = tell(home, case, wholes[case], rolls, rolls.choice((1, 2, 3)))
        tales.append(tale)
        say(f"{case}: {', '.join(tale.kills) or 'too fast'}: {tale.differs or 'the same bits'}")
    return tales


def summary(tales, seed, seconds):
    """What is kept of them all."""
    kills = [(tale.case, kill) for tale in tales for kill in tale.kills]
    rows = [len(tale.kills) for tale in tales]
    return {
        "seed": seed,
        "runs": len(tales),
        "kills": len(kills),
        "by_place": dict(Counter(kill for _, kill in kills)),
        "by_case": dict(Counter(case for case, _ in kills)),
        "killed_twice_or_more_in_a_row": sum(count > 1 for count in rows),
        "tensors_compared_per_run": "every one of state, weights and best",
        "steps": STEPS,
        "seconds": round(seconds),
        "torch": torch.__version__,
        "differences": [vars(tale) for tale in tales if tale.differs],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS, help="of a whole run")
    parser.add_argument("--few", action="store_true", help="the cases of the short version alone")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    globals()["STEPS"] = asked.steps
    torch.set_num_threads(1)
    tiny.run("infogan", steps=1)  # imports what every child would import anew
    began, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="gander-kill-"))
    cases = list(FEW if asked.few else CASES)
    tales = play(asked.kills, asked.seed, cases, folder, lambda text: print(text, flush=True))
    result = summary(tales, asked.seed, time.monotonic() - began)
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=2) + "\n")
    if result["differences"]:
        sys.exit(f"{len(result['differences'])} runs ended otherwise; they are kept in {folder}")
    shutil.rmtree(folder)
    print(f"{result['kills']} kills, {result['runs']} runs: all ended in the same bits")


if __name__ == "__main__":
    main()
