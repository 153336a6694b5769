"""The share of drawn images that show the class that was ordered, by a judge trained on real images alone.

Classes are ordered in equal numbers. The floor is chance, the ceiling the judge's own accuracy on the real test split. Cost: one
pass of the judge.
"""

from __future__ import annotations

from gander.metrics import CannotMeasure, Figure, Study


def measure(study: Study) -> dict[str, Figure]:
    """One figure per given category; with several, NAME/CODE."""
    codes = [c for c in study.model.spec.given if c.resolved.name == "categorical"]
    if not codes:
        raise CannotMeasure("no class is ordered: the model has no given category")
    figures = {}
    for code in codes:
        column = code.given or code.name
        if column not in study.judged:
            raise CannotMeasure(f"these images do not record {column!r}")
        right = (study.judged[column] == study.values[code.name]).double().mean()
        truth = study.test.columns[column]
        real = (study.judged_test[column] == truth.values)[truth.known].double().mean()
        name = "label_accuracy" if len(codes) == 1 else f"label_accuracy/{code.name}"
        figures[name] = Figure(
            float(right), 1 / code.resolved.width, float(real), f"{column} ordered and judged"
        )
    return figures
