"""Which calibrator fits these rows best."""

from __future__ import annotations

from tamiz_convert.selection.choice import Candidate, Selection
from tamiz_convert.selection.select import select_calibrator
from tamiz_convert.selection.settings import SelectionSettings

__all__ = ["Candidate", "Selection", "SelectionSettings", "select_calibrator"]
