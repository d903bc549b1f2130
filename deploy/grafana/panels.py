"""What the panels of all dashboards share: looks, the grid, the links to docs/operations.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from deploy.grafana.queries import SERVER, Query
from grafana_foundation_sdk.builders import barchart, common, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

GREEN, BLUE, YELLOW, ORANGE, RED = "green", "blue", "#EAB839", "orange", "red"

_WIDTH: Final = 24
_SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

Step = tuple[float | None, str]
Shape = Callable[[prometheus.Dataquery], prometheus.Dataquery]


class Cell(NamedTuple):
    """A panel, and how many of the 24 columns it takes."""

    panel: Any
    width: int


def series(
    title: str,
    queries: Sequence[Query],
    *,
    says: str,
    see: str,
    width: int,
    unit: str,
    stacked: bool = False,
    limits: Sequence[str] = (),
    at_most: float | None = None,
) -> Cell:
    """Return lines over time; `limits` are patterns for the names of targets: dashed and red."""
    panel = _described(timeseries.Panel(), title, says, see).unit(unit).min(0)
    panel = (
        panel.line_width(1)
        .fill_opacity(40 if stacked else 8)
        .show_points(look.VisibilityMode.NEVER)
        .span_nulls(False)
        .legend(
            common.VizLegendOptions()
            .display_mode(look.LegendDisplayMode.TABLE)
            .placement(look.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["mean", "max", "lastNotNull"])
        )
        .tooltip(
            common.VizTooltipOptions().mode(look.TooltipDisplayMode.MULTI).sort(look.SortOrder.DESCENDING)
        )
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(look.StackingMode.NORMAL).group("A"))
    if at_most is not None:
        panel = panel.max(at_most)
    for name in limits:
        panel = panel.override_by_regexp(
            f"/{name}/",  # without slashes Grafana takes it for a whole name
            [
                model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": RED}),
                model.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
                model.DynamicConfigValue("custom.fillOpacity", 0),
                model.DynamicConfigValue("custom.stacking", {"mode": "none", "group": "B"}),
            ],
        )
    return _with_queries(panel, queries, _over_time, width)


def number(
    title: str,
    query: Query,
    *,
    says: str,
    see: str,
    width: int,
    unit: str,
    steps: Sequence[Step] = ((None, BLUE),),
    decimals: int | None = None,
) -> Cell:
    """Return one large number, in the color of the last step that it has reached."""
    panel = (
        _described(stat.Panel(), title, says, see)
        .unit(unit)
        .thresholds(_thresholds(steps))
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .color_mode(look.BigValueColorMode.VALUE)
        .graph_mode(look.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .no_value("–")
    )
    if decimals is not None:
        panel = panel.decimals(decimals)
    return _with_queries(panel, [query], _over_time, width)


def heat(title: str, query: Query, *, says: str, see: str, width: int, unit: str) -> Cell:
    """Return a histogram over time: the query gives its buckets, by `le`."""
    panel = (
        _heat_map(title, says, see, _scheme("Oranges"))
        .unit("short")
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(look.AxisPlacement.LEFT))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .show_y_histogram()
    )
    return _with_queries(panel, [query], lambda target: target.range().format(PromQueryFormat.HEATMAP), width)


def difference(title: str, query: Query, *, says: str, see: str, width: int, at_most: float) -> Cell:
    """Return differences of shares over time: one line of cells per bin, named by the bin's upper edge.

    `at_most`: the difference, to either side, beyond which the color stays the same; 0 is in the middle.
    """
    panel = (
        _heat_map(title, says, see, _scheme("RdBu").min(-at_most).max(at_most))
        .unit("percentunit")
        .cell_values(heatmap.CellValues().unit("percentunit").decimals(1))
        .rows_frame(heatmap.RowsHeatmapOptions().layout(look.HeatmapCellLayout.LE))
        .y_axis(heatmap.YAxisConfig().axis_placement(look.AxisPlacement.LEFT))
        .filter_values(heatmap.FilterValueRange().le(-1.0))  # without it cells below 0 are not drawn
    )
    return _with_queries(panel, [query], _over_time, width)


def rows_of(
    title: str,
    queries: Sequence[Query],
    *,
    says: str,
    see: str,
    width: int,
    unit: str = "short",
    hidden: Sequence[str] = (),
) -> Cell:
    """Return a table of instant values: a line per set of labels, a column per query, named by its legend."""
    panel = (
        _described(table.Panel(), title, says, see)
        .unit(unit)
        .no_value("–")
        .filterable(True)
        .show_header(True)
    )
    names = _columns(queries)
    if len(queries) == 1:
        names = {"Value": queries[0].legend}
    excluded = dict.fromkeys(("Time", "__name__", *hidden), True)
    panel = panel.with_transformation(_transform("merge", {})).with_transformation(
        _transform("organize", {"excludeByName": excluded, "renameByName": names})
    )
    return _with_queries(panel, queries, _now, width)


def bars(
    title: str, queries: Sequence[Query], *, says: str, see: str, width: int, unit: str, by: str
) -> Cell:
    """Return bars of instant values side by side, one group for each value of the label `by`."""
    panel = (
        _described(barchart.Panel(), title, says, see)
        .unit(unit)
        .min(0)
        .x_field(by)
        .group_width(0.8)
        .fill_opacity(80)
        .legend(
            common.VizLegendOptions()
            .display_mode(look.LegendDisplayMode.LIST)
            .placement(look.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .with_transformation(_transform("joinByField", {"byField": by, "mode": "outer"}))
        .with_transformation(_transform("sortBy", {"sort": [{"field": by}]}))
        .with_transformation(
            _transform(
                "organize",
                {
                    "excludeByName": dict.fromkeys(("Time", "Time 1", "Time 2"), True),
                    "renameByName": _columns(queries),
                },
            )
        )
    )
    return _with_queries(panel, queries, _now, width)


def dashboard(
    uid: str, title: str, says: str, *, span: str, other: tuple[str, str], runbooks: str
) -> build.Dashboard:
    """Return an empty dashboard with the variables, a link to the other one, and marks for firing alerts.

    `runbooks`: the address of docs/operations.md, which every panel links to.
    """
    firing = build.AnnotationQuery()
    firing = (
        firing.name("Alerts")
        .datasource(_SOURCE)
        .enable(True)
        .icon_color(RED)
        .expr('ALERTS{alertname=~"Tamiz.*",alertstate="firing"}')
    )
    other_uid, other_title = other
    return (
        build.Dashboard(title)
        .uid(uid)
        .description(says)
        .tags(["tamiz"])
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time(f"now-{span}", "now")
        .refresh("30s")
        .timezone("browser")
        .link(
            build.DashboardLink(other_title)
            .type(model.DashboardLinkType.LINK)
            .url(f"/d/{other_uid}")
            .include_vars(True)
            .keep_time(True)
        )
        .annotation(firing)
        .with_variable(build.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_choice("job", "Job", "label_values(tamiz_build_info, job)"))
        .with_variable(_choice("model", "Model", f"label_values(tamiz_model_served{{{SERVER}}}, model)"))
        .with_variable(
            _choice(
                "version", "Version", f'label_values(tamiz_model_served{{{SERVER},model=~"$model"}}, version)'
            )
        )
        .with_variable(
            build.TextBoxVariable("runbooks")
            .label("Address of docs/operations.md")
            .default_value(runbooks)
            .hide(model.VariableHide.HIDE_VARIABLE)
        )
    )


def add(board: build.Dashboard, heading: str, height: int, *lines: Sequence[Cell]) -> None:
    """Add a heading and lines of panels below it; every line fills the width.

    Raises:
        ValueError: if the widths of a line do not add up.
    """
    board.with_row(build.Row(heading))
    for line in lines:
        if sum(cell.width for cell in line) != _WIDTH:
            raise ValueError(f"{heading}: the panels of a line must be {_WIDTH} wide in total")
        for panel, width in line:
            board.with_panel(panel.height(height).span(width))


def _described(panel: Any, title: str, says: str, see: str) -> Any:
    link = build.DashboardLink("What to do").type(model.DashboardLinkType.LINK).target_blank(True)
    return panel.title(title).description(says).links([link.url(f"${{runbooks}}#{see}")])


def _heat_map(title: str, says: str, see: str, colors: heatmap.HeatmapColorOptions) -> Any:
    return (
        _described(heatmap.Panel(), title, says, see)
        .calculate(False)
        .color(colors)
        .cell_gap(1)
        .hide_from(common.HideSeriesConfig().legend(False).tooltip(False).viz(False))
        .show_legend()
        .mode(look.TooltipDisplayMode.SINGLE)
    )


def _scheme(name: str) -> heatmap.HeatmapColorOptions:
    colors = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme(name)
    return colors.exponent(0.5).steps(64).reverse(False)


def _with_queries(panel: Any, queries: Sequence[Query], shape: Shape, width: int) -> Cell:
    panel = panel.datasource(_SOURCE)
    for i, query in enumerate(queries):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend)
        panel = panel.with_target(shape(target.ref_id(_ref(i)).datasource(_SOURCE)))
    return Cell(panel, width)


def _over_time(target: prometheus.Dataquery) -> prometheus.Dataquery:
    return target.range()


def _now(target: prometheus.Dataquery) -> prometheus.Dataquery:
    return target.instant().format(PromQueryFormat.TABLE)


def _columns(queries: Sequence[Query]) -> dict[str, str]:
    """Return what Grafana calls the values of several queries → what they are called here."""
    return {f"Value #{_ref(i)}": query.legend for i, query in enumerate(queries)}


def _transform(name: str, options: object) -> model.DataTransformerConfig:
    return model.DataTransformerConfig(id_val=name, options=options)


def _ref(index: int) -> str:
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index]


def _thresholds(steps: Sequence[Step]) -> build.ThresholdsConfig:
    return (
        build.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=color) for value, color in steps])
    )


def _choice(name: str, label: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(label)
        .query({"query": query, "refId": name})
        .datasource(_SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.NATURAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )
