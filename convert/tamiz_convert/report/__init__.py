"""The report of an export: a page for people (report.html), and its numbers for programs (report.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from tamiz_convert.evidence import Evidence
from tamiz_convert.report.data import REPORT_VERSION, report_data
from tamiz_convert.report.document import document

__all__ = ["DATA_NAME", "NO_REPORT", "PAGE_NAME", "REPORT_VERSION", "report_data", "report_files"]

PAGE_NAME: Final = "report.html"
DATA_NAME: Final = "report.json"
NO_REPORT: Final[Mapping[str, None]] = {DATA_NAME: None, PAGE_NAME: None}
"""In the place of a report's files, if none is wanted."""


def report_files(evidence: Evidence) -> dict[str, bytes]:
    """Return the report's files by name, the page and the numbers; the same evidence gives the same bytes."""
    data = report_data(evidence)
    numbers = json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    return {DATA_NAME: numbers.encode(), PAGE_NAME: document(data).encode()}
