"""Final estimators as ONNX nodes: features (n_rows, n_features), float64 → scores.

To add an estimator of scikit-learn, write a file in `estimators` with its `APPENDERS`, and add a line to
`_APPENDERS` here. `boosters` has the estimators of other libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.sources.booster import append_booster
from tamiz_convert.sources.boosters import SUPPORTED, is_booster, read_booster
from tamiz_convert.sources.estimators import (
    converted,
    forests,
    gradient_boosting,
    linear_models,
    naive_bayes,
    neighbors,
)
from tamiz_convert.sources.estimators.scores import Append, Scores
from tamiz_convert.sources.failures import converting, shown

_APPENDERS: Final[Mapping[type, Append]] = {
    **linear_models.APPENDERS,
    **forests.APPENDERS,
    **gradient_boosting.APPENDERS,
    **naive_bayes.APPENDERS,
    **neighbors.APPENDERS,
    **converted.APPENDERS,
}


def append_scores(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Append an estimator's nodes.

    Args:
        builder: where the nodes go.
        estimator: a fitted classifier, not a pipeline.
        features: the name of the features, (n_rows, n_features), float64.

    Raises:
        EstimatorError: if the estimator is not supported; the message lists the supported ones.
    """
    append = _APPENDERS.get(type(estimator))  # not isinstance: a subclass may predict differently
    if append is not None:
        with converting(shown(estimator)):
            return append(builder, estimator, features)
    if not is_booster(estimator):
        raise EstimatorError(
            f"{type(estimator).__name__} is not supported; supported are {', '.join(supported())}, alone or"
            " as the last step of a Pipeline"
        )
    booster = read_booster(estimator)
    return Scores(
        append_booster(builder, booster, features),
        booster.kind,
        splits=booster.splits(),
        is_single_precision=booster.is_single_precision,
        booster=booster,
        own=booster.raw,
    )


def supported() -> list[str]:
    """Return the names of the supported estimators."""
    return sorted([*(type_.__name__ for type_ in _APPENDERS), *SUPPORTED])
