"""Convert a trained scikit-learn classifier to a score graph."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from onnx import TensorProto
from scipy.special import expit, softmax
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from tamiz.rows import as_table
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz_convert.errors import EstimatorError, RowsError
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import SCORES, Labels, ScoreGraph, ScoresKind, class_labels, public_name
from tamiz_convert.rows.inputs import Inputs
from tamiz_convert.rows.raw import as_rows, take
from tamiz_convert.sources.booster import missing_note
from tamiz_convert.sources.boosters import column_names, is_booster, read_booster
from tamiz_convert.sources.estimator_scores import append_scores, supported
from tamiz_convert.sources.estimators.gradient_boosting import refuse_categories
from tamiz_convert.sources.estimators.scores import Scores
from tamiz_convert.sources.failures import Reference, guarded
from tamiz_convert.sources.faulty_step import finder
from tamiz_convert.sources.kind import Kind
from tamiz_convert.sources.learned_categories import check_columns
from tamiz_convert.sources.linear import with_scaler_folded
from tamiz_convert.sources.preprocessing_graph import (
    Matrix,
    Preprocessing,
    columns_that_may_miss,
    transformed_columns,
    used_columns,
)

_BINARY: Final = 2
_LINK_TOLERANCE: Final = 1e-6
_PROBE_ROWS: Final = 50
_HALF: Final = 0.5


class Unwrapped(NamedTuple):
    """An estimator without its wrappers, and notes about the wrappers that were removed."""

    estimator: Any
    notes: tuple[str, ...]


def from_sklearn(estimator: Any, rows: Any) -> ScoreGraph:
    """Convert a trained classifier.

    Args:
        estimator: a fitted classifier, or a Pipeline that ends in one; see `unwrap`.
        rows: rows like those that will be predicted, (n_rows, n_features) ndarray or DataFrame; they only
            give the dtypes.

    Returns:
        Its score graph. The reference is the estimator on float64 rows, whatever the dtype of the rows.

    Raises:
        EstimatorError: if the estimator is not fitted, not supported, or not a classifier with one target.
        RowsError: if the rows do not fit the estimator.
    """
    estimator, notes = unwrap(estimator)
    classes = _classes(estimator)
    rows = as_rows(rows, "calibration")
    steps, final = _steps(estimator)
    refuse_categories(final)
    inputs = _inputs(steps, final, rows)
    specs = inputs.specs
    builder = GraphBuilder()
    for spec in specs:
        builder.declare(spec)
    columns = {inputs.label(spec): _read(builder, spec) for spec in specs}
    preprocessing = Preprocessing(builder)
    traced: list[tuple[Any, str]] = []
    if inputs.is_matrix:
        (matrix,) = columns.values()
    else:
        matrix = preprocessing.append_columns(steps[0], columns)
        traced.append((steps[0], matrix.name))
        steps = steps[1:]
    read = matrix.name if inputs.is_matrix else None
    steps, final = with_scaler_folded(steps, final)
    for step in steps:
        matrix = preprocessing.append(step, matrix)
        traced.append((step, matrix.name))
    features = _features(builder, matrix.name, estimator, inputs.canonical(take(rows, slice(1))))
    scores = append_scores(builder, final, features)
    guarded = _refuse(builder, scores, [*preprocessing.refused, *scores.refused])
    n_scores = 1 if len(classes) == _BINARY else len(classes)
    reference = _reference(estimator, inputs, scores)
    probe = take(rows, slice(_PROBE_ROWS))
    for spec in specs:
        spec.missing_values_allowed = inputs.label(spec) in inputs.may_miss or _takes_missing(
            reference, spec, inputs.canonical(probe)
        )
    kind = _checked_kind(estimator, inputs, scores, probe, reference)
    model = builder.build(guarded, SCORES, TensorProto.DOUBLE, n_scores)
    return ScoreGraph(
        model=model,
        inputs=specs,
        classes=classes,
        kind=kind,
        estimator=public_name(type(final)),
        reference=reference,
        feed=inputs.feed,
        faulty_step=finder(model, inputs, traced),
        reference_name=scores.booster.library if scores.booster else "scikit-learn",
        splits=scores.splits if features == read else (),
        is_single_precision=scores.is_single_precision,
        libraries=(scores.booster.distribution,) if scores.booster else (),
        notes=(
            *notes,
            *_checked(estimator, inputs.canonical(rows), scores),
            *_checked_labels(estimator, inputs, kind, probe, reference),
        ),
    )


def unwrap(estimator: Any) -> Unwrapped:
    """Return the classifier to export, without wrappers.

    A search gives its best estimator, and a FrozenEstimator the estimator in it. A CalibratedClassifierCV
    around one trained estimator gives that estimator, because the export fits its own calibrator. The last
    step of a Pipeline is unwrapped like an estimator that stands alone.

    Raises:
        EstimatorError: if a CalibratedClassifierCV averages several estimators, or a wrapper is not fitted.
    """
    notes: list[str] = []
    while True:
        if isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif isinstance(estimator, BaseSearchCV):
            _check_fitted(estimator)
            if not hasattr(estimator, "best_estimator_"):
                raise EstimatorError(
                    f"{type(estimator).__name__} has no best_estimator_; search again with refit=True"
                )
            notes.append(f"{type(estimator).__name__}: its best_estimator_ is exported")
            estimator = estimator.best_estimator_
        elif isinstance(estimator, CalibratedClassifierCV):
            estimator = _uncalibrated(estimator)
            notes.append(
                "CalibratedClassifierCV: the estimator in it is exported, its calibrator is replaced"
            )
        elif isinstance(estimator, Pipeline):
            name, last = estimator.steps[-1]
            final, more = unwrap(last)
            if final is not last:
                estimator = copy.copy(estimator)
                estimator.steps = [*estimator.steps[:-1], (name, final)]
            return Unwrapped(estimator, (*notes, *more))
        else:
            return Unwrapped(estimator, tuple(notes))


def _uncalibrated(calibrated: CalibratedClassifierCV) -> Any:
    _check_fitted(calibrated)
    members = calibrated.calibrated_classifiers_
    if len(members) == 1:
        return members[0].estimator
    raise EstimatorError(
        f"CalibratedClassifierCV averages {len(members)} estimators, so there is no single one to export."
        " Pass the estimator itself, trained on the training rows: Tamiz fits the calibrator on the"
        " held-out rows"
    )


def _check_fitted(estimator: Any) -> None:
    if isinstance(estimator, type):
        name = estimator.__name__
        raise EstimatorError(f"{name} is a class; expected a fitted model, such as {name}().fit(X, y)")
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise EstimatorError(
            f"{type(estimator).__name__} is not fitted; call fit on the training rows first"
        ) from error
    except TypeError as error:
        raise EstimatorError(
            f"{type(estimator).__name__} is not a scikit-learn estimator; supported are"
            f" {', '.join(supported())}"
        ) from error


def _classes(estimator: Any) -> Labels:
    """Return the classes as int64 or str."""
    _check_fitted(estimator)
    if not is_classifier(estimator):
        raise EstimatorError(
            f"{_shown(estimator)} is not a classifier; supported are {', '.join(supported())}"
        )
    classes = estimator.classes_
    if isinstance(classes, list):
        raise EstimatorError(
            f"{type(estimator).__name__} has {len(classes)} targets; train one classifier per target"
        )
    if len(classes) < _BINARY:
        raise EstimatorError(
            "the estimator was trained on one class only; train it on rows of at least two classes"
        )
    return class_labels(classes)


def _shown(estimator: Any) -> str:
    """Return the class of an estimator; for a Pipeline, the class and name of its last step."""
    if not isinstance(estimator, Pipeline):
        return estimator if isinstance(estimator, str) else type(estimator).__name__
    name, final = estimator.steps[-1]
    return f"{_shown(final)} (step {name!r} of the Pipeline)"


def _steps(estimator: Any) -> tuple[list[Any], Any]:
    """Return the preprocessing steps and the final classifier; nested pipelines are flattened."""
    if not isinstance(estimator, Pipeline):
        return [], estimator
    after, final = _steps(estimator.steps[-1][1])
    return _flat(step for _, step in estimator.steps[:-1]) + after, final


def _flat(steps: Iterable[Any]) -> list[Any]:
    """Return the steps without those that do nothing, and with those of nested pipelines."""
    flat = []
    for step in steps:
        if isinstance(step, Pipeline):
            flat += _flat(each for _, each in step.steps)
        elif step is not None and step != "passthrough":
            flat.append(step)
    return flat


def _inputs(steps: list[Any], final: Any, rows: Any) -> Inputs:
    names = _names_read(steps, final, rows)
    if steps and isinstance(steps[0], ColumnTransformer) and names:
        table = _table(rows, names)
        inputs = Inputs.of_columns(table, used_columns(steps[0]), names, columns_that_may_miss(steps[0]))
        check_columns(transformed_columns(steps[0]), as_table(table) or {}, inputs)
    else:
        first = (steps or [final])[0]
        learned = (each for step in _with_inner(first) for each in getattr(step, "categories_", ()))
        if any(isinstance(value, str) for each in learned for value in each):
            raise EstimatorError(
                f"{type(first).__name__} reads text outside of a ColumnTransformer; put it into one, so that"
                " each column is an input of its own, and train again"
            )
        inputs = Inputs.of_matrix(rows, names, getattr(first, "n_features_in_", None) or rows.shape[1])
    inputs.canonical(take(rows, slice(1)))
    return inputs


def _with_inner(step: Any) -> Iterator[Any]:
    """Yield a step and the steps in it."""
    yield step
    for kind in ("steps", "transformer_list", "transformers_"):
        for _, inner, *_ in getattr(step, kind, ()):
            yield from _with_inner(inner)


def names_in(estimator: Any, rows: Any) -> list[str]:
    """Return the names of the columns that an estimator was trained on, in the rows' spelling, if any."""
    return _names_read(*_steps(estimator), rows)


def _names_read(steps: list[Any], final: Any, rows: Any) -> list[str]:
    first = (steps or [final])[0]
    if is_booster(first):
        return column_names(read_booster(first).column_names, rows)
    return [str(name) for name in getattr(first, "feature_names_in_", ())]


def _table(rows: Any, names: list[str]) -> pd.DataFrame:
    if isinstance(rows, pd.DataFrame):
        return rows
    raise EstimatorError(
        f"the estimator was trained on a DataFrame with the columns {', '.join(names)}; pass the held-out"
        " rows as one, too"
    )


def _read(builder: GraphBuilder, spec: InputSpec) -> Matrix:
    if spec.dtype == DataType.DATA_TYPE_STRING:
        return Matrix(spec.name, 1, is_text=True)
    return Matrix(builder.cast(spec.name, TensorProto.DOUBLE), spec.shape[1])


def _refuse(builder: GraphBuilder, scores: Scores, refused: list[str]) -> str:
    """Scores ─► Where(any refused, NaN, scores)."""
    name = scores.name
    for rows in refused:
        name = builder.add("Where", rows, builder.constant(np.nan), name)
    return name


def _features(builder: GraphBuilder, name: str, estimator: Any, canonical: Any) -> str:
    """Return the features of the final estimator.

    If the estimator takes zeros of a sparse matrix for missing, as XGBoost does, they become NaN.

    features ─► Where(Equal(0), NaN, features)
    """
    final = _steps(estimator)[1]
    is_sparse = is_booster(final) and hasattr(_preprocessed(estimator, canonical), "toarray")
    if not is_sparse or not read_booster(final).sparse_zeros_are_missing:
        return name
    is_zero = builder.add("Equal", name, builder.constant(0.0))
    return builder.add("Where", is_zero, builder.constant(np.nan), name)


def _preprocessed(estimator: Any, rows: Any) -> Any:
    """Return what the final estimator of a Pipeline reads."""
    for step in _steps(estimator)[0]:
        rows = step.transform(rows)
    return rows


def _checked(estimator: Any, canonical: Any, scores: Scores) -> tuple[str, ...]:
    """Return notes about what the held-out rows show; raise if the graph could not follow the estimator."""
    if scores.check is not None:
        scores.check(_preprocessed(estimator, canonical))
    if scores.booster is None:
        return ()
    if scores.booster.share_missing == 0.0:
        return scores.booster.notes
    return scores.booster.notes + missing_note(scores.booster, _preprocessed(estimator, canonical))


def _reference(estimator: Any, inputs: Inputs, final: Scores) -> Reference:
    def scores(rows: Any) -> NDArray[np.float64]:
        asked = inputs.canonical(rows)
        if final.own is not None:
            return final.own(_preprocessed(estimator, asked))
        if final.kind == "probabilities":
            probabilities = np.asarray(estimator.predict_proba(asked), dtype=np.float64)
            return probabilities[:, 1:] if probabilities.shape[1] == _BINARY else probabilities
        decided = np.asarray(estimator.decision_function(asked), dtype=np.float64)
        decided = decided.reshape(len(decided), -1)
        return final.factor * decided

    return guarded(scores, "scikit-learn")


def _checked_kind(
    estimator: Any, inputs: Inputs, scores: Scores, rows: Any, reference: Reference
) -> ScoresKind:
    """Return the kind of the scores: logits only if their softmax is the estimator's own probability."""
    if scores.kind != "logits":
        return scores.kind
    logits = reference(rows)
    linked = expit(logits) if logits.shape[1] == 1 else softmax(logits, axis=1)
    own = np.asarray(estimator.predict_proba(inputs.canonical(rows)), dtype=np.float64)[:, -linked.shape[1] :]
    return "logits" if np.abs(linked - own).max() <= _LINK_TOLERANCE else "margins"


def _checked_labels(
    estimator: Any, inputs: Inputs, kind: ScoresKind, rows: Any, reference: Reference
) -> tuple[str, ...]:
    """Return a note if `predict` decides otherwise than by the highest score, as a bundle does.

    Raises:
        EstimatorError: if the scores are meant to decide, because they give probabilities.
    """
    values = reference(rows)
    if values.shape[1] == 1:
        above = values[:, 0] - (_HALF if kind == "probabilities" else 0.0)
        best, lead = (above > 0.0).astype(int), np.abs(above)
    else:
        top = np.sort(values, axis=1)
        best, lead = values.argmax(axis=1), top[:, -1] - top[:, -2]
    own = np.asarray(estimator.predict(inputs.canonical(rows))).ravel().astype(str)
    n_other = int(
        ((np.asarray(estimator.classes_)[best].astype(str) != own) & (lead > _LINK_TOLERANCE)).sum()
    )
    if not n_other:
        return ()
    text = (
        f"{type(estimator).__name__}.predict() gives {n_other} of {len(own)} rows another class than the one"
        " with the highest score, which a bundle answers"
    )
    if kind == "margins":
        return (text,)
    raise EstimatorError(f"{text}; set it back to decide by the highest score, and export again")


def _takes_missing(reference: Reference, spec: InputSpec, canonical: Any) -> bool:
    """Return whether the estimator itself predicts rows that miss a value in any one column of an input."""
    if spec.dtype not in (DataType.DATA_TYPE_FLOAT32, DataType.DATA_TYPE_FLOAT64, DataType.DATA_TYPE_STRING):
        return False
    missing = "" if spec.dtype == DataType.DATA_TYPE_STRING else np.nan
    table = canonical if isinstance(canonical, pd.DataFrame) else pd.DataFrame(canonical)
    columns = list(spec.column_names if table is canonical else table.columns)
    spoiled = table.iloc[[0] * len(columns)].reset_index(drop=True)
    for row, column in enumerate(columns):
        given = spoiled[column].astype(object) if missing == "" else spoiled[column]
        spoiled[column] = given.where(spoiled.index != row, missing)
    try:
        scores = reference(spoiled if isinstance(canonical, pd.DataFrame) else spoiled.to_numpy())
    except RowsError:
        return False
    return bool(np.isfinite(scores).all())


def _convert(model: Any, rows: Any, classes: Any) -> ScoreGraph:
    graph = from_sklearn(model, rows)
    if classes is not None and class_labels(classes).tolist() != graph.classes.tolist():
        raise EstimatorError(
            f"classes is {list(classes)}, but the model was trained on {graph.classes.tolist()}; leave"
            " classes out"
        )
    return graph


KIND: Final = Kind(
    f"these estimators, alone or in a Pipeline: {', '.join(supported())}",
    lambda model: hasattr(model, "get_params"),
    _convert,
    lambda model, table: names_in(unwrap(model).estimator, table),
)
