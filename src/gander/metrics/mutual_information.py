"""What the recogniser reads back of each code: nats for discrete codes (Chen et al., 2016), R² for the others.

``mutual_information/CODE`` is the variational bound H(c) + E[log q(c | x)] over drawn images, floor 0 and ceiling H(c); ``r2/CODE`` is
1 - E|c - ĉ|²/Var[c], floor 0 and ceiling 1, since a bound under a fixed variance is not in nats. Cost: one pass of the critic.
"""

from __future__ import annotations

import torch

from gander.images import to_unit
from gander.metrics import CannotMeasure, Figure, Study


@torch.no_grad()
def measure(study: Study) -> dict[str, Figure]:
    """One figure per recognised code, under values drawn from its prior."""
    model = study.model
    if not model.spec.recognised:
        raise CannotMeasure("no code is recognised")
    if model.critic is None:
        raise CannotMeasure("the critic's weights are not here")
    critic = model.reader()
    params, drawn = [], []
    for first in range(0, study.n, 256):
        seeds = range(study.seed + first, study.seed + min(first + 256, study.n))
        values = model.values(seeds)
        images = to_unit(model.render(values).to(model.device))
        on_device = {name: value.to(model.device) for name, value in values.items()}
        params.append(critic(images, model.spec.reveal(on_device, {}), real=False).params.cpu())
        drawn.append(values)
    values = {name: torch.cat([part[name] for part in drawn]) for name in drawn[0]}
    figures = {}
    for name, value in model.spec.information(torch.cat(params), values).items():
        kind = model.spec.code(name).resolved
        metric = "mutual_information" if kind.discrete else "r2"
        figures[f"{metric}/{name}"] = Figure(value, 0.0, kind.ceiling, "read in drawn images")
    return figures
