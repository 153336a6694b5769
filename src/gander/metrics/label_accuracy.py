"""The share of drawn images that show the class that was ordered, by a judge trained on real images alone.

``label_accuracy/CODE`` for each given category, classes ordered in equal numbers. The floor is chance, which shuffled orders
and one and the same image score; the ceiling the judge's own accuracy on the real test split. It says nothing of variety: a generator
with one image for each class is right every time (``coverage`` and ``train_on_generated`` see that). Cost: one pass of the judge.
"""

from __future__ import annotations

from gander.study import CannotMeasure, Figure, Study
from gander.study.chance import binomial


def measure(study: Study) -> dict[str, Figure]:
    """One figure per given category that the images record. Raises ``CannotMeasure``."""
    if not study.categories:
        raise CannotMeasure("no class is ordered: the model has no given category")
    figures = {}
    for code in study.categories:
        column = code.given or code.name
        if column not in study.judged or study.judged[column].is_floating_point():
            continue
        right = float((study.judged[column] == study.values[code.name]).double().mean())
        truth = study.test.columns[column]
        real = (study.judged_test[column] == truth.values)[truth.known].double().mean()
        figures[f"label_accuracy/{code.name}"] = Figure(
            right,
            1 / code.resolved.width,
            float(real),
            f"{column} ordered and judged",
            error=binomial(right, study.n),
        )
    if not figures:
        raise CannotMeasure("these images do not record the classes the model was given")
    return figures
