"""A real server, a real Prometheus with our configuration and rules, several kinds of traffic."""

from __future__ import annotations

import hashlib
import json
import math
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from tests.conftest import by_class, write_bundle
from tests.server_process import ServerProcess

from tamiz.v1.manifest_pb2 import Certificate, Promise, Threshold
from tamiz_client import CallFailed, Client, InvalidRequest, ModelNotFound, NotAllowed
from tamiz_convert import export
from tamiz_server.access.tokens import Right, entry

from . import observed as files
from .conftest import find
from .observed import ROOT, RULES, dashboards, panels
from .promql import substituted

CONFIG = ROOT / "deploy/prometheus/prometheus.yml"
VARIABLES = files.VARIABLES | {"__rate_interval": "30s"}
RIGHTS = {"caller": Right.PREDICT, "scraper": Right.METRICS}
"""Each token, which is its own name, and what it allows."""


class Prometheus(NamedTuple):
    """A running Prometheus."""

    url: str

    def get(self, path: str, **parameters: object) -> object:
        query = urllib.parse.urlencode(parameters, doseq=True)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=60) as answer:
            return json.load(answer)["data"]

    def series(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series, now."""
        return [(one["metric"], float(one["value"][1])) for one in self.get("query", query=query)["result"]]

    def value(self, query: str) -> float:
        """The only value, NaN while there is none."""
        found = self.series(query)
        return found[0][1] if len(found) == 1 else math.nan

    def values(self, query: str, since_s: float) -> list[float]:
        """All values of all series since a time."""
        found = self.get("query_range", query=query, start=since_s, end=time.time(), step="1")["result"]
        return [float(value) for one in found for _, value in one["values"]]


class Observed(NamedTuple):
    """The requests that the server got, and a Prometheus that has scraped all of them."""

    prometheus: Prometheus
    reference: np.ndarray
    confidence: np.ndarray
    accepted: np.ndarray
    labels: np.ndarray
    expected_coverage: float
    since_s: float


def wait_for(condition: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, f"{what} did not come about"
        time.sleep(0.1)


def write_models(models: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """One exported model, made ones for each promise, one that fails, one that cannot be loaded.

    Returns:
        Rows for the exported one, the confidences of its held-out rows by scikit-learn, its expected
        coverage.
    """
    X, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], y[order]
    # Twenty trees that are grown to the end give twentieths: every confidence lies on the edge of a bin.
    # Labels that are flipped spread them over all bins.
    noisy = np.where(np.random.default_rng(1).random(150) < 0.15, 1 - y[:150], y[:150])
    forest = RandomForestClassifier(n_estimators=20, random_state=0).fit(X[:150], noisy)
    held_out = X[150:450], y[150:450]
    report = export(forest, models / "cancer/1", calibration=held_out, calibrator="none", max_error=0.08)
    (models / "cancer/settings.toml").write_text("[labels]\nstable = 1\n")
    for name, promise in (("joint", Promise.PROMISE_JOINT_ERROR), ("covering", Promise.PROMISE_COVERAGE)):
        certificate = Certificate(
            promise=promise,
            max_error=0.02,
            min_coverage=0.7,
            confidence_level=0.9,
            n_rows=100,
            n_accepted=80,
            expected_coverage=0.8,
        )
        write_bundle(
            models / name / "1", format_version=2, threshold=Threshold(value=0.8, certificate=certificate)
        )
    shadowed = [models / f"shadowed/{version}" for version in (1, 2)]
    for folder in shadowed:
        write_bundle(folder)
    (models / "shadowed/settings.toml").write_text("[versions]\nserve = [1]\n[shadow]\nversion = 2\n")
    write_bundle(models / "classes/1", change=by_class, format_version=2)
    write_bundle(models / "failing/1", "failing")
    (models / "broken/1").mkdir(parents=True)
    (models / "broken/1/model.onnx").write_bytes(b"garbage")
    reference = forest.predict_proba(held_out[0]).max(axis=1)
    return X[300:], reference, report.manifest.threshold.certificate.expected_coverage


def write_tokens(path: Path) -> None:
    entries = (
        entry(token, hashlib.sha256(token.encode()).hexdigest(), [right]) for token, right in RIGHTS.items()
    )
    path.write_text("\n".join(entries))


def write_hasty_rules(folder: Path) -> None:
    """Our rules, but for the time that an alert waits before it fires."""
    for path in RULES.glob("*.yml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group in content["groups"]:
            for rule in group["rules"]:
                rule.pop("for", None)
        (folder / path.name).write_text(yaml.safe_dump(content))


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[tuple[ServerProcess, tuple[np.ndarray, np.ndarray, float]]]:
    models = tmp_path_factory.mktemp("served")
    described = write_models(models)
    tokens = tmp_path_factory.mktemp("allowed") / "tokens.toml"
    write_tokens(tokens)
    process = ServerProcess.start(models, "--tokens-file", tokens)
    process.wait_ready()
    yield process, described
    process.stop()
    process.end()


@pytest.fixture(scope="module")
def prometheus(server, tmp_path_factory) -> Iterator[Prometheus]:
    """Debian's Prometheus, with our prometheus.yml except port, token, interval and the rules' path."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    assert config["rule_files"] == ["rules/*.yml"]
    config["global"] |= {
        "scrape_interval": "500ms",
        "scrape_timeout": "500ms",
        "evaluation_interval": "500ms",
    }
    (folder / "rules").mkdir()
    write_hasty_rules(folder / "rules")
    config["rule_files"] = [f"{folder}/rules/*.yml"]
    (job,) = (each for each in config["scrape_configs"] if each["job_name"] == "tamiz")
    job["authorization"] = {"credentials": "scraper"}
    job["static_configs"] = [{"targets": [f"127.0.0.1:{server[0].metrics_port}"]}]
    config["scrape_configs"] = [job]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                find("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    running = Prometheus(f"http://{address}")

    def ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return running.value("count_over_time(tamiz_build_info[1m])") >= 2
        except OSError:
            return False

    wait_for(ready, "two scrapes")
    yield running
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def observed(server, prometheus) -> Observed:
    process, (X, reference, expected_coverage) = server
    since_s = time.time()
    bad = X[:7].copy()
    bad[:, 3] = np.nan
    sent = [X, X[:60], bad]
    pair = np.array([[0.0, 3.0], [0.0, 0.1]], dtype=np.float32)
    for token in (None, "unknown", "scraper"):
        with Client(process.target, token=token) as client, pytest.raises(NotAllowed):
            client.predict("cancer", X[:2])
    with Client(process.target, token="caller") as client:
        answers = [client.predict("cancer", rows) for rows in sent]
        answers += list(client.stream("cancer", [X[:20], X[20:50]]))
        for name in ("joint", "covering", "classes", "shadowed"):
            for _ in range(5):
                client.predict(name, pair)
        client.predict("failing", np.array([[1]]))
        for _ in range(3):
            with pytest.raises(CallFailed):
                client.predict("failing", np.array([[77]]))
        with pytest.raises(InvalidRequest):
            client.predict("cancer", X[:2], threshold=7)
        with pytest.raises(ModelNotFound):
            client.predict("nobody", X[:2])
    confidence, accepted = (
        np.concatenate([getattr(answer, name) for answer in answers]) for name in ("confidence", "accepted")
    )
    labels = np.concatenate([answer.labels for answer in answers])
    wait_for(
        lambda: prometheus.value('sum(tamiz_rows_total{model="cancer"})') == len(accepted),
        "the scrape of all rows",
    )
    return Observed(prometheus, reference, confidence, accepted, labels, expected_coverage, since_s)


def bins(confidence: np.ndarray) -> np.ndarray:
    """Count twentieths, in whole numbers: no edge is missed by a last digit."""
    twentieths = np.rint(confidence * 20).astype(int)
    np.testing.assert_allclose(confidence * 20, twentieths, atol=1e-6)
    return np.bincount(twentieths - 1, minlength=20)


def comes_to(prometheus: Prometheus, query: str, expected: float) -> None:
    """Wait until a query gives the expected result; its rules are evaluated gradually."""
    try:
        wait_for(lambda: prometheus.value(query) == pytest.approx(expected, rel=1e-9, abs=1e-12), query, 20.0)
    except AssertionError:
        assert prometheus.value(query) == pytest.approx(expected, rel=1e-9, abs=1e-12)
        raise


def test_prometheus_computes_the_stability_index_that_numpy_does_from_the_rows(observed):
    scored = observed.confidence > 0
    assert 0.5 < observed.accepted.mean() < 0.95
    assert (~scored).sum() == 7  # rows that are in neither distribution
    live, reference = bins(observed.confidence[scored]), bins(observed.reference)
    floor = 0.5 * (1 / live.sum() + 1 / reference.sum())
    q, p = (np.maximum(counts / counts.sum(), floor) for counts in (live, reference))
    expected = float(((q - p) * np.log(q / p)).sum())
    # The floor goes by an increase that Prometheus extrapolates; where no bin is below it, there is nothing
    # to extrapolate.
    assert (np.minimum(live / live.sum(), reference / reference.sum())[live + reference > 0] > floor).all()
    assert expected > 0.001
    comes_to(observed.prometheus, 'tamiz:confidence_psi:1h{model="cancer"}', expected)
    used = np.count_nonzero(live + reference)
    noise = (used + 5 * np.sqrt(2 * used)) * (1 / live.sum() + 1 / reference.sum())
    assert observed.prometheus.value('tamiz:reference_rows:sum{model="cancer"}') == len(observed.reference)
    assert observed.prometheus.value('tamiz:confidence_psi:noise1h{model="cancer"}') == pytest.approx(
        noise, rel=0.2
    )


def test_prometheus_computes_what_is_answered_and_how_much_of_it_is_expected_to_be_right(observed):
    of = '{model="cancer"}'
    comes_to(observed.prometheus, f"tamiz:coverage:ratio1h{of}", observed.accepted.mean())
    comes_to(
        observed.prometheus,
        f"tamiz:expected_accuracy:ratio1h{of}",
        observed.confidence[observed.accepted].mean(),
    )
    comes_to(
        observed.prometheus,
        f"tamiz:expected_joint_error:ratio1h{of}",
        (1 - observed.confidence[observed.accepted]).sum() / len(observed.accepted),
    )
    comes_to(observed.prometheus, f"tamiz:expected_coverage:ratio{of}", observed.expected_coverage)


def test_rows_are_counted_by_the_class_that_was_answered(observed):
    query = 'tamiz_class_rows_total{model="cancer",outcome="accepted"}'
    counted = {labels["class"]: count for labels, count in observed.prometheus.series(query)}
    answered = observed.labels[observed.accepted]
    assert counted == {str(name): (answered == name).sum() for name in (0, 1)}
    decided = observed.prometheus.value('sum(tamiz_class_rows_total{model="cancer"})')
    assert decided == (observed.confidence > 0).sum()


def test_every_rule_is_evaluated_without_a_fault(observed):
    def rules() -> list[dict]:
        return [rule for group in observed.prometheus.get("rules")["groups"] for rule in group["rules"]]

    wait_for(lambda: all(rule["health"] != "unknown" for rule in rules()), "the evaluation of all rules")
    assert [rule["name"] for rule in rules() if rule["health"] != "ok"] == []
    pending = {labels["alertname"] for labels, _ in observed.prometheus.series("ALERTS")}
    assert "TamizLoadFailed" in pending
    assert not pending & {
        "TamizDown",
        "TamizNoModelServed",
        "TamizConfidenceDrift",
        "TamizCoverageUnexpected",
    }


def test_every_query_of_every_panel_returns_data(observed):
    silent = []
    for name, board in dashboards().items():
        for panel in panels(board):
            for target in panel["targets"]:
                query = substituted(target["expr"], VARIABLES).replace(" or vector(0)", "")

                def values(query: str = query, target: dict = target) -> list[float]:
                    if target["range"]:
                        return observed.prometheus.values(query, observed.since_s)
                    return [value for _, value in observed.prometheus.series(query)]

                try:
                    wait_for(lambda values=values: bool(np.isfinite(values()).any()), query, 5.0)
                except AssertionError:
                    silent.append(f"{name}: {panel['title']}: {query}")
    assert silent == []


def test_a_mean_request_is_its_parts(observed):
    """Waiting, computing and the rest are of the same requests: those that were answered."""
    answered = observed.prometheus.value('tamiz_requests_total{model="cancer",code="OK"}')
    for part in ("request", "queue", "overhead"):
        assert observed.prometheus.value(f'tamiz_{part}_duration_seconds_count{{model="cancer"}}') == answered
    (board,) = (board for name, board in dashboards().items() if name == "service")
    (panel,) = (panel for panel in panels(board) if panel["title"] == "A mean request")
    variables = VARIABLES | {"model": "cancer", "__rate_interval": "1h"}
    parts = {
        target["legendFormat"]: f"({substituted(target['expr'], variables)})" for target in panel["targets"]
    }
    assert parts.keys() == {"queue", "inference", "the rest"}
    assert all(observed.prometheus.value(query) >= 0 for query in parts.values())
    whole = " / ".join(
        f'rate(tamiz_request_duration_seconds_{end}{{model="cancer"}}[1h])' for end in ("sum", "count")
    )
    # In one query: a later one would see rates that are extrapolated otherwise.
    assert observed.prometheus.value(f"({' + '.join(parts.values())}) / scalar({whole})") == pytest.approx(1)


def test_a_call_that_was_refused_is_seen_from_the_first_on(observed):
    refused = {
        labels["code"]: count for labels, count in observed.prometheus.series("tamiz_calls_refused_total")
    }
    of_access = ("UNAUTHENTICATED", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED")
    assert [refused[code] for code in of_access] == [2, 1, 0]
    risen = observed.prometheus.series(
        f'increase(tamiz_calls_refused_total{{code=~"{"|".join(of_access)}"}}[1h]) > 0'
    )
    assert {labels["code"] for labels, _ in risen} == {"UNAUTHENTICATED", "PERMISSION_DENIED"}


def test_the_variables_offer_what_is_served(observed):
    offered = {}
    for board in dashboards().values():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                query = substituted(variable["query"]["query"], VARIABLES)
                selector, label = query.removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
                offered[variable["name"]] = observed.prometheus.get(
                    f"label/{label}/values", **{"match[]": selector}
                )
    assert offered == {
        "job": ["tamiz"],
        "model": ["cancer", "classes", "covering", "failing", "joint", "shadowed"],
        "version": ["1", "2"],
    }
