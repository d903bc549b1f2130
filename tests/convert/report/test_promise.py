"""The words at the top of the page, for every kind of promise."""

from __future__ import annotations

import pytest

from tamiz.v1.manifest_pb2 import (
    Certificate,
    Classes,
    Manifest,
    Promise,
    Subdivision,
    SubsetThreshold,
    Threshold,
)
from tamiz_convert.report.promise import promise_data
from tamiz_convert.report.promise_section import promise_section


def manifest(**threshold: object) -> Manifest:
    return Manifest(classes=Classes(strings=["a", "b"]), threshold=Threshold(value=0.9, **threshold))


def certificate(promise: Promise = Promise.PROMISE_SELECTIVE_ERROR, **fields: object) -> Certificate:
    return Certificate(
        max_error=0.02, confidence_level=0.95, n_rows=300, n_accepted=250, promise=promise, **fields
    )


@pytest.mark.parametrize("promise", [Promise.PROMISE_UNSPECIFIED, Promise.PROMISE_SELECTIVE_ERROR])
def test_the_error_among_the_answers(promise):
    data = promise_data(manifest(certificate=certificate(promise)))
    assert data["kind"] == "selective_error"
    assert data["sentence"] == "At most 2% of the answers will be wrong – with 95% confidence."
    assert data["max_error"] == 0.02
    assert any("1 in 20 attempts" in line for line in data["not_promised"])
    assert any("single class" in line for line in data["not_promised"])


def test_the_error_among_all_requests_is_not_taken_for_that_among_the_answers():
    data = promise_data(manifest(certificate=certificate(Promise.PROMISE_JOINT_ERROR)))
    assert data["sentence"] == "At most 2% of all requests will be answered wrongly – with 95% confidence."
    assert data["max_error"] is None
    assert data["not_promised"][0].startswith("How many of the answers are wrong")


def test_coverage_promises_nothing_of_errors():
    data = promise_data(manifest(certificate=certificate(Promise.PROMISE_COVERAGE, min_coverage=0.85)))
    assert data["sentence"] == "At least 85% of all requests will be answered – with 95% confidence."
    assert data["certificate"]["max_error"] is None
    assert data["certificate"]["min_coverage"] == 0.85
    assert data["not_promised"][0].startswith("How many of the answers are wrong")


def test_without_a_certificate_nothing_is_promised():
    data = promise_data(manifest(not_certified="fixed by the caller"))
    assert data["kind"] == "none"
    assert data["sentence"].startswith("Nothing is promised")
    assert data["not_certified"] == "fixed by the caller"


def subsets(**first: object) -> list[SubsetThreshold]:
    return [
        SubsetThreshold(name="a", value=0.8, certificate=certificate()),
        SubsetThreshold(name="b", **first),
    ]


def test_per_class_and_all_certified():
    own = subsets(value=0.7, certificate=certificate())
    by_class = Subdivision.SUBDIVISION_PREDICTED_CLASS
    data = promise_data(manifest(certificate=certificate(), subdivision=by_class, subsets=own))
    assert data["sentence"].startswith(
        "For each of 2 predicted classes, at most 2% of the answers will be wrong"
    )
    assert [each["name"] for each in data["subsets"]] == ["a", "b"]


def test_per_slice_says_how_many_values_are_certified():
    own = subsets(value=2.0, not_certified="too few rows")
    by_slice = Subdivision.SUBDIVISION_SLICE
    data = promise_data(
        manifest(certificate=certificate(), subdivision=by_slice, slice_input="region", subsets=own)
    )
    assert data["sentence"].startswith("For each of 1 out of 2 values of region, at most 2%")
    assert any(
        line.startswith("Anything for b, which could not be certified") for line in data["not_promised"]
    )
    assert data["subsets"][1]["not_certified"] == "too few rows"


def test_subsets_of_which_none_is_certified_promise_nothing():
    own = [SubsetThreshold(name="a", value=2.0, not_certified="too few rows")]
    by_class = Subdivision.SUBDIVISION_PREDICTED_CLASS
    data = promise_data(manifest(not_certified="no subset", subdivision=by_class, subsets=own))
    assert data["kind"] == "none"
    assert "confidence, so all" not in text_of(data)


def test_a_threshold_that_lets_nothing_through_says_so_first():
    data = promise_data(Manifest(threshold=Threshold(value=2.0, not_certified="too few rows")))
    assert data["sentence"] == "Nothing will be answered, and nothing is promised."


def text_of(promise: dict) -> str:
    section = promise_section({"promise": promise, "gate": {"n_rows": 9}, "notes": []})
    return "".join(map(str, section.content))


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ((0.98,), "Each is proven with 98% confidence, so all hold together with 95%."),
        ((0.98, 0.98), "Each is proven with 98% confidence, so all hold together with 95%."),
        ((0.98, 0.95), "All hold together with 95% confidence, each alone with up to 98%."),
        ((0.95, 0.98), "All hold together with 95% confidence, each alone with up to 98%."),
    ],
)
def test_a_subset_that_took_what_others_left_is_not_said_to_be_surer(levels, said):
    own = [
        SubsetThreshold(name=str(k), value=0.8, certificate=Certificate(confidence_level=level))
        for k, level in enumerate(levels)
    ]
    by_class = Subdivision.SUBDIVISION_PREDICTED_CLASS
    promise = promise_data(manifest(certificate=certificate(), subdivision=by_class, subsets=own))
    assert said in text_of(promise)


@pytest.mark.parametrize(
    ("method", "chosen"),
    [("clopper-pearson-bound", ""), ("other", ", if other rows had chosen the threshold")],
)
def test_a_bound_at_a_threshold_that_the_rows_chose_is_not_said_to_hold(method, chosen):
    promise = promise_data(manifest(certificate=certificate(method=method, error_upper_bound=0.0131)))
    page = text_of(promise)
    assert f"at most 1.31% wrong, with 95% confidence (Clopper–Pearson){chosen}<" in page


def test_subsets_without_a_certificate_are_named_while_they_are_few():
    own = [
        SubsetThreshold(name="a", value=0.8, certificate=certificate()),
        *(SubsetThreshold(name=f"s{k}", value=2.0, not_certified="too few rows") for k in range(9)),
    ]
    by_slice = Subdivision.SUBDIVISION_SLICE
    few, many = (
        promise_data(
            manifest(certificate=certificate(), subdivision=by_slice, slice_input="shop", subsets=own[:n])
        )["not_promised"]
        for n in (4, 10)
    )
    assert "Anything for s0, s1 and s2, which could not be certified: see the table below." in few
    assert (
        "Anything for s0, s1, s2, s3 and 5 more, which could not be certified: see the table below." in many
    )
