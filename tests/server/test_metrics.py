"""The metrics: right numbers, standard names, bounded labels."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from tamiz.v1.manifest_pb2 import Certificate, Manifest, Promise, SubsetThreshold, Threshold
from tamiz.v1.prediction_pb2 import Reason
from tamiz_server.metrics import COUNTERS, GAUGES, HISTOGRAMS, Distribution, Metrics

ORDER = ("model", "version", "subset", "outcome", "reason", "code", "le")


def samples(metrics: Metrics) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[
                tuple(sample.labels[k] for k in ORDER if k in sample.labels)
            ] = sample.value
    return found


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


@given(st.lists(st.floats(0, 3, allow_nan=False), max_size=200), st.sets(st.floats(0.01, 2), min_size=1))
def test_a_distribution_counts_as_prometheus_own_histogram_does(values, bounds):
    ours = Distribution(sorted(bounds))
    theirs = Histogram("x", "x", buckets=sorted(bounds), registry=CollectorRegistry())
    for value in values:
        theirs.observe(value)
    ours.observe_all(values)
    ours.flush()
    buckets, total = ours.buckets()
    expected = [s.value for s in theirs.collect()[0].samples if s.name == "x_bucket"]
    assert [count for _, count in buckets] == expected
    assert total == pytest.approx(sum(values))


def test_a_distribution_does_not_grow_with_what_it_counts():
    distribution = Distribution([1.0])
    for _ in range(100_000):
        distribution.observe(0.5)
    assert len(distribution._pending) < 5_000


def test_rows_are_counted_by_outcome_and_reason(metrics):
    model = metrics.model("m", 1, Manifest())
    reasons = [Reason.REASON_NONE] * 3 + [Reason.REASON_LOW_CONFIDENCE] * 2
    model.rows_decided([0.9, 0.9, 0.95, 0.6, 0.5], [True] * 3 + [False] * 2, reasons)
    metrics.flush()
    found = samples(metrics)
    assert found["tamiz_rows_total"]["m", "1", "accepted", "none"] == 3
    assert found["tamiz_rows_total"]["m", "1", "abstained", "low_confidence"] == 2
    assert found["tamiz_confidence_count"]["m", "1", "accepted"] == 3
    assert found["tamiz_confidence_sum"]["m", "1", "abstained"] == pytest.approx(1.1)


def test_a_certificate_is_shown_where_there_is_one(metrics):
    certificate = Certificate(max_error=0.02, confidence_level=0.9, expected_coverage=0.87)
    metrics.model("good", 1, Manifest(threshold=Threshold(value=0.8, certificate=certificate)))
    metrics.model("bare", 2, Manifest(threshold=Threshold(value=0.5, not_certified="fixed by the caller")))
    found = samples(metrics)
    assert found["tamiz_threshold"] == {("good", "1"): 0.8, ("bare", "2"): 0.5}
    assert found["tamiz_certified"] == {("good", "1"): 1, ("bare", "2"): 0}
    assert found["tamiz_certificate_max_error"] == {("good", "1"): 0.02}
    assert found["tamiz_certificate_expected_coverage"] == {("good", "1"): 0.87}


def test_each_promise_has_a_gauge_of_its_own(metrics):
    for version, promise in enumerate(
        (Promise.PROMISE_SELECTIVE_ERROR, Promise.PROMISE_JOINT_ERROR, Promise.PROMISE_COVERAGE), start=1
    ):
        certificate = Certificate(promise=promise, max_error=0.02, min_coverage=0.8, confidence_level=0.9)
        metrics.model("m", version, Manifest(threshold=Threshold(value=0.8, certificate=certificate)))
    found = samples(metrics)
    assert found["tamiz_certified"] == {("m", "1"): 1, ("m", "2"): 1, ("m", "3"): 1}
    assert found["tamiz_certificate_max_error"] == {("m", "1"): 0.02}
    assert found["tamiz_certificate_max_joint_error"] == {("m", "2"): 0.02}
    assert found["tamiz_certificate_min_coverage"] == {("m", "3"): 0.8}


def test_each_class_or_slice_shows_its_threshold(metrics):
    subsets = [
        SubsetThreshold(name="north", value=0.6, certificate=Certificate()),
        SubsetThreshold(name="south", value=2.0, not_certified="too few rows"),
    ]
    metrics.model("m", 1, Manifest(threshold=Threshold(value=2.0, subsets=subsets)))
    found = samples(metrics)
    assert found["tamiz_subset_threshold"] == {("m", "1", "north"): 0.6, ("m", "1", "south"): 2.0}
    assert found["tamiz_subset_certified"] == {("m", "1", "north"): 1, ("m", "1", "south"): 0}


def test_requests_in_flight_are_received_less_ended(metrics):
    model = metrics.model("m", 1, Manifest())
    metrics.received = 10
    metrics.unattributed["NOT_FOUND"] = 2
    model.requests["OK"] = 5
    found = samples(metrics)
    assert found["tamiz_requests_in_flight"][()] == 3
    assert found["tamiz_requests_total"] == {("", "", "NOT_FOUND"): 2, ("m", "1", "OK"): 5}


def test_every_declared_metric_is_exported_and_every_exported_one_declared(metrics):
    metrics.model("m", 1, Manifest(threshold=Threshold(certificate=Certificate(max_error=0.1))))
    exported = {
        family.name
        for family in text_string_to_metric_families(metrics.text().decode())
        if family.name.startswith("tamiz_")
    }
    assert exported == COUNTERS.keys() | HISTOGRAMS.keys() | GAUGES.keys()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_is_content(metrics):
    model = metrics.model("m", 1, Manifest(threshold=Threshold(certificate=Certificate(max_error=0.1))))
    model.batch_done(0.001, 3)
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics.text(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
