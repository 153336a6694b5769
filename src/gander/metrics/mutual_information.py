"""What the recogniser reads back of each discrete code in drawn images, in nats (Chen et al., 2016).

``mutual_information/CODE`` is the variational bound H(c) + E[log q(c | x)] over images whose codes come from their priors; floor 0,
ceiling H(c). Cost: one pass of the critic.
"""

from __future__ import annotations

from gander.study import CannotMeasure, Figure, Study


def measure(study: Study) -> dict[str, Figure]:
    """One figure per recognised discrete code."""
    figures = {}
    for name, value in study.information.items():
        kind = study.model.spec.code(name).resolved
        if kind.discrete:
            figures[f"mutual_information/{name}"] = Figure(
                value, 0.0, kind.ceiling, "nats, read in drawn images"
            )
    if not figures:
        raise CannotMeasure("no discrete code is recognised")
    return figures
