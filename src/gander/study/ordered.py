"""Numbers that were ordered: what the judge measures in the drawn images, beside what it measures in real ones."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gander.study import Study


@dataclass(frozen=True)
class Number:
    """One given continuous code, in the column's own unit."""

    name: str
    column: str
    ordered: Tensor
    """(n,), drawn as the data set has it."""
    measured: Tensor
    """(n,), by the judge in the images drawn on those orders."""
    truth: Tensor
    """(m,), of the real test images that record it."""
    judged: Tensor
    """(m,), by the judge in those."""


def numbers(study: Study) -> list[Number]:
    """Every given number that the judge can measure."""
    found = []
    for code in study.model.spec.given:
        column = code.given or code.name
        if code.resolved.name not in ("uniform", "gaussian") or column not in study.judged:
            continue
        recorded = study.test.columns[column]
        found.append(
            Number(
                code.name,
                column,
                study.values[code.name][:, 0],
                study.judged[column],
                recorded.values[recorded.known],
                study.judged_test[column][recorded.known],
            )
        )
    return found
