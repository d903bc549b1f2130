"""The rules for Prometheus: when they speak, what they ask for, and that each alert says what to do."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml

from .observed import RULE_TESTS, RULES, catalog, rules, sections
from .promql import Catalog, QueryError

ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)


def promtool(*arguments: str) -> str:
    done = subprocess.run(
        ["promtool", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@needs_promtool
def test_the_rules_are_well_formed():
    said = promtool("check", "rules", *map(str, sorted(RULES.glob("*.yml"))))
    assert said.count("SUCCESS") == len(list(RULES.glob("*.yml")))


@needs_promtool
def test_each_alert_fires_and_is_quiet_as_its_tests_say():
    files = sorted(RULE_TESTS.glob("*.yml"))
    assert files
    promtool("test", "rules", *map(str, files))


def test_each_alert_has_a_test_that_fires_and_one_that_does_not():
    cases = [
        case["name"]
        for path in RULE_TESTS.glob("*.yml")
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
    ]
    for how in ("fires", "is quiet"):
        assert {name.split(f" {how}: ")[0] for name in cases if f" {how}: " in name} == ALERTS.keys()
    assert all(" fires: " in name or " is quiet: " in name for name in cases)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_says_how_bad_it_is_and_what_to_do(alert):
    rule = ALERTS[alert]
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{alert.lower()}"
    text = sections()[alert.lower()]
    for part in ("**It means**", "**Look at**", "**Do**", "**Ignore it**"):
        assert part in text, f"{part} is missing"


def test_each_section_on_an_alert_has_its_alert():
    named = {anchor for anchor in sections() if anchor.startswith("tamiz") and "-" not in anchor}
    assert named == {alert.lower() for alert in ALERTS}


def test_rules_ask_for_what_is_exported_and_can_match():
    found = catalog()
    for rule in rules():
        found.labels(rule["expr"])


@pytest.mark.parametrize("alert", ALERTS)
def test_a_message_names_labels_that_the_alert_has(alert):
    labels = catalog().labels(ALERTS[alert]["expr"])
    said = " ".join(ALERTS[alert]["annotations"].values())
    assert set(re.findall(r"\$labels\.(\w+)", said)) <= labels


@pytest.mark.parametrize(
    ("expr", "words"),
    [
        ("nobody", "nobody exports nobody"),
        ('a{b="1"}', "has no label"),
        ("sum by (model) (b)", "by or without"),
        ("a / b", "never match"),
        ("a / on (model) b", "on"),
        ("histogram_quantile(0.9, a)", "no le"),
    ],
)
def test_a_query_that_would_be_answered_with_silence_is_found(expr, words):
    found = Catalog({"a": frozenset({"model"}), "b": frozenset({"job"})})
    with pytest.raises(QueryError, match=words):
        found.labels(expr)
