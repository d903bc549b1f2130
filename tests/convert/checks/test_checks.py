"""Every kind of check passes a good model and stops one that is broken in exactly that way."""

from __future__ import annotations

import io
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from tamiz_convert import Specification, SpecificationError, check_bundle, export
from tamiz_convert.bundles.subject import Subject
from tamiz_convert.checks import run_checks, show_results, specification_of
from tamiz_convert.checks.sections import SliceCheck
from tamiz_convert.rows.labeled import labeled

from .applicants import NUMBERS, applicants, fitted


@pytest.fixture(scope="module")
def train():
    return applicants(3000, 0)


@pytest.fixture(scope="module")
def calibration():
    return applicants(1500, 1)


@pytest.fixture(scope="module")
def rows():
    return applicants(3000, 2)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, calibration):
    """Return a function that exports an estimator and returns the bundle's folder."""
    root = tmp_path_factory.mktemp("models")

    def make(estimator, *, threshold=0.8, calibrator="temperature", held_out=calibration):
        folder = root / f"m{len(list(root.iterdir()))}" / "1"
        export(
            estimator,
            folder,
            calibration=held_out,
            threshold=threshold,
            calibrator=calibrator,
            certification_fraction=0.3,
            allow_duplicates=True,
            report=False,
        )
        return folder

    return make


@pytest.fixture(scope="module")
def good(bundle, train):
    return bundle(fitted(*train))


def statuses(results):
    return {result.name: result.status for result in results}


def check(folder, rows, section, asked, **options):
    """Return the results of one section."""
    return check_bundle(folder, *rows, {"version": 1, section: asked}, **options)


ACCURACY = [{"by": ["region"], "metric": "accuracy", "min_lower_bound": 0.8}]


def test_accuracy_in_every_slice(good, bundle, train, rows):
    assert statuses(check(good, rows, "slices", ACCURACY)) == {
        "accuracy, region = north": "passed",
        "accuracy, region = south": "passed",
    }
    table, labels = train
    wrong_in_the_south = np.where(table["region"] == "south", labels[::-1], labels)
    broken = bundle(fitted_per_region(table, wrong_in_the_south))
    results = check(broken, rows, "slices", ACCURACY)
    assert statuses(results) == {"accuracy, region = north": "passed", "accuracy, region = south": "failed"}
    assert "too low to be chance" in results[1].message
    assert results[1].blocks


def fitted_per_region(table, labels):
    """A tree, which can be right in one region and guess in the other."""
    columns = ColumnTransformer([("t", OneHotEncoder(), ["region"]), ("n", "passthrough", NUMBERS)])
    return make_pipeline(columns, DecisionTreeClassifier(max_depth=7, random_state=0)).fit(table, labels)


def test_coverage_and_error_among_accepted_rows_by_several_columns(good, rows):
    asked = [
        {"by": ["region", "postcode"], "metric": "coverage", "min_lower_bound": 0.5},
        {"by": [], "metric": "selective_risk", "max_upper_bound": 0.08},
        {"by": ["region"], "metric": "selective_risk", "max_upper_bound": 0.001},
    ]
    results = check(good, rows, "slices", asked)
    assert [result.status for result in results] == ["passed"] * 7 + ["failed"] * 2
    assert results[0].name == "coverage, region = north, postcode = p1"


def test_a_slice_with_few_rows_is_inconclusive_and_not_passed(good, rows):
    table, labels = rows
    few = table.assign(region=np.where(np.arange(len(table)) < 12, "island", "mainland"))
    results = check(good, (few, labels), "slices", ACCURACY)
    assert statuses(results) == {
        "accuracy, region = island": "inconclusive",
        "accuracy, region = mainland": "passed",
    }
    assert not any(result.blocks for result in results)
    strict = {"version": 1, "on_inconclusive": "block", "slices": ACCURACY}
    assert [result.blocks for result in check_bundle(good, few, labels, strict)] == [True, False]


def test_rows_with_a_missing_value_are_a_slice_of_their_own(good, rows):
    table, labels = rows
    with_channel = table.assign(channel=np.where(np.arange(len(table)) % 2, "web", None))
    asked = [{"by": "channel", "metric": "accuracy", "min_lower_bound": 0.8}]
    assert set(statuses(check(good, (with_channel, labels), "slices", asked))) == {
        "accuracy, channel = (missing)",
        "accuracy, channel = web",
    }


def test_the_gate_has_to_answer_enough(good, bundle, train, rows):
    asked = {"min_coverage": 0.5, "max_selective_risk": 0.08}
    assert set(statuses(check(good, rows, "selective", asked)).values()) == {"passed"}
    shy = bundle(fitted(*train), threshold=0.999)
    assert statuses(check(shy, rows, "selective", asked))["gate: coverage"] == "failed"


def test_cases_of_a_file_have_to_be_right(good, bundle, train, calibration, rows, tmp_path):
    cases = pd.DataFrame(
        {"income": [90.0, 10.0], "debt": [5.0, 50.0], "region": "north", "postcode": "p1"}
    ).assign(expected=["repays", "default"])
    cases.to_csv(tmp_path / "obvious.csv", index=False)
    asked = [{"name": "obvious", "data": str(tmp_path / "obvious.csv"), "target": "expected"}]
    assert statuses(check(good, rows, "minimum_functionality", asked)) == {"obvious": "passed"}
    learned, held_out = (
        (table, np.where(labels == "default", "repays", "default")) for table, labels in (train, calibration)
    )
    reversed_model = bundle(fitted(*learned), held_out=held_out)
    (result,) = check(reversed_model, rows, "minimum_functionality", asked)
    assert (result.status, result.observed) == ("failed", 1.0)
    assert "the first is row 0" in result.message


@pytest.mark.parametrize(
    ("files", "content", "refused"),
    [
        (
            {},
            "income,region,debt,postcode,expected\n-,north,5,p1,repays\n",
            "missing-values; here a key of `files`",
        ),
        ({"missing_values": ["-"]}, "income,region,debt,postcode,expected\n-,north,5,p1,repays\n", ""),
        ({"separator": ":"}, "income:region:debt:postcode:expected\n90:north:5:p1:repays\n", ""),
        ({"encoding": "utf-16-le"}, "income,region,debt,postcode,expected\n90,north,5,p1,repays\n", ""),
    ],
    ids=["", "missing_values", "separator", "encoding"],
)
def test_the_specification_says_how_its_files_are_read(good, rows, tmp_path, files, content, refused):
    path = tmp_path / "cases.csv"
    path.write_text(content, encoding=files.get("encoding", "utf-8"))
    case = {"name": "few", "data": str(path), "target": "expected", "max_failure_rate": 1.0}
    asked = {"version": 1, "files": files, "minimum_functionality": [case]}
    with pytest.raises(SpecificationError, match=refused) if refused else nullcontext():
        assert statuses(check_bundle(good, *rows, asked)) == {"few": "passed"}


INVARIANCE = {
    "name": "postcode",
    "columns": ["postcode"],
    "transform": {"permute_within": "region"},
    "max_label_flip_rate_ub": 0.05,
    "max_mean_abs_dp": 0.03,
}


def test_a_change_that_means_nothing_changes_nothing(good, bundle, train, rows):
    assert set(statuses(check(good, rows, "invariance", [INVARIANCE])).values()) == {"passed"}
    leaking = [
        (table.assign(postcode=np.where(labels == "default", "p1", "p2")), labels)
        for table, labels in (train, applicants(1500, 1))
    ]
    broken = bundle(fitted(*leaking[0]), held_out=leaking[1])
    assert statuses(check(broken, rows, "invariance", [INVARIANCE])) == {
        "postcode: all rows": "failed",
        "postcode: accepted rows": "failed",
        "postcode: accepted, then abstained": "failed",
        "postcode: probability, all rows": "failed",
        "postcode: probability, accepted rows": "failed",
    }


@pytest.mark.parametrize(
    "transform", ["permute", {"replace": "p2"}, {"map": {"p1": "p3", "p3": "p1"}}], ids=str
)
def test_other_changes_that_mean_nothing(good, rows, transform):
    asked = INVARIANCE | {"transform": transform}
    assert set(statuses(check(good, rows, "invariance", [asked])).values()) == {"passed"}


def test_exchanging_two_columns_is_seen(good, rows):
    asked = INVARIANCE | {"columns": ["income", "debt"], "transform": "swap"}
    assert statuses(check(good, rows, "invariance", [asked]))["postcode: all rows"] == "failed"


def test_a_break_that_only_turns_answers_into_abstentions_is_a_warning(bundle, train):
    table, labels = train
    shaken = INVARIANCE | {"columns": ["debt"], "transform": {"scale": 1.1}, "max_mean_abs_dp": None}
    shaken |= {"max_label_flip_rate_ub": 0.075}
    strict = bundle(fitted(table, labels), threshold=0.95)
    results = check(strict, applicants(12_000, 3), "invariance", [shaken])
    assert statuses(results) == {
        "postcode: all rows": "passed",
        "postcode: accepted rows": "passed",
        "postcode: accepted, then abstained": "failed",
    }
    assert not any(result.blocks for result in results)


PERTURBATION = {
    "name": "noise",
    "columns": NUMBERS,
    "transform": {"gaussian": {"rel_std": 0.02}},
    "repeats": 3,
    "max_label_flip_rate_ub": 0.06,
    "must_not_raise_confidence": True,
}


def test_noise_changes_little(good, bundle, train, rows):
    assert set(statuses(check(good, rows, "perturbation", [PERTURBATION])).values()) == {"passed"}
    table, labels = train
    overfitted = make_pipeline(DecisionTreeClassifier(random_state=0)).fit(table[NUMBERS].to_numpy(), labels)
    numbers = rows[0][NUMBERS].to_numpy()
    held_out = applicants(1500, 1)
    nervous = bundle(overfitted, held_out=(held_out[0][NUMBERS].to_numpy(), held_out[1]))
    by_number = PERTURBATION | {"columns": [0, 1]}
    results = statuses(check(nervous, (numbers, rows[1]), "perturbation", [by_number]))
    assert results["noise: all rows"] == "failed"


def test_noise_that_makes_the_model_surer_is_seen(good, rows):
    asked = PERTURBATION | {"transform": {"scale": 1.5}, "max_label_flip_rate_ub": 0.9}
    assert statuses(check(good, rows, "perturbation", [asked]))["noise: confidence"] == "failed"


def test_the_same_seed_makes_the_same_noise_whatever_else_is_checked(good, rows):
    alone = check(good, rows, "perturbation", [PERTURBATION], seed=3)
    both = {"version": 1, "invariance": [INVARIANCE], "perturbation": [PERTURBATION]}
    among = check_bundle(good, *rows, both, seed=3)
    assert [each.observed for each in alone] == [each.observed for each in among[5:]]
    twice = check(good, rows, "perturbation", [PERTURBATION, PERTURBATION], seed=3)
    assert [each.observed for each in twice[:4]] != [each.observed for each in twice[4:]]
    other = check(good, rows, "perturbation", [PERTURBATION], seed=4)
    assert [each.observed for each in other] != [each.observed for each in alone]


DIRECTION = {
    "columns": ["income"],
    "transform": {"scale": 1.1},
    "target": "default",
    "direction": "decrease",
    "max_violation_rate_ub": 0.02,
}


def test_a_change_moves_probabilities_the_right_way(good, rows):
    results = check(good, rows, "directional", [DIRECTION])
    assert statuses(results) == {"scale income: all rows": "passed", "scale income: accepted rows": "passed"}
    wrong_way = check(good, rows, "directional", [DIRECTION | {"direction": "increase"}])
    assert {result.status for result in wrong_way} == {"failed"}


def test_a_movement_within_the_tolerance_is_none(good, rows):
    patient = DIRECTION | {"direction": "increase", "tolerance": 0.9}
    assert set(statuses(check(good, rows, "directional", [patient])).values()) == {"passed"}


def test_garbage_abstains(good, bundle, train, rows, tmp_path):
    table, _ = rows
    doubtful = table.assign(income=50.0, debt=20.0)
    doubtful.to_parquet(tmp_path / "doubtful.parquet")
    asked = [
        {"data": str(tmp_path / "doubtful.parquet"), "min_abstain_rate_lb": 0.95},
        {"generate": "nan", "expect": "all_abstain"},
    ]
    assert [each.status for each in check(good, rows, "abstention", asked)] == ["passed", "passed"]
    open_gate = bundle(fitted(*train), threshold=0.0)
    assert [each.status for each in check(open_gate, rows, "abstention", asked)] == ["failed", "passed"]


def test_a_linear_model_is_sure_far_outside_of_what_it_saw_and_that_is_said(good, rows):
    asked = [{"generate": kind, "expect": "all_abstain"} for kind in ("out_of_range", "shuffled_columns")]
    for result in check(good, rows, "abstention", asked):
        assert result.status == "failed"
        assert "rows are answered; all must abstain" in result.message


def test_what_cannot_be_missing_makes_no_garbage(bundle, train):
    whole, labels = train[0][NUMBERS].round().astype(int), train[1]
    model = make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=3)).fit(whole, labels)
    folder = bundle(
        model, held_out=(applicants(600, 5)[0][NUMBERS].round().astype(int), applicants(600, 5)[1])
    )
    with pytest.raises(
        SpecificationError, match=r"abstention\[0\]: the rows have no column that nan rows could be made from"
    ):
        check(folder, (whole, labels), "abstention", [{"generate": "nan", "expect": "all_abstain"}])


def test_limits_of_parity_are_the_callers_own(good, rows):
    asked = {"max_abs_prob": 1e-6, "label_flips": 0}
    assert set(statuses(check(good, rows, "parity", asked)).values()) == {"passed"}
    subject = Subject.read(good)
    subject.manifest.parity.max_probability_difference = 1e-3
    subject.manifest.parity.label_flips = 2
    given = labeled(*rows, subject.classes, "check")
    results = run_checks(specification_of({"version": 1, "parity": asked}), subject, given, baselines={})
    assert statuses(results) == {"parity: probabilities": "failed", "parity: labels": "failed"}


CALIBRATION = {
    "min_p": 0.01,
    "ece": {"max_excess_over_null_q95": 0.005},
    "log_loss_not_worse_than": "identity",
}


def test_probabilities_have_to_be_what_they_say(good, bundle, train, rows):
    assert set(statuses(check(good, rows, "calibration", CALIBRATION)).values()) == {"passed"}
    too_sure = fitted(*train)
    too_sure[-1].coef_ *= 4
    too_sure[-1].intercept_ *= 4
    results = statuses(check(bundle(too_sure, calibrator="none"), rows, "calibration", CALIBRATION))
    assert results == {
        "calibration: Spiegelhalter's test": "failed",
        "calibration: expected error (ECE)": "failed",
        "calibration: log loss": "passed",
    }
    assert set(statuses(check(bundle(too_sure), rows, "calibration", CALIBRATION)).values()) == {"passed"}


def test_a_calibrator_may_not_do_harm(bundle, train, rows, calibration):
    table, labels = calibration
    random = np.random.default_rng(0)
    blurred = np.where(random.random(len(labels)) < 0.35, random.permutation(labels), labels)
    spoiled = bundle(fitted(*train), held_out=(table, blurred))
    assert statuses(check(spoiled, rows, "calibration", CALIBRATION))["calibration: log loss"] == "failed"


def test_margins_have_no_log_loss_to_compare_with(bundle, train, rows, calibration):
    svc = make_pipeline(StandardScaler(), LinearSVC()).fit(train[0][NUMBERS], train[1])
    folder = bundle(svc, calibrator="sigmoid", held_out=(calibration[0][NUMBERS], calibration[1]))
    with pytest.raises(SpecificationError, match="no probabilities of its own; remove the key"):
        check(folder, rows, "calibration", CALIBRATION)


def test_time_has_a_budget(good, rows):
    results = check(good, rows, "latency", {"max_us_1_row": 1e6, "max_us_64_rows": 1e-3})
    assert statuses(results) == {"latency: 1 row": "passed", "latency: 64 rows": "failed"}


def test_a_table_of_results_says_each_thing_once_and_numbers_for_people(good, rows):
    asked = {"version": 1, "latency": {"max_us_1_row": 2e4}, "calibration": {"min_p": 0.001}}
    results = check_bundle(good, *rows, asked)
    console = Console(file=io.StringIO(), width=200)
    show_results(results, console)
    first, second = (line.split("  ")[0] for line in console.file.getvalue().splitlines()[1:3])
    assert (first, second) == ("latency: 1 row", "calibration: Spiegelhalter's test")
    assert "20,000" in console.file.getvalue()
    assert repr(results[0]).startswith("CheckResult(passed, latency: 1 row: the median time of a batch is ")


def test_simpler_rules_have_to_be_beaten(good, bundle, train, rows):
    table, labels = rows
    with_rule = table.assign(old=np.where(table["debt"] > 20, "default", "repays"), perfect=labels)
    asked = [
        {"against": "majority", "min_gain": 0.2},
        {"against": "richer", "min_gain": 0.05},
        {"column": "old", "min_gain": 0.05},
        {"column": "perfect"},
    ]
    rules = {"richer": lambda given: np.where(given["income"] > 50, "repays", "default")}
    results = check(good, (with_rule, labels), "baseline", asked, baselines=rules)
    assert [each.status for each in results] == ["passed", "passed", "passed", "failed"]
    (result,) = check(
        bundle(fitted(*train, columns=["postcode"])), rows, "baseline", [{"against": "majority"}]
    )
    assert result.status == "failed"


# Two models that say what one column says, so that who is right on which row is exact.
def parrot(column):
    table = pd.DataFrame({"a": [0.0, 0.0, 1.0, 1.0], "b": [0.0, 1.0, 0.0, 1.0], "number": 0.0})
    return DecisionTreeClassifier(random_state=0).fit(table, table[column].astype(int))


def simpson_rows(n_large=3600, n_small=400):
    """A is right on 98 % of the large group (90 % of rows) and 80 % of the small one, B on 95 % of both."""
    random = np.random.default_rng(0)
    parts = []
    for group, n, right_a, right_b in (("large", n_large, 0.98, 0.95), ("small", n_small, 0.80, 0.95)):
        y = random.integers(0, 2, n)
        part = pd.DataFrame({"group": group, "y": y})
        for name, right in (("a", right_a), ("b", right_b)):
            is_right = random.permutation(n) < round(right * n)
            part[name] = np.where(is_right, y, 1 - y).astype(float)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table["number"] = np.arange(len(table), dtype=float)
    return table[["a", "b", "number", "group"]], table["y"]


def parrots(bundle, rows):
    table, labels = rows
    held_out = (table[["a", "b", "number"]], labels)
    return {
        name: bundle(parrot(name), held_out=held_out, calibrator="isotonic", threshold=0.5) for name in "ab"
    }


def test_a_hundred_rows_of_a_small_group_are_enough_to_see_such_a_loss(bundle):
    rows = simpson_rows(900, 100)
    folders = parrots(bundle, rows)
    asked = {"compare_to": str(folders["b"]), "by": ["group"], "max_regression": 0.02}
    small = check(folders["a"], rows, "comparison", [asked])[2]
    assert small.name.endswith("group = small")
    assert (small.status, small.blocks) == ("failed", True)


def test_a_gain_in_a_large_group_does_not_hide_a_loss_in_a_small_one(bundle):
    table, labels = rows = simpson_rows()
    folders = parrots(bundle, rows)
    right = {name: (table[name] == labels) for name in "ab"}
    assert right["a"].mean() == pytest.approx(0.962)
    assert right["b"].mean() == pytest.approx(0.95)

    asked = {"compare_to": str(folders["b"]), "by": ["group"], "max_regression": 0.02}
    results = check(folders["a"], rows, "comparison", [asked])
    assert statuses(results) == {
        "accuracy against production, all rows": "passed",
        "accuracy against production, group = large": "passed",
        "accuracy against production, group = small": "failed",
    }
    assert results[2].observed == pytest.approx(0.15)
    assert results[2].blocks
    overall_only = check(folders["a"], rows, "comparison", [asked | {"every_slice": False}])
    assert {result.status for result in overall_only} == {"passed"}
    assert len(overall_only) == 1
    selective = check(folders["a"], rows, "comparison", [asked | {"metric": "selective_risk"}])
    assert [result.status for result in selective] == ["passed", "passed", "failed"]


def test_a_model_keeps_up_with_itself(good, rows):
    asked = [{"compare_to": str(good), "by": ["region"], "max_regression": 0.01}]
    assert set(statuses(check(good, rows, "comparison", asked)).values()) == {"passed"}


def test_a_specification_in_python_is_the_same_as_one_in_yaml(good, rows):
    made = Specification(
        version=1, slices=(SliceCheck(by=("region",), metric="accuracy", min_lower_bound=0.8),)
    )
    assert check_bundle(good, *rows, made) == check(good, rows, "slices", ACCURACY)


def test_a_warning_never_stops_the_export(good, rows):
    asked = [{"by": [], "metric": "accuracy", "min_lower_bound": 0.999, "severity": "warn"}]
    (result,) = check(good, rows, "slices", asked)
    assert (result.status, result.blocks) == ("failed", False)


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "int64[pyarrow]", "double[pyarrow]"])
@pytest.mark.parametrize("kind", ["nan", "out_of_range", "shuffled_columns"])
def test_rows_are_made_of_nullable_columns(dtype, kind, good, rows):
    table, labels = rows
    columns = {name: pd.array(np.arange(len(table)) % 7, dtype=dtype) for name in ("beside", "more")}
    asked = [{"generate": kind, "min_abstain_rate_lb": 0.0001}]
    (result,) = check(good, (table.assign(**columns), labels), "abstention", asked)
    assert result.status in ("passed", "failed", "inconclusive")
