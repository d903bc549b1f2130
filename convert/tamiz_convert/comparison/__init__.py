"""The comparison of two bundles on the same labeled rows."""

from tamiz_convert.comparison.compare import compare
from tamiz_convert.comparison.result import Comparison

__all__ = ["Comparison", "compare"]
