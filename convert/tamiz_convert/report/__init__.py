"""The report of an export: a page for people (report.html), and its numbers for programs (report.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tamiz.files import replace
from tamiz_convert.errors import BundleError
from tamiz_convert.evidence import Evidence
from tamiz_convert.report.data import REPORT_VERSION, report_data
from tamiz_convert.report.document import document

__all__ = ["DATA_NAME", "PAGE_NAME", "REPORT_VERSION", "report_data", "report_files", "write_files"]

PAGE_NAME: Final = "report.html"
DATA_NAME: Final = "report.json"


def report_files(evidence: Evidence) -> dict[str, bytes]:
    """Return the report's files by name, the page and the numbers; the same evidence gives the same bytes."""
    data = report_data(evidence)
    numbers = json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    return {DATA_NAME: numbers.encode(), PAGE_NAME: document(data).encode()}


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the report's files into a bundle's folder, each in one step, and remove those of an older report.

    Args:
        files: what `report_files` returned; empty if no report is wanted.
        folder: the bundle's folder; it must exist.

    Raises:
        BundleError: if a file cannot be written; it then holds what it held before.
    """
    for name in (DATA_NAME, PAGE_NAME):
        path = folder / name
        try:
            if name in files:
                replace(path, files[name])
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise BundleError(
                f"{path} cannot be written: {error.strerror}; the bundle itself is in place"
            ) from error
