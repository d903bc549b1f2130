"""The large numbers of the dashboard Trust: they are red where their alerts fire, and only there."""

from __future__ import annotations

import pytest
import yaml

from .observed import RULE_TESTS, RULES, VARIABLES, dashboards, panels
from .promql import substituted

RED = {
    "TamizCoverageUnexpected": ("Off what was expected", ">= 0.05"),
    "TamizExpectedAccuracyBelowPromise": ("Above the promise", "< 0"),
    "TamizConfidenceDrift": ("Drift", ">= 0.2"),
}
"""Alert → the number that it watches, and when that is red."""

NUMBERS = {panel["title"]: panel for panel in panels(dashboards()["trust"]) if panel["type"] == "stat"}


def cases_of(alert: str) -> list[dict]:
    """The tests of an alert, changed to ask whether the number is red instead of whether the alert fires."""
    title, red = RED[alert]
    (target,) = NUMBERS[title]["targets"]
    query = f"count(({substituted(target['expr'], VARIABLES)}) {red})"
    found = []
    for path in sorted(RULE_TESTS.glob("*.yml")):
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            if case["name"].startswith(f"{alert} "):
                fires = [{"labels": "{}", "value": 1}] if " fires: " in case["name"] else []
                case.pop("alert_rule_test", None)
                case["promql_expr_test"] = [{"expr": query, "eval_time": "90m", "exp_samples": fires}]
                found.append(case)
    return found


@pytest.mark.parametrize("alert", RED)
def test_a_number_is_red_where_its_alert_fires_and_only_there(run, tmp_path, alert):
    cases = cases_of(alert)
    assert len(cases) > 4
    asked = {
        "rule_files": [str(RULES / "recording.yml")],
        "evaluation_interval": "30m",
        "tests": cases,
    }
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(asked))
    run("promtool", "test", "rules", tmp_path / "cases.yml")


@pytest.mark.parametrize("alert", RED)
def test_a_number_is_red_from_where_this_says(alert):
    title, red = RED[alert]
    steps = NUMBERS[title]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    (step,) = (i for i, step in enumerate(steps) if step["color"] == "red")
    how, bound = red.split()
    assert float(bound) == (steps[step]["value"] if how == ">=" else steps[step + 1]["value"])
