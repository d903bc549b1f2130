"""Export of trained classifiers: estimator, calibrator and certified threshold become one ONNX bundle.

A name is imported when it is first used, so `tamiz-convert --help` needs no extras and starts fast.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

# onnxruntime's own wheels report to their maker unless told otherwise before they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from tamiz_convert.bundles.bundle import read_manifest as read_manifest
    from tamiz_convert.calibrators.calibrator import Candidacy as Candidacy
    from tamiz_convert.check_result import CheckResult as CheckResult
    from tamiz_convert.checks import Specification as Specification
    from tamiz_convert.comparison import Comparison as Comparison
    from tamiz_convert.comparison import compare as compare
    from tamiz_convert.errors import BlockedError as BlockedError
    from tamiz_convert.errors import BundleError as BundleError
    from tamiz_convert.errors import EstimatorError as EstimatorError
    from tamiz_convert.errors import ExportError as ExportError
    from tamiz_convert.errors import ParityError as ParityError
    from tamiz_convert.errors import RowsError as RowsError
    from tamiz_convert.errors import SpecificationError as SpecificationError
    from tamiz_convert.errors import UnattainableError as UnattainableError
    from tamiz_convert.pipeline.export import export as export
    from tamiz_convert.pipeline.export_report import ExportReport as ExportReport
    from tamiz_convert.pipeline.recalibrate import recalibrate as recalibrate
    from tamiz_convert.pipeline.release import check_bundle as check_bundle
    from tamiz_convert.selection import SelectionSettings as SelectionSettings
    from tamiz_convert.sources.onnx_graph import OnnxModel as OnnxModel
    from tamiz_convert.sources.torch_graph import TorchModel as TorchModel

_MODULES: Final = {
    "BlockedError": "errors",
    "BundleError": "errors",
    "Candidacy": "calibrators.calibrator",
    "CheckResult": "check_result",
    "Comparison": "comparison",
    "EstimatorError": "errors",
    "ExportError": "errors",
    "ExportReport": "pipeline.export_report",
    "OnnxModel": "sources.onnx_graph",
    "ParityError": "errors",
    "RowsError": "errors",
    "SelectionSettings": "selection",
    "Specification": "checks",
    "SpecificationError": "errors",
    "TorchModel": "sources.torch_graph",
    "UnattainableError": "errors",
    "check_bundle": "pipeline.release",
    "compare": "comparison",
    "export": "pipeline.export",
    "read_manifest": "bundles.bundle",
    "recalibrate": "pipeline.recalibrate",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """Import a name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is not installed; exporting needs: pip install 'tamiz[convert]'", name=error.name
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
