"""The export: a trained classifier and held-out rows become one bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

from tamiz_convert.pipeline.export_graph import export_graph
from tamiz_convert.pipeline.export_report import ExportReport
from tamiz_convert.pipeline.settings import Settings, complete, with_settings
from tamiz_convert.pipeline.task import Task
from tamiz_convert.progress import shown
from tamiz_convert.rows.sliced import passing_over, without
from tamiz_convert.rows.slices import take_slices
from tamiz_convert.sources.kinds import known_columns, score_graph


@with_settings
def export(
    model: Any, output: str | Path, *, classes: Any = None, **settings: Unpack[Settings]
) -> ExportReport:
    """Export a trained classifier with a fitted calibrator and a threshold, as one bundle.

    Give exactly one of `max_error`, `max_joint_error`, `min_coverage`, `cost` and `threshold`.

    Args:
        model: a fitted classifier from scikit-learn, XGBoost, LightGBM or CatBoost, or a Pipeline that ends
            in one; a native booster of these libraries; a torch.nn.Module whose output is logits, or a
            TorchModel; or an OnnxModel.
        output: `<name>/<version>`, where the version is a positive integer, such as "models/churn/1".
        classes: (n_classes,), the labels in the order of the model's outputs, if the model itself does not
            know them (torch, ONNX, native boosters); by default 0, 1, ….
        **settings: the entries of `Settings`, each documented there; help(export) shows them all.

    Returns:
        The bundle's path and manifest, the results of the checks, and notes.

    Raises:
        EstimatorError, RowsError, UnattainableError, ParityError, SpecificationError, BlockedError,
            BundleError: see `errors`; nothing was written.
    """
    asked = complete(settings)
    with shown(asked["progress"]) as say:
        task = Task.of(output, asked, say)
        say("converting the model", 0.0)
        known = known_columns(model, asked["calibration"][0])
        given = take_slices(
            asked["calibration"], asked["certification"], asked["train"], asked["slice_by"], known
        )
        beside = [column for column in task.slices if column not in known]
        graph = score_graph(model, without(given.calibration[0], beside), classes)
        return export_graph(passing_over(graph, beside), given, task)
