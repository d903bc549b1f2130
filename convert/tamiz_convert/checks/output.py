"""Results as files: JSON for programs, JUnit XML for continuous integration."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree as ET

from tamiz_convert.check_result import CheckResult
from tamiz_convert.files import write_text


def write_json(results: Sequence[CheckResult], path: Path) -> None:
    """Write results as JSON: {"blocked": bool, "checks": [one object per result, with "blocks"]}.

    Raises:
        ExportError: if the file cannot be written.
    """
    checks = [dataclasses.asdict(result) | {"blocks": result.blocks} for result in results]
    text = json.dumps(
        {"blocked": any(result.blocks for result in results), "checks": checks},
        indent=2,
        allow_nan=False,
        ensure_ascii=False,
    )
    write_text(path, f"{text}\n")


def write_junit(results: Sequence[CheckResult], path: Path) -> None:
    """Write results as JUnit XML, a suite per section and a case per result.

    A result that stops the export is a failure, and any other inconclusive result is skipped. A failure that
    only warns is a passed case whose message stands in `system-out`, marked "warning": readers show it and do
    not count it.

    Raises:
        ExportError: if the file cannot be written.
    """
    root = ET.Element("testsuites", {"name": "tamiz release checks"} | _counts(results))
    for kind, group in groupby(results, key=lambda result: result.kind):
        cases = list(group)
        suite = ET.SubElement(root, "testsuite", {"name": kind} | _counts(cases))
        for case in cases:
            _append_case(suite, case)
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    write_text(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n')


def _counts(results: Sequence[CheckResult]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(result.blocks for result in results)),
        "errors": "0",
        "skipped": str(sum(_is_skipped(result) for result in results)),
        "time": "0",
    }


def _is_skipped(result: CheckResult) -> bool:
    return result.status == "inconclusive" and not result.blocks


def _append_case(suite: ET.Element, result: CheckResult) -> None:
    case = ET.SubElement(
        suite, "testcase", {"classname": f"tamiz.{result.kind}", "name": _printable(result.name), "time": "0"}
    )
    message = _printable(result.message)
    if result.blocks:
        failure = ET.SubElement(case, "failure", {"type": result.status, "message": message})
        failure.text = message
    elif _is_skipped(result):
        ET.SubElement(case, "skipped", {"message": message})
    out = ET.SubElement(case, "system-out")
    out.text = f"warning: {message}" if result.status == "failed" and not result.blocks else message


def _printable(text: str) -> str:
    """Return text without the control characters that XML cannot hold."""
    return "".join(each if each.isprintable() else " " for each in text)
