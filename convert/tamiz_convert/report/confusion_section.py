"""Which classes are confused with which among the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tamiz_convert.report.element import Child, Html, element
from tamiz_convert.report.formats import count, percent, plural
from tamiz_convert.report.page import Section
from tamiz_convert.report.table import scroll_box, table, titled


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


def _matrix(classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> Html:
    head = element(
        "tr",
        element("th", "true class ↓, answer →", scope="col"),
        (element("th", name, scope="col", class_="number") for name in classes),
    )
    body = [
        element(
            "tr",
            element("th", name, scope="row", data_label="true class"),
            (_cell(n, classes[j], right=i == j) for j, n in enumerate(row)),
        )
        for i, (name, row) in enumerate(zip(classes, matrix, strict=True))
    ]
    caption = titled("Answers by true class", "Framed: right. Shaded: wrong.")
    shown = element("table", caption, element("thead", head), element("tbody", body), class_="matrix")
    return scroll_box("Answers by true class", shown)


def _cell(n: int, answer: str, *, right: bool) -> Html:
    class_ = "right" if right else "wrong" if n else "none"
    return element("td", count(n), class_=f"number {class_}", data_label=f"answer {answer}")


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
