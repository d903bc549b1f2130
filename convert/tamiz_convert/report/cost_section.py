"""What a request costs: the prices, and the curve that the threshold is the lowest point of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tamiz_convert.report.charts import cost_chart
from tamiz_convert.report.element import Child, element
from tamiz_convert.report.formats import quantity
from tamiz_convert.report.page import Section
from tamiz_convert.report.plot import charts, figure
from tamiz_convert.report.table import table

_MOST_CLASSES: Final = 10


def cost_section(data: Mapping[str, Any]) -> Section | None:
    """Return what a request costs; None if prices did not choose the threshold."""
    cost = data["cost"]
    if cost is None:
        return None
    low, high = (quantity(end) for end in cost["interval"])
    said = (
        f"A request costs {quantity(cost['mean'])} on average (95% interval {low} to {high}), in the unit of"
        f" the prices. It would cost {quantity(cost['if_all_answered'])} if every request were answered, and"
        f" {quantity(cost['abstention'])} if none were."
    )
    chosen = (
        "The threshold was chosen where the calibration rows cost least. The curve shows the certification"
        " rows, which did not choose it, so its lowest point may lie beside the ring."
    )
    points = [(each["coverage"], each["cost"]) for each in cost["curve"]]
    drawing = cost_chart(
        "Cost of a request by share answered",
        points,
        (data["gate"]["coverage"], cost["mean"]),
        cost["abstention"],
    )
    content: list[Child] = [
        element("p", said),
        element("p", chosen),
        charts(
            figure(
                "Cost against share answered",
                "The most confident rows are answered first. The ring is the exported threshold. The dashed"
                " line is the cost of answering nothing.",
                drawing,
            ),
            _prices(cost, [str(name) for name in data["model"]["classes"]]),
        ),
    ]
    return Section("cost", "What a request costs", "Cost", content)


def _prices(cost: Mapping[str, Any], classes: Sequence[str]) -> Child:
    if len(classes) > _MOST_CLASSES:
        return None
    rows = [
        [name, *map(quantity, prices), quantity(cost["abstention"])]
        for name, prices in zip(classes, cost["answers"], strict=True)
    ]
    heads = ["true class ↓, answer →", *classes, "not sure"]
    return table("The prices", heads, rows, note="What each answer costs, by the true class.")
