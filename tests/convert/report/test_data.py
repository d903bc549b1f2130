"""The numbers of a report against numpy, on real exports."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from tests.convert.report.conftest import page_text

from tamiz.v1.manifest_pb2 import Manifest, Promise
from tamiz_convert.evidence import AttainableError
from tamiz_convert.report import report_data, report_files

DOCUMENT = Path(__file__).parents[3] / "docs" / "report.md"


@pytest.fixture(scope="session")
def digits_data(digits_evidence):
    return report_data(digits_evidence)


def test_the_gate_counts_what_each_rows_own_threshold_accepts(digits_evidence, digits_data):
    rows = digits_evidence.certification
    accepted = rows.probabilities.max(axis=1) >= rows.thresholds
    wrong = rows.probabilities.argmax(axis=1) != rows.y
    gate = digits_data["gate"]
    assert (gate["n_rows"], gate["n_accepted"], gate["n_errors"]) == (
        len(rows.y),
        accepted.sum(),
        (accepted & wrong).sum(),
    )
    exact = binomtest(gate["n_errors"], gate["n_accepted"]).proportion_ci(0.95, "exact")
    assert gate["error_interval"] == pytest.approx([exact.low, exact.high], abs=1e-12)


def test_every_threshold_in_the_table_does_what_it_says(cancer_evidence):
    rows = cancer_evidence.certification
    confidence, wrong = rows.probabilities.max(axis=1), rows.probabilities.argmax(axis=1) != rows.y
    found = report_data(cancer_evidence)["thresholds"]
    assert found["confidence_level"] == 0.9
    for point in found["points"]:
        accepted = confidence >= point["threshold"]
        assert (point["n_accepted"], point["n_errors"]) == (accepted.sum(), (accepted & wrong).sum())
        bound = (
            binomtest(point["n_errors"], point["n_accepted"], alternative="less")
            .proportion_ci(0.9, "exact")
            .high
        )
        assert point["error_upper_bound"] == pytest.approx(bound, abs=1e-9)


def test_thresholds_go_from_strict_to_loose_with_the_exported_one_among_them(cancer_evidence):
    points = report_data(cancer_evidence)["thresholds"]["points"]
    accepted = [point["n_accepted"] for point in points]
    assert accepted == sorted(accepted)
    assert accepted[-1] == len(cancer_evidence.certification.y)
    (own,) = [point for point in points if point["as_exported"]]
    certificate = cancer_evidence.manifest.threshold.certificate
    assert (own["n_accepted"], own["n_errors"]) == (certificate.n_accepted, certificate.n_errors)
    assert own["error_upper_bound"] == pytest.approx(certificate.error_upper_bound)


@pytest.mark.parametrize(
    ("promise", "listed", "holds"),
    [
        (Promise.PROMISE_SELECTIVE_ERROR, True, lambda t, own, listed: t in listed),
        (Promise.PROMISE_SELECTIVE_ERROR, False, lambda t, own, _: t == own),
        (Promise.PROMISE_JOINT_ERROR, False, lambda t, own, _: t >= own),
        (Promise.PROMISE_COVERAGE, False, lambda t, own, _: t <= own),
    ],
)
def test_a_threshold_is_marked_where_the_promise_holds(cancer_evidence, promise, listed, holds):
    manifest = Manifest()
    manifest.CopyFrom(cancer_evidence.manifest)
    certificate, own = manifest.threshold.certificate, manifest.threshold.value
    certificate.promise = promise
    del certificate.proven_thresholds[:]
    proven = [own, (own + 1.0) / 2.0] if listed else []
    certificate.proven_thresholds.extend(proven)
    points = report_data(replace(cancer_evidence, manifest=manifest))["thresholds"]["points"]
    assert set(proven) <= {point["threshold"] for point in points}
    assert all(point["proven"] == holds(point["threshold"], own, proven) for point in points)


def test_the_groups_add_up_and_know_their_own_thresholds(digits_evidence, digits_data):
    (classes,) = digits_data["slices"]
    assert classes["column"] is None
    assert [each["value"] for each in classes["values"]] == [str(k) for k in range(10)]
    for name in ("n_rows", "n_accepted", "n_errors"):
        assert sum(each[name] for each in classes["values"]) == digits_data["gate"][name]
    own = {each.name: each.value for each in digits_evidence.manifest.threshold.subsets}
    assert {each["value"]: each["threshold"] for each in classes["values"]} == own


def test_slices_of_a_table_are_counted_per_value(customers_evidence):
    rows = customers_evidence.certification
    by_city = report_data(customers_evidence)["slices"][1]
    assert by_city["column"] == "city"
    for each in by_city["values"]:
        inside = rows.slices["city"] == each["value"]
        assert each["n_rows"] == inside.sum()
        assert each["n_errors"] == (inside & rows.accepted & rows.wrong).sum()


def test_the_confusions_are_those_among_accepted_rows(digits_evidence, digits_data):
    rows, matrix = digits_evidence.certification, np.array(digits_data["confusion"]["matrix"])
    assert matrix.sum() == digits_data["gate"]["n_accepted"]
    assert matrix.sum() - np.trace(matrix) == digits_data["gate"]["n_errors"]
    for pair in digits_data["confusion"]["pairs"]:
        met = rows.accepted & (rows.y == pair["truth"]) & (rows.prediction == pair["prediction"])
        assert pair["n_rows"] == met.sum() == matrix[pair["truth"], pair["prediction"]]


def test_many_classes_have_their_most_frequent_confusions_instead_of_a_matrix(made_evidence):
    confusion = report_data(made_evidence(2_000, 30))["confusion"]
    assert confusion["matrix"] is None
    counts = [pair["n_rows"] for pair in confusion["pairs"]]
    assert counts == sorted(counts, reverse=True)
    assert 0 < len(counts) <= 20


def test_the_bins_hold_every_row_and_the_calibrator_helps(digits_data):
    found = digits_data["calibration"]
    for quality in (found["before"], found["after"]):
        assert sum(each["n_rows"] for each in quality["reliability"]) == found["n_rows"]
    assert found["after"]["ece"]["value"] < found["before"]["ece"]["value"]
    assert 0 < found["after"]["ece"]["calibrated_mean"] < found["after"]["ece"]["calibrated_q95"]


def test_rows_without_probabilities_are_left_out_of_the_bins_and_never_answered(made_evidence):
    evidence = made_evidence(500, 3)
    evidence.certification.probabilities[:100] = np.nan
    data = report_data(evidence)
    assert data["calibration"]["n_rows"] == 400
    assert data["gate"]["n_rows"] == 500
    assert data["gate"]["n_accepted"] <= 400
    assert data["risk_coverage"]["after"][-1]["coverage"] == pytest.approx(0.8)
    assert "NaN" not in json.dumps(data, allow_nan=False)


def test_no_row_with_a_probability_is_a_report_as_well(made_evidence):
    evidence = made_evidence(50, 3)
    evidence.certification.probabilities[:] = np.nan
    assert report_data(evidence)["calibration"]["after"] is None
    assert "nothing could be measured" in page_text(evidence)


def test_nothing_accepted_is_a_report_as_well(made_evidence):
    evidence = made_evidence(200, 3)
    manifest = Manifest()
    manifest.CopyFrom(evidence.manifest)
    manifest.threshold.value = 2.0
    closed = replace(evidence.certification, thresholds=np.full(200, 2.0))
    page = page_text(replace(evidence, manifest=manifest, certification=closed))
    assert "Every request comes back as “not sure”" in page


def test_margins_have_no_before(made_evidence):
    evidence = made_evidence(200, 2)
    bare = replace(evidence.certification, probabilities_before=None)
    data = report_data(replace(evidence, certification=bare))
    assert data["calibration"]["before"] is None
    assert data["risk_coverage"]["before"] is None
    assert "Without the calibrator" not in page_text(replace(evidence, certification=bare))


def test_both_files_say_the_same_and_are_the_same_for_the_same_evidence(cancer_evidence):
    files = report_files(cancer_evidence)
    assert files["report.html"].decode() == page_text(cancer_evidence)
    assert json.loads(files["report.json"]) == report_data(cancer_evidence)
    assert report_files(cancer_evidence) == files
    assert sorted(files) == ["report.html", "report.json"]


def test_a_number_that_is_none_becomes_null(cancer_evidence):
    odd = replace(cancer_evidence, attainable=[AttainableError(n, float("nan"), 0.5) for n in (10, 20)])
    assert report_data(odd)["attainable"][0]["max_error"] is None
    assert "Would more labelled rows help" not in page_text(odd)


def test_every_key_is_documented(customers_evidence, digits_data):
    documented = set(re.findall(r"`([a-z_0-9]+)`", DOCUMENT.read_text(encoding="utf-8")))
    by_name = {"library_versions", "parameters", "metrics"}  # their keys are names of other things

    def keys(value):
        if isinstance(value, dict):
            for key, each in value.items():
                yield key
                if not (key in by_name and isinstance(each, dict)):
                    yield from keys(each)
        elif isinstance(value, list):
            for each in value:
                yield from keys(each)

    used = set(keys(digits_data)) | set(keys(report_data(customers_evidence)))
    assert used - documented == set()
