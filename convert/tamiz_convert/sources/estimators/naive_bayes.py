"""Gaussian naive Bayes: nodes of our own, in float64, up to the logarithms.

Its probabilities are often within 1e-12 of 1, where 1 − p has no digits left; the logarithms keep theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.naive_bayes import GaussianNB

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.sources.estimators.scores import BINARY, Append, Scores


def _gaussian_nb(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Append the logarithm of each class's joint density; for two classes, the difference.

    Features ─► Unsqueeze [n, 1, f] ─► Sub(mean) ─► Mul(itself) ─► Mul(1/2σ²) ─► ReduceSum ─► Sub from a
    constant [n, c]
    """
    if (estimator.class_prior_ <= 0.0).any():
        raise EstimatorError("GaussianNB has a class with the prior 0, which it never predicts; leave it out")
    variance = np.asarray(estimator.var_, dtype=np.float64)
    constant = np.log(estimator.class_prior_) - 0.5 * np.log(2.0 * np.pi * variance).sum(axis=1)
    rows = builder.add("Unsqueeze", features, builder.constant([1], np.int64))
    distance = builder.add("Sub", rows, builder.constant(estimator.theta_))
    square = builder.add("Mul", distance, distance)
    weighed = builder.add("Mul", square, builder.constant(0.5 / variance))
    sums = builder.add("ReduceSum", weighed, builder.constant([2], np.int64), keepdims=0)
    logits = builder.add("Sub", builder.constant(constant), sums)
    if len(estimator.classes_) == BINARY:
        logits = builder.add("Gemm", logits, builder.constant([[-1.0], [1.0]]))

    def own(rows: Any) -> NDArray[np.float64]:
        joint = np.asarray(estimator.predict_joint_log_proba(rows), dtype=np.float64)
        return joint[:, 1:] - joint[:, :1] if joint.shape[1] == BINARY else joint

    return Scores(logits, "logits", own=own)


APPENDERS: Final[Mapping[type, Append]] = {GaussianNB: _gaussian_nb}
