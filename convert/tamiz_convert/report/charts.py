"""The charts of a report, drawn from the numbers of its data (`report_data`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tamiz_convert.report.element import Html, element
from tamiz_convert.report.formats import count, percent, plain_percent, quantity
from tamiz_convert.report.plot import Axis, Plot, Points, log_axis, number_axis, percent_axis, svg

Numbers = Mapping[str, Any]

_ROOM_ABOVE: Final = 1.15
_ROW_HEIGHT: Final = 24.0
_LETTER: Final = 7.0
_LONGEST: Final = 18
_SQUARE: Final = 340.0
_MIDDLE: Final = 0.5


def reliability_start(*diagrams: Sequence[Numbers]) -> float:
    """Return where both axes of charts that are looked at side by side begin."""
    bins = [each for diagram in diagrams for each in diagram]
    ends = (float(end) for b in bins for end in (b["mean_confidence"], b["accuracy_interval"][0]))
    return min([0.5, *ends])


def reliability_chart(title: str, bins: Sequence[Numbers], low: float) -> Html:
    """Draw the share of right predictions against the confidence, with an interval per bin.

    Args:
        title: names the chart.
        bins: each with `mean_confidence`, `accuracy`, `accuracy_interval`, `n_rows`, none of them empty.
        low: where both axes begin; see `reliability_start`.
    """
    plot = Plot(
        percent_axis("confidence", low=low), percent_axis("right predictions", low=low), height=_SQUARE
    )
    xs = [float(b["mean_confidence"]) for b in bins]
    lows, highs = ([float(b["accuracy_interval"][end]) for b in bins] for end in (0, 1))
    points = list(zip(xs, (float(b["accuracy"]) for b in bins), strict=True))
    described = "; ".join(
        f"{count(b['n_rows'])} rows at confidence {percent(b['mean_confidence'])}: {percent(b['accuracy'])}"
        " right"
        for b in bins
    )
    ends = (plot.x.low, plot.x.high)
    marks = [
        plot.line([(end, end) for end in ends], "ideal"),
        plot.line(points, "line"),
        plot.whiskers(xs, lows, highs),
        plot.dots(points),
    ]
    return plot.svg(title, described, marks)


def confidence_chart(
    title: str, edges: Sequence[float], counts: Sequence[int], threshold: float | None
) -> Html:
    """Draw how many rows have which confidence, as shares of all, and the threshold if there is one."""
    total = max(sum(counts), 1)
    shares = [n / total for n in counts]
    low = min([threshold or 1.0, *(edge for edge, n in zip(edges, counts, strict=False) if n)])
    high = min(max(shares) * _ROOM_ABOVE, 1.0)
    plot = Plot(percent_axis("confidence", low=min(low, 0.9)), percent_axis("rows", high or 1.0))
    bars = [plot.bar(edges[i], edges[i + 1], share) for i, share in enumerate(shares) if share]
    limit = [] if threshold is None or threshold > 1.0 else _upright(plot, threshold, "threshold")
    highest = max(range(len(shares)), key=shares.__getitem__)
    described = (
        f"Most rows, {percent(shares[highest])}, lie between {percent(edges[highest], 0)} and"
        f" {percent(edges[highest + 1], 0)}."
    )
    return plot.svg(title, described, [*bars, *limit])


def risk_coverage_plot(curves: Sequence[tuple[str, Points]], max_error: float | None) -> Plot:
    """Return the frame of `risk_coverage_chart`."""
    highest = max([max_error or 0.0, 0.001, *(y for _, points in curves for _, y in points)])
    return Plot(percent_axis("rows answered"), percent_axis("error among them", highest * _ROOM_ABOVE))


def risk_coverage_chart(
    title: str,
    curves: Sequence[tuple[str, Points]],
    point: tuple[float, float] | None,
    max_error: float | None,
) -> Html:
    """Draw the error among the answered rows against the share that is answered.

    Args:
        title: names the chart.
        curves: name and (coverage, error) points; the first is the one that matters, the others are dashed.
        point: coverage and error at the threshold, if anything is accepted.
        max_error: what is promised, if anything is.
    """
    plot = risk_coverage_plot(curves, max_error)
    drawn = [(name, points) for name, points in curves if points]
    lines = [plot.steps(points, "line" if i == 0 else "other") for i, (_, points) in enumerate(drawn)][::-1]
    marks: list[Any] = [*lines]
    described = [
        f"{name}: {percent(points[-1][1])} wrong when {percent(points[-1][0])} are answered."
        for name, points in drawn
    ]
    if max_error is not None:
        marks += _level(plot, max_error, f"promised: at most {plain_percent(max_error)}")
    if point is not None:
        marks += plot.dots([point], "mark", radius=6.0)
        described.append(
            f"At the threshold {percent(point[0])} are answered, {percent(point[1])} of those wrong."
        )
    return plot.svg(title, " ".join(described), marks)


def cost_chart(title: str, points: Points, point: tuple[float, float], abstention: float) -> Html:
    """Draw what a request costs on average against the share that is answered.

    Args:
        title: names the chart.
        points: (coverage, cost), strict to loose.
        point: coverage and cost at the threshold.
        abstention: the cost if nothing is answered.
    """
    costs = [cost for _, cost in points]
    axis = number_axis("cost of a request", min(0.0, *costs), max(abstention, *costs))
    plot = Plot(percent_axis("rows answered"), axis)
    marks: list[Any] = [
        plot.line([(0.0, abstention), (1.0, abstention)], "ideal"),
        plot.line(points),
        *plot.dots([point], "mark", radius=6.0),
    ]
    lowest = min(points, key=lambda each: each[1])
    described = (
        f"A request costs {quantity(point[1])} at the threshold, where {percent(point[0])} are answered; the"
        f" lowest point of the curve is {quantity(lowest[1])} at {percent(lowest[0])}."
    )
    return plot.svg(title, described, marks)


def attainable_chart(title: str, points: Sequence[Numbers], max_error: float | None, n_rows: int) -> Html:
    """Draw the smallest error that a number of certification rows would prove; the axis is logarithmic.

    Args:
        title: names the chart.
        points: each with `n_rows` and `max_error`, ascending in the rows, at least two of them.
        max_error: what is promised, if anything is.
        n_rows: how many rows there are.
    """
    highest = max([max_error or 0.0, *(float(p["max_error"]) for p in points)])
    rows = log_axis("certification rows", float(points[0]["n_rows"]), float(points[-1]["n_rows"]))
    plot = Plot(rows, percent_axis("provable error", highest * 1.05))
    line = [(float(p["n_rows"]), float(p["max_error"])) for p in points]
    marks: list[Any] = [plot.line(line), plot.dots(line, radius=3.0)]
    if max_error is not None:
        marks += _level(plot, max_error, f"promised: at most {plain_percent(max_error)}", at_end=True)
    marks += plot.dots([p for p in line if p[0] == n_rows], "mark", radius=6.0)
    described = "; ".join(f"{count(p['n_rows'])} rows: {percent(p['max_error'])}" for p in points)
    return plot.svg(title, described, marks)


def interval_chart(
    title: str,
    axis: str,
    rows: Sequence[tuple[str, float | None, Sequence[float] | None]],
    limit: float | None = None,
    *,
    high: float | None = None,
) -> Html:
    """Draw one value with its interval per row, below each other.

    Args:
        title: names the chart.
        axis: what is measured.
        rows: name, value (None: there is none) and interval of each.
        limit: what the values are compared with, if anything.
        high: where the axis ends; by default beyond the largest interval.
    """
    ends = [end for _, _, bounds in rows for end in (bounds or ())]
    scale = percent_axis(axis, high or max([limit or 0.0, 0.01, *ends]))
    plot = _rows_plot(scale, [name for name, _, _ in rows])
    marks = [_interval_row(plot, 8.0 + _ROW_HEIGHT * (i + 0.5), *row) for i, row in enumerate(rows)]
    described = "; ".join(f"{name}: {percent(value)}" for name, value, _ in rows)
    return svg(
        title,
        described,
        plot.width,
        plot.height,
        [_upright_grid(plot), *marks, _upright(plot, limit, "") if limit else None],
    )


def pair_chart(title: str, axis: str, rows: Sequence[tuple[str, float, float]]) -> Html:
    """Draw two values per row, the rows below each other: A as a hollow dot, B as a filled one.

    Args:
        title: names the chart.
        axis: what is measured.
        rows: name and both values of each, as shares.
    """
    low = min((min(a, b) for _, a, b in rows), default=0.0)
    plot = _rows_plot(percent_axis(axis, low=low - 0.02), [name for name, *_ in rows])
    marks = [_pair_row(plot, 8.0 + _ROW_HEIGHT * (i + 0.5), *row) for i, row in enumerate(rows)]
    described = "; ".join(f"{name}: A {percent(a)}, B {percent(b)}" for name, a, b in rows)
    return svg(title, described, plot.width, plot.height, [_upright_grid(plot), *marks])


def _rows_plot(axis: Axis, names: Sequence[str]) -> Plot:
    """Return the frame of a chart with a row per name."""
    left = 20.0 + _LETTER * max((len(_shortened(name)) for name in names), default=0)
    height = _ROW_HEIGHT * len(names) + 50.0
    return Plot(axis, percent_axis(""), height=height, left=left, right=20.0, top=8.0, bottom=42.0)


def _row_name(plot: Plot, down: float, name: str) -> Html:
    return element(
        "text", _shortened(name), x=plot.left - 10.0, y=down + 4.0, text_anchor="end", class_="name"
    )


def _pair_row(plot: Plot, down: float, name: str, a: float, b: float) -> list[Html]:
    from_a, to_b = (plot.at(value, 0.0)[0] for value in (a, b))
    return [
        _row_name(plot, down, name),
        element("path", d=f"M{from_a:.1f} {down:.1f}H{to_b:.1f}", class_="whisker"),
        element("circle", cx=from_a, cy=down, r=4.5, class_="hollow"),
        element("circle", cx=to_b, cy=down, r=4.5, class_="dot"),
    ]


def _interval_row(
    plot: Plot, down: float, name: str, value: float | None, bounds: Sequence[float] | None
) -> list[Html]:
    label = _row_name(plot, down, name)
    if value is None or bounds is None:
        nothing = element("text", "no answers", x=plot.left + 6.0, y=down + 4.0)
        return [label, nothing]
    low, at, high = (plot.at(x, 0.0)[0] for x in (bounds[0], value, bounds[1]))
    return [
        label,
        element("path", d=f"M{low:.1f} {down:.1f}H{high:.1f}", class_="whisker"),
        element("circle", cx=at, cy=down, r=4.0, class_="dot"),
    ]


def _upright_grid(plot: Plot) -> list[Html]:
    bottom = plot.height - plot.bottom
    lines = "".join(f"M{plot.at(value, 0.0)[0]:.1f} {plot.top:.0f}V{bottom:.1f}" for value, _ in plot.x.ticks)
    ticks = [
        element("text", text, x=plot.at(value, 0.0)[0], y=bottom + 15.0, text_anchor="middle")
        for value, text in plot.x.ticks
    ]
    middle = (plot.left + plot.width - plot.right) / 2
    label = element("text", plot.x.label, x=middle, y=plot.height - 6.0, text_anchor="middle", class_="name")
    return [element("path", d=lines, class_="grid"), *ticks, label]


def _level(plot: Plot, value: float, name: str, *, at_end: bool = False) -> list[Html]:
    """Return a horizontal limit with its name above it, at the end of it where a curve falls."""
    line = plot.line([(plot.x.low, value), (plot.x.high, value)], "limit")
    x, anchor, dx = (plot.x.high, "end", -4.0) if at_end else (plot.x.low, "start", 4.0)
    return [line, plot.text(x, value, name, class_="limit-name halo", anchor=anchor, dx=dx, dy=-5.0)]


def _upright(plot: Plot, value: float, name: str) -> list[Html]:
    """Return an upright limit with its name beside it, on the side where there is room."""
    line = plot.line([(value, plot.y.low), (value, plot.y.high)], "limit")
    anchor, dx = ("end", -4.0) if plot.x.share(value) > _MIDDLE else ("start", 4.0)
    return [
        line,
        plot.text(value, plot.y.high, name, class_="limit-name halo", anchor=anchor, dx=dx, dy=10.0),
    ]


def _shortened(name: str) -> str:
    """Return a name that fits beside a chart. Names often differ at their end, so the middle is left out."""
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST // 2]}…{name[-(_LONGEST // 2 - 1) :]}"
