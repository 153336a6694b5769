"""The accuracy on real test images of a classifier that learned from drawn images alone: the classification accuracy score.

``train_on_generated/CODE`` (Ravuri & Vinyals, 2019; GAN-train of Shmelkov et al., 2018): a fresh network of the judge's architecture and
recipe learns from as many drawn images as the training split has (60,000 at most), classes in equal numbers, the label of
each being what was ordered. It sees at once whether orders are obeyed, images look real and vary within a class. The floor is chance,
the ceiling the judge's own accuracy, which learned from real images. Cost: drawing that many images, and the training of a judge.
"""

from __future__ import annotations

from gander.code import Code
from gander.data import Column, Data
from gander.judge import train_judge
from gander.study import CannotMeasure, Figure, Study
from gander.study.chance import binomial

MOST = 60_000


def measure(study: Study) -> dict[str, Figure]:
    """One figure per given category that the images record. Raises ``CannotMeasure``."""
    asked = {code.given or code.name: code for code in study.categories}
    recorded = {name for name, column in study.test.columns.items() if len(column.names) > 1}
    ordered = {column: code for column, code in asked.items() if column in recorded}
    if not ordered:
        raise CannotMeasure("no class that these images record is ordered")
    study.held_out()
    said = train_judge(drawn(study, ordered)).name(study.test.images)
    figures = {}
    for column, code in ordered.items():
        truth = study.test.columns[column]
        right = (said[column] == truth.values)[truth.known].double()
        real = (study.judged_test[column] == truth.values)[truth.known].double().mean()
        share = float(right.mean())
        figures[f"train_on_generated/{code.name}"] = Figure(
            share,
            1 / code.resolved.width,
            float(real),
            f"{column} of real test images, learned from drawn ones",
            error=binomial(share, len(right)),
        )
    return figures


def drawn(study: Study, ordered: dict[str, Code]) -> Data:
    """A training split of drawn images, labelled with what was ordered."""
    values = study.ordered(min(MOST, len(study.train)))
    columns = {
        column: Column(column, "categorical", values[code.name], study.test.columns[column].names)
        for column, code in ordered.items()
    }
    images = study.model.render(values)
    return Data("drawn", "drawn", "train", images, columns, study.train.label, ())
