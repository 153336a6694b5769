"""The linear classifiers of the disentanglement protocols, with the defaults of the scikit-learn they were published with.

Since then scikit-learn's defaults have changed: its logistic regression was one classifier for each class by liblinear, which
also penalises the offset, and is now one softmax for all. The published figures are of the former.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gander.study.factors import Factor, Numbers, Reading, Rows, Whole
from gander.study.libraries import library


def logistic(points: Numbers, labels: Whole) -> Any:
    """Logistic regression, one against the rest, C = 1, fitted to points (N, W) and labels (N,)."""
    one = library("sklearn.linear_model").LogisticRegression(solver="liblinear", random_state=0)
    with _as_far_as_it_goes():
        return library("sklearn.multiclass").OneVsRestClassifier(one).fit(points, labels)


def machine(points: Numbers, labels: Whole) -> Any:
    """A linear support vector classifier, one against the rest, C = 0.01, classes weighted to count alike."""
    # The same objective as by default in the dual, whose solver stops early and draws at random.
    one = library("sklearn.svm").LinearSVC(C=0.01, class_weight="balanced", dual=False)
    with _as_far_as_it_goes():
        return one.fit(points, labels)


def accuracy(code: Reading, factor: Factor, asked: Reading, truth: Factor) -> float:
    """How often ``machine``, fitted to one code and one discrete factor, names the level of other images (or of the same)."""
    said = machine(code.columns, factor.levels).predict(asked.columns)
    return float((said == truth.levels).mean())


def explicitness(fitted: Rows, scored: Rows, normalised: bool) -> float:
    """Area under the curve of ``logistic`` on all codes, averaged over the levels of a factor and then over factors.

    ``normalised``: every column has mean 0 and deviation 1 in the fitted images. Ridgeway & Mozer, 2018.
    """
    area = library("sklearn.metrics").roc_auc_score
    seen, asked = fitted.columns, scored.columns
    if normalised:
        mean, deviation = seen.mean(axis=0), seen.std(axis=0)
        deviation[deviation == 0] = 1
        seen, asked = (seen - mean) / deviation, (asked - mean) / deviation
    means = []
    for factor, truth in zip(fitted.factors, scored.factors, strict=True):
        model = logistic(seen, factor.levels)
        said = model.predict_proba(asked)
        areas = [
            area(truth.levels == level, said[:, at])
            for at, level in enumerate(model.classes_)
            if 0 < (truth.levels == level).mean() < 1
        ]
        means.append(float(np.mean(areas)))
    return float(np.mean(means))


@contextmanager
def _as_far_as_it_goes() -> Iterator[None]:
    """The protocols take a fit as it is after the default number of steps, converged or not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=library("sklearn.exceptions").ConvergenceWarning)
        yield
