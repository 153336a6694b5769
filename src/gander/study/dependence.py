"""How much codes and factors tell of each other, and how far one of them stands out: information, gaps, concentration."""

from __future__ import annotations

import numpy as np

from gander.study.factors import Numbers, Reading, Rows, Whole

BINS = 20
"""Equal-width bins of a code that is a number, over the range of what it says."""
ROUNDING = 1e-12
"""Nats below which counts of independent variables differ from 0."""
NOTHING = 1e-11
"""Added to an importance before its entropy is taken, as in disentanglement_lib."""


def discrete(code: Reading) -> Whole:
    """A code as one discrete variable, (N,): its class, or its bin of ``BINS`` of equal width."""
    if code.classes is not None:
        return code.classes
    number = code.columns[:, 0] if code.angle is None else code.angle
    edges = np.histogram_bin_edges(number, BINS)[1:-1]
    return np.searchsorted(edges, number, side="right").astype(np.int64)


def information(rows: Rows) -> Numbers:
    """Mutual information of every code with every factor in nats, from counts: (codes, factors)."""
    said = [discrete(code) for code in rows.codes]
    return np.array([[mutual(one, factor.levels) for factor in rows.factors] for one in said])


def entropies(rows: Rows) -> Numbers:
    """Of every factor in nats, (factors,)."""
    return np.array([mutual(factor.levels, factor.levels) for factor in rows.factors])


def mutual(one: Whole, other: Whole) -> float:
    """Mutual information of two discrete variables (N,) in nats, from counts; exactly 0 for what is only rounding."""
    joint = np.zeros((int(one.max()) + 1, int(other.max()) + 1))
    np.add.at(joint, (one, other), 1 / len(one))
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    found = float((joint[there] * np.log(joint[there] / apart[there])).sum())
    return found if found > ROUNDING else 0.0


def gaps(table: Numbers) -> Numbers:
    """For every factor, how far the best code is ahead of the next, (codes, factors) -> (factors,)."""
    ranked = np.sort(table, axis=0)
    gap: Numbers = ranked[-1] - ranked[-2]
    return gap


def modularity(table: Numbers) -> float:
    """1 - the squared information of a code with all factors but its first, over (factors - 1) times that with its first.

    Averaged over codes; a code that tells nothing scores 0. Ridgeway & Mozer, 2018.
    """
    squared = table**2
    most = squared.max(axis=1)
    rest = (squared.sum(axis=1) - most) / np.where(most > 0, most, 1) / (table.shape[1] - 1)
    return float(np.where(most > 0, 1 - rest, 0).mean())


def concentration(importance: Numbers) -> Numbers:
    """1 - the entropy of every row over its largest possible: 1 where one entry has it all, 0 where all are alike."""
    share = importance + NOTHING
    share = share / share.sum(axis=1, keepdims=True)
    one: Numbers = 1 + (share * np.log(share)).sum(axis=1) / np.log(importance.shape[1])
    return one


def disentanglement(importance: Numbers) -> float:
    """How much each code is about one factor, averaged by the codes' importance; (codes, factors) -> 0 to 1."""
    total = importance.sum(axis=1)
    if not total.any():
        total = np.ones_like(total)
    return max(0.0, float((concentration(importance) * total).sum() / total.sum()))
