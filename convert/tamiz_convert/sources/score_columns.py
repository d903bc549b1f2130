"""Check the output of a foreign model, and turn it into scores of a score graph, in float64.

Two classes have one score: the logit or probability of the second class. If the model gives two columns of
logits, the score is their difference, because its sigmoid is the softmax of the two.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import SCORES, Labels, ScoresKind, class_labels

_BINARY: Final = 2
_SUM_TOLERANCE: Final = 1e-3
_ROUNDING: Final = 1e-5
"""A forest in float32 may give −4e-7 instead of 0."""
_IMPOSSIBLE: Final = float(np.log(1e-12))
"""A logit of −∞ becomes this much less than its row's highest: the logarithm of what stands for 0."""

_KINDS: Final = ("logits", "margins", "probabilities")
_PREFIX: Final = "seam_"


def check_output(output: NDArray[Any], n_rows: int, kind: ScoresKind, what: str) -> int:
    """Check a model's output for some rows.

    Args:
        output: the output.
        n_rows: how many rows there were.
        kind: what the output holds, according to the caller.
        what: the name of the output in an error.

    Returns:
        How many classes the columns tell apart.

    Raises:
        EstimatorError: if the shape is not (n_rows, n_classes), (n_rows, 1) or (n_rows,), or if the values
            contradict the kind.
    """
    if kind not in _KINDS:
        raise EstimatorError(f"kind is {kind!r}; expected one of {', '.join(_KINDS)}")
    shape = list(output.shape)
    if output.ndim not in (1, _BINARY) or len(output) != n_rows or 0 in shape:
        raise EstimatorError(
            f"{what} has shape {shape} for {n_rows} rows; expected one row of scores per row: [rows,"
            " classes], or [rows, 1] for two classes"
        )
    values = output.reshape(n_rows, -1).astype(np.float64)
    if not (np.isfinite(values) | _is_impossible(values, kind)).all():
        raise EstimatorError(
            f"{what} holds NaN or infinity for held-out rows; remove rows with missing values, or fix the"
            " model"
        )
    _check_kind(values, kind, what)
    return max(_BINARY, values.shape[1])


def to_scores(output: NDArray[Any], kind: ScoresKind) -> NDArray[np.float64]:
    """Return a model's output in the form of a score graph.

    Args:
        output: (n_rows, n_classes), (n_rows, 1) or (n_rows,).
        kind: what it is.

    Returns:
        (n_rows, 1) for two classes, else (n_rows, n_classes), float64.
    """
    values = output.reshape(len(output), -1).astype(np.float64)
    highest = values.max(axis=1, keepdims=True)
    floor = np.where(np.isfinite(highest), highest + _IMPOSSIBLE, np.nan)  # NaN: the row abstains
    values = np.where(_is_impossible(values, kind), floor, values)
    if values.shape[1] != _BINARY:
        return values
    with np.errstate(invalid="ignore"):  # ∞ − ∞ is NaN: the row abstains
        return values[:, 1:] if kind == "probabilities" else values[:, 1:] - values[:, :1]


def _is_impossible(values: NDArray[np.float64], kind: ScoresKind) -> NDArray[np.bool_]:
    """Return where a log-probability is that of an impossible class; of one column, nothing is."""
    is_possible = kind != "logits" or values.shape[1] < _BINARY
    return np.zeros(values.shape, dtype=bool) if is_possible else np.isneginf(values)


def end_in_scores(
    model: onnx.ModelProto, output: str, probe: NDArray[Any], *, kind: ScoresKind
) -> onnx.ModelProto:
    """Return a model whose output is turned into scores.

    … ─► output ─► Cast(double) ─► Reshape [n, columns] ─► [Where(−∞, highest − 28)] ─►
    [Gemm([−1, 1]) | Gather(1)] ─► scores

    Args:
        model: a model whose names do not clash with ours; its other outputs are dropped.
        output: the output to turn into scores.
        probe: the output for some rows.
        kind: what it is.
    """
    columns = probe.reshape(len(probe), -1)
    n_columns = columns.shape[1]
    builder = GraphBuilder.extending(model, _PREFIX)
    name = builder.cast(output, TensorProto.DOUBLE)
    name = builder.add("Reshape", name, builder.constant([-1, n_columns], np.int64))
    if _is_impossible(columns, kind).any():
        is_impossible = builder.add("Equal", name, builder.constant(-np.inf))
        highest = builder.add("ReduceMax", name, builder.constant([1], np.int64), keepdims=1)
        floor = builder.add("Add", highest, builder.constant(_IMPOSSIBLE))
        name = builder.add("Where", is_impossible, floor, name)
    if n_columns == _BINARY and kind == "probabilities":
        name = builder.add("Gather", name, builder.constant([1], np.int64), axis=1)
    elif n_columns == _BINARY:
        name = builder.add("Gemm", name, builder.constant([[-1.0], [1.0]]))
    return builder.build(name, SCORES, TensorProto.DOUBLE, 1 if n_columns == _BINARY else n_columns)


def named_classes(classes: Any, n_classes: int, what: str) -> Labels:
    """Return the labels of a model that does not know them: the caller's, or 0, 1, ….

    Raises:
        EstimatorError: if there are more or fewer labels than classes.
    """
    labels = np.arange(n_classes) if classes is None else class_labels(classes)
    if len(labels) != n_classes:
        raise EstimatorError(f"classes names {len(labels)} classes, {what} tells {n_classes} apart")
    return labels


def _check_kind(values: NDArray[np.float64], kind: ScoresKind, what: str) -> None:
    in_unit = bool((np.abs(values - 0.5) <= 0.5 + _ROUNDING).all())
    is_one = values.shape[1] == 1
    sums_to_one = bool((np.abs(values.sum(axis=1) - 1.0) <= _SUM_TOLERANCE).all())
    looks_like_probabilities = in_unit and (is_one or sums_to_one)
    if kind == "probabilities" and not looks_like_probabilities:
        sums = (
            f"its rows sum to {values[0].sum():.4g}"
            if in_unit
            else f"it reaches from {values.min():.4g} to {values.max():.4g}"
        )
        raise EstimatorError(
            f"{what} does not hold probabilities: {sums}; if it holds logits, say kind='logits' (--scores"
            " logits)"
        )
    if kind == "logits" and looks_like_probabilities:
        how = "lie between 0 and 1, as behind a sigmoid" if is_one else "sum to 1, as behind a softmax"
        raise EstimatorError(
            f"{what} does not hold logits: its {'values' if is_one else 'rows'} {how}. Let the model give the"
            " logits, which calibrate better, or say kind='probabilities' (--scores probabilities)"
        )
