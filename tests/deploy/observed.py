"""The metrics that the server exports, and those that rules and dashboards query."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from tamiz_server.telemetry.metrics import FAMILIES

from .promql import SCRAPED, Catalog, Labels

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules"
ALERTS = RULES / "alerts.yml"
RULE_TESTS = ROOT / "deploy/prometheus/tests"
DASHBOARDS = ROOT / "deploy/grafana/dashboards"
OPERATIONS = ROOT / "docs/operations.md"
VARIABLES = {"job": ".*", "model": ".*", "version": ".*", "__rate_interval": "1m", "datasource": "prometheus"}
"""What Grafana would put in place of the variables of a dashboard."""


def rules() -> list[dict[str, object]]:
    """All rules, recording ones first."""
    groups = [
        group
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    ]
    found = [rule for group in groups for rule in group["rules"]]
    return sorted(found, key=lambda rule: "alert" in rule)


def dashboards() -> dict[str, dict[str, object]]:
    """Dashboards by the name of their file."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))
    }


def panels(dashboard: dict) -> list[dict]:
    """The panels of a dashboard, without its headings."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def exported() -> dict[str, Labels]:
    """Name of each sample that the server and Prometheus itself make → its labels."""
    found: dict[str, Labels] = {"up": SCRAPED}
    for name, family in FAMILIES.items():
        labels = SCRAPED | set(family.labels)
        if family.kind == "histogram":
            found[f"{name}_bucket"] = labels | {"le"}
            found[f"{name}_sum"] = found[f"{name}_count"] = labels
        else:
            found[f"{name}_total" if family.kind == "counter" else name] = labels
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for family in registry.collect():
        for sample in family.samples:
            found[sample.name] = SCRAPED
    found["ALERTS"] = SCRAPED | {"alertname", "alertstate", "severity", "model", "version"}
    return found


def catalog() -> Catalog:
    """The metrics of the server and of the recording rules."""
    found = Catalog(exported())
    for rule in rules():
        if "record" in rule:
            found.add(rule["record"], rule["expr"])
    return found


def sections() -> dict[str, str]:
    """Anchor of each heading of docs/operations.md → the text below it, up to the next one."""
    found: dict[str, str] = {}
    anchor = ""
    for line in OPERATIONS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            title = line.lstrip("#").strip().lower()
            anchor = "".join(c for c in title.replace(" ", "-") if c.isalnum() or c in "-_")
            found[anchor] = ""
        elif anchor:
            found[anchor] += line + "\n"
    return found
