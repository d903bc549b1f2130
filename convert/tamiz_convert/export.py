"""The export: a trained classifier and held-out rows become one bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray

from tamiz.v1.manifest_pb2 import Manifest, Parity, Threshold
from tamiz_convert import calibrators, manifest, metrics
from tamiz_convert.bundle import write_bundle
from tamiz_convert.bundle_subject import Subject
from tamiz_convert.calibrators import Calibrator, Identity
from tamiz_convert.certify import certify
from tamiz_convert.checks import Rule
from tamiz_convert.edge_rows import edge_rows
from tamiz_convert.errors import BundleError, ExportError, UnattainableError
from tamiz_convert.export_report import ExportReport
from tamiz_convert.graft import graft
from tamiz_convert.held_out import SplitPlan, held_out
from tamiz_convert.parity import Runner, check_parity
from tamiz_convert.release import Checks, Release
from tamiz_convert.rows import LabeledRows
from tamiz_convert.score_graph import ScoreGraph
from tamiz_convert.sklearn_graph import from_sklearn, unwrap

Progress = Callable[[str, float], None]

DEFAULT_CALIBRATOR: Final = "temperature"
"""The one that never changes the order of rows and needs the fewest of them: it has one parameter."""

_NO_CHECKS: Final = Release()
_ACCEPT_NONE: Final = 2.0
_TOLERANCE: Final = {"isotonic": 1e-4}
_DEFAULT_TOLERANCE: Final = 1e-5


@dataclass(frozen=True)
class Policy:
    """What the caller asked of the threshold."""

    max_error: float | None
    confidence_level: float
    threshold: float | None
    allow_uncertified: bool

    def __post_init__(self) -> None:
        if (self.max_error is None) == (self.threshold is None):
            raise ExportError(
                "give either max_error (a threshold is certified for it) or threshold (it is taken as it is)"
            )
        for name in ("max_error", "confidence_level"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 1.0:
                raise ExportError(f"{name} is {value}; expected a number between 0 and 1")
        if self.threshold is not None and not 0.0 <= self.threshold <= 1.0:
            raise ExportError(f"threshold is {self.threshold}; expected a confidence from 0 to 1")


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
    threshold: float | None = None,
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
        calibrator: "none", "sigmoid", "isotonic" or "temperature".
        max_error: the wanted bound on the error among accepted rows.
        confidence_level: the wanted probability that it holds.
        threshold: a fixed threshold instead, from 0 to 1, without a promise.
        allow_uncertified: export even if `max_error` cannot be proven; the bundle then says that it is not certified.
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
    policy = Policy(max_error, confidence_level, threshold, allow_uncertified)
    folder = version_folder(output)
    plan = SplitPlan(certification_fraction, groups, splitter, allow_duplicates, seed)
    release = Release.of(checks, baselines, check_rows)

    say("converting the estimator", 0.0)
    graph = from_sklearn(estimator, calibration[0])
    return export_graph(
        graph,
        folder,
        estimator=estimator,
        held_out_rows=(calibration, certification, train),
        name=name,
        calibrator=calibrator,
        policy=policy,
        plan=plan,
        notes=unwrap(estimator).notes,
        release=release,
        say=say,
    )


def export_graph(
    graph: ScoreGraph,
    folder: Path,
    *,
    held_out_rows: tuple[tuple[Any, Any], tuple[Any, Any] | None, Any],
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
        held_out_rows: calibration, certification and train, as in `export`.
        policy: what is asked of the threshold.
        plan: how the rows are divided.
        calibrator: as in `export`.
        name: as in `export`.
        release: what it has to pass.
        say: is called with the name of each step and the share of the work done before it.
        estimator: what the graph was made of, to find edge rows; None where only the graph is left.
        recalibrated_from: the digest of the bundle that the graph was cut out of; empty for a new export.
        notes: what the caller should know.

    Raises:
        RowsError, UnattainableError, ParityError, SpecificationError, BlockedError, BundleError: see `errors`; nothing was
            written.
    """
    parts = held_out(*held_out_rows, graph.classes, plan)
    fitting, certifying = parts.fitting, parts.certifying

    say("fitting the calibrator", 0.3)
    fitted, model = _calibrate(graph, fitting, calibrator)

    say("certifying the threshold", 0.5)
    runner = Runner(model)
    probabilities = (runner.run(graph.feed(fitting.rows)), runner.run(graph.feed(certifying.rows)))
    chosen = _choose_threshold(policy, (fitting, certifying), probabilities)

    say("comparing with the reference", 0.6)
    rows = _concatenated(fitting.rows, certifying.rows)
    parity = _check(estimator, graph, fitted, model, rows, chosen.value, plan.seed)

    say("describing the bundle", 0.85)
    described = Manifest(
        name=name or folder.parent.name,
        created_at=manifest.created_at(),
        library_versions=manifest.library_versions(),
        inputs=graph.inputs,
        classes=manifest.class_message(graph.classes),
        calibrator=manifest.calibrator_message(
            fitted,
            len(fitting),
            _metrics_before(graph, certifying),
            metrics.summarize(probabilities[1], certifying.y),
        ),
        threshold=chosen,
        reference_histograms=manifest.reference_histograms(np.concatenate(probabilities).max(axis=1), rows),
        parity=parity,
        estimator=graph.estimator,
        scores_kind=graph.kind,
        row_sets=[manifest.row_set("calibration", fitting), manifest.row_set("certification", certifying)],
        seed=plan.seed,
        recalibrated_from=recalibrated_from,
    )
    say("checking the release", 0.9)
    outcome = release.hold(Subject(model, described, graph.feed), parts, plan.seed, held_out_rows[2])

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


def _choose_threshold(
    policy: Policy,
    rows: tuple[LabeledRows, LabeledRows],
    probabilities: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> Threshold:
    if policy.max_error is None:
        return Threshold(value=policy.threshold, not_certified="fixed by the caller")
    confidence = [each.max(axis=1) for each in probabilities]
    error = [each.argmax(axis=1) != part.y for each, part in zip(probabilities, rows, strict=True)]
    try:
        certified = certify(
            confidence[0],
            error[0],
            confidence[1],
            error[1],
            max_error=policy.max_error,
            confidence_level=policy.confidence_level,
        )
    except UnattainableError as unattainable:
        if not policy.allow_uncertified:
            raise
        value = _ACCEPT_NONE if unattainable.threshold is None else unattainable.threshold
        return Threshold(value=value, not_certified=str(unattainable))
    return manifest.threshold_message(
        certified, max_error=policy.max_error, confidence_level=policy.confidence_level
    )


def _check(
    estimator: Any,
    graph: ScoreGraph,
    calibrator: Calibrator,
    model: onnx.ModelProto,
    rows: Any,
    threshold: float,
    seed: int,
) -> Parity:
    """Compare the graph with its reference and the fitted calibrator, on the held-out rows and on edge rows."""
    edges = edge_rows(rows, graph.inputs, estimator, graph.reference, seed)
    compared = _concatenated(edges, rows) if len(edges) else rows

    def describe(row: int) -> str:
        return f"edge row {row}" if row < len(edges) else f"held-out row {row - len(edges)}"

    scores = graph.reference(compared)
    return check_parity(
        model,
        graph.feed(compared),
        calibrator.predict(scores),
        tolerance=_TOLERANCE.get(calibrator.method, _DEFAULT_TOLERANCE),
        threshold=threshold,
        describe=describe,
    )


def _metrics_before(graph: ScoreGraph, rows: LabeledRows) -> list[tuple[str, float]]:
    """Return the metrics of the estimator's own probabilities; none where it has none."""
    if graph.kind == "margins":
        return []
    return metrics.summarize(Identity(graph.kind).predict(graph.reference(rows.rows)), rows.y)


def _concatenated(first: Any, second: Any) -> Any:
    if isinstance(first, pd.DataFrame):
        return pd.concat([first, second], ignore_index=True)
    return np.concatenate([first, second])
