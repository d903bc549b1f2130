"""Nearest neighbors, as skl2onnx converts them. A row whose last neighbor ties with another abstains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from sklearn.neighbors import KNeighborsClassifier

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.sources.estimators.converted import probabilistic
from tamiz_convert.sources.estimators.scores import BINARY, Append, Scores

_SAME: Final = 1e-12
"""Distances that differ by less, relative to their size, may change places when they are computed again."""


def _k_neighbors(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Features ─► skl2onnx ─► probabilities."""
    if estimator.weights not in ("uniform", None):
        raise EstimatorError(
            f"KNeighborsClassifier(weights={estimator.weights!r}) is not supported: the graph cannot divide"
            " by a distance as scikit-learn does; train it with weights='uniform'"
        )
    scores = probabilistic(builder, estimator, features)
    n_neighbors = estimator.n_neighbors
    if n_neighbors >= estimator.n_samples_fit_:
        return scores

    def ties(rows: Any) -> NDArray[np.bool_]:
        distance, _ = estimator.kneighbors(rows, n_neighbors + 1)
        last, next_one = distance[:, n_neighbors - 1], distance[:, n_neighbors]
        with np.errstate(invalid="ignore"):  # ∞ − ∞
            return np.asarray(~(next_one - last > _SAME * np.maximum(last, 1.0)))

    def check(rows: Any) -> None:
        is_tie = ties(rows)
        if is_tie.any():
            raise EstimatorError(
                f"KNeighborsClassifier(n_neighbors={n_neighbors}): in {is_tie.sum()} of {len(is_tie)}"
                f" held-out rows, neighbor number {n_neighbors} is exactly as near as the next one, and"
                " scikit-learn and the graph need not choose the same. Train it without training rows that"
                " repeat and on features with finer values, or train another estimator"
            )

    def own(rows: Any) -> NDArray[np.float64]:
        probabilities = np.asarray(estimator.predict_proba(rows), dtype=np.float64)
        probabilities[ties(rows)] = np.nan
        return probabilities[:, 1:] if probabilities.shape[1] == BINARY else probabilities

    return scores._replace(check=check, own=own, refused=(_append_ties(builder, n_neighbors),))


def _append_ties(builder: GraphBuilder, n_neighbors: int) -> str:
    """Append nodes that find rows, [n, 1], whose last neighbor is as near as another that is not counted.

    Distances [n, m], TopK's [n, k] ─► LessOrEqual(the last one + 1e-12 of it) ─► ReduceSum ─► Equal(k) ─► Not
    """
    top = builder.last("TopK")
    last = builder.add("Gather", top.output[0], builder.constant([n_neighbors - 1], np.int64), axis=1)
    size = builder.add("Max", last, builder.constant(1.0))
    limit = builder.add("Add", last, builder.add("Mul", size, builder.constant(_SAME)))
    is_near = builder.cast(builder.add("LessOrEqual", top.input[0], limit), TensorProto.DOUBLE)
    n_near = builder.add("ReduceSum", is_near, builder.constant([1], np.int64), keepdims=1)
    return builder.add("Not", builder.add("Equal", n_near, builder.constant(float(n_neighbors))))


APPENDERS: Final[Mapping[type, Append]] = {KNeighborsClassifier: _k_neighbors}
