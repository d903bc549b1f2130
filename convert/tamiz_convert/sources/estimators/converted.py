"""Estimators that skl2onnx converts, with float64 inputs."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from onnx import TensorProto
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.builder import ML_OPSET, OPSET, GraphBuilder
from tamiz_convert.sources.estimators.scores import BINARY, Append, Scores, last_of_two


def _svc(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Features ─► skl2onnx ─► raw scores. Two classes give [−f, f]; the second is taken."""
    if len(estimator.classes_) > BINARY and estimator.decision_function_shape != "ovr":
        raise EstimatorError(
            "SVC(decision_function_shape='ovo') has one score per pair of classes; set"
            " decision_function_shape='ovr' (it may be set after training)"
        )
    plain = copy.copy(estimator)  # with probabilities, skl2onnx gives these as raw scores, negated
    plain.probability, plain._probA, plain._probB = False, np.empty(0), np.empty(0)  # noqa: SLF001  no public way
    scores = _converted(builder, plain, features, raw_scores=True)
    return Scores(last_of_two(builder, scores, len(estimator.classes_)), "margins", is_single_precision=True)


def probabilistic(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Features ─► skl2onnx ─► probabilities. For two classes, the second one's is taken."""
    probabilities = _converted(builder, estimator, features)
    return Scores(last_of_two(builder, probabilities, len(estimator.classes_)), "probabilities")


def _converted(builder: GraphBuilder, estimator: Any, features: str, **options: bool) -> str:
    types = [("features", DoubleTensorType([None, estimator.n_features_in_]))]
    with warnings.catch_warnings():
        # skl2onnx reads attributes that scikit-learn is retiring.
        warnings.simplefilter("ignore", FutureWarning)
        model = convert_sklearn(
            estimator,
            initial_types=types,
            target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
            options={id(estimator): {"zipmap": False, **options}},
        )
    _, scores = builder.embed(model, {"features": features})  # the label comes first
    return builder.cast(scores, TensorProto.DOUBLE)


APPENDERS: Final[Mapping[type, Append]] = {
    SVC: _svc,
    MLPClassifier: probabilistic,
}
