"""Recalibration: a bundle and new held-out rows become a new version with the same scores."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from tamiz.v1.manifest_pb2 import Subdivision, Threshold
from tamiz_convert.bundles.bundle import read_bundle
from tamiz_convert.bundles.graph import from_bundle
from tamiz_convert.pipeline.export_graph import export_graph
from tamiz_convert.pipeline.export_report import ExportReport
from tamiz_convert.pipeline.settings import Settings, complete, with_settings
from tamiz_convert.pipeline.task import Task
from tamiz_convert.progress import shown
from tamiz_convert.rows.sliced import passing_over
from tamiz_convert.rows.slices import take_slices


@with_settings
def recalibrate(bundle: str | Path, output: str | Path, **settings: Unpack[Settings]) -> ExportReport:
    """Give a bundle a new calibrator and a new threshold, without the estimator that it was made from.

    The same rows and settings give the same calibrator, threshold and certificate as the export did. Give
    exactly one of `max_error`, `max_joint_error`, `min_coverage`, `cost` and `threshold`. If you give
    `max_error` and neither `per_class` nor `slice_by`, the new version keeps the bundle's subdivision: one
    threshold for all rows, or one per class or slice.

    Args:
        bundle: the version's folder, or the file in it.
        output: `<name>/<version>` of the new version, such as "models/churn/2".
        **settings: the entries of `Settings`, each documented there; help(recalibrate) shows them all.

    Returns:
        The new bundle's path and manifest, which names the old one's digest in `recalibrated_from`, and
        notes.

    Raises:
        RowsError, UnattainableError, ParityError, SpecificationError, BlockedError, BundleError: see
            `errors`; nothing was written.
    """
    asked = complete(settings)
    model, manifest = read_bundle(bundle)
    if asked["max_error"] is not None and not asked["per_class"] and asked["slice_by"] is None:
        asked["per_class"], asked["slice_by"] = _subdivision(manifest.threshold)
    with shown(asked["progress"]) as say:
        task = Task.of(output, asked, say, manifest.graph_digest)
        say("reading the bundle", 0.0)
        graph = from_bundle(model, manifest, with_subset=asked["slice_by"] is None)
        known = [name for spec in graph.inputs for name in spec.column_names]
        given = take_slices(
            asked["calibration"], asked["certification"], asked["train"], asked["slice_by"], known
        )
        beside = [column for column in task.slices if column not in known]
        return export_graph(passing_over(graph, beside), given, task)


def _subdivision(threshold: Threshold) -> tuple[bool, str | None]:
    """Return whether a bundle's thresholds differ by predicted class, and the column that they differ by."""
    by_class = threshold.subdivision == Subdivision.SUBDIVISION_PREDICTED_CLASS
    by_slice = threshold.subdivision == Subdivision.SUBDIVISION_SLICE
    return by_class, threshold.slice_input if by_slice else None
