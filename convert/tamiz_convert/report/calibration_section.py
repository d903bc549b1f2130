"""Whether the confidence can be trusted: reliability, metrics, and how the calibrator was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tamiz_convert.report.charts import reliability_chart, reliability_start
from tamiz_convert.report.element import Child, element
from tamiz_convert.report.formats import NOTHING, count, interval, number, p_value, percent, plural
from tamiz_convert.report.page import Section
from tamiz_convert.report.plot import charts, figure
from tamiz_convert.report.table import Row, table

_CANDIDATE_METRICS: Final = {
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece_15": "calibration error",
    "aurc": "risk-coverage area",
}
_OPEN: Final = frozenset({"accuracy", "log_loss", "brier", "ece_15"})
"""The metrics that are not folded."""
_SHARES: Final = frozenset(
    {
        "accuracy",
        "ece_15",
        "aurc",
        "ece_15_equal_mass",
        "debiased_l2_15_equal_mass",
        "mce_15",
        "classwise_ece_15",
        "e_aurc",
        "augrc",
    }
)
"""Metrics that are shares of rows, or differences of shares: shown in percent."""
_METRICS: Final = {
    "accuracy": "accuracy: right predictions among all rows (larger is better)",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece_15": "calibration error, 15 bins of equal width",
    "aurc": "area under the risk-coverage curve",
    "ece_15_equal_mass": "calibration error, 15 bins of equal mass",
    "debiased_l2_15_equal_mass": "calibration error, debiased root mean square, 15 bins of equal mass",
    "mce_15": "largest calibration error of 15 bins",
    "classwise_ece_15": "calibration error, mean over the classes",
    "e_aurc": "risk-coverage area beyond the best ranking",
    "augrc": "area under the generalized risk-coverage curve",
    "spiegelhalter_z": "Spiegelhalter z (near 0 is better; above 0: too sure)",
}


def calibration_section(data: Mapping[str, Any]) -> Section:
    """Return the diagrams before and after, and the tables behind them."""
    found = data["calibration"]
    after, before = found["after"], found["before"]
    calibrated = found["calibrator"]["method"] != "none"
    if after is None:
        content: list[Child] = [
            element("p", "No certification row got a probability: nothing could be measured.")
        ]
    else:
        content = [
            element(
                "p", _verdict(after["ece"], found["n_rows"], certified=data["promise"]["kind"] != "none")
            ),
            _by_weight(found["n_worth"]),
            _diagrams(before if calibrated else None, after, calibrated=calibrated),
            _bins(after["reliability"]),
            *_metrics(before if calibrated else None, after),
        ]
    content += [element("h3", "The calibrator"), *_calibrator(found["calibrator"])]
    return Section("calibration", "Can the confidence be trusted?", "Calibration", content)


def _by_weight(n_worth: float | None) -> Child:
    """Return a sentence about rows that have weights."""
    if n_worth is None:
        return None
    return element(
        "p",
        f"In this section rows count by their sample weights, and are worth {n_worth:,.0f} rows of equal"
        " weight. Everywhere else on this page each row counts once.",
    )


def _verdict(ece: Mapping[str, Any], n_rows: int, *, certified: bool) -> str:
    apart = " The certificate does not depend on it." if certified else ""
    within = ece["value"] <= ece["calibrated_q95"]
    judged = (
        "That is within what chance alone explains."
        if within
        else f"That is more than chance explains: be careful with the confidence.{apart}"
    )
    return (
        "When the model says 90%, is it right nine times in ten? The calibration error is"
        f" {percent(ece['value'], 2)}. On {plural(n_rows, 'row')} a perfectly calibrated model would still"
        f" show about {percent(ece['calibrated_mean'], 2)}, and more than {percent(ece['calibrated_q95'], 2)}"
        f" in one case of twenty. {judged}"
    )


def _diagrams(before: Mapping[str, Any] | None, after: Mapping[str, Any], *, calibrated: bool) -> Child:
    """Return the diagrams without and with the calibrator, on the same axes: else the eye compares axes."""
    shown = [("With the calibrator" if calibrated else "The model's own confidence", after)]
    if before:
        shown.insert(0, ("Without the calibrator", before))
    low = reliability_start(*(each["reliability"] for _, each in shown))
    return charts(*(_diagram(title, each, low) for title, each in shown))


def _diagram(title: str, quality: Mapping[str, Any], low: float) -> Child:
    ece = quality["ece"]
    caption = (
        f"Calibration error {percent(ece['value'], 2)}; a perfect model would show"
        f" {percent(ece['calibrated_mean'], 2)}. On the dotted line the confidence is exactly right. Each"
        " bin holds about the same number of rows; the bars are 95% intervals."
    )
    drawing = reliability_chart(
        f"Right predictions by confidence, {title.lower()}", quality["reliability"], low
    )
    return figure(title, caption, drawing)


def _bins(bins: Sequence[Mapping[str, Any]]) -> Child:
    rows = [
        [
            f"{percent(each['low'])} – {percent(each['high'])}",
            count(each["n_rows"]),
            percent(each["mean_confidence"], 2),
            percent(each["accuracy"], 2),
            interval(each["accuracy_interval"], 2),
        ]
        for each in bins
    ]
    numbers = table(
        "Bins of the diagram", ["confidence", "rows", "mean confidence", "right", "95% interval"], rows
    )
    return element("details", element("summary", "The bins as a table"), numbers, class_="screen")


def _metrics(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Child]:
    """Return the metrics that most readers want, and the others folded."""
    was = {each["name"]: each for each in before["metrics"]} if before else {}
    heads = ["before", "95% interval, or chance", "with calibrator"] if was else ["value"]
    columns = ["metric", *heads, "95% interval, or chance"]
    rows = {each["name"]: _metric(each, was) for each in after["metrics"]}
    open_ = [row for name, row in rows.items() if name in _OPEN]
    folded = [row for name, row in rows.items() if name not in _OPEN]
    note = (
        "Smaller is better unless stated otherwise. Intervals come from resampling the rows. “By chance” is"
        " what a perfectly calibrated model would show on as many rows."
    )
    test = f"Spiegelhalter's test of calibration: p-value {p_value(after['spiegelhalter']['p_value'])}."
    rest = table("More metrics on the certification rows", columns, folded, note=test)
    return [
        table("Metrics on the certification rows", columns, open_, note=note),
        element("details", element("summary", f"{plural(len(folded), 'more metric')}"), rest),
    ]


def _metric(metric: Mapping[str, Any], was: Mapping[str, Mapping[str, Any]]) -> list[str]:
    name = metric["name"]
    return [
        _METRICS.get(name, name),
        *(_measured(name, was.get(name)) if was else []),
        *_measured(name, metric),
    ]


def _measured(name: str, metric: Mapping[str, Any] | None) -> list[str]:
    if metric is None:
        return [NOTHING, NOTHING]
    bounds, by_chance = metric["interval"], metric["calibrated_mean"]
    value = _amount(name, metric["value"])
    if by_chance is not None:
        return [value, f"{_amount(name, by_chance)} by chance"]
    if not bounds:
        return [value, NOTHING]
    return [value, interval(bounds, 2) if name in _SHARES else f"{number(bounds[0])}–{number(bounds[1])}"]


def _amount(name: str, value: float | None) -> str:
    return percent(value, 2) if name in _SHARES else number(value)


def _calibrator(calibrator: Mapping[str, Any]) -> list[Child]:
    rows = plural(calibrator["n_rows"], "held-out row")
    none = "None: the probabilities are the estimator's own."
    fitted = none if calibrator["method"] == "none" else f"{calibrator['method']}, fitted on {rows}."
    reason = f" {calibrator['reason']}." if calibrator["reason"] else ""
    content: list[Child] = [element("p", fitted + reason)]
    if calibrator["candidates"]:
        content.append(_candidates(calibrator["candidates"]))
    return content


def _candidates(candidates: Sequence[Mapping[str, Any]]) -> Child:
    names = list(dict.fromkeys(name for each in candidates for name in each["metrics"]))
    rows = [
        Row(
            [each["method"], each["status"], *(number(each["metrics"].get(name)) for name in names)],
            each["chosen"],
        )
        for each in candidates
    ]
    return table(
        f"The {count(len(candidates))} calibrators that were considered",
        ["calibrator", "outcome", *(_CANDIDATE_METRICS.get(name, name) for name in names)],
        rows,
        text_columns=(0, 1),
        note="Each was fitted on four fifths of the calibration rows and measured on the other fifth, five"
        " times. Smaller is better.",
    )
