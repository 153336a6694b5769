"""How soon a discovered category is read: its information in what is drawn, in the course of a run's first images, from every seed asked for.

    GANDER_DATA=... python benchmarks/first_epoch.py infogan-views --data mnist --seeds 0 1 2 3 4 --out benchmarks/results/first-epoch.jsonl

The run is the one that ``gander train`` with the same settings begins. Every ``--every`` images 10,000 new codes are drawn and read in the image itself,
not in a view of it: by the model that would be saved there, as `gander evaluate` reads its drawn images, and (``live``) by the weights as they are, normalised
by the statistics of the batch as in training. The information is the bound of Chen et al. (2016), H(c) - E[-log q(c | x)], in nats. One line per run; what has
its line is not repeated.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
from pathlib import Path

import torch

from gander.plan import Plan, configured, make_plan
from gander.players import Players, make_players, model_of
from gander.stepping import Steps
from gander.tally import Tally

N, TOGETHER = 10_000, 500


@torch.no_grad()
def live(plan: Plan, players: Players, name: str) -> float:
    """Nats of category ``name``, of copies, so that the run does not learn that it was looked at."""
    generator, critic = copy.deepcopy(players.game.generator), copy.deepcopy(players.game.critic)
    missing = 0.0
    for first in range(0, N, TOGETHER):
        values = plan.machine.values(plan.spec.draw(99, "first-epoch", first, TOGETHER))
        told = plan.spec.reveal(values, {})
        read = plan.spec.split(critic(generator(values), told, real=False).params)[name]
        places = values[name].flatten()
        missing += float(torch.nn.functional.cross_entropy(read.float(), places)) * TOGETHER
    return math.log(plan.spec.code(name).resolved.size) - missing / N


@torch.no_grad()
def saved(plan: Plan, players: Players, name: str) -> float:
    """Nats of category ``name`` as ``gander evaluate`` finds them in the model that would be saved here."""
    model = model_of(plan, players)
    values = model.values(range(N))
    return model.spec.information(model.recognise(model.render(values), values), values)[name]


def course(asked: argparse.Namespace, seed: int) -> list[tuple[int, float, float]]:
    """Images seen and information, of the saved model and of the live weights, until ``asked.images``."""
    config = configured(asked.preset, ["threads=1", *asked.set], data=asked.data, seed=seed)
    plan = make_plan(config, "cpu")
    players = make_players(plan)
    steps, found, due = Steps(plan, players, Tally()), [], 0
    while players.images_seen < asked.images:
        steps.step()
        if players.images_seen >= due:
            read = [round(look(plan, players, asked.code), 4) for look in (saved, live)]
            found.append((players.images_seen, read[0], read[1]))
            due = players.images_seen // asked.every * asked.every + asked.every
    steps.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--code", default="category")
    parser.add_argument("--images", type=int, default=59_968, help="60,000 and whole batches of 64")
    parser.add_argument("--every", type=int, default=4_992)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    there = asked.out.read_text().splitlines() if asked.out.is_file() else []
    done = {json.loads(line)["run"] for line in there}
    for seed in asked.seeds:
        run = " ".join([asked.preset, asked.data, f"seed {seed}", *asked.set])
        if run in done:
            continue
        found = course(asked, seed)
        best, most_live = max(found, key=lambda at: at[1]), max(at[2] for at in found)
        line = {"run": run, "preset": asked.preset, "seed": seed, "set": asked.set}
        line |= {"most": best[1], "most_at": best[0], "last": found[-1][1]}
        line |= {"most_live": most_live, "last_live": found[-1][2], "course": found}
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        with asked.out.open("a") as out:
            out.write(json.dumps(line) + "\n")
        print(
            f"{run}: at most {best[1]:.3f} nats, at {best[0]:,} images; {found[-1][1]:.3f} last; live {most_live:.3f}"
        )


if __name__ == "__main__":
    main()
