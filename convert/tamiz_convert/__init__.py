"""Export of trained classifiers: estimator, calibrator and certified threshold become one ONNX bundle."""

try:
    from tamiz_convert.bundle import read_manifest
    from tamiz_convert.errors import (
        BundleError,
        EstimatorError,
        ExportError,
        ParityError,
        RowsError,
        UnattainableError,
    )
    from tamiz_convert.export import export
    from tamiz_convert.export_report import ExportReport
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{error.name} is not installed; exporting needs: pip install 'tamiz[convert]'", name=error.name
    ) from error

__all__ = [
    "BundleError",
    "EstimatorError",
    "ExportError",
    "ExportReport",
    "ParityError",
    "RowsError",
    "UnattainableError",
    "export",
    "read_manifest",
]
