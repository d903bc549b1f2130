"""What is said of a threshold: also at stricter ones, whatever is promised."""

from __future__ import annotations

import pytest

from tamiz.v1.manifest_pb2 import Certificate, Promise, SubsetThreshold, Threshold
from tamiz_convert.certificates.promise_text import promise_and_stricter, promise_lines


@pytest.mark.parametrize(
    ("certificate", "says"),
    [
        (
            Certificate(proven_thresholds=[0.8, 0.9, 0.95]),
            "stricter thresholds: 2 proven too, up to 0.95; a stricter wish is raised to the next of them",
        ),
        (Certificate(proven_thresholds=[0.8]), "stricter thresholds: none is proven"),
        (Certificate(), "stricter thresholds: none is proven"),  # an old bundle
        (
            Certificate(promise=Promise.PROMISE_JOINT_ERROR),
            "stricter thresholds: every one keeps the promise",
        ),
        (
            Certificate(promise=Promise.PROMISE_COVERAGE),
            "stricter thresholds: none is proven, because they answer less",
        ),
    ],
)
def test_a_reader_is_told_what_is_proven_at_stricter_thresholds(certificate, says):
    whole = Threshold(value=0.8, certificate=certificate)
    assert promise_lines(whole)[1:] == [f"  {says}"]
    assert promise_and_stricter(whole).endswith(f"; {says}")
    subset = SubsetThreshold(name="north", value=0.8, certificate=certificate)
    divided = Threshold(value=0.8, certificate=Certificate(), subdivision=2, slice_input="region")
    divided.subsets.append(subset)
    overall, north = promise_lines(divided)
    assert north.startswith("  region north: threshold 0.8")
    assert north.endswith(f"; {says}")
    assert "stricter" not in overall + promise_and_stricter(divided)


def test_nothing_is_said_of_stricter_thresholds_where_nothing_is_promised():
    fixed = Threshold(value=0.8, not_certified="fixed by the caller")
    assert promise_lines(fixed) == [promise_and_stricter(fixed)]
