"""Linear models: one matrix product, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.sources.estimators.scores import Append, Scores


def _logistic_regression(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    return Scores(_linear(builder, estimator, features), "logits")


def _linear_svc(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    return Scores(_linear(builder, estimator, features), "margins")


def _linear(builder: GraphBuilder, estimator: Any, features: str) -> str:
    """Features ─► Gemm(coefᵀ, intercept) ─► scores."""
    weights = builder.constant(np.asarray(estimator.coef_, dtype=np.float64).T)
    n_scores = estimator.coef_.shape[0]
    intercept = np.broadcast_to(np.asarray(estimator.intercept_, dtype=np.float64), (n_scores,))
    return builder.add("Gemm", features, weights, builder.constant(intercept))


APPENDERS: Final[Mapping[type, Append]] = {LogisticRegression: _logistic_regression, LinearSVC: _linear_svc}
