"""Compare the graph with the estimator, row by row. A mismatch stops the export.

First its scores with the estimator's, before anything is made of them. A fault of the conversion would
otherwise look like a bad model. Then its probabilities with the calibrator's for these same scores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tamiz.bundle_format import PROBABILITIES, SUBSET
from tamiz.gate import decide
from tamiz.v1.manifest_pb2 import Parity
from tamiz_convert.errors import ParityError
from tamiz_convert.graphs.runner import Array, Feed, Runner
from tamiz_convert.graphs.score_graph import SCORES

BATCH_SIZES: Final = (1, 7, 64)
"""The batch sizes to compare at; the smaller ones on the first rows only."""

SCORES_TOLERANCE: Final = 1e-5
"""How far the graph's own probabilities may be from the estimator's."""

_ROWS_IN_SMALL_BATCHES: Final = 256
_SAME_ROW: Final = 1e-6
"""How much a row's probabilities may change with its batch. So near to a threshold, decisions may differ."""
_LAST_DIGITS: Final = 1e-14

Describe = Callable[[int], str]
"""Row number → the row's name in an error."""


def check_scores(
    model: onnx.ModelProto,
    feed: Feed,
    scores: Array,
    own: Callable[[Array], Array],
    *,
    is_single_precision: bool,
    describe: Describe = str,
    explain: Describe = lambda _row: "",
) -> float:
    """Compare the scores of a graph with the estimator's.

    Args:
        model: a score graph.
        feed: the rows, as onnxruntime reads them.
        scores: (n_rows, n_scores), the estimator's scores of the same rows.
        own: scores → probabilities, (n_rows, n_classes); scores are compared as these.
        is_single_precision: whether scores are computed in float32, and differ in their last digits.
        describe: row number → the row's name in an error.
        explain: row number → why the row differs and what to do, for the error.

    Returns:
        The largest difference.

    Raises:
        ParityError: with the row, the class, both values and the cause.
    """
    runner = Runner(model)
    *small, largest = BATCH_SIZES
    found, expected = own(runner.run(feed, largest)), own(scores)
    same_row = SCORES_TOLERANCE if is_single_precision else _SAME_ROW
    few = {name: array[:_ROWS_IN_SMALL_BATCHES] for name, array in feed.items()}
    for batch_size in small:
        _refuse_batch_dependence(
            own(runner.run(few, batch_size)), found[:_ROWS_IN_SMALL_BATCHES], same_row, batch_size, describe
        )
    _compare(found, expected, SCORES_TOLERANCE, describe, explain)
    _compare_labels(found, expected, 2 * same_row, describe, explain)
    return _largest_difference(found, expected)


def check_probabilities(
    model: onnx.ModelProto,
    feed: Feed,
    scores: Array,
    calibrated: Callable[[Array], Array],
    *,
    tolerance: float,
    threshold: float | Array,
    is_single_precision: bool,
    describe: Describe = str,
) -> Parity:
    """Compare the probabilities of a whole graph, whose scores were compared before, with the calibrator's.

    The last digit of a score differs between libraries, and a steep calibrator magnifies the difference: with
    isotonic regression, 1e-6 in a score became 5e-3 in a probability. So where a score differs in nothing
    else, the calibrator gets the graph's.

    Args:
        model: a graph with the output `probabilities` and with `scores` in it.
        feed: the rows, as onnxruntime reads them.
        scores: (n_rows, n_scores), the estimator's scores of the same rows.
        calibrated: scores → the fitted calibrator's probabilities.
        tolerance: the largest allowed difference of a probability.
        threshold: the gate's, one or (n_rows,); rows within 1e-6 of it may fall on either side.
        is_single_precision: see `check_scores`.
        describe: row number → the row's name in an error.

    Returns:
        What was compared, and the largest difference.

    Raises:
        ParityError: with the row, the class and both values.
    """
    runner = Runner(_with_scores(model, scores.shape[1]))
    thresholds = np.broadcast_to(threshold, len(scores))
    largest = 0.0
    for batch_size in BATCH_SIZES:
        n_rows = len(scores) if batch_size == max(BATCH_SIZES) else _ROWS_IN_SMALL_BATCHES
        few = {name: array[:n_rows] for name, array in feed.items()}
        found, theirs = runner.run_outputs(few, [PROBABILITIES, SCORES], batch_size)
        is_same = is_single_precision | np.isclose(
            theirs, scores[:n_rows], rtol=_LAST_DIGITS, atol=_LAST_DIGITS, equal_nan=True
        )
        expected = calibrated(np.where(is_same, theirs, scores[:n_rows]))
        _compare(found, expected, tolerance, describe)
        _compare_decisions(found, expected, thresholds[:n_rows], tolerance, describe)
        largest = max(largest, _largest_difference(found, expected))
    return Parity(
        n_rows=len(scores),
        batch_sizes=BATCH_SIZES,
        max_probability_difference=largest,
        probability_tolerance=tolerance,
        label_flips=0,
    )


def check_subsets(
    model: onnx.ModelProto,
    feed: Feed,
    expected: NDArray[np.int64],
    *,
    describe: Describe = str,
) -> None:
    """Compare the graph's output `subset` with the slices that were certified.

    Args:
        model: a graph with the output `subset`.
        feed: the rows, as onnxruntime reads them.
        expected: (n_rows,), the index of each row's slice, or -1.
        describe: row number → the row's name in an error.

    Raises:
        ParityError: with the row and both indices.
    """
    runner = Runner(model, SUBSET)
    for batch_size in BATCH_SIZES:
        rows = slice(None if batch_size == max(BATCH_SIZES) else _ROWS_IN_SMALL_BATCHES)
        found = runner.run({name: array[rows] for name, array in feed.items()}, batch_size)
        wrong = np.flatnonzero(found != expected[rows])
        if len(wrong):
            row = int(wrong[0])
            raise ParityError(
                f"{len(wrong)} rows are in another slice at batch size {batch_size}; the first is"
                f" {describe(row)}: the graph gives number {found[row]}, expected {expected[row]}"
            )


def _with_scores(model: onnx.ModelProto, n_scores: int) -> onnx.ModelProto:
    """Return the model with its scores among its outputs."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.append(helper.make_tensor_value_info(SCORES, TensorProto.DOUBLE, [None, n_scores]))
    return shown


def _largest_difference(found: Array, expected: Array) -> float:
    return float(np.abs(found - expected)[np.isfinite(expected)].max(initial=0.0))


def _refuse_batch_dependence(
    small: Array, large: Array, tolerance: float, batch_size: int, describe: Describe
) -> None:
    differs = _differs(small, large, tolerance)
    if differs.any():
        row, column = np.argwhere(differs)[0].tolist()
        raise ParityError(
            f"the graph answers a row differently in another batch: {describe(row)} gets"
            f" {large[row, column]:.9g} for class number {column} among {max(BATCH_SIZES)} rows and"
            f" {small[row, column]:.9g} at batch size {batch_size}. A server fills batches by chance, so"
            " every row must be computed by itself: look for a normalization in training mode (call"
            " model.eval()), or a mean, a maximum or a sort over the rows"
        )


def _differs(found: Array, expected: Array, tolerance: float) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return ~(np.abs(found - expected) <= tolerance) & ~(np.isnan(found) & np.isnan(expected))


def _compare(
    found: Array, expected: Array, tolerance: float, describe: Describe, explain: Describe = lambda _row: ""
) -> None:
    if found.shape != expected.shape:
        raise ParityError(
            f"the graph gives {PROBABILITIES} of shape {found.shape}, the estimator {expected.shape}"
        )
    differs = _differs(found, expected, tolerance)
    if differs.any():
        row, column = np.argwhere(differs)[0].tolist()
        raise ParityError(
            f"{int(differs.any(axis=1).sum())} of {len(found)} rows differ by more than {tolerance:g}; the"
            f" first is {describe(row)}: for class number {column} the graph gives"
            f" {found[row, column]:.9g}, expected {expected[row, column]:.9g}{explain(row)}"
        )


def _compare_decisions(
    found: Array, expected: Array, threshold: Array, tolerance: float, describe: Describe
) -> None:
    """Labels and acceptance must be the same, except for ties and for rows on the threshold."""
    _compare_labels(found, expected, 2 * min(tolerance, _SAME_ROW), describe)
    ours, theirs = decide(found, threshold), decide(expected, threshold)
    crossed = (
        ours.has_class
        & theirs.has_class
        & (ours.accepted != theirs.accepted)
        & (np.abs(theirs.confidence - threshold) > _SAME_ROW)
    )
    if crossed.any():
        row = int(np.argmax(crossed))
        raise ParityError(
            f"{describe(row)} crosses the threshold {threshold[row]:g}: its confidence is"
            f" {ours.confidence[row]:.9g} in the graph, expected {theirs.confidence[row]:.9g}"
        )


def _compare_labels(
    found: Array, expected: Array, tie: float, describe: Describe, explain: Describe = lambda _row: ""
) -> None:
    """Labels must be the same if the two highest probabilities differ by more than `tie`."""
    finite = np.asarray(np.isfinite(expected).all(axis=1))
    top_two = np.sort(np.where(finite[:, None], expected, 0.0), axis=1)[:, -2:]
    is_tie = top_two[:, 1] - top_two[:, 0] <= tie
    flipped: NDArray[np.bool_] = finite & ~is_tie & (found.argmax(axis=1) != expected.argmax(axis=1))
    if flipped.any():
        row = int(np.argmax(flipped))
        raise ParityError(
            f"{int(flipped.sum())} labels differ; the first is in {describe(row)}: the graph gives"
            f" {found[row].tolist()}, expected {expected[row].tolist()}{explain(row)}"
        )
