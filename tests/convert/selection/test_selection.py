"""Which calibrator wins: the cut-offs at their edges, the rule, the veto, and how rows are folded."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)

from tamiz_convert.calibrators import METHODS, beta
from tamiz_convert.calibrators.calibrator import Candidacy
from tamiz_convert.calibrators.methods import fit
from tamiz_convert.errors import EstimatorError, ExportError, RowsError
from tamiz_convert.metrics.losses import log_loss, log_losses
from tamiz_convert.metrics.ranking import aurc
from tamiz_convert.selection import SelectionSettings, select_calibrator
from tamiz_convert.selection.candidates import Rows, objection
from tamiz_convert.selection.choice import Judges, _ranking_difference, choose, ranking, standard_error
from tamiz_convert.selection.folds import fold
from tamiz_convert.selection.out_of_fold import OutOfFold, out_of_fold

DEFAULTS = SelectionSettings()


def binary(
    n: int, seed: int = 0, *, sharpness: float = 2.0, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `sharpness` times as sure as they should be, and off by `shift`."""
    random = np.random.default_rng(seed)
    truth = random.normal(0, 1.5, n)
    return (truth * sharpness + shift)[:, None], (random.random(n) < expit(truth)).astype(np.int64)


def several(n: int, n_classes: int, seed: int = 0, *, bias: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.normal(0, 2, (n, n_classes))
    y = (softmax(truth, axis=1).cumsum(axis=1) > random.random((n, 1))).argmax(axis=1)
    return 2 * truth + bias * np.arange(n_classes), y


def statuses(selection) -> dict[str, str]:
    return {candidate.method: candidate.status for candidate in selection.candidates}


def test_every_calibrator_stands_in_the_table_by_its_own_name():
    assert {name: METHODS[name].method for name in METHODS} == {name: name for name in METHODS}


def asks(method: str, **limits: int) -> dict[str, dict[str, Candidacy]]:
    return {"candidacies": {method: replace(METHODS[method].candidacy, **limits)}}


MANY = Rows("probabilities", 2, 20_000, 10_000)
MANY_OF_FOUR = replace(MANY, n_classes=4)


@pytest.mark.parametrize(
    ("method", "enough", "too_few", "why"),
    [
        ("temperature", replace(MANY, n_rows=100), replace(MANY, n_rows=99), "needs 100 rows, there are 99"),
        ("sigmoid", replace(MANY, n_rows=100), replace(MANY, n_rows=99), "needs 100 rows, there are 99"),
        (
            "vector",
            replace(MANY_OF_FOUR, n_rows=100),
            replace(MANY_OF_FOUR, n_rows=99),
            "needs 100 rows, ther",
        ),
        (
            "vector",
            replace(MANY_OF_FOUR, n_minor=2),
            replace(MANY_OF_FOUR, n_minor=1),
            "needs 2 rows of the rarest class",
        ),
        (
            "sigmoid",
            replace(MANY, n_rows=2_000_000),
            replace(MANY, n_rows=2_000_001),
            "would take minutes in every fold: 2,000,001 scores, and at most 2,000,000 are compared; it can",
        ),
        (
            "vector",
            Rows("logits", 1_000, 2_000, 2),
            Rows("logits", 1_000, 5_000, 5),
            "would take minutes in every fold: 5,000,000 scores",
        ),
        (
            "venn-abers",
            Rows("logits", 100, 10_000, 10),
            Rows("logits", 101, 10_000, 10),
            "would take minutes in every fold: 1,010,000 scores",
        ),
        (
            "sigmoid",
            replace(MANY, n_minor=15),
            replace(MANY, n_minor=14),
            "needs 15 rows of the rarest class, th",
        ),
        (
            "sigmoid-logit",
            replace(MANY, n_minor=15),
            replace(MANY, n_minor=14),
            "needs 15 rows of the rarest",
        ),
        (
            "beta",
            replace(MANY, n_minor=15),
            replace(MANY, n_minor=14),
            "needs 15 rows of the rarest class, there",
        ),
        (
            "venn-abers",
            replace(MANY, n_minor=10),
            replace(MANY, n_minor=9),
            "needs 10 rows of the rarest class",
        ),
        (
            "isotonic",
            replace(MANY, n_minor=300),
            replace(MANY, n_minor=299),
            "needs 300 rows of the rarest class",
        ),
        ("venn-abers", MANY, replace(MANY, n_rows=20_001), "is for at most 20,000 rows, there are 20,001"),
        (
            "dirichlet",
            replace(MANY_OF_FOUR, n_rows=320),
            replace(MANY_OF_FOUR, n_rows=319),
            "needs 320 rows for 4",
        ),
        ("dirichlet", MANY_OF_FOUR, MANY, "is for more than two classes"),
        ("vector", MANY_OF_FOUR, MANY, "is for more than two classes"),
        (
            "sigmoid-logit",
            MANY,
            replace(MANY, kind="logits"),
            "is the same as sigmoid, since the scores are logits",
        ),
        (
            "sigmoid-logit",
            MANY,
            replace(MANY, kind="margins"),
            "is the same as sigmoid, since the scores are mar",
        ),
        ("none", MANY, replace(MANY, kind="margins"), "needs probabilities, and the scores are margins"),
        ("beta", MANY, replace(MANY, kind="margins"), "needs probabilities, and the scores are margins"),
        (
            "dirichlet",
            MANY_OF_FOUR,
            replace(MANY_OF_FOUR, kind="margins"),
            "needs probabilities, and the scor",
        ),
    ],
)
def test_who_is_a_candidate_on_how_many_rows(method, enough, too_few, why):
    assert objection(method, enough, DEFAULTS) is None
    assert objection(method, too_few, DEFAULTS).startswith(why)


@pytest.mark.parametrize("kind", ["logits", "probabilities", "margins"])
def test_the_estimators_own_ranking_is_always_a_candidate(kind):
    rows = Rows(kind, 2, 0, 0)
    assert objection(rows.reference, rows, DEFAULTS) is None


@pytest.mark.parametrize(
    ("method", "rows", "change", "why"),
    [
        (
            "temperature",
            MANY,
            {"rows_to_fit": 25_000, "rows_to_compare": 25_000},
            "needs 25,000 rows, there are 20,000",
        ),
        ("sigmoid", MANY, {"rows_to_compare": 25_000}, "needs 25,000 rows, there are 20,000"),
        ("sigmoid", MANY, asks("sigmoid", minor_rows=10_001), "needs 10,001 rows of the rarest class"),
        ("beta", MANY, asks("beta", minor_rows=10_001), "needs 10,001 rows of the rarest class"),
        ("venn-abers", MANY, asks("venn-abers", minor_rows=10_001), "needs 10,001 rows of the rarest class"),
        ("venn-abers", MANY, asks("venn-abers", most_rows=19_999), "is for at most 19,999 rows"),
        ("isotonic", MANY, asks("isotonic", minor_rows=10_001), "needs 10,001 rows of the rarest class"),
        (
            "dirichlet",
            MANY_OF_FOUR,
            asks("dirichlet", rows_per_squared_class=1_251),
            "needs 20,016 rows for 4 classes",
        ),
    ],
)
def test_a_cut_off_that_is_changed_is_respected(method, rows, change, why):
    assert objection(method, rows, DEFAULTS) is None
    assert objection(method, rows, replace(DEFAULTS, rows_to_take_lowest=30_000, **change)).startswith(why)


def test_on_fewer_than_a_hundred_rows_nothing_is_fitted_that_can_be_avoided():
    scores, y = binary(99)
    found = select_calibrator(scores, y, kind="logits", n_classes=2)
    assert found.method == "none"
    assert found.n_judging == 0
    assert statuses(found)["temperature"] == "not a candidate: needs 100 rows, there are 99"
    (note,) = found.notes
    assert note.startswith("99 calibration rows")
    assert note.endswith("bring 100 or more")
    assert select_calibrator(scores, y, kind="margins", n_classes=2).method == "temperature"


@pytest.mark.parametrize("n", [100, 299])
def test_where_no_more_is_compared_temperature_wins_unless_it_is_worse(n):
    few = replace(DEFAULTS, rows_to_compare=300)
    sure = select_calibrator(*binary(n, sharpness=3.0), kind="logits", n_classes=2, settings=few)
    assert sure.method == "temperature"
    assert [candidate.method for candidate in sure.candidates if candidate.metrics] == ["none", "temperature"]
    assert "unless it makes the out-of-fold log loss worse" in sure.reason
    winners = set()
    for seed in range(12):
        found = select_calibrator(*binary(n, seed, sharpness=1.0), kind="logits", n_classes=2, settings=few)
        none, temperature = (each.log_loss for each in found.candidates[:2])
        assert found.method == ("temperature" if temperature <= none else "none")
        winners.add(found.method)
    assert winners == {"none", "temperature"}


def shifted(losses: np.ndarray, by: float, spread: float) -> np.ndarray:
    """Losses whose paired difference to the given ones has this mean and this standard error."""
    noise = np.where(np.arange(len(losses)) % 2 == 0, 1.0, -1.0) * spread * np.sqrt(len(losses) - 1)
    return losses + by + noise


@pytest.mark.parametrize(
    ("n_rows", "behind", "winner"),
    [
        (999, 0.0049, "temperature"),
        (999, 0.0051, "sigmoid"),
        (1000, 0.0049, "sigmoid"),
        (1000, -0.0001, "temperature"),
    ],
)
def test_the_simplest_within_half_a_standard_error_wins_below_a_thousand_rows(n_rows, behind, winner):
    random = np.random.default_rng(0)
    p, losses = np.full((400, 2), 0.5), random.uniform(0.2, 0.9, 400)
    none = OutOfFold("none", p, losses + 1.0)
    temperature = OutOfFold("temperature", p, shifted(losses, behind, 0.01))
    sigmoid = OutOfFold("sigmoid", p, losses)
    judges = Judges(np.zeros(400, int), np.arange(400) % 5, None, n_rows)
    assert standard_error(temperature, sigmoid, None) == pytest.approx(0.01)
    found = choose([none, temperature, sigmoid], none, judges, DEFAULTS, 0)
    assert found.winner.method == winner
    wide = choose([none, temperature, sigmoid], none, judges, replace(DEFAULTS, standard_errors=2.0), 0)
    assert wide.winner.method == ("temperature" if n_rows < 1000 else winner)


def test_copies_of_a_row_in_a_group_do_not_narrow_the_standard_error():
    random = np.random.default_rng(0)
    p, one, other = np.full((50, 2), 0.5), random.random(50), random.random(50)
    alone = standard_error(OutOfFold("a", p, one), OutOfFold("b", p, other), None)
    difference = one - other
    assert alone == pytest.approx(difference.std(ddof=1) / np.sqrt(50))
    copied = [OutOfFold("", np.repeat(p, 4, axis=0), np.repeat(losses, 4)) for losses in (one, other)]
    assert standard_error(*copied, np.repeat(np.arange(50), 4)) == pytest.approx(alone)
    assert standard_error(*copied, None) < 0.6 * alone


def test_copies_of_a_row_in_a_group_do_not_sharpen_the_veto():
    random = np.random.default_rng(0)
    one, other = (random.dirichlet(np.ones(3), 300) for _ in range(2))
    y, fold_of = random.integers(0, 3, 300), np.arange(300) % 5
    errors = {}
    for name, copies, told in (("once", 1, True), ("told", 4, True), ("untold", 4, False)):
        rows = np.repeat(np.arange(300), copies)
        pair = (OutOfFold("", each[rows], log_losses(each[rows], y[rows])) for each in (one, other))
        judges = Judges(y[rows], fold_of[rows], rows if told else None, len(rows))
        errors[name] = _ranking_difference(*pair, judges, DEFAULTS, 0).standard_error
    assert errors["told"] == pytest.approx(errors["once"], rel=0.1)
    assert errors["untold"] < 0.6 * errors["once"]


def test_the_lowest_out_of_fold_log_loss_wins_on_many_rows():
    scores, y = binary(2_000, shift=1.5)
    found = select_calibrator(scores, y, kind="logits", n_classes=2)
    tried = [candidate for candidate in found.candidates if candidate.metrics]
    assert [candidate.method for candidate in tried if candidate.chosen] == [found.method]
    assert found.method == min(tried, key=lambda candidate: candidate.log_loss).method
    assert found.method in {"sigmoid", "beta"}  # temperature cannot undo a shift
    assert found.reason.startswith(f"{found.method} has the lowest out-of-fold log loss of")
    assert [name for name, _ in tried[0].metrics] == ["log_loss", "brier", "ece_15", "aurc"]
    assert {candidate.standard_error == 0.0 for candidate in tried if candidate.chosen} == {True}
    assert all(candidate.standard_error > 0.0 for candidate in tried if not candidate.chosen)
    assert statuses(found)["none"].startswith("beaten: its log loss is higher by 0.")
    assert (found.n_rows, found.n_judging, found.folds) == (2_000, 2_000, "5 stratified folds")


def test_what_is_measured_is_what_cross_validation_by_hand_measures():
    scores, y = several(600, 3)
    found = select_calibrator(scores, y, kind="logits", n_classes=3, seed=7)
    by_hand, areas = np.empty((600, 3)), []
    for fitting, judging in StratifiedKFold(5, shuffle=True, random_state=7).split(scores, y):
        fitted = fit("vector", scores[fitting], y[fitting], kind="logits", n_classes=3)
        by_hand[judging] = fitted.predict(scores[judging])
        areas.append(aurc(by_hand[judging], y[judging]))
    vector = next(candidate for candidate in found.candidates if candidate.method == "vector")
    assert vector.log_loss == pytest.approx(log_loss(by_hand, y), abs=1e-12)
    assert vector.aurc == pytest.approx(np.mean(areas), abs=1e-12)


def test_a_bias_of_each_class_asks_for_vector_or_dirichlet():
    found = select_calibrator(*several(2_000, 4, bias=1.0), kind="logits", n_classes=4)
    assert found.method in {"vector", "dirichlet"}
    assert statuses(found)["temperature"].startswith("beaten")


def test_a_bend_that_no_formula_has_asks_for_a_table():
    random = np.random.default_rng(0)
    score = random.uniform(0, 1, 8_000)
    truth = np.where(score < 0.4, 0.1, np.where(score < 0.7, 0.35, 0.95))
    y = (random.random(8_000) < truth).astype(np.int64)
    found = select_calibrator(score[:, None], y, kind="probabilities", n_classes=2)
    assert found.method in {"isotonic", "venn-abers"}


@pytest.fixture(scope="module")
def digits_scores(digits) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are not sure enough, but rank rows well."""
    fitted = LogisticRegression(C=0.001, max_iter=2_000).fit(digits.train, digits.y_train)
    return fitted.decision_function(digits.held_out), digits.y_held_out


def test_one_vs_rest_isotonic_is_vetoed_on_few_rows_of_ten_classes(digits_scores):
    scores, y = digits_scores
    folds = fold(scores, y, None, None, 5, 0)
    none, isotonic = (
        out_of_fold(method, scores, y, folds, kind="logits", n_classes=10) for method in ("none", "isotonic")
    )
    judges = Judges(y[folds.judging], folds.numbers, None, len(y))
    assert isotonic.log_loss < none.log_loss - 0.05
    assert ranking(isotonic, judges) > 1.5 * ranking(none, judges)
    found = choose([none, isotonic], none, judges, DEFAULTS, 0)
    assert found.winner is none
    assert found.vetoed["isotonic"].startswith("it ranks rows worse than none: AURC 0.0")
    lenient = choose([none, isotonic], none, judges, replace(DEFAULTS, veto_standard_errors=50.0), 0)
    assert lenient.winner is isotonic
    assert lenient.vetoed == {}


def test_the_next_best_that_is_not_vetoed_wins_and_the_veto_is_told():
    strict = replace(DEFAULTS, veto_standard_errors=1.0)
    random = np.random.default_rng(1)
    score = random.normal(0, 2, 20_000)
    y = (random.random(20_000) < expit(0.6 * score + 0.3 * np.sin(2 * score))).astype(np.int64)
    found = select_calibrator(score[:, None], y, kind="logits", n_classes=2, settings=strict)
    tried = {candidate.method: candidate for candidate in found.candidates if candidate.metrics}
    assert tried["venn-abers"].status.startswith("vetoed: it ranks rows worse than none")
    assert tried["isotonic"].status.startswith("vetoed: it ranks rows worse than none")
    assert tried["venn-abers"].log_loss < tried[found.method].log_loss
    assert found.method == min(
        (method for method in tried if method not in {"venn-abers", "isotonic"}),
        key=lambda method: tried[method].log_loss,
    )
    assert "rank or label rows worse than none: venn-abers, isotonic" in found.reason


@pytest.mark.parametrize("n", [100, 300, 1_000])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("sureness", [15.0, 30.0, 300.0])
def test_what_claims_far_more_than_the_rows_can_show_is_passed_over(n, n_classes, sureness):
    random = np.random.default_rng(n)
    y = random.integers(0, n_classes, n)
    logits = random.normal(0, 0.3, (n, n_classes))
    logits[np.arange(n), y] += sureness
    scores = logits if n_classes > 2 else logits[:, 1:] - logits[:, :1]
    found = select_calibrator(scores, y, kind="logits", n_classes=n_classes)
    assert statuses(found)["none"].startswith("vetoed: it claims far more than")
    confidence = fit(found.method, scores, y, kind="logits", n_classes=n_classes).predict(scores).max(axis=1)
    assert confidence.mean() <= 1 - 0.1 / n


def test_sure_of_most_rows_but_not_of_all_is_no_claim_that_the_rows_cannot_show():
    scores, y = binary(300)
    scores[:200] = np.where(y[:200, None] == 1, 30.0, -30.0)
    found = select_calibrator(scores, y, kind="logits", n_classes=2)
    assert not any("claims" in status for status in statuses(found).values())


@examples(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.integers(100, 250))
def test_temperature_is_never_vetoed_for_two_classes_since_it_keeps_their_order(seed, n):
    found = select_calibrator(*binary(n, seed, sharpness=3.0), kind="logits", n_classes=2)
    assert not statuses(found)["temperature"].startswith("vetoed")


def test_margins_are_compared_with_temperature():
    found = select_calibrator(*binary(1_200, shift=2.0), kind="margins", n_classes=2)
    tried = [candidate.method for candidate in found.candidates if candidate.metrics]
    assert tried == ["temperature", "sigmoid", "venn-abers", "isotonic"]
    assert found.method in {"sigmoid", "venn-abers"}  # temperature cannot undo a shift
    assert statuses(found)["none"] == "not a candidate: needs probabilities, and the scores are margins"


@examples(max_examples=30, deadline=None)
@given(st.integers(5, 40), st.integers(0, 99))
def test_rows_of_one_group_are_never_on_both_sides(n_groups, seed):
    random = np.random.default_rng(seed)
    groups = np.concatenate([np.arange(n_groups), random.integers(0, n_groups, 200)])
    scores, y = binary(len(groups), seed)
    folds = fold(scores, y, groups, None, 5, seed)
    for fitting, judging in folds.parts:
        assert not set(groups[fitting]) & set(groups[judging])
        assert sorted([*fitting, *judging]) == list(range(len(y)))
    assert sorted(folds.judging) == list(range(len(y)))


def test_groups_reach_the_folds_and_what_is_measured():
    scores, y = binary(600)
    groups = np.arange(600) // 6
    found = select_calibrator(scores, y, kind="logits", n_classes=2, groups=groups)
    assert found.folds == "5 stratified folds of whole groups"
    assert found != select_calibrator(scores, y, kind="logits", n_classes=2)


def test_in_the_order_of_time_the_first_rows_never_judge():
    scores, y = binary(1_200)
    found = select_calibrator(scores, y, kind="logits", n_classes=2, splitter=TimeSeriesSplit(5))
    assert (found.n_rows, found.n_judging) == (1_200, 1_000)
    assert found.folds.startswith("TimeSeriesSplit(")
    folds = fold(scores, y, None, TimeSeriesSplit(5), 5, 0)
    for (_, judging), (fitting, later) in pairwise(folds.parts):
        assert judging.max() <= fitting.max() < later.min()


def test_a_splitter_that_keeps_groups_together_may_be_given_with_groups():
    scores, y = binary(600)
    groups = np.arange(600) // 6
    chosen = {"kind": "logits", "n_classes": 2, "groups": groups}
    assert select_calibrator(scores, y, splitter=GroupKFold(4), **chosen).n_judging == 600
    with pytest.raises(RowsError, match=r"KFold.* puts the group \d+ on both sides of fold 1"):
        select_calibrator(scores, y, splitter=KFold(4, shuffle=True, random_state=0), **chosen)


def test_a_seed_gives_the_same_selection_and_another_one_other_folds():
    scores, y = several(500, 3)
    first, again, other = (
        select_calibrator(scores, y, kind="logits", n_classes=3, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert (first.seed, other.seed) == (1, 2)
    assert [candidate.log_loss for candidate in first.candidates] != [
        candidate.log_loss for candidate in other.candidates
    ]


def test_a_rare_class_means_fewer_folds_and_with_one_row_or_none_only_what_needs_none_is_compared():
    scores, y = binary(400)
    y[:] = 0
    y[:3] = 1
    found = select_calibrator(scores, y, kind="logits", n_classes=2)
    assert found.folds == "3 stratified folds"
    for rows_left in (1, 0):
        y[: 3 - rows_left] = 0
        found = select_calibrator(scores, y, kind="logits", n_classes=2)
        assert found.folds == "5 stratified folds"
        assert {each.method for each in found.candidates if each.metrics} == {"none", "temperature"}
        assert statuses(found)["sigmoid"].endswith(
            f"needs 15 rows of the rarest class, there are {rows_left}"
        )


def test_a_candidate_that_a_fold_denies_a_class_is_out_with_the_reason():
    scores, y = binary(400)
    order = np.argsort(y, kind="stable")
    found = select_calibrator(
        scores[order], y[order], kind="logits", n_classes=2, splitter=TimeSeriesSplit(4)
    )
    assert [each.method for each in found.candidates if each.metrics] == ["none", "temperature"]
    assert statuses(found)["sigmoid"].startswith("not a candidate: in fold 1, no calibration row of class 1")
    found = select_calibrator(
        scores[order], y[order], kind="margins", n_classes=2, splitter=TimeSeriesSplit(4)
    )
    assert found.method == "temperature"
    assert found.reason == "temperature is the only calibrator that could be fitted in every fold"
    assert "no calibrator could be compared with temperature" in found.notes[0]


def test_a_calibrator_that_gives_no_probability_is_out(monkeypatch):
    class Broken(beta.Beta):
        def predict(self, scores):
            return np.full((len(scores), 2), np.nan)

    monkeypatch.setattr(beta, "Beta", Broken)
    found = select_calibrator(*binary(500), kind="logits", n_classes=2)
    assert statuses(found)["beta"] == (
        "not a candidate: in fold 1, it gives NaN or infinity instead of a probability"
    )


def with_nan(scores: np.ndarray) -> np.ndarray:
    return np.where(np.isin(np.arange(len(scores)), [7, 9])[:, None], np.nan, scores)


@pytest.mark.parametrize(
    ("n", "change", "message"),
    [
        (400, {"groups": np.arange(400) % 4}, "there are 4 groups of calibration rows and 5 folds"),
        (400, {"splitter": 5}, r"the splitter is 5; expected one of scikit-learn's, such as KFold\(5\)"),
        (400, {"splitter": "kfold"}, "the splitter is 'kfold'; expected one of scikit-learn"),
        (400, {"splitter": TimeSeriesSplit}, "the splitter is <class"),
        (400, {"splitter": TimeSeriesSplit(401)}, "cannot fold 400 calibration rows: "),
        (
            400,
            {"splitter": PredefinedSplit(np.arange(500) % 5)},
            r"names row \d+, and the calibrator has 400 rows",
        ),
        (400, {"splitter": RepeatedKFold(n_splits=4, n_repeats=2)}, "lets rows judge more than once"),
        (400, {"splitter": ShuffleSplit(5, random_state=0)}, "lets rows judge more than once"),
    ],
)
def test_rows_that_cannot_be_folded_are_refused(n, change, message):
    scores, y = binary(n)
    with pytest.raises(RowsError, match=message):
        select_calibrator(scores, y, kind="logits", n_classes=2, **change)


@pytest.mark.parametrize("n", [50, 400])
def test_scores_that_are_not_finite_or_not_of_their_kind_are_refused(n):
    scores, y = binary(n)
    with pytest.raises(
        RowsError, match=r"no finite score for 2 calibration row\(s\), the first of them row 7"
    ):
        select_calibrator(with_nan(scores), y, kind="logits", n_classes=2)
    with pytest.raises(EstimatorError, match="the estimator's scores are not probabilities"):
        select_calibrator(scores, y, kind="probabilities", n_classes=2)


def test_a_splitter_that_judges_by_what_it_fits_or_by_nothing_is_refused():
    class Own:
        def __init__(self, *parts):
            self.parts = parts

        def split(self, X, y=None, groups=None):
            return iter(self.parts)

    scores, y = binary(10)
    rows = np.arange(10)
    with pytest.raises(RowsError, match="puts rows on both sides of fold 1"):
        fold(scores, y, None, Own((rows, rows[:3])), 5, 0)
    with pytest.raises(RowsError, match="gives no row to judge a calibrator by"):
        fold(scores, y, None, Own((rows, rows[:0])), 5, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows_to_fit": 1}, "rows_to_fit is 1; expected a whole number from 2 up"),
        ({"n_folds": 1}, "n_folds is 1; expected a whole number from 2 up"),
        ({"n_resamples": 10.5}, "n_resamples is 10.5; expected a whole number from 2 up"),
        ({"candidacies": {"bta": Candidacy()}}, "unknown calibrator 'bta' \\(did you mean 'beta'"),
        ({"standard_errors": -0.5}, "standard_errors is -0.5; expected a number from 0 up"),
        ({"veto_standard_errors": float("nan")}, "veto_standard_errors is nan; expected a number from 0 up"),
        ({"rows_to_fit": 301}, "are 301, 100 and 1000; expected them to ascend"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ExportError, match=message):
        SelectionSettings(**change)


def test_a_candidacy_that_makes_no_sense_is_refused():
    with pytest.raises(ExportError, match="minor_rows is -1; expected a whole number from 0 up"):
        Candidacy(minor_rows=-1)


def test_the_number_of_folds_is_respected():
    scores, y = binary(400)
    found = select_calibrator(scores, y, kind="logits", n_classes=2, settings=SelectionSettings(n_folds=3))
    assert found.folds == "3 stratified folds"


def test_losses_are_those_of_the_metric():
    p = np.array([[0.9, 0.1], [0.0, 1.0]])
    np.testing.assert_allclose(log_losses(p, np.array([0, 0])), [-np.log(0.9), -np.log(1e-15)])


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_twenty_thousand_rows_take_seconds(kind):
    scores, y = binary(20_000)
    begun = time.process_time()
    found = select_calibrator(expit(scores) if kind == "probabilities" else scores, y, kind=kind, n_classes=2)
    assert time.process_time() - begun < 10.0
    assert sum(bool(candidate.metrics) for candidate in found.candidates) == (6 if kind == "logits" else 7)


@pytest.mark.parametrize("method", ["temperature", "beta", "none"])
def test_out_of_fold_weights_are_repeated_rows(method):
    scores, y = binary(120, 3)
    p = expit(scores)
    weights = np.random.default_rng(0).integers(1, 4, len(y))
    again = np.repeat(np.arange(len(y)), weights)
    weighted = select(p, y, weights=weights.astype(np.float64), settings=ALIKE)
    repeated = select(p[again], y[again], splitter=_Copies(weights), settings=ALIKE)
    found, expected = (
        next(each for each in selection.candidates if each.method == method)
        for selection in (weighted, repeated)
    )
    assert found.log_loss == pytest.approx(expected.log_loss, rel=1e-6)
    assert (found.brier, found.ece_15) == pytest.approx((expected.brier, expected.ece_15), rel=1e-6)


ALIKE = SelectionSettings(rows_to_fit=50, rows_to_compare=50, n_resamples=5)


class _Copies:
    """The folds of `select_calibrator` for rows before they were repeated."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights

    def split(self, scores, y, _groups):
        first = np.cumsum(self.weights) - self.weights
        number = np.repeat(np.arange(len(self.weights)), self.weights)
        for fitting, judging in StratifiedKFold(5, shuffle=True, random_state=0).split(first, y[first]):
            yield np.flatnonzero(np.isin(number, fitting)), np.flatnonzero(np.isin(number, judging))


def select(p, y, **options):
    return select_calibrator(p, y, kind="probabilities", n_classes=2, **options)


def test_weights_choose_for_the_rows_that_they_stand_for():
    """Half of the rows are too sure, half are right; the weights say which half counts."""
    sure, y_sure = binary(300, 1, sharpness=4.0)
    right, y_right = binary(300, 2, sharpness=1.0)
    p, y = expit(np.concatenate([sure, right])), np.concatenate([y_sure, y_right])
    is_right = np.arange(600) >= 300
    losses = {}
    for name, weights in (("right", np.where(is_right, 1.0, 0.01)), ("sure", np.where(is_right, 0.01, 1.0))):
        found = {each.method: each for each in select(p, y, weights=weights, settings=ALIKE).candidates}
        losses[name] = found["none"].log_loss - found["temperature"].log_loss
    assert losses["right"] < 0.02
    assert losses["sure"] > 0.1


def test_limits_apply_to_what_the_rows_are_worth():
    scores, y = binary(400, 4)
    weights = np.where(np.arange(400) < 40, 1.0, 1e-9)
    found = select(expit(scores), y, weights=weights, settings=DEFAULTS)
    assert found.method == "none"
    assert "400, worth 40 by their weights" in statuses(found)["temperature"]
    assert "400 calibration rows (worth 40 by their weights)" in found.reason
