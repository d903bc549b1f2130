"""The export: a trained classifier and held-out rows become one bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from tamiz.v1.manifest_pb2 import Manifest, Parity, Threshold
from tamiz_convert import calibrators, manifest, metrics
from tamiz_convert.bundle import write_bundle
from tamiz_convert.calibrators import Calibrator, Identity
from tamiz_convert.certify import certify
from tamiz_convert.edge_rows import edge_rows
from tamiz_convert.errors import BundleError, ExportError, UnattainableError
from tamiz_convert.export_report import ExportReport
from tamiz_convert.graft import graft
from tamiz_convert.held_out import SplitPlan, held_out
from tamiz_convert.parity import Runner, check_parity, check_parity_in_parts
from tamiz_convert.raw_rows import count, joined
from tamiz_convert.rows import LabeledRows
from tamiz_convert.score_graph import ScoreGraph
from tamiz_convert.sources import score_graph

Progress = Callable[[str, float], None]

DEFAULT_CALIBRATOR: Final = "temperature"
"""The one that never changes the order of rows and needs the fewest of them: it has one parameter."""

_ACCEPT_NONE: Final = 2.0
_TOLERANCE: Final = {"isotonic": 1e-4}
_DEFAULT_TOLERANCE: Final = 1e-5


@dataclass(frozen=True)
class _Policy:
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
    model: Any,
    output: str | Path,
    *,
    calibration: tuple[Any, Any],
    certification: tuple[Any, Any] | None = None,
    train: Any = None,
    classes: Any = None,
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
    seed: int = 0,
    progress: Progress | None = None,
) -> ExportReport:
    """Export a trained classifier with a fitted calibrator and a threshold, as one bundle.

    Args:
        model: a fitted classifier: of scikit-learn, XGBoost, LightGBM or CatBoost, or a Pipeline that ends in one; a native
            booster of these libraries; a torch.nn.Module whose output is logits, or a TorchModel; or an OnnxModel.
        output: `<name>/<version>`, the version a positive integer, such as "models/churn/1". An older bundle there is
            replaced in one step.
        calibration: (X, y), rows that the estimator was not trained on: (n_rows, n_features) ndarray or DataFrame, and
            (n_rows,) labels. Unless `certification` is given they are split in two.
        certification: (X, y), rows that certify the threshold and measure the calibrator; used for nothing else.
        train: the training rows, X or (X, y), only to make sure that no held-out row is among them.
        classes: (n_classes,), the labels in the order of the model's outputs, where the model itself does not know them
            (torch, ONNX, native boosters); by default 0, 1, ….
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
        seed: of the split, and of the choice of edge rows.
        progress: called with the name of each step and the share of the work done before it.

    Returns:
        The bundle's path and manifest, and notes.

    Raises:
        EstimatorError, RowsError, UnattainableError, ParityError, BundleError: see `errors`; nothing was written.
    """
    say = progress or (lambda _step, _share: None)
    policy = _Policy(max_error, confidence_level, threshold, allow_uncertified)
    folder = _version_folder(output)

    say("converting the model", 0.0)
    graph = score_graph(model, calibration[0], classes)
    plan = SplitPlan(certification_fraction, groups, splitter, allow_duplicates, seed)
    parts = held_out(calibration, certification, train, graph.classes, plan)
    fitting, certifying = parts.fitting, parts.certifying

    say("fitting the calibrator", 0.3)
    fitted, bundled = _calibrate(graph, fitting, calibrator)

    say("certifying the threshold", 0.5)
    runner = Runner(bundled)
    probabilities = (runner.run(graph.feed(fitting.rows)), runner.run(graph.feed(certifying.rows)))
    chosen = _choose_threshold(policy, (fitting, certifying), probabilities)

    say(f"comparing with {graph.reference_name}", 0.6)
    rows = joined(fitting.rows, certifying.rows)
    parity = _check(graph, fitted, bundled, rows, chosen.value, seed)

    say("writing the bundle", 0.9)
    described = Manifest(
        name=name or folder.parent.name,
        created_at=manifest.created_at(),
        library_versions=manifest.library_versions(graph.libraries),
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
        seed=seed,
    )
    path = write_bundle(bundled, described, folder)
    say("done", 1.0)
    return ExportReport(path, described, graph.notes + parts.notes)


def _version_folder(output: str | Path) -> Path:
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
    """Fit the calibrator on the graph's own scores, not on the reference's: those are the ones that it will see."""
    n_classes = len(graph.classes)
    scores = Runner(graph.model).run(graph.feed(rows.rows))
    fitted = calibrators.fit(method, scores, rows.y, kind=graph.kind, n_classes=n_classes)
    return fitted, graft(graph.model, fitted, n_classes=n_classes)


def _choose_threshold(
    policy: _Policy,
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
    graph: ScoreGraph,
    calibrator: Calibrator,
    model: onnx.ModelProto,
    rows: Any,
    threshold: float,
    seed: int,
) -> Parity:
    """Compare the graph with its reference and the fitted calibrator, on the held-out rows and on edge rows."""
    edges = edge_rows(rows, graph, seed)
    n_edges = count(edges)
    compared = joined(edges, rows) if n_edges else rows

    def describe(row: int) -> str:
        return f"edge row {row}" if row < n_edges else f"held-out row {row - n_edges}"

    scores = graph.reference(compared)
    feed = graph.feed(compared)
    tolerance = _TOLERANCE.get(calibrator.method, _DEFAULT_TOLERANCE)
    if graph.is_single_precision:
        return check_parity_in_parts(
            model,
            feed,
            scores,
            own=_own_probabilities(graph, scores),
            calibrated=calibrator.predict,
            tolerance=tolerance,
            threshold=threshold,
            describe=describe,
        )
    return check_parity(
        model,
        feed,
        calibrator.predict(scores),
        tolerance=tolerance,
        threshold=threshold,
        describe=describe,
    )


def _own_probabilities(
    graph: ScoreGraph, scores: NDArray[np.float64]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return scores → probabilities in which scores can be compared: not so steep that they would all be 0 or 1."""
    if graph.kind == "probabilities":
        return Identity("probabilities").predict
    spread = max(1.0, float(scores.std()))
    return lambda each: Identity("logits").predict(each / spread)


def _metrics_before(graph: ScoreGraph, rows: LabeledRows) -> list[tuple[str, float]]:
    """Return the metrics of the estimator's own probabilities; none where it has none."""
    if graph.kind == "margins":
        return []
    return metrics.summarize(Identity(graph.kind).predict(graph.reference(rows.rows)), rows.y)
