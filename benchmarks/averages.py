"""How long the generator's moving average should remember: one training, several averages kept beside it, each measured.

    GANDER_DATA=... python benchmarks/averages.py acgan --data mnist --images 720000 --seed 2 --out benchmarks/results/averages.jsonl

The average never acts on the training, so that all of them are of one and the same. One line for each half-life, in images, the setting's own
first (``average_halflife``, "own"). A run that was begun before goes on; its other averages begin where it goes on, which their lines tell
(``since``).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

import gander
from gander import evaluation, players, stepping


class Averages:
    """Moving averages of a generator by half-life in images, fed wherever the training feeds its own."""

    def __init__(self, halflives: list[int], ramp: float) -> None:
        self.halflives, self.ramp = halflives, ramp
        self.kept: dict[int, dict[str, torch.Tensor]] = {}
        self.since = 0

    @torch.no_grad()
    def feed(self, config, at_table, machine, share=None) -> None:
        own = at_table.averaged.state_dict()
        if not self.kept:
            self.since = at_table.images_seen
            self.kept = {h: {k: v.clone() for k, v in own.items()} for h in self.halflives}
        live = at_table.game.generator.state_dict()
        floats = [name for name in live if live[name].is_floating_point()]
        end = at_table.images_seen + stepping.images_each(config)
        for halflife, kept in self.kept.items():
            now = min(halflife, max(1.0, self.ramp * end))
            taken = 1 - 0.5 ** (stepping.images_each(config) / now)
            torch._foreach_lerp_([kept[n] for n in floats], [live[n] for n in floats], taken)
        players.average(config, at_table, machine, share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--halflives", type=int, nargs="+", default=[5_000, 40_000])
    parser.add_argument(
        "--ramp",
        type=float,
        default=players.AVERAGE_RAMP,
        help="of what was seen, at most remembered",
    )
    parser.add_argument("--metrics", default="frechet,coverage,recall,label_accuracy")
    parser.add_argument("--runs", type=Path, default=Path("runs/averages"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=10_000)
    asked = parser.parse_args()
    averages = Averages(asked.halflives, asked.ramp)
    stepping.average = averages.feed
    run = gander.train(
        asked.preset,
        data=asked.data,
        images=asked.images,
        seed=asked.seed,
        settings=["threads=1", "tensorboard=false", *asked.set],
        out=str(asked.runs / f"{asked.preset}-{asked.images}-s{asked.seed}"),
    )
    model = gander.load(run)
    train, test = evaluation.real_splits(asked.data, None, None)
    for halflife, weights in [("own", model.generator.state_dict()), *averages.kept.items()]:
        model.generator.load_state_dict(weights)
        found = evaluation.measured(model, train, test, metrics=asked.metrics.split(","), n=asked.n)
        line = {
            "preset": asked.preset,
            "data": asked.data,
            "seed": asked.seed,
            "set": asked.set,
            "images_seen": model.images_seen,
            "halflife": halflife,
            "ramp": players.AVERAGE_RAMP if halflife == "own" else asked.ramp,
            "since": 0 if halflife == "own" else averages.since,
            "metrics": {name: figure.value for name, figure in found.figures.items()},
        }
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        with asked.out.open("a") as out:
            out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
