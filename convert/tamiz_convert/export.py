"""The export: a trained classifier and held-out rows become one bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray

from tamiz.thresholds import Thresholds
from tamiz.v1.manifest_pb2 import Manifest, Parity, Threshold
from tamiz_convert import calibrators, manifest, metrics
from tamiz_convert.bundle import write_bundle
from tamiz_convert.bundle_subject import Subject
from tamiz_convert.calibrators import Calibrator, Identity
from tamiz_convert.checks import Rule
from tamiz_convert.edge_rows import edge_rows
from tamiz_convert.errors import BundleError
from tamiz_convert.export_report import ExportReport
from tamiz_convert.graft import graft
from tamiz_convert.held_out import HeldOut, SplitPlan, held_out
from tamiz_convert.parity import Runner, check_parity, check_subsets
from tamiz_convert.release import Checks, Release
from tamiz_convert.rows import LabeledRows
from tamiz_convert.score_graph import ScoreGraph
from tamiz_convert.sklearn_graph import from_sklearn, unwrap
from tamiz_convert.slices import Given, SliceColumn, take_slices
from tamiz_convert.subset_graph import append_subset, inputs_with
from tamiz_convert.threshold_choice import Judged, Policy, choose_threshold

Progress = Callable[[str, float], None]

DEFAULT_CALIBRATOR: Final = "temperature"
"""The one that never changes the order of rows and needs the fewest of them: it has one parameter."""

_NO_CHECKS: Final = Release()
_TOLERANCE: Final = {"isotonic": 1e-4, "venn-abers": 1e-4}
_DEFAULT_TOLERANCE: Final = 1e-5


def export(
    estimator: Any,
    output: str | Path,
    *,
    calibration: tuple[Any, Any],
    certification: tuple[Any, Any] | None = None,
    train: Any = None,
    name: str | None = None,
    calibrator: str = DEFAULT_CALIBRATOR,
    max_error: float | None = None,
    confidence_level: float = 0.9,
    max_joint_error: float | None = None,
    min_coverage: float | None = None,
    threshold: float | None = None,
    per_class: bool = False,
    slice_by: str | None = None,
    allow_uncertified: bool = False,
    certification_fraction: float = 0.5,
    groups: Any = None,
    splitter: Any = None,
    allow_duplicates: bool = False,
    checks: Checks | None = None,
    check_rows: tuple[Any, Any] | None = None,
    baselines: Mapping[str, Rule] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> ExportReport:
    """Export a trained classifier with a fitted calibrator and a threshold, as one bundle.

    Args:
        estimator: a fitted scikit-learn classifier, or a Pipeline that ends in one.
        output: `<name>/<version>`, the version a positive integer, such as "models/churn/1". An older bundle there is
            replaced in one step.
        calibration: (X, y), rows that the estimator was not trained on: (n_rows, n_features) ndarray or DataFrame, and
            (n_rows,) labels. Unless `certification` is given they are split in two.
        certification: (X, y), rows that certify the threshold and measure the calibrator; used for nothing else.
        train: the training rows, X or (X, y), only to make sure that no held-out row is among them.
        name: a name for people; by default that of the model's folder.
        calibrator: one of `calibrators.METHODS`.
        max_error: the wanted bound on the error among accepted rows.
        confidence_level: the wanted probability that it holds.
        max_joint_error: instead, the wanted bound on the share of all rows that are accepted and wrong.
        min_coverage: instead, the wanted share of accepted rows, whatever their error.
        threshold: instead, a fixed threshold from 0 to 1, without a promise.
        per_class: keep `max_error` within each predicted class, by a threshold for each. A class for which it cannot be proven
            abstains wholly.
        slice_by: likewise for each value of this column (text, whole numbers or bool) of the held-out rows, which are then
            DataFrames. The estimator need not know the column; requests will have to hold it. A row with an unknown value
            gets the strictest threshold: it abstains if any known slice could not be certified.
        allow_uncertified: export even if the promise cannot be proven; the bundle then says that it is not certified.
        certification_fraction: the share of `calibration` that certifies.
        groups: (n_rows,), one value per calibration row, such as a customer's number: rows of one value stay on one side of
            every split.
        splitter: a scikit-learn splitter for the folds in which calibrators are compared. With a TimeSeriesSplit the
            calibration rows are taken to be in the order of time, and the last ones certify.
        allow_duplicates: take the rows although many of them repeat others.
        checks: what the model has to pass before the bundle is written: a YAML file, the same as a mapping, or a
            `Specification`.
        check_rows: (X, y), rows for the checks alone; by default the certification rows, whose labels chose the threshold
            already, so that rates among accepted rows look a little better than they are.
        baselines: simpler rules to beat, by name: rows → labels, or the column that holds them.
        seed: of the split, and of the choice of edge rows.
        progress: called with the name of each step and the share of the work done before it.

    Returns:
        The bundle's path and manifest, and notes.

    Raises:
        EstimatorError, RowsError, UnattainableError, ParityError, SpecificationError, BlockedError, BundleError: see
            `errors`; nothing was written.
    """
    say = progress or (lambda _step, _share: None)
    policy = Policy(
        max_error,
        max_joint_error,
        min_coverage,
        threshold,
        confidence_level,
        allow_uncertified,
        per_class,
        slice_by,
    )
    folder = version_folder(output)
    plan = SplitPlan(certification_fraction, groups, splitter, allow_duplicates, seed)
    release = Release.of(checks, baselines, check_rows)

    say("converting the estimator", 0.0)
    given = take_slices(calibration, certification, slice_by, getattr(estimator, "feature_names_in_", ()))
    return export_graph(
        from_sklearn(estimator, given.calibration[0]),
        folder,
        given=given,
        train=train,
        policy=policy,
        plan=plan,
        calibrator=calibrator,
        name=name,
        release=release,
        say=say,
        estimator=estimator,
        notes=unwrap(estimator).notes,
    )


def export_graph(
    graph: ScoreGraph,
    folder: Path,
    *,
    given: Given,
    train: Any,
    policy: Policy,
    plan: SplitPlan,
    calibrator: str,
    name: str | None,
    say: Progress,
    release: Release = _NO_CHECKS,
    estimator: Any = None,
    recalibrated_from: str = "",
    notes: tuple[str, ...] = (),
) -> ExportReport:
    """Calibrate a score graph, choose its threshold, compare it with its reference, and write it: all after the conversion.

    Args:
        graph: the score graph.
        folder: of the version, as `version_folder` gives it.
        given: the held-out rows, the slices taken out.
        train: as in `export`; likewise `calibrator` and `name`.
        policy: what is asked of the threshold.
        plan: how the rows are divided.
        calibrator: see `train`.
        name: see `train`.
        release: what it has to pass.
        say: is called with the name of each step and the share of the work done before it.
        estimator: what the graph was made of, to find edge rows; None where only the graph is left.
        recalibrated_from: the digest of the bundle that the graph was cut out of; empty for a new export.
        notes: what the caller should know.

    Raises:
        RowsError, UnattainableError, ParityError, SpecificationError, BlockedError, BundleError: see `errors`; nothing was
            written.
    """
    column = given.column
    inputs = graph.inputs if column is None else inputs_with(graph.inputs, column)
    parts = held_out(given.calibration, given.certification, train, graph.classes, plan, given.slices)
    fitting, certifying = parts.fitting, parts.certifying

    say("fitting the calibrator", 0.3)
    fitted, model = _calibrate(graph, fitting, calibrator)

    say("certifying the threshold", 0.5)
    runner = Runner(model)
    probabilities = (runner.run(graph.feed(fitting.rows)), runner.run(graph.feed(certifying.rows)))
    calibrating, proving = (
        _judged(*each, column) for each in zip(probabilities, (fitting, certifying), strict=True)
    )
    chosen = choose_threshold(policy, calibrating, proving, _subset_names(policy, graph, column))
    if column is not None:
        model = append_subset(model, column)

    say("comparing with the reference", 0.6)
    rows = _joined(fitting, certifying)
    parity = _check(estimator, graph, fitted, model, rows, column, chosen, plan.seed)

    say("describing the bundle", 0.85)
    described = Manifest(
        name=name or folder.parent.name,
        created_at=manifest.created_at(),
        library_versions=manifest.library_versions(),
        inputs=inputs,
        classes=manifest.class_message(graph.classes),
        calibrator=manifest.calibrator_message(
            fitted,
            len(fitting),
            _metrics_before(graph, certifying),
            metrics.summarize(probabilities[1], certifying.y),
        ),
        threshold=chosen,
        reference_histograms=manifest.reference_histograms(
            np.concatenate(probabilities).max(axis=1), rows.rows
        ),
        parity=parity,
        estimator=graph.estimator,
        scores_kind=graph.kind,
        row_sets=[manifest.row_set("calibration", fitting), manifest.row_set("certification", certifying)],
        seed=plan.seed,
        recalibrated_from=recalibrated_from,
    )
    say("checking the release", 0.9)
    subject = Subject(model, described, graph.feed)
    if column is not None:  # the gate reads the slice as well, and it is asked as requests will ask it
        subject, parts = Subject(model, described), _with_column(parts, column)
    outcome = release.hold(subject, parts, plan.seed, train)

    say("writing the bundle", 0.95)
    path = write_bundle(model, described, folder)
    say("done", 1.0)
    return ExportReport(path, described, notes + parts.notes, outcome.checks)


def version_folder(output: str | Path) -> Path:
    """Return the folder of a version.

    Raises:
        BundleError: if the path does not end in <name>/<version>.
    """
    folder = Path(output)
    version = folder.name
    if not (
        version.isdecimal()
        and int(version) > 0
        and str(int(version)) == version
        and folder.resolve().parent.name
    ):
        raise BundleError(
            f"the output {str(output)!r} does not end in <name>/<version>, the version a positive integer; for example"
            " models/churn/1"
        )
    return folder.resolve()


def _calibrate(graph: ScoreGraph, rows: LabeledRows, method: str) -> tuple[Calibrator, onnx.ModelProto]:
    """Fit the calibrator on the graph's own scores, not on scikit-learn's: those are the ones that it will see."""
    n_classes = len(graph.classes)
    scores = Runner(graph.model).run(graph.feed(rows.rows))
    fitted = calibrators.fit(method, scores, rows.y, kind=graph.kind, n_classes=n_classes)
    return fitted, graft(graph.model, fitted, n_classes=n_classes)


def _judged(probabilities: NDArray[np.float64], rows: LabeledRows, column: SliceColumn | None) -> Judged:
    return Judged(probabilities, rows.y, _slice_index(rows.slices, column))


def _slice_index(values: NDArray[Any] | None, column: SliceColumn | None) -> NDArray[np.int64] | None:
    return None if column is None or values is None else column.index(values)


def _subset_names(policy: Policy, graph: ScoreGraph, column: SliceColumn | None) -> list[str]:
    """Return the names of the subsets that get a threshold each; none where all rows share one."""
    if policy.per_class:
        return [str(label) for label in graph.classes.tolist()]
    return [] if column is None else column.names


def _check(
    estimator: Any,
    graph: ScoreGraph,
    calibrator: Calibrator,
    model: onnx.ModelProto,
    rows: LabeledRows,
    column: SliceColumn | None,
    threshold: Threshold,
    seed: int,
) -> Parity:
    """Compare the graph with its reference and the fitted calibrator, on the held-out rows and on edge rows."""
    edges = edge_rows(rows.rows, graph.inputs, estimator, graph.reference, seed)
    compared = _concatenated(edges, rows.rows) if len(edges) else rows.rows

    def describe(row: int) -> str:
        return f"edge row {row}" if row < len(edges) else f"held-out row {row - len(edges)}"

    feed, index = graph.feed(compared), None
    if column is not None and rows.slices is not None:
        feed, index = column.completed(feed, rows.slices)
        check_subsets(model, feed, index, describe=describe)
    expected = calibrator.predict(graph.reference(compared))
    return check_parity(
        model,
        feed,
        expected,
        tolerance=_TOLERANCE.get(calibrator.method, _DEFAULT_TOLERANCE),
        threshold=Thresholds(threshold).of_rows(expected, index),
        describe=describe,
    )


def _with_column(parts: HeldOut, column: SliceColumn) -> HeldOut:
    """Return held-out rows with the column that names their slices."""
    fitting, certifying = (
        replace(each, rows=each.rows.assign(**{column.name: each.slices}))
        for each in (parts.fitting, parts.certifying)
    )
    return replace(parts, fitting=fitting, certifying=certifying)


def _metrics_before(graph: ScoreGraph, rows: LabeledRows) -> list[tuple[str, float]]:
    """Return the metrics of the estimator's own probabilities; none where it has none."""
    if graph.kind == "margins":
        return []
    return metrics.summarize(Identity(graph.kind).predict(graph.reference(rows.rows)), rows.y)


def _joined(first: LabeledRows, second: LabeledRows) -> LabeledRows:
    slices = None
    if first.slices is not None and second.slices is not None:
        slices = np.concatenate([first.slices, second.slices])
    return LabeledRows(_concatenated(first.rows, second.rows), np.concatenate([first.y, second.y]), slices)


def _concatenated(first: Any, second: Any) -> Any:
    if isinstance(first, pd.DataFrame):
        return pd.concat([first, second], ignore_index=True)
    return np.concatenate([first, second])
