"""How many requests are answered, how many answers are wrong, and what another threshold would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tamiz_convert.report.charts import (
    attainable_chart,
    confidence_chart,
    risk_coverage_chart,
    risk_coverage_plot,
)
from tamiz_convert.report.element import Child, element
from tamiz_convert.report.formats import count, percent, plain_percent
from tamiz_convert.report.page import Section
from tamiz_convert.report.plot import Points, charts, figure
from tamiz_convert.report.slider import slider
from tamiz_convert.report.table import Row, table

_RIGHT_OF_IT: Final = "Rows by confidence. Rows to the right of the threshold are answered."


def gate_section(data: Mapping[str, Any]) -> Section:
    """Return the curves, the slider, and what more rows would prove."""
    max_error, gate = data["promise"]["max_error"], data["gate"]
    calibrated = data["calibration"]["calibrator"]["method"] != "none"
    curves = _curves(data["risk_coverage"], calibrated=calibrated)
    point = None if gate["error"] is None else (gate["coverage"], gate["error"])
    drawing = risk_coverage_chart("Error among the answers by share answered", curves, point, max_error)
    dashed = " Dashed: without the calibrator." if len(curves) > 1 else ""
    ring = "the exported thresholds together" if data["promise"]["subsets"] else "the exported threshold"
    ringed = f" The ring is {ring}." if point else ""
    explained = f"The most confident rows are answered first.{ringed}{dashed}"
    content: list[Child] = [
        element(
            "p",
            "A stricter threshold answers fewer requests and usually makes fewer errors. The curve shows"
            " what each threshold does to the rows of this report.",
        ),
        charts(
            element("div", figure("Error against share answered", explained, drawing), id="risk-coverage"),
            _histogram(data),
        ),
        *slider(
            data["thresholds"],
            risk_coverage_plot(curves, max_error),
            data["promise"],
        ),
        *_attainable(data),
    ]
    return Section(
        "gate",
        "How many requests are answered, and how many answers are wrong",
        "Answers and errors",
        content,
    )


def _curves(data: Mapping[str, Any], *, calibrated: bool) -> list[tuple[str, Points]]:
    if not calibrated:
        data = {"after": data["after"], "before": []}
    named = (
        ("with the calibrator" if calibrated else "this model", data["after"]),
        ("without it", data["before"]),
    )
    return [
        (name, [(each["coverage"], each["error"]) for each in points]) for name, points in named if points
    ]


def _histogram(data: Mapping[str, Any]) -> Child:
    histogram, promise = data["confidence_histogram"], data["promise"]
    threshold = None if promise["subsets"] else promise["threshold"]
    drawing = confidence_chart("Rows by confidence", histogram["edges"], histogram["counts"], threshold)
    caption = "Rows by confidence." if threshold is None or threshold > 1.0 else _RIGHT_OF_IT
    return figure("How confident the model is", caption, drawing)


def _attainable(data: Mapping[str, Any]) -> list[Child]:
    points = [each for each in data["attainable"] if each["max_error"]]
    if not points:
        return []
    n_rows = data["gate"]["n_rows"]
    drawn = [_attainable_figure(points, data["promise"]["max_error"], n_rows)] if len(points) > 1 else []
    rows = [
        Row(
            [count(each["n_rows"]), percent(each["max_error"], 2), percent(each["coverage"])],
            each["n_rows"] == n_rows,
        )
        for each in points
    ]
    note = "Highlighted: the number of rows at hand."
    parts = (
        " This is for one threshold over all rows; a single class or slice has fewer rows."
        if data["promise"]["subsets"]
        else ""
    )
    level = plain_percent(data["thresholds"]["confidence_level"])
    remark = f"The smallest error that could be promised with {level} confidence.{parts}"
    numbers = table("Provable error", ["rows", "error", "answered"], rows, text_columns=(), note=note)
    return [element("h3", "Would more labelled rows help?"), element("p", remark), charts(*drawn, numbers)]


def _attainable_figure(points: Sequence[Mapping[str, Any]], max_error: float | None, n_rows: int) -> Child:
    caption = (
        "The ring is the number of rows at hand. The other points are estimates: they assume rows like these."
    )
    drawing = attainable_chart("Provable error by rows", points, max_error, n_rows)
    return figure("What more rows would prove", caption, drawing)
