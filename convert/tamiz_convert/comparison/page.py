"""A comparison as a page that needs no other file, and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from tamiz_convert.comparison.cells import (
    chance_cells,
    discordance_cells,
    latency_cells,
    measure_cells,
    slice_cells,
)
from tamiz_convert.comparison.measure import SIGNIFICANCE, Measure, amount, difference, interval, title
from tamiz_convert.comparison.result import Comparison
from tamiz_convert.report.charts import pair_chart, reliability_chart, reliability_start, risk_coverage_plot
from tamiz_convert.report.element import Child, Html, element
from tamiz_convert.report.formats import count, p_value, percent, plain_percent
from tamiz_convert.report.page import Section, page
from tamiz_convert.report.plot import charts, figure
from tamiz_convert.report.table import Row, facts, pairs, table

_FACTS = ("accuracy", "coverage", "selective_error", "coverage_at_error")


def to_json(comparison: Comparison) -> str:
    """Return all numbers of a comparison, and its verdict, as JSON."""
    data = {"headline": comparison.headline, "verdict": comparison.verdict} | dataclasses.asdict(comparison)
    for found, measure in zip(data["measures"], comparison.measures, strict=True):
        found |= {"difference": measure.difference, "better": measure.better}
    for found, slice_ in zip(data["slices"], comparison.slices, strict=True):
        found["better"] = slice_.better
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)


def to_html(comparison: Comparison) -> str:
    """Return a comparison as a page: the headline and the verdict, then measures, slices, rows and speed."""
    sections = [_measures(comparison), _quality(comparison)]
    if comparison.slices:
        sections.append(_slices(comparison))
    sections += [_rows(comparison), _latency(comparison), _bundles(comparison)]
    lead = [
        element("p", comparison.headline, class_="lead"),
        element("p", comparison.verdict),
        facts(_fact(comparison.measure(name), comparison) for name in _FACTS),
    ]
    return page(
        f"{comparison.a.name} and {comparison.b.name}, compared",
        sections,
        subtitle=(
            f"A is {comparison.a.name}, B is {comparison.b.name}; {count(comparison.n_rows)} labeled rows"
        ),
        lead=lead,
        footer=(
            f"Intervals: {count(comparison.n_resamples)} resamples of the rows, the same for both, seed"
            f" {comparison.seed}."
        ),
    )


def _fact(measure: Measure, comparison: Comparison) -> tuple[str, Child, Child]:
    remark = f"A {amount(measure.name, measure.a)}; difference {difference(measure)} ({interval(measure)})"
    return f"{title(measure.name, comparison.at_error)}, B", amount(measure.name, measure.b), remark


def _measures(comparison: Comparison) -> Section:
    rows: list[Row | Sequence[Child]] = []
    for each in comparison.measures:
        rows.append(Row(measure_cells(each, comparison.at_error), chosen=each.better is not None))
        if each.chance_a is not None:
            rows.append(["by chance alone", *chance_cells(each), "", "", ""])
    note = (
        "A bundle is called better only where the difference is more than noise: with"
        f" {plain_percent(1 - SIGNIFICANCE)} confidence, none of the named differences is chance (Holm's"
        " correction). Shares are in percent, and their differences in percentage points."
    )
    headings = ["", "A", "B", "B − A", "95% interval", "better"]
    return Section(
        "measures",
        "What was measured",
        "Measures",
        [table("Both on the same rows", headings, rows, text_columns=(0, 5), note=note)],
    )


def _quality(comparison: Comparison) -> Section:
    sides = (("A", comparison.a), ("B", comparison.b))
    bins = {side: [dataclasses.asdict(each) for each in found.reliability] for side, found in sides}
    low = reliability_start(*bins.values())
    drawn = [
        figure(
            f"Reliability of {side}",
            "How often rows of similar confidence are right, with exact 95% intervals. On the dotted line"
            " the confidence is exactly right.",
            reliability_chart(f"Reliability of {side}", bins[side], low),
        )
        for side in bins
    ]
    return Section("charts", "Gate and confidence", "Charts", [charts(_curves(comparison)), charts(*drawn)])


def _curves(comparison: Comparison) -> Html:
    sides = (("A", comparison.a.curve, "other", "hollow"), ("B", comparison.b.curve, "line", "dot"))
    plot = risk_coverage_plot([(name, curve) for name, curve, *_ in sides], comparison.at_error)
    level = plot.line([(plot.x.low, comparison.at_error), (plot.x.high, comparison.at_error)], "limit")
    coverage, error = comparison.measure("coverage"), comparison.measure("selective_error")
    own = {"A": (coverage.a, error.a), "B": (coverage.b, error.b)}
    marks: list[Child] = [level]
    for side, curve, line, dot in sides:
        x, y = own[side]
        marks.append(plot.steps(curve, line))
        marks += plot.dots([(x, y)], dot, radius=5.0) if x is not None and y is not None else []
    described = "; ".join(
        f"{side} answers {percent(x)} at its own threshold, {percent(y)} of those wrong"
        for side, (x, y) in own.items()
    )
    name = "Error against coverage"
    caption = (
        "The error among the answered rows, for every share of rows that could be answered. B is solid and A"
        " is dashed; a dot is the bundle's own threshold (A hollow). The red line is"
        f" {plain_percent(comparison.at_error)} error. Lower is better."
    )
    return figure(name, caption, plot.svg(name, described, marks))


def _slices(comparison: Comparison) -> Section:
    headings = ["slice", "rows", "accuracy A", "B", "coverage A", "B", "error A", "B", "better"]
    note = (
        "Accuracy is measured on the rows that both score, error on the accepted rows. “Better” is"
        " McNemar's exact test, corrected for the number of slices. A model can be ahead over all rows and"
        " behind in most slices."
    )
    rows = [Row([each.name, *slice_cells(each)], each.better is not None) for each in comparison.slices]
    found = table("Every slice", headings, rows, text_columns=(0, 8), note=note)
    scored = [
        (each.name, each.accuracy_a, each.accuracy_b)
        for each in comparison.slices
        if each.accuracy_a is not None and each.accuracy_b is not None
    ]
    drawn = pair_chart("Accuracy by slice", "accuracy", scored)
    caption = "The filled dot is B, the hollow one A; the line between them is the difference."
    return Section("slices", "Slices", "Slices", [charts(figure("Accuracy by slice", caption, drawn)), found])


def _rows(comparison: Comparison) -> Section:
    found = comparison.discordance
    said = (
        f"{count(found.other_label)} of the {count(found.n_rows)} rows that both score get different labels."
        " If both models were right equally often, the rows where only one is right would be divided this"
        f" unevenly with probability {p_value(found.p_value)} (McNemar's exact test)."
    )
    return Section(
        "rows",
        "Where they disagree",
        "Rows",
        [
            table("Row by row", ["rows", "both", "only A", "only B", "neither"], discordance_cells(found)),
            element("p", said),
            [element("p", each) for each in comparison.remarks],
        ],
    )


def _latency(comparison: Comparison) -> Section:
    note = (
        "Median time of one batch in onnxruntime with one thread. Both bundles were measured in turns on this"
        " machine."
    )
    times = table("Time per batch", ["batch", "A", "B", "B / A"], latency_cells(comparison), note=note)
    return Section("latency", "Speed", "Speed", [times])


def _bundles(comparison: Comparison) -> Section:
    content = [
        (
            element("h3", f"{side}: {each.name}"),
            pairs(
                [
                    ("estimator", each.estimator),
                    ("calibrator", each.calibrator),
                    ("promise", each.threshold),
                    ("digest", element("code", each.graph_digest)),
                ]
            ),
        )
        for side, each in (("A", comparison.a), ("B", comparison.b))
    ]
    return Section("bundles", "The two bundles", "Bundles", content)
