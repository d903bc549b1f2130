"""The dashboards, as far as they can be checked without Grafana.

Grafana is not available here, but its published dashboard schema is: the foundation SDK
(grafana-foundation-sdk, which Grafana Labs generates from the schema of Grafana 11.6) reads every file. Its
types drop unknown fields, so writing them again must give the same file. Every value must have the type in
the schema, including the members of enumerations. What the schema leaves open (names of units and
transformations) is compared with the SDK's list and with what is used here. test_prometheus.py checks with a
real Prometheus that queries return data.
"""

from __future__ import annotations

import enum
import json
import re
import subprocess
import sys
import types
import typing
from pathlib import Path

import pytest
from deploy import runbooks
from deploy.grafana import service
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import (
    barchart,
    heatmap,
    stat,
    table,
    timeseries,
    units,
)
from grafana_foundation_sdk.models import dashboard as schema
from grafana_foundation_sdk.models.prometheus import Dataquery

from tamiz_server.telemetry.metrics import FAMILIES

from . import observed
from .observed import (
    DASHBOARDS,
    OPERATIONS,
    ROOT,
    VARIABLES,
    catalog,
    dashboards,
    exported,
    panels,
    rules,
    sections,
)
from .promql import substituted

NOT_SHOWN = {
    "tamiz_requests_unloaded_total": "bookkeeping: keeps the requests of removed versions in the sum",
    "tamiz_log_lines_dropped_total": "for those who miss lines in a log: no answer depends on it",
    "process_virtual_memory_bytes": "addresses that a process reserved; what it uses is the resident memory",
}
"""Metrics in no panel and no rule, and why."""

OPTIONS = {"stat": stat, "table": table, "timeseries": timeseries, "heatmap": heatmap, "barchart": barchart}
BOARDS = dashboards()
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, board in BOARDS.items()
    for panel in panels(board)
]
each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
each_panel = pytest.mark.parametrize("panel", PANELS)


def misfits(value: object, kind: object, where: str) -> list[str]:
    """Return what in a value does not have the SDK's type: where it is, what it is, what was expected."""
    if isinstance(kind, type) and not issubclass(kind, enum.Enum) and hasattr(kind, "from_json"):
        return misfits_in_parts(value, kind, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in arguments if (option is type(None)) == (value is None)]
        found = [misfits(value, option, where) for option in options]
        if found:
            return min(found, key=len)
    elif origin is list and isinstance(value, list):
        return [each for i, item in enumerate(value) for each in misfits(item, arguments[0], f"{where}[{i}]")]
    elif origin is dict and isinstance(value, dict):
        return [each for key, item in value.items() for each in misfits(item, arguments[1], f"{where}.{key}")]
    return [] if is_plain(value, kind) else [f"{where} is {value!r}, expected {kind}"]


def misfits_in_parts(value: object, kind: type, where: str) -> list[str]:
    if isinstance(value, dict):  # some parts are left as they were read
        value = kind.from_json(value)
    if not isinstance(value, kind):
        return [f"{where} is {value!r}, expected {kind}"]
    hints = typing.get_type_hints(kind, vars(sys.modules[kind.__module__]))
    return [
        each
        for name, hint in hints.items()
        for each in misfits(getattr(value, name), hint, f"{where}.{name}")
    ]


def is_plain(value: object, kind: object) -> bool:
    if kind in (typing.Any, object):
        return True
    if typing.get_origin(kind) is typing.Literal:
        return value in typing.get_args(kind)
    if not isinstance(kind, type):
        return False
    if issubclass(kind, enum.Enum):
        return value in [member.value for member in kind]
    if kind in (int, float, str, bool):
        return type(value) is kind or (kind is float and type(value) is int)
    return isinstance(value, kind)


def read(board: dict) -> schema.Dashboard:
    plugins.register_default_plugins()
    return schema.Dashboard.from_json(board)


@each_board
def test_nothing_in_a_dashboard_is_unknown_to_the_schema(board):
    written = json.loads(JSONEncoder().encode(read(board)))
    assert written == board


@each_board
def test_every_value_in_a_dashboard_is_of_the_schemas_type(board):
    parsed = read(board)
    problems = misfits(parsed, schema.Dashboard, "dashboard")
    for panel in parsed.panels:
        if isinstance(panel, schema.RowPanel):
            continue
        kinds = OPTIONS[panel.type_val]
        problems += misfits(panel.options, kinds.Options, f"{panel.title}.options")
        if hasattr(kinds, "FieldConfig"):
            problems += misfits(
                panel.field_config.defaults.custom, kinds.FieldConfig, f"{panel.title}.custom"
            )
        for target in panel.targets:
            problems += misfits(target, Dataquery, f"{panel.title}.target")
    assert not problems


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda board: board.update(graphTooltip=7), "graph_tooltip"),
        (lambda board: board["panels"][1].update(title=3), "title"),
        (lambda board: board["panels"][1]["gridPos"].update(w="4"), r"grid_pos\.w"),
        (lambda board: board["templating"]["list"][1].update(sort="up"), "sort"),
        (lambda board: board["panels"][1]["fieldConfig"]["defaults"]["color"].update(mode="pink"), "color"),
    ],
)
def test_a_value_of_another_type_is_found(spoil, words):
    board = json.loads((DASHBOARDS / "service.json").read_text(encoding="utf-8"))
    spoil(board)
    with pytest.raises(AssertionError, match=words):
        test_every_value_in_a_dashboard_is_of_the_schemas_type(board)


def written(folder: Path, *options: str) -> dict[str, str]:
    """The dashboards that the generator writes into a folder."""
    command = [sys.executable, "-m", "deploy.grafana", str(folder), *options]
    subprocess.run(command, cwd=ROOT, check=True)
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_what_is_committed_is_what_the_generator_writes(tmp_path):
    committed = {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS.iterdir()}
    assert written(tmp_path) == committed, "run python -m deploy.grafana"


def test_the_links_of_all_panels_move_to_another_page(tmp_path):
    page = "https://wiki.example.org/tamiz/operations"
    at_home = runbooks.address(observed.ALERTS.read_text(encoding="utf-8"))
    for text in written(tmp_path, "--runbooks", page).values():
        (variable,) = (v for v in json.loads(text)["templating"]["list"] if v["name"] == "runbooks")
        assert variable["query"] == page
        assert f"{at_home}#" not in text


@each_panel
def test_queries_ask_for_what_is_exported_and_can_match(panel):
    found = catalog()
    for target in panel["targets"]:
        labels = found.labels(substituted(target["expr"], VARIABLES))
        named = target["legendFormat"].split("{{")[1:]
        assert {part.split("}}")[0] for part in named} <= labels, "the legend names a label that is not there"


def test_every_metric_is_in_a_panel_or_a_rule_or_excepted():
    found = catalog()
    for rule in rules():
        found.labels(rule["expr"])
    for board in BOARDS.values():
        for panel in panels(board):
            for target in panel["targets"]:
                found.labels(substituted(target["expr"], VARIABLES))
    parts = {
        f"{name}_{part}": name
        for name, family in FAMILIES.items()
        if family.kind == "histogram"
        for part in ("bucket", "sum", "count")
    }
    used, names = ({parts.get(each, each) for each in each_of} for each_of in (found.used, exported()))
    assert names - used == NOT_SHOWN.keys()


def test_panels_count_as_failed_what_the_alert_does():
    (rule,) = (rule for rule in rules() if rule.get("record") == "tamiz:errors:ratio10m")
    assert service._FAILED in rule["expr"]


def test_each_panel_that_the_page_names_is_there():
    """A name in italics that begins with a capital is that of a dashboard, of a row or of a panel."""
    text = re.sub(
        r"\*\*.*?\*\*|```.*?```|`[^`]*`", "", OPERATIONS.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    named = {" ".join(name.split()) for name in re.findall(r"\*([A-Z][^*]*)\*", text)}
    titles = {board["title"].removeprefix("Tamiz / ") for board in BOARDS.values()}
    titles |= {panel["title"] for board in BOARDS.values() for panel in board["panels"]}
    assert len(named) > 15
    assert named <= titles


@each_panel
def test_each_panel_has_a_unit_a_description_and_a_way_to_the_runbook(panel):
    listed = {value for name, value in vars(units).items() if name[0].isupper() and isinstance(value, str)}
    assert panel["fieldConfig"]["defaults"]["unit"] in listed
    assert panel["description"].endswith(".")
    (link,) = panel["links"]
    page, _, anchor = link["url"].partition("#")
    assert page == "${runbooks}"
    assert anchor in sections()


@each_panel
def test_each_panel_asks_the_chosen_prometheus_for_the_chosen_models(panel):
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["datasource"] == source
    for target in panel["targets"]:
        assert target["datasource"] == source
        chosen = '=~"$job"' in target["expr"]
        assert chosen or target["expr"].startswith(("tamiz:target_", "count(ALERTS"))


@each_panel
def test_each_exception_to_a_panels_look_is_for_some_of_its_lines(panel):
    for override in panel["fieldConfig"]["overrides"]:
        matcher = override["matcher"]
        assert matcher["id"] == "byRegexp"
        pattern = re.fullmatch("/(.*)/", matcher["options"])[1]
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert 0 < sum(re.search(pattern, legend) is not None for legend in legends) < len(legends)


@each_board
def test_panels_fill_the_grid_without_gaps(board):
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
    depth = max(y for _, y in taken) + 1
    assert taken == {(x, y) for x in range(24) for y in range(depth)}


@each_board
def test_a_dashboard_lets_one_choose_source_model_and_version(board):
    names = [variable["name"] for variable in board["templating"]["list"]]
    assert names == ["datasource", "job", "model", "version", "runbooks"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
