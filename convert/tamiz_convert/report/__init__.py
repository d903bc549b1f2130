"""The report of an export: one page for people (report.html), and the same numbers for programs (report.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tamiz_convert.errors import BundleError
from tamiz_convert.evidence import Evidence
from tamiz_convert.files import replace
from tamiz_convert.report.data import REPORT_VERSION, report_data
from tamiz_convert.report.document import document

__all__ = ["DATA_NAME", "PAGE_NAME", "REPORT_VERSION", "render_html", "report_data", "write_report"]

PAGE_NAME: Final = "report.html"
DATA_NAME: Final = "report.json"


def render_html(evidence: Evidence) -> str:
    """Return the report as one page that needs no other file; the same evidence gives the same text."""
    return document(report_data(evidence))


def write_report(evidence: Evidence, folder: Path) -> Path:
    """Write report.html and report.json into a bundle's folder, each in one step.

    Args:
        evidence: what the export found out.
        folder: has to exist.

    Returns:
        The path of the page.

    Raises:
        BundleError: if a file cannot be written; it then holds what it held before.
    """
    data = report_data(evidence)
    numbers = json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    for name, text in ((DATA_NAME, numbers), (PAGE_NAME, document(data))):
        try:
            replace(folder / name, text.encode())
        except OSError as error:
            raise BundleError(
                f"{folder / name} cannot be written: {error.strerror}; the bundle itself is in place"
            ) from error
    return folder / PAGE_NAME
