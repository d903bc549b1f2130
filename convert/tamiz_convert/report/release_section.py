"""What the bundle was compared with: release checks, simpler rules, the estimator itself, and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tamiz_convert.check_result import check_title
from tamiz_convert.evidence import THIS_BUNDLE
from tamiz_convert.report.element import Child, Html, element
from tamiz_convert.report.formats import count, number, p_value, percent, plural, quantity, share
from tamiz_convert.report.page import Section
from tamiz_convert.report.table import Row, table

_NO_SHARES: Final = frozenset({"calibration", "latency", "parity"})
"""Sections of a specification whose figures are not shares of rows."""
_STATUS: Final = {"passed": "✓ passed", "failed": "✗ failed", "inconclusive": "? inconclusive"}


def checks_section(data: Mapping[str, Any]) -> Section | None:
    """Return the release checks; None if there were none."""
    checks = data["checks"]
    if not checks:
        return None
    content: list[Child] = [
        element("p", _summary(checks)),
        table(
            "Release checks",
            ["check", "outcome", "if failed", "rows", "observed", "bound", "limit", "p-value"],
            [_check(each) for each in checks],
            text_columns=(0, 1, 2),
            box="scroll checks",
            note="The bound is compared with the limit, not the observed value: few rows prove little. All"
            " bounds hold together, so each is wider than it would be for a single check.",
        ),
    ]
    return Section("checks", "Release checks", "Checks", content)


def comparison_section(data: Mapping[str, Any]) -> Section:
    """Return how the bundle compares with simpler rules and with the estimator that it came from."""
    content: list[Child] = [element("p", _parity(data["parity"]))]
    if data["baselines"]:
        content.append(_baselines(data))
    if data["latency"]:
        content.append(_latency(data["latency"]))
    return Section("comparison", "How it compares", "Comparisons", content)


def _summary(checks: Sequence[Mapping[str, Any]]) -> str:
    said = [f"{n} {status}" for status in _STATUS if (n := sum(each["status"] == status for each in checks))]
    return f"{plural(len(checks), 'check')}: {', '.join(said)}."


def _check(each: Mapping[str, Any]) -> list[Child]:
    failed = "whole failed" if each["status"] == "failed" else "whole"
    return [
        [
            element("span", check_title(each["kind"], each["name"]), class_="block"),
            element("span", each["message"], class_="block small quiet"),
        ],
        element("span", _STATUS[each["status"]], class_=failed),
        "blocks" if each["severity"] == "block" else "warns",
        count(each["n_rows"]),
        *(_amount(each["kind"], each[key]) for key in ("observed", "bound", "limit")),
        p_value(each["p_value"]),
    ]


def _amount(kind: str, value: float | None) -> str:
    """Return what a check measured: a share in percent, unless it is a time, a p-value or a count."""
    return quantity(value) if kind in _NO_SHARES else share(value)


def _parity(parity: Mapping[str, Any]) -> str:
    sizes = ", ".join(map(str, parity["batch_sizes"]))
    return (
        f"The exported graph was compared with the estimator on {plural(parity['n_rows'], 'row')}, in"
        f" batches of {sizes}: {_differing(parity['label_flips'])}; the largest difference of a probability"
        f" is {share(parity['max_probability_difference'])} (allowed:"
        f" {share(parity['probability_tolerance'])})."
    )


def _differing(n: int) -> str:
    return plural(n, "prediction differs", "predictions differ") if n else "no prediction differs"


def _baselines(data: Mapping[str, Any]) -> Html:
    rows = [
        Row(
            [
                each["name"],
                percent(each["accuracy"]),
                count(each["n_rows"]),
                percent(each["accuracy_accepted"]),
                count(each["n_accepted"]),
            ],
            chosen=each["name"] == THIS_BUNDLE,
        )
        for each in data["baselines"]
    ]
    note = (
        "The rows that the bundle answers are the easy ones, so a simpler rule is right on them more often"
        " too. What the bundle is worth is how far it is ahead there."
    )
    columns = ["rule", "right, of all rows", "rows", "right, of the answered rows", "answered rows"]
    return table("Simpler rules on the same rows", columns, rows, note=note)


def _latency(latency: Sequence[Mapping[str, Any]]) -> Html:
    rows = [
        [
            count(each["batch_size"]),
            number(each["scores_us"], 1),
            number(each["calibrated_us"], 1),
            number(each["calibrated_us"] - each["scores_us"], 1),
        ]
        for each in latency
    ]
    return table(
        "Time for one batch, in microseconds",
        ["rows in the batch", "scores only", "with the calibrator", "difference"],
        rows,
        text_columns=(),
        note="Medians of onnxruntime with one thread, on the machine of the export.",
    )
