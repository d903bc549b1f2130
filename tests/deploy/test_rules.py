"""The rules for Prometheus: when they fire, what they query, and that each alert says what to do."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path

import pytest
import yaml
from deploy import runbooks

from . import observed
from .observed import ROOT, RULE_TESTS, RULES, catalog, rules, sections
from .promql import Catalog, QueryError

ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
CASES = [
    case
    for path in RULE_TESTS.glob("*.yml")
    for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
]
PAGE = runbooks.address(observed.ALERTS.read_text(encoding="utf-8"))

AVERAGED = "histogram_quantile(0.99, avg by"
"""The quantile of mean buckets is that of their sums."""


def test_the_rules_are_well_formed(run):
    said = run("promtool", "check", "rules", *sorted(RULES.glob("*.yml")))
    assert said.count("SUCCESS") == len(list(RULES.glob("*.yml")))


def test_each_alert_fires_and_is_quiet_as_its_tests_say(run):
    files = sorted(RULE_TESTS.glob("*.yml"))
    assert files
    run("promtool", "test", "rules", *files)


def spoiled() -> list[str]:
    """The recording rules, each time with one sum or one largest value that is another one."""
    text = (RULES / "recording.yml").read_text(encoding="utf-8")
    others = {"sum": ("avg", "max"), "max": ("sum",)}
    found = [
        text[: match.start()] + other + text[match.end() :]
        for match in re.finditer(r"\b(sum|max)(?= by \()", text)
        for other in others[match[1]]
    ]
    return [each for each in found if AVERAGED not in each]


def write_what_shares_are(path: Path) -> None:
    """The cases with two replicas, without alerts, which would need every minute to be computed."""
    cases = yaml.safe_load((RULE_TESTS / "replicas.yml").read_text(encoding="utf-8"))
    for case in cases["tests"]:
        case["promql_expr_test"] = [each for each in case["promql_expr_test"] if "ALERTS" not in each["expr"]]
    cases |= {"rule_files": ["recording.yml"], "evaluation_interval": "30m"}
    path.write_text(yaml.safe_dump(cases), encoding="utf-8")


def test_a_rule_that_takes_replicas_together_otherwise_is_found(run, tmp_path):
    rules_, cases = tmp_path / "recording.yml", tmp_path / "cases.yml"
    write_what_shares_are(cases)
    shutil.copy(RULES / "recording.yml", rules_)
    run("promtool", "test", "rules", cases)
    assert len(spoiled()) > 30
    for text in spoiled():
        rules_.write_text(text, encoding="utf-8")
        with pytest.raises(AssertionError, match="FAILED"):
            run("promtool", "test", "rules", cases)


def test_each_alert_has_a_test_that_fires_and_one_that_does_not():
    names = [case["name"] for case in CASES]
    for how in ("fires", "is quiet"):
        assert {name.split(f" {how}: ")[0] for name in names if f" {how}: " in name} == ALERTS.keys()
    assert all(" fires: " in name or " is quiet: " in name for name in names)


def test_each_message_with_a_number_is_read_by_a_test():
    read = {
        asked["alertname"]
        for case in CASES
        for asked in case.get("alert_rule_test", ())
        if any("exp_annotations" in alert for alert in asked["exp_alerts"])
    }
    assert read == {name for name, rule in ALERTS.items() if "$value" in str(rule["annotations"])}


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_says_how_bad_it_is_and_what_to_do(alert):
    rule = ALERTS[alert]
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"{PAGE}#{alert.lower()}"
    text = sections()[alert.lower()]
    for part in ("**It means**", "**Look at**", "**Do**", "**Ignore it**"):
        assert part in text, f"{part} is missing"


def test_the_links_of_all_alerts_move_to_another_page_and_nothing_else_does(tmp_path):
    text = observed.ALERTS.read_text(encoding="utf-8")
    page = "https://wiki.example.org/tamiz?page=operations"
    moved = runbooks.moved(text, page)
    assert runbooks.address(moved) == page
    assert moved.count(f"runbook_url: {page}#") == len(ALERTS)
    (tmp_path / "alerts.yml").write_text(moved, encoding="utf-8")
    generator = runpy.run_path(str(ROOT / "deploy/kubernetes/generate.py"))
    assert generator["prometheus_rule"](tmp_path).count(f"runbook_url: {page}#") == len(ALERTS)
    assert runbooks.moved(moved, PAGE) == text
    assert set(runbooks.FILES) == {
        path for path in RULES.parent.glob("*/*.yml") if "runbook_url" in path.read_text()
    }
    for path in runbooks.FILES:
        assert runbooks.address(path.read_text(encoding="utf-8")) == PAGE
    with pytest.raises(ValueError, match="expected one page"):
        runbooks.address(text.replace(f"{PAGE}#tamizdown", "elsewhere.md#tamizdown"))


@pytest.mark.parametrize("page", ["", "a b", "page#section", 'a"', "*a"])
def test_what_is_no_address_of_a_page_is_refused(page):
    with pytest.raises(ValueError, match="not the address"):
        runbooks.moved("", page)


def test_the_page_is_where_it_is_unless_an_installation_says_otherwise():
    assert PAGE.startswith("http") or (ROOT / PAGE).is_file()


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
