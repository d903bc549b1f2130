"""Nearest neighbors, as skl2onnx converts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.sources.estimators.converted import probabilistic
from tamiz_convert.sources.estimators.scores import Append, Scores

_SAME: Final = 1e-12
"""Distances that differ by less, relative to their size, may change places when they are computed again."""


def _k_neighbors(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Features ─► skl2onnx ─► probabilities."""
    if estimator.weights not in ("uniform", None):
        raise EstimatorError(
            f"KNeighborsClassifier(weights={estimator.weights!r}) is not supported: the graph cannot divide"
            " by a distance as scikit-learn does; train it with weights='uniform'"
        )

    def check(rows: Any) -> None:
        n_neighbors = estimator.n_neighbors
        if n_neighbors >= estimator.n_samples_fit_:
            return
        distance, _ = estimator.kneighbors(rows, n_neighbors + 1)
        last, next_one = distance[:, n_neighbors - 1], distance[:, n_neighbors]
        n_ties = int((next_one - last <= _SAME * np.maximum(next_one, 1.0)).sum())
        if n_ties:
            raise EstimatorError(
                f"KNeighborsClassifier(n_neighbors={n_neighbors}): in {n_ties} of {len(distance)} held-out"
                f" rows, neighbor number {n_neighbors} is exactly as near as the next one, and scikit-learn"
                " and the graph need not choose the same. Train it without training rows that repeat and on"
                " features with finer values, or train another estimator"
            )

    return probabilistic(builder, estimator, features)._replace(check=check)


APPENDERS: Final[Mapping[type, Append]] = {KNeighborsClassifier: _k_neighbors}
