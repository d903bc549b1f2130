"""The numbers of a report → its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tamiz_convert.report.calibration_section import calibration_section
from tamiz_convert.report.confusion_section import confusion_section
from tamiz_convert.report.cost_section import cost_section
from tamiz_convert.report.gate_section import gate_section
from tamiz_convert.report.groups_section import failed_classes, groups_section
from tamiz_convert.report.origin_section import origin_section
from tamiz_convert.report.page import page
from tamiz_convert.report.promise_section import promise_lead, promise_section
from tamiz_convert.report.release_section import checks_section, comparison_section
from tamiz_convert.report.slider import SCRIPT


def document(data: Mapping[str, Any]) -> str:
    """Return the page that shows what `report_data` returned, from the promise to the digests."""
    sections = [
        promise_section(data),
        gate_section(data),
        cost_section(data),
        calibration_section(data),
        confusion_section(data),
        groups_section(data),
        checks_section(data),
        comparison_section(data),
        origin_section(data),
    ]
    model = data["model"]
    version = f", version {model['version']}" if model["version"] else ""
    return page(
        f"{model['name']}{version}",
        [section for section in sections if section is not None],
        subtitle=f"Export report · {model['created_at'][:10]} · {model['estimator'].rpartition('.')[2]}",
        lead=promise_lead(data, failed_classes(data)),
        is_certified=data["promise"]["kind"] != "none",
        footer="Made by Tamiz. The same numbers are in report.json.",
        script=SCRIPT,
    )
