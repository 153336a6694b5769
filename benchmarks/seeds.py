"""Several seeds as one batched program (stacked weights under ``torch.func.vmap``) against the same seeds one after another, in turns.

    python benchmarks/seeds.py --out benchmarks/results/seeds.json
    python benchmarks/seeds.py --device cuda --seeds 2 4 8 16 --rounds 10 --out benchmarks/results/seeds-gpu.json

Both take the same iterations of the same seeds: the critic's step and the generator's, each with Adam, on the same made-up images (``r1=0``: the slope at an image cannot be
taken inside ``vmap`` as it is written). First it is
checked that they do: in float64 the gradients of the first iteration differ by rounding alone. Then each round times both, one right after the other, so that a busy
neighbour slows both; reported are the ratios of a round, above 1 where the batched program is faster. On a GPU both are recorded once and replayed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from gpu import made_up, planned
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.overrides import TorchFunctionMode

from gander.code import Values
from gander.engine import Engine
from gander.plan import Plan
from gander.players import Players, make_players
from gander.stepping import Single, Steps, step
from gander.tally import Tally

PRESETS = ("infogan", "cgan")
CLOSE = 1e-9
Step = Callable[[], None]


def one_hot(values: Tensor, size: int) -> Tensor:
    """That of torch looks at the values to check them, which nothing can do under ``vmap``."""
    return (values[..., None] == torch.arange(size, device=values.device)).long()


torch.nn.functional.one_hot = one_hot  # type: ignore[assignment]


class Both(nn.Module):
    """The two players' networks as one module, and the loss of either as its forward."""

    def __init__(self, players: Players) -> None:
        super().__init__()
        self.generator, self.critic = players.game.generator, players.game.critic
        self.game = players.game

    def forward(self, who: str, real: Tensor, known: Any, drawn: Any) -> Tensor:
        terms = self.game.critic_terms if who == "critic" else self.game.generator_terms
        return torch.stack(list(terms(real, known, drawn).values())).sum()


class Batched:
    """``count`` seeds whose weights lie in one tensor each; ``step`` is an iteration of all of them."""

    def __init__(self, plans: list[Plan], dtype: torch.dtype = torch.float32) -> None:
        self.plans, machine = plans, plans[0].machine
        modules = [Both(make_players(plan)).to(dtype) for plan in plans]
        self.module = modules[0]
        stacked, self.buffers = stack_module_state(modules)  # type: ignore[arg-type]
        self.weights = {n: w.detach().requires_grad_() for n, w in stacked.items()}
        self.buffers = {n: b.detach() for n, b in self.buffers.items()}
        settings = plans[0].config.optimiser
        own = {
            who: [n for n in self.weights if n.startswith(who)] for who in ("critic", "generator")
        }
        self.own = own
        rates = {"critic": settings.critic_rate, "generator": settings.generator_rate}
        betas = (settings.beta1, settings.beta2)
        self.optimisers = {
            who: machine.adam([self.weights[n] for n in names], rates[who], betas)
            for who, names in own.items()
        }
        self.seen = 0

    def dealt(self) -> dict[str, Any]:
        """What the next iteration takes from outside, of all seeds in one tensor each."""
        deals = [Single(plan, self.seen) for plan in self.plans]
        each = [
            (*deal.batch(0), deal.draws("critic", 0), deal.draws("generator", 0)) for deal in deals
        ]
        parts = zip(*each, strict=True)
        names = ("real", "known", "critic", "generator")
        return dict(zip(names, (_stacked(part) for part in parts), strict=True))

    def move(self, dealt: dict[str, Any]) -> None:
        """Both players' steps."""
        for who, names in self.own.items():
            mine = {n: self.weights[n].detach() for n in names}
            rest = {n: w.detach() for n, w in self.weights.items() if n not in mine}

            def loss(mine: Any, rest: Any, buffers: Any, *batch: Any, who: str = who) -> Tensor:
                return functional_call(self.module, (mine, rest, buffers), (who, *batch))

            slopes = vmap(grad(loss), randomness="different")(
                mine, rest, self.buffers, dealt["real"], dealt["known"], dealt[who]
            )
            for n in names:
                self.weights[n].grad = slopes[n]
            self.optimisers[who].step()

    def step(self) -> None:
        self.move(self.dealt())
        self.seen += self.plans[0].config.training.batch


def _stacked(parts: Any) -> Any:
    if isinstance(parts[0], dict):
        return {name: _stacked([part[name] for part in parts]) for name in parts[0]}
    return torch.stack(list(parts))


def recorded(batched: Batched) -> Step:
    """The batched iteration as a graph that is replayed on new numbers."""
    held = batched.dealt()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            batched.move(held)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        batched.move(held)

    def replay() -> None:
        for place, new in zip(_leaves(held), _leaves(batched.dealt()), strict=True):
            place.copy_(new)
        graph.replay()
        batched.seen += batched.plans[0].config.training.batch

    return replay


def _leaves(parts: Any) -> list[Tensor]:
    if isinstance(parts, dict):
        return [leaf for part in parts.values() for leaf in _leaves(part)]
    return [parts]


# ---------------------------------------------------------------------- right, then fast
class Doubles(TorchFunctionMode):
    """What the code makes a float32 is a float64, whose rounding cannot grow into a step of Adam."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is Tensor.float:
            return args[0].double()
        return function(*args, **(kwargs or {}))


class Exact(Engine):
    """What is dealt, in float64."""

    def values(self, values: Values) -> Values:
        return {k: v.double() if v.dtype == torch.float32 else v for k, v in values.items()}


def apart(plans: list[Plan]) -> float:
    """How far the gradients of the two ways lie from each other in the first iteration, as a share of their length, in float64.

    The generator's are those after the critic's step.
    """
    plans = [replace(plan, machine=Exact(**vars(plan.machine))) for plan in plans]
    batched = Batched(plans, torch.float64)
    with Doubles():
        batched.step()
    far = 0.0
    for seed, plan in enumerate(plans):
        players = make_players(plan)
        for network in players.networks.values():
            network.double()
        with Doubles():
            step(plan, players, Tally())
        alone = dict(Both(players).named_parameters())
        for who in batched.own:
            names = [name for name in batched.own[who] if alone[name].grad is not None]
            one = torch.cat([_slope(alone[name]).flatten() for name in names])
            other = torch.cat([_slope(batched.weights[name])[seed].flatten() for name in names])
            far = max(far, float((one - other).norm() / one.norm()))
    return far


def _slope(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad


def measured(preset: str, count: int, asked: argparse.Namespace) -> dict[str, Any]:
    data = made_up(2_000)
    settings = ("schedule=alternate", "average_halflife=0", "threads=1", "precision=fp32", "r1=0")
    plans = [
        planned(data, asked.device, preset, f"seed={seed}", *settings) for seed in range(count)
    ]
    far = apart(plans)
    if not far < CLOSE:
        raise SystemExit(f"{preset}, {count} seeds: the two ways differ by {far:.1e}")
    batched = Batched(plans)
    together = recorded(batched) if asked.device == "cuda" else batched.step
    alone = [Steps(plan, make_players(plan), Tally()) for plan in plans]

    def apiece() -> None:
        for one in alone:
            one.step()

    ways: dict[str, Step] = {"one after another": apiece, "batched": together}
    for way in ways.values():
        timed(way, 3, asked.device)
    rounds = [
        {n: timed(way, asked.steps, asked.device) for n, way in ways.items()}
        for _ in range(asked.rounds)
    ]
    for one in alone:
        one.close()
    ratios = [r["one after another"] / r["batched"] for r in rounds]
    found = {
        "preset": preset,
        "seeds": count,
        "apart": far,
        "rounds": rounds,
        "median_ratio": round(statistics.median(ratios), 3),
        "least": round(min(ratios), 3),
        "most": round(max(ratios), 3),
    }
    print(
        f"{preset}, {count} seeds: batched {found['median_ratio']} ({found['least']} to {found['most']}) of the speed one after another; apart {far:.0e}",
        flush=True,
    )
    return found


def timed(way: Step, steps: int, device: str) -> float:
    """Seconds an iteration of all seeds."""
    began = time.perf_counter()
    for _ in range(steps):
        way()
    if device == "cuda":
        torch.cuda.synchronize()
    return round((time.perf_counter() - began) / steps, 6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    given = " ".join(map(str, asked.seeds))
    result = {
        "command": f"python benchmarks/seeds.py --device {asked.device} --seeds {given} --rounds {asked.rounds} --steps {asked.steps}",
        "torch": torch.__version__,
        "threads": 1,
        "ratios": [measured(preset, count, asked) for preset in PRESETS for count in asked.seeds],
    }
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
