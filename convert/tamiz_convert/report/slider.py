"""A slider over thresholds. It computes nothing: it shows rows of a table that is there without it, too."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from tamiz_convert.report.element import Child, Html, element
from tamiz_convert.report.formats import count, percent, plain_percent, threshold
from tamiz_convert.report.plot import Plot
from tamiz_convert.report.table import Row, table

# The script computes nothing: each formula exists once, in Python.
SCRIPT: Final = files(__package__).joinpath("slider.js").read_text(encoding="utf-8")


def slider(data: Mapping[str, Any], plot: Plot, promise: Mapping[str, Any]) -> list[Child]:
    """Return the slider, hidden until its script runs, and the table that it shows rows of.

    Args:
        data: `thresholds` of `report_data`.
        plot: of the risk-coverage chart, whose mark the slider moves.
        promise: `promise` of `report_data`.
    """
    points, level = data["points"], plain_percent(data["confidence_level"])
    proven = [i for i, point in enumerate(points) if point["proven"]]
    at = next(i for i, point in enumerate(points) if point["as_exported"])
    several = points[at]["threshold"] is None
    bound = f"upper bound, {level}"
    return [
        _panel(len(points), at, proven, bound, _remarks(promise, several=several)),
        element(
            "details",
            element("summary", f"All {len(points)} thresholds as a table"),
            element("div", _table(points, bound, plot), id="thresholds"),
            class_="screen",
        ),
    ]


def _remarks(promise: Mapping[str, Any], *, several: bool) -> tuple[str, str, str]:
    """Return what the slider says at the exported threshold, at the other proven ones, and elsewhere."""
    own, certified = promise["certificate"], promise["kind"] != "none"
    elsewhere = "A threshold picked here would have no certificate: these rows cannot prove what they chose."
    if own is not None and len(own["proven_thresholds"]) > 1:
        elsewhere += " A server raises a stricter wish of a caller to the next threshold that is proven."
    if several:
        elsewhere += " It is a single threshold for all rows, instead of one for each class or slice."
    exported = "As exported, with its certificate." if certified else "As exported."
    return exported, "Proven too: the promise holds at this threshold as well.", elsewhere


def _panel(n_points: int, at: int, proven: list[int], bound: str, remarks: tuple[str, str, str]) -> Html:
    reach: dict[str, int | str] = {"min": 0, "max": n_points - 1, "step": 1, "value": at}
    reach["list"] = "proven-thresholds"
    exported, also_proven, elsewhere = remarks
    return element(
        "div",
        element("label", "Try another threshold", for_="threshold"),
        element("input", type="range", id="threshold", aria_describedby="slider-note", **reach),
        element("datalist", [element("option", value=i) for i in proven], id="proven-thresholds"),
        element("p", "Marks on the slider: the promise holds there.", class_="small") if proven else None,
        _readings(bound),
        element(
            "p",
            element("span", exported, id="slider-exported"),
            element("span", also_proven, id="slider-proven", hidden=True),
            element("span", elsewhere, id="slider-moved", hidden=True),
            id="slider-note",
            class_="small",
        ),
        element("button", "Back to the exported threshold", type="button", id="slider-back"),
        class_="panel slider",
        id="slider",
        hidden=True,
    )


def _readings(bound: str) -> Html:
    """Return the places where the script puts the cells of the chosen row."""
    named = {"threshold": "threshold", "answered": "answered", "error": "wrong among them", "bound": bound}
    items = (
        element("div", element("dt", name), element("dd", id=f"slider-{key}")) for key, name in named.items()
    )
    return element("dl", items, class_="facts")


def _table(points: list[Mapping[str, Any]], bound: str, plot: Plot) -> Html:
    return table(
        "What single thresholds would do on the certification rows",
        ["threshold", "answered", "answers", "wrong", "wrong among them", bound],
        [_row(point, plot) for point in points],
        text_columns=(),
        note="From strict to loose. Each bound is a one-sided Clopper–Pearson bound for its own threshold."
        " The highlighted row is the exported threshold. The promise holds where a threshold has the mark ✓.",
        box="scroll tall",
    )


def _row(point: Mapping[str, Any], plot: Plot) -> Row:
    error, exported = point["error"], point["as_exported"]
    x, y = (None, None) if error is None else plot.at(point["coverage"], error)
    name = threshold(point["threshold"]) if point["threshold"] is not None else "several"
    cells = [
        [_named("threshold", name), " ✓" if point["proven"] else None],
        _named("answered", percent(point["coverage"])),
        count(point["n_accepted"]),
        count(point["n_errors"]),
        _named("error", percent(error, 2)),
        _named("bound", percent(point["error_upper_bound"], 2)),
    ]
    return Row(
        cells, exported, {"data_exported": exported, "data_proven": point["proven"], "data_x": x, "data_y": y}
    )


def _named(name: str, text: str) -> Html:
    return element("span", text, data_name=name)
