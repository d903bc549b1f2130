"""Where the answers are wrong: which classes are confused, and in which groups the errors are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tamiz_convert.report.charts import interval_chart
from tamiz_convert.report.element import Child, Html, element
from tamiz_convert.report.formats import count, interval, percent, plural, threshold
from tamiz_convert.report.page import Section
from tamiz_convert.report.plot import charts, figure
from tamiz_convert.report.table import scroll_box, table, titled

_MOST_DRAWN: Final = 12


def confusion_section(data: Mapping[str, Any]) -> Section:
    """Return which classes are confused with which among the answers."""
    confusion, classes = data["confusion"], [str(name) for name in data["model"]["classes"]]
    content: list[Child] = []
    if not confusion["n_accepted"]:
        content.append(element("p", "No row was answered."))
    elif not confusion["pairs"]:
        content.append(element("p", f"None of {plural(confusion['n_accepted'], 'answer')} is wrong."))
    if confusion["n_accepted"] and confusion["matrix"]:
        content.append(_matrix(classes, confusion["matrix"]))
    elif confusion["pairs"]:
        content.append(_pairs(classes, confusion["pairs"]))
    return Section("confusion", "Which classes are confused", "Confusions", content)


def slices_section(data: Mapping[str, Any]) -> Section:
    """Return coverage and error by predicted class and by each column."""
    limit = data["promise"]["max_error"]
    remark = "A good figure over all answers can hide a bad one in a group. Small groups have wide intervals."
    content: list[Child] = [element("p", remark)]
    for column in data["slices"]:
        content += _slices(column, limit)
    return Section("slices", "Does it hold for every group?", "Groups", content)


def _matrix(classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> Html:
    head = element(
        "tr",
        element("th", "true class ↓, answer →", scope="col"),
        (element("th", name, scope="col", class_="number") for name in classes),
    )
    body = [
        element("tr", element("th", name, scope="row"), (_cell(n, right=i == j) for j, n in enumerate(row)))
        for i, (name, row) in enumerate(zip(classes, matrix, strict=True))
    ]
    caption = titled("Answers by true class", "Framed: right. Shaded: wrong.")
    shown = element("table", caption, element("thead", head), element("tbody", body), class_="matrix")
    return scroll_box("Answers by true class", shown)


def _cell(n: int, *, right: bool) -> Html:
    class_ = "right" if right else "wrong" if n else "none"
    return element("td", count(n), class_=f"number {class_}")


def _pairs(classes: Sequence[str], pairs: Sequence[Mapping[str, Any]]) -> Html:
    rows = [
        [
            classes[each["truth"]],
            classes[each["prediction"]],
            count(each["n_rows"]),
            percent(each["n_rows"] / each["n_truth"]),
        ]
        for each in pairs
    ]
    return table(
        "The most frequent confusions among the answers",
        ["true class", "answer", "rows", "of the true class's answers"],
        rows,
        text_columns=(0, 1),
    )


def _slices(column: Mapping[str, Any], limit: float | None) -> list[Child]:
    name = "predicted class" if column["column"] is None else column["column"]
    values = column["values"]
    left = column["n_values"] - len(values)
    content: list[Child] = [element("h3", f"By {name}")]
    if 1 < len(values) <= _MOST_DRAWN:
        content.append(_drawn(name, values, limit))
    owned = any(each["threshold"] is not None for each in values)
    heads = [name, "rows", "answered", "95% interval", "answers", "wrong", "wrong among them", "95% interval"]
    content.append(
        table(
            f"Answers and errors by {name}",
            [*heads, *(["own threshold"] if owned else [])],
            [[*_slice(each), *([threshold(each["threshold"])] if owned else [])] for each in values],
            note=f"The {len(values)} most frequent; {plural(left, 'value is', 'values are')} left out."
            if left
            else None,
        )
    )
    return content


def _drawn(name: str, values: Sequence[Mapping[str, Any]], limit: float | None) -> Html:
    error = [(each["value"], each["error"], each["error_interval"]) for each in values]
    coverage = [(each["value"], each["coverage"], each["coverage_interval"]) for each in values]
    held = " The dashed line is what is promised." if limit is not None else ""
    return charts(
        figure(
            f"Wrong among the answers, by {name}",
            f"With 95% intervals.{held}",
            interval_chart(f"Error among the answers by {name}", "wrong among the answers", error, limit),
        ),
        figure(
            f"Answered, by {name}",
            "With 95% intervals.",
            interval_chart(f"Share answered by {name}", "answered", coverage, high=1.0),
        ),
    )


def _slice(each: Mapping[str, Any]) -> list[Child]:
    return [
        each["value"],
        count(each["n_rows"]),
        percent(each["coverage"]),
        interval(each["coverage_interval"]),
        count(each["n_accepted"]),
        count(each["n_errors"]),
        percent(each["error"]),
        interval(each["error_interval"]),
    ]
