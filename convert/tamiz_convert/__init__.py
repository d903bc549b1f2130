"""Export of trained classifiers: estimator, calibrator and certified threshold become one ONNX bundle."""

from typing import NoReturn

try:
    from tamiz_convert.bundles.bundle import read_manifest
    from tamiz_convert.checks import Specification
    from tamiz_convert.comparison import Comparison, compare
    from tamiz_convert.errors import (
        BlockedError,
        BundleError,
        EstimatorError,
        ExportError,
        ParityError,
        RowsError,
        SpecificationError,
        UnattainableError,
    )
    from tamiz_convert.export import export
    from tamiz_convert.export_report import ExportReport
    from tamiz_convert.recalibrate import recalibrate
    from tamiz_convert.release import check_bundle
    from tamiz_convert.sources.onnx_graph import OnnxModel
    from tamiz_convert.sources.torch_graph import TorchModel
except ModuleNotFoundError as error:
    _MISSING = error.name

    def __getattr__(name: str) -> NoReturn:
        """Name the extra when something is asked for that needs it; `tamiz-convert --help` does not."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise ModuleNotFoundError(
            f"{_MISSING} is not installed; exporting needs: pip install 'tamiz[convert]'"
        )


__all__ = [
    "BlockedError",
    "BundleError",
    "Comparison",
    "EstimatorError",
    "ExportError",
    "ExportReport",
    "OnnxModel",
    "ParityError",
    "RowsError",
    "Specification",
    "SpecificationError",
    "TorchModel",
    "UnattainableError",
    "check_bundle",
    "compare",
    "export",
    "read_manifest",
    "recalibrate",
]
