"""The metrics: right numbers, standard names, bounded labels."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from tamiz import confidence_bins
from tamiz.gate import NO_CLASS
from tamiz.v1.manifest_pb2 import (
    Certificate,
    Classes,
    Manifest,
    Promise,
    SubsetThreshold,
    Threshold,
)
from tamiz.v1.manifest_pb2 import (
    Histogram as ReferenceHistogram,
)
from tamiz.v1.prediction_pb2 import Reason
from tamiz_server.model.run_limit import Overstays
from tamiz_server.telemetry.histograms import Distribution
from tamiz_server.telemetry.metrics import FAMILIES, Metrics

ORDER = ("model", "version", "subset", "class", "outcome", "reason", "code", "result", "bin", "le")


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


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.floats(0, 3, allow_nan=False), max_size=200), st.sets(st.floats(0.01, 2), min_size=1))
def test_a_distribution_counts_as_prometheus_own_histogram_does(values, bounds):
    ours = Distribution(sorted(bounds))
    theirs = Histogram("x", "x", buckets=sorted(bounds), registry=CollectorRegistry())
    for value in values:
        theirs.observe(value)
        ours.observe(value)
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


def test_runs_that_overstay_are_counted_over_all_models_of_a_version(metrics):
    model = metrics.model("m", 1, Manifest())
    name = "tamiz_runs_overstayed_total"
    assert samples(metrics)[name] == {("m", "1"): 0}
    first, second = Overstays(), Overstays()
    for overstays in (first, first, second, second):  # an engine may be made again for the same model
        model.follow(SimpleNamespace(n_rows=0, max_queue_size=1), SimpleNamespace(is_open=False), overstays)
        overstays.n += 1
    assert samples(metrics)[name] == {("m", "1"): 4}


@pytest.mark.parametrize("dates", [None, (1.0, 2.5), (-86400.0, 253402300799.0)])
def test_the_dates_of_the_certificate_are_shown_if_there_is_one(dates):
    found = samples(Metrics("1", certificate_dates=lambda: dates))
    shown = [found.get(f"tamiz_tls_certificate_{which}_timestamp_seconds") for which in ("start", "end")]
    assert shown == ([{(): date} for date in dates] if dates else [None, None])


def test_rows_are_counted_by_outcome_and_reason(metrics):
    model = metrics.model("m", 1, Manifest())
    reasons = [Reason.REASON_NONE] * 3 + [Reason.REASON_LOW_CONFIDENCE] * 2
    model.rows_decided([0.9, 0.9, 0.95, 0.6, 0.5], [True] * 3 + [False] * 2, reasons, [0, 1, 1, 0, 1])
    metrics.flush()
    found = samples(metrics)
    assert found["tamiz_rows_total"]["m", "1", "accepted", "none"] == 3
    assert found["tamiz_rows_total"]["m", "1", "abstained", "low_confidence"] == 2
    assert found["tamiz_confidence_count"]["m", "1", "accepted"] == 3
    assert found["tamiz_confidence_sum"]["m", "1", "abstained"] == pytest.approx(1.1)


def test_rows_without_a_confidence_are_in_no_bin_and_no_class(metrics):
    model = metrics.model("m", 1, Manifest(classes=Classes(strings=["no", "yes"])))
    reasons = [Reason.REASON_NONE, Reason.REASON_LOW_CONFIDENCE, Reason.REASON_INVALID_INPUT]
    model.rows_decided([0.9, 0.6, 0.0], [True, False, False], reasons, [1, 0, NO_CLASS])
    metrics.flush()
    found = samples(metrics)
    assert found["tamiz_class_rows_total"] == {
        ("m", "1", "no", "accepted"): 0,
        ("m", "1", "no", "abstained"): 1,
        ("m", "1", "yes", "accepted"): 1,
        ("m", "1", "yes", "abstained"): 0,
    }
    bins = found["tamiz_confidence_bin_rows_total"]
    assert {labels[2]: count for labels, count in bins.items() if count} == {"0.6": 1, "0.9": 1}
    assert len(bins) == 20


@settings(deadline=None)  # the machine may be busy
@given(
    st.lists(
        st.one_of(
            st.floats(0.001, 1.0),
            st.sampled_from([k / 20 for k in range(1, 21)]),
            st.sampled_from([1 - k / 20 for k in range(19)]),
            st.sampled_from([k * 0.05 for k in range(1, 21)]),
        ),
        max_size=300,
    )
)
def test_served_rows_are_in_the_bins_of_the_reference(confidences):
    """Twentieths, however they were computed, and a sum that rounding put above 1."""
    confidences.append(1.0 + 5e-7)
    accepted = [value > 0.8 for value in confidences]
    metrics = Metrics("1")
    model = metrics.model("m", 1, Manifest())
    model.rows_decided(confidences, accepted, [0] * len(accepted), [0] * len(accepted))
    metrics.flush()
    bins = samples(metrics)["tamiz_confidence_bin_rows_total"]
    assert [bins["m", "1", name] for name in confidence_bins.NAMES] == confidence_bins.counts(
        confidences
    ).tolist()
    assert sum(bins.values()) == len(confidences)


def test_twentieths_are_on_their_edge_however_they_were_computed():
    for k in range(1, 21):
        for value in (k / 20, k * 0.05, 1 - (20 - k) / 20, np.linspace(0, 1, 21)[k], k / 20 * (1 + 1e-15)):
            assert confidence_bins.counts([value])[k - 1] == 1, value


def test_the_reference_is_shown_where_its_bins_are_those_of_the_traffic(metrics):
    counts = list(range(20))
    older = np.linspace(0.0, 1.0, 21).tolist()  # as exporters before wrote them: off by a last digit
    for version, edges in enumerate((confidence_bins.EDGES, older, np.linspace(0.5, 1.0, 21)), start=1):
        histogram = ReferenceHistogram(name="confidence", edges=edges, counts=counts)
        metrics.model("m", version, Manifest(reference_histograms=[histogram]))
    metrics.model("m", 4, Manifest())
    found = samples(metrics)["tamiz_reference_confidence_rows"]
    expected = dict(zip(confidence_bins.NAMES, counts, strict=True))
    assert found == {
        ("m", version, name): count for version in ("1", "2") for name, count in expected.items()
    }


def test_a_version_that_takes_anothers_place_is_shown_with_its_own_classes(metrics):
    model = metrics.model("m", 1, Manifest(classes=Classes(strings=["no", "yes"])))
    decided = ([0.9], [True], [Reason.REASON_NONE], [1])
    model.rows_decided(*decided)
    same = metrics.model(
        "m", 1, Manifest(classes=Classes(strings=["no", "yes"]), threshold=Threshold(value=0.7))
    )
    assert same is model
    model.rows_decided(*decided)
    metrics.flush()
    found = samples(metrics)
    assert found["tamiz_threshold"]["m", "1"] == 0.7
    assert found["tamiz_class_rows_total"]["m", "1", "yes", "accepted"] == 2
    metrics.model("m", 1, Manifest(classes=Classes(integers=[7])))
    model.rows_decided(*decided)  # on its way when the classes changed
    model.rows_decided([0.8], [True], [Reason.REASON_NONE], [0])
    metrics.flush()
    assert samples(metrics)["tamiz_class_rows_total"] == {
        ("m", "1", "7", "accepted"): 1,
        ("m", "1", "7", "abstained"): 0,
    }


def test_the_rows_of_many_classes_are_not_counted_by_class(metrics):
    model = metrics.model("m", 1, Manifest(classes=Classes(integers=range(101))))
    model.rows_decided([0.9], [True], [Reason.REASON_NONE], [100])
    metrics.flush()
    assert "tamiz_class_rows_total" not in samples(metrics)


def test_decisions_do_not_pile_up_for_ever(metrics):
    model = metrics.model("m", 1, Manifest())
    for _ in range(200):
        model.rows_decided([0.9] * 64, [True] * 64, [Reason.REASON_NONE] * 64, [0] * 64)
    assert len(model.decided._accepted) < 5_000


def test_a_certificate_is_shown_where_there_is_one(metrics):
    certificate = Certificate(max_error=0.02, confidence_level=0.9, expected_coverage=0.87, n_rows=300)
    metrics.model("good", 1, Manifest(threshold=Threshold(value=0.8, certificate=certificate)))
    metrics.model("bare", 2, Manifest(threshold=Threshold(value=0.5, not_certified="fixed by the caller")))
    found = samples(metrics)
    assert found["tamiz_threshold"] == {("good", "1"): 0.8, ("bare", "2"): 0.5}
    assert found["tamiz_certified"] == {("good", "1"): 1, ("bare", "2"): 0}
    assert found["tamiz_certificate_max_error"] == {("good", "1"): 0.02}
    assert found["tamiz_certificate_expected_coverage"] == {("good", "1"): 0.87}
    assert found["tamiz_certificate_rows"] == {("good", "1"): 300}


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
    requests = found["tamiz_requests_total"]
    assert {labels: count for labels, count in requests.items() if count} == {
        ("", "", "NOT_FOUND"): 2,
        ("m", "1", "OK"): 5,
    }
    assert requests["m", "1", "INTERNAL"] == 0  # from the start, so that the first failure is an increase


def test_the_time_of_an_answered_request_is_split_and_that_of_others_is_not_counted(metrics):
    model = metrics.model("m", 1, Manifest())
    model.request_answered(10.0, 10.5, 0.125, 0.25)
    model.request_answered(11.0, 11.25, 0.0, 0.125)
    for code in ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "CANCELLED"):
        model.request_failed(code, 12.0, 13.0)
    metrics.flush()
    found = samples(metrics)
    times = {}
    for part in ("request", "queue", "overhead"):
        assert found[f"tamiz_{part}_duration_seconds_count"]["m", "1"] == 2
        times[part] = found[f"tamiz_{part}_duration_seconds_sum"]["m", "1"]
    assert times == {"request": 0.75, "queue": 0.125, "overhead": 0.25}
    assert times["request"] - times["queue"] - times["overhead"] == 0.375  # computing
    assert found["tamiz_requests_total"]["m", "1", "OK"] == 2
    assert found["tamiz_requests_total"]["m", "1", "CANCELLED"] == 1


def test_what_can_go_wrong_is_shown_before_it_does(metrics):
    """Prometheus sees no increase in a series that begins with 1."""
    refusals = {("UNAUTHENTICATED",), ("PERMISSION_DENIED",), ("RESOURCE_EXHAUSTED",)}
    assert samples(metrics)["tamiz_calls_refused_total"] == dict.fromkeys(refusals, 0)
    metrics.refused["PERMISSION_DENIED"] += 1
    assert samples(metrics)["tamiz_calls_refused_total"] == dict.fromkeys(refusals, 0) | {
        ("PERMISSION_DENIED",): 1
    }

    def loads():
        return samples(metrics)["tamiz_model_loads_total"]

    metrics.loads_begin(["m", "n"])
    assert loads() == {(name, how): 0 for name in "mn" for how in ("loaded", "failed", "retried")}
    metrics.loads["m", "failed"] += 1
    metrics.loads_begin(["m"])
    assert loads()["m", "failed"] == 1
    metrics.forget("m")
    assert loads() == {("n", how): 0 for how in ("loaded", "failed", "retried")}


def test_every_declared_metric_is_exported_and_every_exported_one_declared(metrics):
    metrics.model("m", 1, Manifest(threshold=Threshold(certificate=Certificate(max_error=0.1))))
    exported = {
        family.name
        for family in text_string_to_metric_families(metrics.text().decode())
        if family.name.startswith("tamiz_")
    }
    assert exported == FAMILIES.keys()


def test_promtool_is_content(metrics):
    model = metrics.model("m", 1, Manifest(threshold=Threshold(certificate=Certificate(max_error=0.1))))
    model.batch_done(0.001, 3)
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics.text(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
