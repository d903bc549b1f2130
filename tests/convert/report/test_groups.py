"""Does it hold for every group: by true class as well, in sentences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, hypergeom
from tests.convert.report.conftest import page_text

from tamiz.v1.manifest_pb2 import Certificate, Classes, Manifest, Threshold
from tamiz_convert.evidence import Evidence, ScoredRows
from tamiz_convert.report import report_data
from tamiz_convert.report.holds import Limit, judged


def evidence(counts, names, *, max_error=0.1, slices=None, open_=True):
    """Rows with (true class, predicted class): how many; all are answered if the gate is open."""
    y = np.repeat([truth for truth, _ in counts], list(counts.values()))
    predicted = np.repeat([taken for _, taken in counts], list(counts.values()))
    probabilities = np.full((len(y), len(names)), 0.1 / (len(names) - 1))
    probabilities[np.arange(len(y)), predicted] = 0.9
    threshold = Threshold(value=0.5)
    if max_error is None:
        threshold.not_certified = "fixed by the caller"
    else:
        threshold.certificate.CopyFrom(Certificate(max_error=max_error, confidence_level=0.9, n_rows=len(y)))
    rows = ScoredRows(y, probabilities, None, np.full(len(y), 0.5 if open_ else 2.0), slices or {})
    return Evidence(
        Manifest(name="m", classes=Classes(strings=names), threshold=threshold), rows, rows, version=7
    )


LOANS = evidence({(0, 0): 4000, (1, 0): 20, (1, 1): 5}, ["no", "yes"])


def by_name(found):
    return {each["value"]: each for each in found["values"]}


def test_a_class_that_is_failed_is_failed_by_true_class_and_fine_by_predicted_class():
    data = report_data(LOANS)
    truly, answered = by_name(data["true_classes"]), by_name(data["slices"][0])
    assert (truly["yes"]["n_errors"], truly["yes"]["n_accepted"]) == (20, 25)
    assert truly["yes"]["holds"] == "no"
    assert truly["yes"]["taken_for"] == "no"
    assert truly["no"]["holds"] == "yes"
    assert answered["yes"]["error"] == 0.0
    assert answered["yes"]["holds"] == "unknown"  # 0 of 5 prove nothing
    assert answered["yes"]["rows_to_tell"] == 29  # .9 ** 29 is below .05, the last step of Holm


def test_the_page_says_so_at_its_top_and_what_to_do():
    top, rest = page_text(LOANS).split("<main", 1)
    said = (
        "Rows that are truly “yes”: 20 of 25 answers wrong (80.0%; over all answers at most 10% is promised)"
    )
    assert said in top
    assert "They are mostly taken for “no”." in top
    assert said in rest
    assert "Train it with more such rows" in rest
    assert "about 29 answered rows like these would tell" in rest
    assert "No: not for true class “yes”." in rest


@pytest.mark.parametrize(
    ("counts", "names", "failed"),
    [
        ({(0, 0): 900, (1, 1): 90, (2, 0): 30}, ["a", "b", "c"], {"c"}),
        ({(0, 0): 50, (0, 1): 40, (1, 1): 2000, (2, 2): 60, (2, 1): 60}, ["a", "b", "c"], {"a", "c"}),
        ({(0, 0): 300, (1, 1): 300}, ["a", "b"], set()),
        ({(0, 0): 60, (0, 1): 4, (1, 1): 60, (1, 0): 4}, ["a", "b"], set()),
    ],
)
@pytest.mark.parametrize("max_error", [0.1, None])
def test_the_classes_that_are_failed_are_named(counts, names, failed, max_error):
    made = evidence(counts, names, max_error=max_error)
    found = by_name(report_data(made)["true_classes"])
    assert {value for value, each in found.items() if each["holds"] == "no"} == failed
    top = page_text(made).split("<main", 1)[0]
    assert {name for name in names if f"truly “{name}”" in top} == failed


def test_every_column_has_a_sentence_per_group():
    city = np.array(["Oslo"] * 3000 + ["Bergen"] * 900 + ["Kirkenes"] * 25 + ["Vardø"] * 100)
    y = np.zeros(4025, dtype=np.int64)
    made = evidence({(0, 0): 3000, (0, 1): 25, (1, 1): 1000}, ["a", "b"], slices={"city": city})
    rows = replace(made.certification, y=np.where(city == "Vardø", y, made.certification.y))
    shut = np.where(city == "Kirkenes", 2.0, 0.5)
    page = page_text(replace(made, certification=replace(rows, thresholds=shut)))
    assert "city “Vardø”: 100 of 100 answers wrong" in page
    assert "Export with slice_by=&quot;city&quot;" in page
    assert "city “Kirkenes”: no row is answered" in page
    assert "It holds for “Oslo” and “Bergen”." in page


def test_nothing_answered_is_never_and_no_failure():
    shut = evidence({(0, 0): 50, (1, 0): 20}, ["a", "b"], open_=False)
    assert {each["holds"] for each in report_data(shut)["true_classes"]["values"]} == {"never"}
    assert "truly" not in page_text(shut).split("<main", 1)[0]


@pytest.mark.parametrize(("k", "n"), [(0, 1), (3, 40), (25, 25), (0, 0)])
def test_the_tests_are_exact(k, n):
    promised = Limit(0.1, 400, 30)
    assert promised.p_value_for(k, n) == pytest.approx(binom.cdf(k, n, 0.1))
    assert promised.p_value_against(k, n) == pytest.approx(binom.sf(k - 1, n, 0.1))
    assert Limit(None, 400, 30).p_value_against(k, n) == pytest.approx(hypergeom.sf(k - 1, 400, 30, n))
    assert Limit(None, 400, 30).p_value_for(k, n) == 1.0


def test_many_groups_that_are_all_fine_are_seldom_called_broken():
    random = np.random.default_rng(0)
    wrong = 0
    for _ in range(100):
        errors = random.binomial(60, 0.1, size=40).tolist()
        values = [{"n_accepted": 60, "n_errors": k} for k in errors]
        found = judged({"values": values}, Limit(0.1, 2400, sum(errors)))
        wrong += any(each["holds"] == "no" for each in found["values"])
    assert wrong <= 12  # at most 5 are expected


def test_the_version_stands_in_title_and_heading():
    page = page_text(LOANS)
    assert "<title>m, version 7</title>" in page
    assert "<h1>m, version 7</h1>" in page
    assert "<title>m</title>" in page_text(replace(LOANS, version=0))
    assert report_data(LOANS)["model"]["version"] == 7
    assert report_data(replace(LOANS, version=0))["model"]["version"] is None


def test_what_has_a_certificate_is_marked_apart_from_what_has_none():
    assert 'class="badge">certified<' in page_text(LOANS)
    without = page_text(evidence({(0, 0): 50, (1, 1): 20}, ["a", "b"], max_error=None))
    assert 'class="badge">not certified<' in without
    assert '<body class="uncertified">' in without


@pytest.mark.parametrize("word", ["split-fixed-sequence-testing", "e−", "e-0", "(s)", "nan"])
def test_the_page_uses_plain_words(customers_evidence, word):
    body = page_text(customers_evidence).split("</style>")[1].split("<script>")[0]
    assert word not in body


def test_both_diagrams_have_the_same_axes(digits_evidence):
    page = page_text(digits_evidence)
    drawn = [part.split("</svg>")[0] for part in page.split("Right predictions by confidence, ")[1:]]
    ticks = [
        [each.split("<")[0] for each in part.split(">") if each.split("<")[0].endswith("%")] for part in drawn
    ]
    assert len(ticks) == 2
    assert ticks[0] == ticks[1]


def test_four_metrics_are_open_and_the_others_folded(customers_evidence):
    section = page_text(customers_evidence).split('id="calibration"')[1].split("</section>")[0]
    shown, folded = section.split("more metrics</summary>")
    for name in ("accuracy:", "log loss", "Brier score", "15 bins of equal width"):
        assert name in shown.split("Metrics on the certification rows")[-1]
    assert "generalized risk-coverage" in folded
