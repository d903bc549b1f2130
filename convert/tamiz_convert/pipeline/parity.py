"""Compare the graph with the estimator, row by row. A mismatch stops the export."""

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

_ROWS_IN_SMALL_BATCHES: Final = 256
_SAME_ROW: Final = 1e-6
"""How much a row's probabilities may change with its batch. So near to a threshold, decisions may differ."""


def check_parity(
    model: onnx.ModelProto,
    feed: Feed,
    expected: Array,
    *,
    tolerance: float,
    threshold: float | Array,
    describe: Callable[[int], str] = str,
) -> Parity:
    """Compare a graph with its reference.

    Args:
        model: a graph with the output `probabilities`.
        feed: the rows, as onnxruntime reads them.
        expected: (n_rows, n_classes), what the estimator and the fitted calibrator give for the same rows.
        tolerance: the largest allowed difference of a probability.
        threshold: the gate's, one or (n_rows,); rows within 1e-6 of it may fall on either side.
        describe: row number → the row's name in an error.

    Returns:
        What was compared, and the largest difference.

    Raises:
        ParityError: with the row, the class, both values and the batch size.
    """
    runner = Runner(model)
    largest = max(BATCH_SIZES)
    found = runner.run(feed, largest)
    _compare(found, expected, tolerance, largest, describe)
    _compare_decisions(found, expected, threshold, tolerance, describe)
    few = {name: array[:_ROWS_IN_SMALL_BATCHES] for name, array in feed.items()}
    for batch_size in BATCH_SIZES:
        if batch_size != largest:
            _compare(
                runner.run(few, batch_size), found[:_ROWS_IN_SMALL_BATCHES], _SAME_ROW, batch_size, describe
            )
    return Parity(
        n_rows=len(expected),
        batch_sizes=BATCH_SIZES,
        max_probability_difference=_largest_difference(found, expected),
        probability_tolerance=tolerance,
        label_flips=0,
    )


def check_subsets(
    model: onnx.ModelProto,
    feed: Feed,
    expected: NDArray[np.int64],
    *,
    describe: Callable[[int], str] = str,
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


def check_parity_in_parts(
    model: onnx.ModelProto,
    feed: Feed,
    scores: Array,
    *,
    own: Callable[[Array], Array],
    calibrated: Callable[[Array], Array],
    tolerance: float,
    threshold: float | Array,
    describe: Callable[[int], str] = str,
) -> Parity:
    """Compare a graph whose scores are computed in float32 with its reference.

    The last digit of such a score differs between libraries and batch sizes, and a steep calibrator magnifies
    the difference: with isotonic regression, 1e-6 in a score became 5e-3 in a probability. So the scores are
    compared with the reference, and the probabilities with the calibrator's output for these same scores.

    Args:
        model: a graph with the output `probabilities` and with `scores` in it.
        feed: the rows, as onnxruntime reads them.
        scores: the reference's scores of the same rows, in the form of a score graph.
        own: scores → probabilities, (n_rows, n_classes); scores are compared as these.
        calibrated: scores → the fitted calibrator's probabilities.
        tolerance: see `check_parity`.
        threshold: see `check_parity`.
        describe: see `check_parity`.

    Raises:
        ParityError: see `check_parity`.
    """
    runner = Runner(_with_scores(model, scores.shape[1]))
    expected = own(scores)
    thresholds = np.broadcast_to(threshold, len(scores))
    largest = 0.0
    for batch_size in BATCH_SIZES:
        n_rows = len(scores) if batch_size == max(BATCH_SIZES) else _ROWS_IN_SMALL_BATCHES
        few = {name: array[:n_rows] for name, array in feed.items()}
        found, theirs = runner.run_outputs(few, [PROBABILITIES, SCORES], batch_size)
        pairs = ((own(theirs), expected[:n_rows]), (found, calibrated(theirs)))
        for pair in pairs:
            _compare(*pair, tolerance, batch_size, describe)
        _compare_labels(*pairs[0], 2 * tolerance, describe)
        _compare_decisions(*pairs[1], thresholds[:n_rows], tolerance, describe)
        largest = max(largest, *(_largest_difference(*pair) for pair in pairs))
    return Parity(
        n_rows=len(scores),
        batch_sizes=BATCH_SIZES,
        max_probability_difference=largest,
        probability_tolerance=tolerance,
        label_flips=0,
    )


def _with_scores(model: onnx.ModelProto, n_scores: int) -> onnx.ModelProto:
    """Return the model with its scores among its outputs."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.append(helper.make_tensor_value_info(SCORES, TensorProto.DOUBLE, [None, n_scores]))
    return shown


def _largest_difference(found: Array, expected: Array) -> float:
    return float(np.abs(found - expected)[np.isfinite(expected)].max(initial=0.0))


def _compare(
    found: Array, expected: Array, tolerance: float, batch_size: int, describe: Callable[[int], str]
) -> None:
    if found.shape != expected.shape:
        raise ParityError(
            f"the graph gives {PROBABILITIES} of shape {found.shape}, the estimator {expected.shape}"
        )
    with np.errstate(invalid="ignore"):
        differs = ~(np.abs(found - expected) <= tolerance) & ~(np.isnan(found) & np.isnan(expected))
    if differs.any():
        row, column = np.argwhere(differs)[0].tolist()
        raise ParityError(
            f"{int(differs.any(axis=1).sum())} of {len(found)} rows differ by more than {tolerance:g} at"
            f" batch size {batch_size}; the first is {describe(row)}: for class number {column} the graph"
            f" gives {found[row, column]:.9g}, expected {expected[row, column]:.9g}"
        )


def _compare_decisions(
    found: Array, expected: Array, threshold: float | Array, tolerance: float, describe: Callable[[int], str]
) -> None:
    """Labels and acceptance must be the same, except for ties and for rows on the threshold."""
    _compare_labels(found, expected, 2 * min(tolerance, _SAME_ROW), describe)
    threshold = np.broadcast_to(threshold, len(expected))
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


def _compare_labels(found: Array, expected: Array, tie: float, describe: Callable[[int], str]) -> None:
    """Labels must be the same if the two highest probabilities differ by more than `tie`."""
    finite = np.asarray(np.isfinite(expected).all(axis=1))
    top_two = np.sort(np.where(finite[:, None], expected, 0.0), axis=1)[:, -2:]
    is_tie = top_two[:, 1] - top_two[:, 0] <= tie
    flipped: NDArray[np.bool_] = finite & ~is_tie & (found.argmax(axis=1) != expected.argmax(axis=1))
    if flipped.any():
        row = int(np.argmax(flipped))
        raise ParityError(
            f"{int(flipped.sum())} labels differ; the first is in {describe(row)}: the graph gives"
            f" {found[row].tolist()}, expected {expected[row].tolist()}"
        )
