"""How much of the variance of each continuous code is read back from drawn images: R² = 1 - E|c - ĉ|² / Var[c].

A bound under a fixed variance is not in nats, so continuous codes report R²; floor 0, ceiling 1. The reader is the model's own recogniser,
under values drawn from the prior. For a given number, ``calibration`` asks the judge. Cost: one pass of the critic.
"""

from __future__ import annotations

from gander.study import CannotMeasure, Figure, Study


def measure(study: Study) -> dict[str, Figure]:
    """One figure per recognised continuous code."""
    figures = {}
    for name, value in study.information.items():
        if not study.model.spec.code(name).resolved.discrete:
            figures[f"r2/{name}"] = Figure(value, 0.0, 1.0, "read in drawn images")
    if not figures:
        raise CannotMeasure("no continuous code is recognised")
    return figures
