"""Recalibration: a bundle and new held-out rows become a new version with the same graph as far as the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tamiz.v1.manifest_pb2 import Subdivision, Threshold
from tamiz_convert.bundles.bundle import read_bundle
from tamiz_convert.bundles.graph import from_bundle
from tamiz_convert.certificates.threshold_choice import Policy
from tamiz_convert.checks import Rule
from tamiz_convert.errors import BundleError
from tamiz_convert.pipeline.export_graph import export_graph
from tamiz_convert.pipeline.export_report import ExportReport
from tamiz_convert.pipeline.release import Checks, Release
from tamiz_convert.pipeline.settings import AUTO, Progress, Settings, silent, version_folder
from tamiz_convert.rows.held_out import SplitPlan
from tamiz_convert.rows.sliced import passing_over
from tamiz_convert.rows.slices import take_slices
from tamiz_convert.selection import SelectionSettings


def recalibrate(
    bundle: str | Path,
    output: str | Path,
    *,
    calibration: tuple[Any, Any],
    certification: tuple[Any, Any] | None = None,
    train: Any = None,
    name: str | None = None,
    calibrator: str = AUTO,
    selection: SelectionSettings | None = None,
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
    slices: Sequence[str] = (),
    report: bool = True,
    replace: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> ExportReport:
    """Give a bundle a new calibrator and a new threshold, without the estimator that it was made of.

    The same rows and settings give the same calibrator, threshold and certificate as the export did.

    Args:
        bundle: the version's folder, or the file in it.
        output: `<name>/<version>` of the new version, such as "models/churn/2".
        calibration: (X, y), rows that neither the estimator nor the first calibrator's certificate has seen:
            (n_rows, n_features) ndarray or DataFrame with the columns that the bundle names, and (n_rows,) labels.
        certification: (X, y), rows that certify the threshold; by default a part of `calibration`.
        train: the training rows, X or (X, y), only to make sure that no held-out row is among them.
        name: a name for people; by default that of the model's folder.
        calibrator: as in `export`; likewise those below.
        selection: the cut-offs of "auto".
        max_error: the wanted bound on the error among accepted rows.
        confidence_level: the wanted probability that it holds.
        max_joint_error: instead, the wanted bound on the share of all rows that are accepted and wrong.
        min_coverage: instead, the wanted share of accepted rows, whatever their error.
        threshold: instead, a fixed threshold, without a promise.
        per_class: keep `max_error` within each predicted class.
        slice_by: keep it within each value of this column. Where neither is given, `max_error` is kept as the bundle keeps
            it: within each class or slice if its thresholds differ.
        allow_uncertified: write the bundle even if `max_error` cannot be proven.
        certification_fraction: the share of `calibration` that certifies.
        groups: (n_rows,), which calibration rows belong together.
        splitter: a scikit-learn splitter, as in `export`.
        allow_duplicates: take the rows although many of them repeat others.
        checks: what the new bundle has to pass, as in `export`.
        check_rows: (X, y), rows for the checks alone; by default the certification rows.
        baselines: simpler rules to beat, by name.
        slices: columns that the report looks at.
        report: whether a report is written beside the bundle.
        replace: write over the bundle itself, if the output is where it lies.
        seed: of every random step.
        progress: called with the name of each step and the share of the work done before it.

    Returns:
        The new bundle's path and manifest, which names the old one's digest in `recalibrated_from`, and notes.

    Raises:
        RowsError, UnattainableError, ParityError, SpecificationError, BlockedError, BundleError: see `errors`; nothing was
            written.
    """
    source, folder = Path(bundle), version_folder(output)
    say = progress or silent
    say("reading the bundle", 0.0)
    model, manifest = read_bundle(source)
    _refuse_same_place(source, folder, meant=replace)
    if max_error is not None and not per_class and slice_by is None:
        per_class, slice_by = _subdivision(manifest.threshold)
    settings = Settings(
        folder=folder,
        policy=Policy(
            max_error=max_error,
            max_joint_error=max_joint_error,
            min_coverage=min_coverage,
            threshold=threshold,
            confidence_level=confidence_level,
            allow_uncertified=allow_uncertified,
            per_class=per_class,
            slice_by=slice_by,
        ),
        plan=SplitPlan(certification_fraction, groups, splitter, allow_duplicates, seed),
        calibrator=calibrator,
        selection=selection or SelectionSettings(),
        release=Release.of(checks, baselines, check_rows),
        slices=slices,
        name=name,
        with_report=report,
        recalibrated_from=manifest.graph_digest,
        say=say,
    )
    graph = from_bundle(model, manifest, with_subset=slice_by is None)
    known = [name for spec in graph.inputs for name in spec.column_names]
    given = take_slices(calibration, certification, train, slice_by, known)
    beside = [column for column in slices if column not in known]
    return export_graph(passing_over(graph, beside), given, settings)


def _subdivision(threshold: Threshold) -> tuple[bool, str | None]:
    """Return by what the thresholds of a bundle differ: by predicted class, and by which column."""
    by_class = threshold.subdivision == Subdivision.SUBDIVISION_PREDICTED_CLASS
    by_slice = threshold.subdivision == Subdivision.SUBDIVISION_SLICE
    return by_class, threshold.slice_input if by_slice else None


def _refuse_same_place(source: Path, folder: Path, *, meant: bool) -> None:
    occupied = source.resolve() if source.is_dir() else source.resolve().parent
    if occupied == folder and not meant:
        raise BundleError(
            f"{folder} holds the bundle that is to be recalibrated; give the new one a higher version, such as"
            f" {folder.parent / str(int(folder.name) + 1)}, or pass replace=True (--replace) to write over it"
        )
