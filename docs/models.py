"""Which models can be exported, from the code's own tables, and which steps, by trying each (`make docs`)."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.datasets import load_iris
from sklearn.feature_selection import RFE, RFECV, SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, QuantileTransformer, StandardScaler
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection
from sklearn.utils import all_estimators

from tamiz_convert.graphs.runner import Runner
from tamiz_convert.sources.boosters import NATIVE, SUPPORTED
from tamiz_convert.sources.estimator_scores import supported
from tamiz_convert.sources.kinds import score_graph

_SAME = 1e-6
_BATCH_ROWS = 64

# Steps that cannot be made without arguments, or that need others than their own to be exported.
_WITH_ARGUMENTS: dict[str, tuple[str, Callable[[], Any]]] = {
    "FeatureUnion": ("FeatureUnion", lambda: make_union(StandardScaler(), StandardScaler())),
    "FunctionTransformer": ("FunctionTransformer (without a function)", FunctionTransformer),
    "GaussianRandomProjection": ("GaussianRandomProjection", lambda: GaussianRandomProjection(2)),
    "KBinsDiscretizer": (
        'KBinsDiscretizer(encode="ordinal")',
        lambda: KBinsDiscretizer(encode="ordinal", quantile_method="averaged_inverted_cdf"),
    ),
    "QuantileTransformer": ("QuantileTransformer", lambda: QuantileTransformer(n_quantiles=10)),
    "RFE": ("RFE", lambda: RFE(LogisticRegression())),
    "RFECV": ("RFECV", lambda: RFECV(LogisticRegression(), cv=2)),
    "SelectFromModel": ("SelectFromModel", lambda: SelectFromModel(LogisticRegression())),
    "SparseRandomProjection": ("SparseRandomProjection", lambda: SparseRandomProjection(2)),
}


def estimator_list() -> str:
    """Return the estimators by library, as Markdown."""
    own = [name for name in supported() if name not in SUPPORTED]
    return "\n".join(
        [
            f"- scikit-learn: {_listed(own)}",
            f"- boosters, as scikit-learn estimators: {_listed(SUPPORTED)}",
            f"- native boosters: {_listed(NATIVE)}",
        ]
    )


def step_list() -> str:
    """Return the steps of scikit-learn that agree with their export on real rows, by module, as Markdown."""
    by_module: defaultdict[str, list[str]] = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of estimators that are made with their defaults
        for module, name, step in _steps():
            if _is_exported(step):
                by_module[module].append(name)
    return "\n".join(f"- `{module}`: {_listed(names)}" for module, names in sorted(by_module.items()))


def _steps() -> Iterator[tuple[str, str, Any]]:
    for name, type_ in all_estimators(type_filter="transformer"):
        module = ".".join(type_.__module__.split(".")[:2])
        shown, make = _WITH_ARGUMENTS.get(name, (name, type_))
        try:
            yield module, shown, make()
        except TypeError:  # it wants what no step of a Pipeline over rows has
            continue


def _is_exported(step: Any) -> bool:
    """Return whether a pipeline with the step gives the scores that scikit-learn gives."""
    rows, labels = (part[::3] for part in load_iris(return_X_y=True))
    try:
        model = make_pipeline(step, LogisticRegression(max_iter=200)).fit(rows, labels)
        graph = score_graph(model, rows)
        scores = Runner(graph.model).run(graph.feed(rows), _BATCH_ROWS)
    except Exception:  # noqa: BLE001  whatever it raises, it is not supported
        return False
    return bool(np.abs(scores - graph.reference(rows)).max() <= _SAME)


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)
