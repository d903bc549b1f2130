"""The export: a trained classifier and held-out rows become one bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tamiz_convert.certificates.threshold_choice import Policy
from tamiz_convert.checks import Rule
from tamiz_convert.pipeline.export_graph import export_graph
from tamiz_convert.pipeline.export_report import ExportReport
from tamiz_convert.pipeline.release import Checks, Release
from tamiz_convert.pipeline.settings import AUTO, Progress, Settings, silent, version_folder
from tamiz_convert.rows.held_out import SplitPlan
from tamiz_convert.rows.sliced import passing_over, without
from tamiz_convert.rows.slices import take_slices
from tamiz_convert.selection import SelectionSettings
from tamiz_convert.sources.kinds import known_columns, score_graph


def export(
    model: Any,
    output: str | Path,
    *,
    calibration: tuple[Any, Any],
    certification: tuple[Any, Any] | None = None,
    train: Any = None,
    classes: Any = None,
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
        calibrator: "auto" chooses by log loss out of fold, with a veto for what ranks rows worse; or one of
            `calibrators.METHODS`.
        selection: the cut-offs of that choice.
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
        slices: columns of the rows (text, whole numbers or bool) whose every value the report looks at by itself. A model
            that knows its columns by their order only takes all others for features.
        report: whether report.html and report.json are written beside the bundle.
        seed: of every random step.
        progress: called with the name of each step and the share of the work done before it.

    Returns:
        The bundle's path and manifest, the results of the checks, and notes.

    Raises:
        EstimatorError, RowsError, UnattainableError, ParityError, SpecificationError, BlockedError, BundleError: see
            `errors`; nothing was written.
    """
    settings = Settings(
        folder=version_folder(output),
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
        say=progress or silent,
    )
    settings.say("converting the model", 0.0)
    known = known_columns(model, calibration[0])
    given = take_slices(calibration, certification, train, slice_by, known)
    beside = [column for column in slices if column not in known]
    graph = score_graph(model, without(given.calibration[0], beside), classes)
    return export_graph(passing_over(graph, beside), given, settings)
