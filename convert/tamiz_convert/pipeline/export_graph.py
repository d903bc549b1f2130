"""From a score graph and held-out rows to a bundle: every step after the conversion of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import TimeSeriesSplit

from tamiz.gate import decide, valid_rows
from tamiz.v1.manifest_pb2 import Histogram, Manifest, Parity, Threshold
from tamiz_convert.bundles import manifest
from tamiz_convert.bundles.bundle import sealed, write_bundle
from tamiz_convert.bundles.subject import Subject
from tamiz_convert.calibrators import AUTO
from tamiz_convert.certificates.other_splits import OtherSplits, other_splits
from tamiz_convert.certificates.threshold_choice import Judged, Policy, choose_threshold
from tamiz_convert.errors import RowsError, UnattainableError
from tamiz_convert.evidence import Evidence, ExpectedCost, Latency, ScoredRows
from tamiz_convert.files import together
from tamiz_convert.graphs.guarded_division import guarded
from tamiz_convert.graphs.runner import Runner
from tamiz_convert.graphs.score_graph import ScoreGraph
from tamiz_convert.metrics.prices import Prices
from tamiz_convert.pipeline import findings
from tamiz_convert.pipeline.export_report import ExportReport
from tamiz_convert.pipeline.fitting import Fitted, fit_calibrator
from tamiz_convert.pipeline.reference_check import Reference
from tamiz_convert.pipeline.release import Outcome
from tamiz_convert.pipeline.subset_graph import append_subset, inputs_with
from tamiz_convert.pipeline.task import Task
from tamiz_convert.report import NO_REPORT, PAGE_NAME, report_files
from tamiz_convert.rows.held_out import HeldOut, held_out
from tamiz_convert.rows.labeled import LabeledRows, joined_rows
from tamiz_convert.rows.raw import as_rows
from tamiz_convert.rows.sliced import feeder, with_slices
from tamiz_convert.rows.slices import Given, SliceColumn

Array = NDArray[np.float64]


def export_graph(graph: ScoreGraph, given: Given, task: Task) -> ExportReport:
    """Calibrate a score graph, choose its threshold, compare, check and write it.

    Args:
        graph: the score graph.
        given: the held-out rows, with the slices taken out.
        task: what to do.

    Raises:
        RowsError, UnattainableError, ParityError, SpecificationError, BlockedError, BundleError: see
            `errors`; nothing was written.
    """
    say, seed, column = task.say, task.plan.seed, given.column
    _check_values(graph, given)
    cost = task.policy.cost
    prices = None if cost is None else Prices.of(cost, graph.classes.tolist())
    rows = held_out(
        given.calibration, given.certification, given.train, graph.classes, task.plan, given.slices
    )

    say(f"comparing with {graph.reference_name}", 0.1)
    reference = Reference.checked(graph, joined_rows(rows.fitting, rows.certifying), seed)

    say("fitting the calibrator", 0.2)
    method = None if task.calibrator == AUTO else task.calibrator
    fitted = fit_calibrator(graph, rows, method, task.selection, task.plan.splitter, seed)

    say("certifying the threshold", 0.45)
    probabilities = [_probabilities(graph, fitted, each) for each in (rows.fitting, rows.certifying)]
    judged = _judged(rows, probabilities, column)
    names = _subset_names(graph, column, task.policy)
    others = None
    if given.certification is None and not isinstance(task.plan.splitter, TimeSeriesSplit):
        others = other_splits(task.policy, *judged, len(names), seed)
    threshold = _threshold(task.policy, judged, names, prices, others)

    say("checking the graph", 0.55)
    model = guarded(fitted.model if column is None else append_subset(fitted.model, column))
    parity = reference.check_bundle(fitted.calibrator, model, column, threshold)

    say("describing the bundle", 0.75)
    scored = [
        findings.scored(graph, *each, threshold, column, task.slices)
        for each in zip((rows.fitting, rows.certifying), probabilities, strict=True)
    ]
    described = sealed(model, _described(graph, rows, fitted, scored, threshold, parity, column, task))

    expected = None if prices is None else findings.expected_cost(scored[1], prices, threshold.value, seed)

    say("checking the release", 0.8)
    feed = feeder(graph, column)
    complete = replace(
        rows, fitting=with_slices(rows.fitting, column), certifying=with_slices(rows.certifying, column)
    )
    outcome = task.release.hold(
        Subject(model, described, feed),
        complete,
        seed,
        given.train,
        allow_duplicates=task.plan.allow_duplicates,
    )

    say("measuring for the report", 0.85)
    notes = (*graph.notes, *rows.notes, *fitted.notes, *_always_abstaining(graph, rows.certifying))
    said = notes if others is None else (*notes, str(others))
    files: Mapping[str, bytes | None] = NO_REPORT
    if task.with_report:
        timed = findings.latency(graph, model, feed(complete.certifying.rows))
        files = report_files(_evidence(described, rows, scored, outcome, timed, said, expected, task))

    say("writing", 0.95)
    with together():
        path = write_bundle(model, described, task.folder, files, may_replace=task.may_replace)
    say("done", 1.0)
    page = path.with_name(PAGE_NAME) if task.with_report else None
    coverage = float(scored[1].accepted.mean())
    return ExportReport(path, described, notes, outcome.checks, page, expected, coverage, others)


def _check_values(graph: ScoreGraph, given: Given) -> None:
    """Refuse a value that the graph does not read while rows still have the caller's numbers."""
    for what, part in (("calibration", given.calibration), ("certification", given.certification)):
        if part is not None:
            try:
                graph.feed(as_rows(part[0], what))
            except RowsError as error:
                raise RowsError(f"the {what} rows: {error}") from error


def _probabilities(graph: ScoreGraph, fitted: Fitted, rows: LabeledRows) -> Array:
    """Return the graph's probabilities; NaN in rows that the gate always refuses."""
    feed = graph.feed(rows.rows)
    probabilities = Runner(fitted.model).run(feed)
    # The manifest may forbid missing values that the graph allows, but only in inputs where no held-out row
    # has any. So for these rows graph and manifest agree.
    has_class = decide(probabilities, 0.0, valid_rows(feed, graph.inputs)).has_class
    return np.where(has_class[:, None], probabilities, np.nan)


def _always_abstaining(graph: ScoreGraph, rows: LabeledRows) -> tuple[str, ...]:
    """Return a note about rows with values that the gate refuses, and the inputs that hold them."""
    feed = graph.feed(rows.rows)
    valid = valid_rows(feed, graph.inputs)
    if valid is None or valid.all():
        return ()
    by_input = [(spec.name, valid_rows(feed, [spec])) for spec in graph.inputs]
    named = ", ".join(repr(name) for name, each in by_input if each is not None and not each.all())
    note = (
        f"{np.count_nonzero(~valid):,} of {len(rows):,} certification rows abstain whatever the threshold is:"
        f" {named} holds a missing value that the bundle does not take, or an infinity"
    )
    return (note,)


def _judged(
    rows: HeldOut, probabilities: Sequence[Array], column: SliceColumn | None
) -> tuple[Judged, Judged]:
    """Return the rows that fit and the rows that certify, with the graph's probabilities."""
    return (
        Judged(
            probabilities[0],
            rows.fitting.y,
            _slice_index(rows.fitting, column),
            rows.groups,
            rows.fitting.weights,
        ),
        Judged(
            probabilities[1], rows.certifying.y, _slice_index(rows.certifying, column), rows.certifying_groups
        ),
    )


def _subset_names(graph: ScoreGraph, column: SliceColumn | None, policy: Policy) -> list[str]:
    """Return the names of the classes or slices that get their own thresholds."""
    if policy.per_class:
        return [str(label) for label in graph.classes.tolist()]
    return [] if column is None else list(column.names)


def _threshold(
    policy: Policy,
    judged: tuple[Judged, Judged],
    names: Sequence[str],
    prices: Prices | None,
    others: OtherSplits | None,
) -> Threshold:
    """Choose the threshold; if it cannot be certified, say what other splits do."""
    try:
        return choose_threshold(policy, *judged, names, prices)
    except UnattainableError as error:
        if others is None:
            raise
        raise UnattainableError(f"{error}; {others}", threshold=error.threshold) from error


def _slice_index(rows: LabeledRows, column: SliceColumn | None) -> NDArray[np.int64] | None:
    return None if column is None or rows.slices is None else column.index(rows.slices)


def _described(
    graph: ScoreGraph,
    rows: HeldOut,
    fitted: Fitted,
    scored: Sequence[ScoredRows],
    threshold: Threshold,
    parity: Parity,
    column: SliceColumn | None,
    task: Task,
) -> Manifest:
    """Return the bundle's manifest."""
    everything = joined_rows(rows.fitting, rows.certifying).rows
    inputs = manifest.with_seen_missing(graph.inputs, graph.feed(everything))
    return Manifest(
        name=task.name or task.folder.parent.name,
        created_at=manifest.created_at(),
        library_versions=manifest.library_versions(graph.libraries),
        inputs=inputs if column is None else inputs_with(inputs, column),
        classes=manifest.class_message(graph.classes),
        calibrator=manifest.calibrator_message(
            fitted.calibrator, fitted.selection, len(rows.fitting), scored[1], task.plan.seed
        ),
        threshold=threshold,
        reference_histograms=_reference_histograms(rows, scored),
        parity=parity,
        estimator=graph.estimator,
        scores_kind=graph.kind,
        row_sets=manifest.row_sets(rows.fitting, rows.certifying),
        seed=task.plan.seed,
        recalibrated_from=task.recalibrated_from,
    )


def _reference_histograms(rows: HeldOut, scored: Sequence[ScoredRows]) -> list[Histogram]:
    """Return what traffic looks like: all held-out rows, or those that certify if the others have weights."""
    if rows.fitting.weights is not None and rows.certifying.weights is None:
        return manifest.reference_histograms(scored[1].confidence, rows.certifying.rows)
    confidence = np.concatenate([each.confidence for each in scored])
    return manifest.reference_histograms(confidence, joined_rows(rows.fitting, rows.certifying).rows)


def _evidence(
    described: Manifest,
    rows: HeldOut,
    scored: Sequence[ScoredRows],
    outcome: Outcome,
    latency: Sequence[Latency],
    notes: Sequence[str],
    cost: ExpectedCost | None,
    task: Task,
) -> Evidence:
    """Return the contents of the report."""
    return Evidence(
        manifest=described,
        calibration=scored[0],
        certification=scored[1],
        attainable=findings.attainable(rows, scored, task.policy.confidence_level),
        checks=outcome.checks,
        baselines=outcome.baselines,
        latency=latency,
        notes=notes,
        version=int(task.folder.name),
        cost=cost,
    )
