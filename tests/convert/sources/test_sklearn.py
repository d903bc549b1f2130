"""Estimators of scikit-learn and their steps: what is exported is what was trained, or a clear refusal."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import catboost
import lightgbm
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import xgboost
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    OneHotEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC

from tamiz.rows import RowsError as DoNotFit
from tamiz.rows import read_rows
from tamiz_convert import EstimatorError, RowsError, export
from tamiz_convert.graphs.score_graph import class_labels
from tamiz_convert.sources.sklearn_graph import from_sklearn


def made(
    n: int = 400, n_columns: int = 4, n_classes: int = 2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, n_columns))
    y = np.digitize(X[:, 0] + X[:, 1] + random.normal(size=n), np.linspace(-1, 1, n_classes + 1)[1:-1])
    return X, y


def exported(model: Any, rows: Any, y: Any, folder: Any, **settings: Any) -> Any:
    settings = {"calibrator": "temperature", "threshold": 0.7, "report": False, **settings}
    return export(
        model, folder / "m/1", calibration=(rows, y), allow_duplicates=True, replace=True, **settings
    )


def answers(report: Any, rows: Any) -> np.ndarray:
    """The bundle's probabilities for rows, as a client would send them."""
    session = onnxruntime.InferenceSession(report.path)
    return session.run(["probabilities"], read_rows(rows, report.manifest.inputs))[0]


COLUMNS = [
    "scores",
    "probabilities",
    "subset",
    "features",
    "Cast_1",
    "constant_3",
    "part_1_variable",
    "a.b/c",
    " ",
]


@pytest.mark.parametrize("name", [*COLUMNS, "calibrator_Mul_1", "column_scores", ""])
def test_a_column_may_have_any_name(name, tmp_path):
    X, y = made()
    table = pd.DataFrame({"age": X[:, 0], name: X[:, 1], "scores " if name != "scores " else "s": X[:, 2]})
    table["city"] = np.where(X[:, 3] > 0, "x", "y")
    numbers = list(table.columns[:3])
    steps = ColumnTransformer([("n", StandardScaler(), numbers), ("c", OneHotEncoder(), ["city"])])
    model = make_pipeline(steps, LogisticRegression()).fit(table[:200], y[:200])
    report = exported(model, table[200:], y[200:], tmp_path, calibrator="none")
    np.testing.assert_allclose(answers(report, table), model.predict_proba(table), atol=1e-9)
    shuffled = table[table.columns[::-1]]
    np.testing.assert_allclose(answers(report, shuffled), model.predict_proba(table), atol=1e-9)


def test_columns_of_the_bundles_own_names_stand_side_by_side(tmp_path):
    X, y = made(n_columns=5)
    table = pd.DataFrame(X, columns=["scores", "probabilities", "subset", "", "column_scores"])
    model = make_pipeline(ColumnTransformer([("n", "passthrough", list(table))]), LogisticRegression()).fit(
        table, y
    )
    report = exported(model, table, y, tmp_path, calibrator="none")
    assert [list(spec.column_names) for spec in report.manifest.inputs] == [[name] for name in table]
    np.testing.assert_allclose(answers(report, table), model.predict_proba(table), atol=1e-9)


@pytest.mark.parametrize("name", ["scores", "probabilities", "Cast_1"])
def test_a_slice_column_with_a_name_of_the_graphs_own_is_refused(name, tmp_path):
    X, y = made()
    table = pd.DataFrame(X, columns=list("abcd"))
    model = make_pipeline(ColumnTransformer([("n", "passthrough", list("abcd"))]), LogisticRegression()).fit(
        table, y
    )
    table[name] = np.where(X[:, 0] > 0, "x", "y")
    with pytest.raises(RowsError, match=f"slice_by='{name}' is a name that the bundle's graph needs"):
        exported(model, table, y, tmp_path, threshold=None, max_error=0.4, slice_by=name)


@pytest.mark.parametrize(
    "inner", [LogisticRegression(), LinearSVC(), RandomForestClassifier(5, random_state=0)]
)
def test_a_pipeline_that_ends_in_a_calibrated_classifier_is_unwrapped(inner, tmp_path):
    X, y = made()
    calibrated = CalibratedClassifierCV(inner, ensemble=False, cv=2)
    alone = calibrated.fit(StandardScaler().fit(X[:200]).transform(X[:200]), y[:200])
    for model in (
        make_pipeline(StandardScaler(), calibrated),
        make_pipeline(make_pipeline(StandardScaler()), make_pipeline("passthrough", calibrated)),
        GridSearchCV(make_pipeline(StandardScaler(), calibrated), {}, cv=2),
    ):
        report = exported(model.fit(X[:200], y[:200]), X[200:], y[200:], tmp_path)
        assert any("CalibratedClassifierCV" in note for note in report.notes)
        scaled = StandardScaler().fit(X[:200]).transform(X[200:])
        expected = answers(exported(alone, scaled, y[200:], tmp_path), scaled)
        np.testing.assert_allclose(
            answers(exported(model, X[200:], y[200:], tmp_path), X[200:]), expected, atol=1e-5
        )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.uint64, np.int8, bool, object, np.float32])
def test_labels_of_any_whole_number_type_are_taken(dtype, tmp_path):
    X, y = made()
    model = LogisticRegression().fit(X[:200], y[:200].astype(np.uint8 if dtype is object else dtype))
    model.classes_ = model.classes_.astype(dtype)
    labels = y[200:].astype(np.uint8 if dtype is object else dtype)
    assert list(exported(model, X[200:], labels, tmp_path).manifest.classes.integers) == [0, 1]


@pytest.mark.parametrize(
    "labels", [[0.5, 1], [0, 2**63], [np.nan, 1], [0, np.inf], np.array([0, 2**64 - 1], np.uint64)]
)
def test_labels_that_are_not_whole_numbers_of_int64_are_refused(labels):
    with pytest.raises(EstimatorError, match="the classes are"):
        class_labels(labels)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("noise", [0.02, 0.2, 2.0])
def test_naive_bayes_that_is_sure_of_everything_keeps_its_digits(n_classes, noise, tmp_path):
    random = np.random.default_rng(0)
    one = random.normal(size=600)
    X = one[:, None] + random.normal(0, noise, size=(600, 30))
    y = np.digitize(one + random.normal(0, 0.5, 600), [0, 0.7][: n_classes - 1])
    model = GaussianNB().fit(X[:300], y[:300])
    report = exported(model, X[300:], y[300:], tmp_path, calibrator="none")
    assert report.manifest.scores_kind == "logits"
    np.testing.assert_allclose(answers(report, X[300:]), model.predict_proba(X[300:]), rtol=1e-6, atol=1e-300)


@pytest.mark.filterwarnings("ignore:The `probability` parameter:FutureWarning")
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_svc_with_probabilities_has_the_scores_of_its_decision_function(n_classes, kernel, tmp_path):
    X, y = made(n_classes=n_classes)
    model = SVC(kernel=kernel, probability=True, random_state=0).fit(X[:200], y[:200])
    best = answers(exported(model, X[200:], y[200:], tmp_path), X[200:]).argmax(axis=1)
    decided = model.decision_function(X[200:])
    expected = (decided > 0).astype(int) if n_classes == 2 else decided.argmax(axis=1)
    assert (best == expected).mean() > 0.97
    assert model.probability


@pytest.mark.parametrize(
    "step",
    [
        PolynomialFeatures(2),
        PolynomialFeatures(3, interaction_only=True, include_bias=False),
        PolynomialFeatures((2, 3)),
        PolynomialFeatures(1),
    ],
)
def test_products_of_features_are_nodes_of_our_own(step, tmp_path):
    X, y = made()
    model = make_pipeline(StandardScaler(), step, LogisticRegression(max_iter=500)).fit(X[:200], y[:200])
    report = exported(model, X[200:], y[200:], tmp_path, calibrator="none")
    np.testing.assert_allclose(answers(report, X), model.predict_proba(X), atol=1e-9)


GONE = {
    "text, NaN": pd.Series(["a", "b", np.nan, "c"] * 100, dtype=object),
    "text, None": pd.Series(["a", "b", None, "c"] * 100, dtype=object),
    "number, NaN": pd.Series([1.0, 2.0, np.nan, 3.0] * 100),
    "number, None": pd.Series([1.0, 2.0, None, 3.0] * 100, dtype=object),
}


@pytest.mark.parametrize("unknown", ["ignore", "error"])
@pytest.mark.parametrize("kind", GONE)
def test_a_missing_value_may_be_a_category(kind, unknown, tmp_path):
    X, y = made()
    table = pd.DataFrame({"pay": X[:, 0], "c": GONE[kind]})
    encoder = OneHotEncoder(handle_unknown=unknown)
    steps = ColumnTransformer([("n", StandardScaler(), ["pay"]), ("c", encoder, ["c"])])
    model = make_pipeline(steps, LogisticRegression()).fit(table[:200], y[:200])
    report = exported(model, table[200:], y[200:], tmp_path, calibrator="none")
    np.testing.assert_allclose(answers(report, table), model.predict_proba(table), atol=1e-9)


class OwnStep(TransformerMixin, BaseEstimator):
    """A step that nobody but its author knows."""

    def fit(self, _X: Any, _y: Any = None) -> OwnStep:
        return self

    def transform(self, X: Any) -> Any:
        return X


X_, Y_ = made()
REFUSED = {
    "own step": (make_pipeline(OwnStep(), LogisticRegression()), r"the preprocessing step OwnStep\(\)"),
    "one-hot bins": (
        make_pipeline(KBinsDiscretizer(3), LogisticRegression()),
        r"KBinsDiscretizer\(n_bins=3\)",
    ),
    "classifier as a step": (
        make_pipeline(LinearDiscriminantAnalysis(), LogisticRegression()),
        r"the preprocessing step LinearDiscriminantAnalysis\(\)",
    ),
    "kernel that is a function": (SVC(kernel=lambda a, b: a @ b.T), r"kernel.*cannot be converted"),
    "distance of neighbors": (KNeighborsClassifier(metric="chebyshev"), r"metric='chebyshev'"),
    "weights of neighbors": (KNeighborsClassifier(weights="distance"), r"weights='distance'"),
    "text outside of a ColumnTransformer": (
        make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()),
        "reads text outside of a ColumnTransformer",
    ),
    "a search without a best estimator": (GridSearchCV(LogisticRegression(), {}, refit=False), "refit=True"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_converted_is_refused_by_step_and_setting(name, tmp_path):
    model, message = REFUSED[name]
    rows = X_.astype(str) if name.startswith("text") else X_
    with pytest.raises(EstimatorError, match=message) as caught:
        exported(model.fit(rows[:200], Y_[:200]), rows[200:], Y_[200:], tmp_path)
    assert "raise an" not in str(caught.value)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("round_to", [0, 1])
def test_neighbors_that_are_equally_near_are_refused_with_the_reason(round_to, tmp_path):
    X, y = made()
    X = X.round(round_to)
    model = KNeighborsClassifier().fit(np.repeat(X[:100], 2, axis=0), np.repeat(y[:100], 2))
    with pytest.raises(EstimatorError, match="exactly as near as the next one"):
        exported(model, X[200:], y[200:], tmp_path)


@pytest.mark.parametrize("settings", [{}, {"metric": "manhattan"}, {"metric": "cosine"}, {"n_neighbors": 1}])
def test_a_row_whose_last_neighbor_ties_with_another_abstains(settings, tmp_path):
    X, y = made()
    model = KNeighborsClassifier(**settings).fit(X[:200], y[:200])
    report = exported(model, X[200:], y[200:], tmp_path, calibrator="none")
    beyond = X[200:].copy()
    beyond[:50, 0], beyond[50:100, 1] = 1e300, -1e38  # beside such a number the others have no digits left
    n_neighbors = model.n_neighbors
    distance, _ = model.kneighbors(beyond, n_neighbors + 1)
    with np.errstate(invalid="ignore"):
        ties = ~(distance[:, n_neighbors] - distance[:, n_neighbors - 1] > 1e-12 * distance[:, n_neighbors])
    assert 0 < ties.sum() < len(ties)
    found = answers(report, beyond)
    assert np.isnan(found[ties]).all()
    np.testing.assert_allclose(found[~ties], model.predict_proba(beyond)[~ties], atol=1e-9)


UNIONS = {
    "binned and scaled": lambda: FeatureUnion(
        [("a", KBinsDiscretizer(encode="ordinal")), ("b", MaxAbsScaler())]
    ),
    "weighted": lambda: FeatureUnion(
        [("a", StandardScaler()), ("b", PCA(2))], transformer_weights={"b": 3.0}
    ),
    "dropped and passed": lambda: FeatureUnion(
        [("a", "drop"), ("b", "passthrough"), ("c", StandardScaler())]
    ),
    "nested": lambda: make_union(make_pipeline(StandardScaler(), PCA(3)), make_union(MaxAbsScaler())),
    "weighted columns": lambda: ColumnTransformer(
        [("a", StandardScaler(), [0, 1]), ("b", "passthrough", [2, 3])],
        transformer_weights={"a": 0.5, "b": 2},
    ),
}


@pytest.mark.parametrize("union", UNIONS)
def test_steps_side_by_side_with_their_weights_are_exported(union, tmp_path):
    X, y = made()
    model = make_pipeline(UNIONS[union](), LogisticRegression()).fit(X[:200], y[:200])
    report = exported(model, X[200:], y[200:], tmp_path, calibrator="none")
    np.testing.assert_allclose(answers(report, X), model.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("wrap", [make_union, make_pipeline, lambda step: make_union(make_pipeline(step))])
def test_text_outside_of_a_column_transformer_is_refused_with_the_way_out(wrap, tmp_path):
    X, y = made()
    table = pd.DataFrame({"city": np.where(X[:, 3] > 0, "x", "y")})
    model = make_pipeline(wrap(OneHotEncoder()), LogisticRegression()).fit(table[:200], y[:200])
    with pytest.raises(EstimatorError, match="reads text outside of a ColumnTransformer"):
        exported(model, table[200:], y[200:], tmp_path)


@pytest.mark.parametrize("number", [Decimal, Fraction, float])
def test_exact_numbers_of_python_are_read_as_floats(number, tmp_path):
    X, y = made()
    table = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "city": np.where(X[:, 3] > 0, "x", "y")})
    columns = [("n", StandardScaler(), ["a", "b"]), ("c", OneHotEncoder(), ["city"])]
    model = make_pipeline(ColumnTransformer(columns), LogisticRegression()).fit(table[:200], y[:200])
    exact = table.assign(a=pd.Series([number(value) for value in X[:, 0].tolist()], dtype=object))
    report = exported(model, exact[200:], y[200:], tmp_path, calibrator="none")
    np.testing.assert_allclose(answers(report, exact), model.predict_proba(table), atol=1e-9)


@pytest.mark.parametrize("first", ["passthrough", None, Pipeline([("nothing", "passthrough")])])
def test_a_step_that_does_nothing_may_come_first(first, tmp_path):
    X, y = made()
    model = Pipeline([("a", first), ("b", LogisticRegression())]).fit(X[:200], y[:200])
    report = exported(model, X[200:], y[200:], tmp_path, calibrator="none")
    np.testing.assert_allclose(answers(report, X), model.predict_proba(X), atol=1e-9)


class DecidesElsewhere(LogisticRegression):
    """Answers the second class from a probability of 0.2."""

    def predict(self, X: Any) -> Any:
        return self.classes_[(self.predict_proba(X)[:, 1] > 0.2).astype(int)]


def test_an_estimator_that_decides_otherwise_than_by_its_scores_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(LogisticRegression, "predict", DecidesElsewhere.predict)
    X, y = made()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:200], y[:200])
    with pytest.raises(EstimatorError, match=r"predict\(\) gives \d+ of 50 rows another class"):
        exported(model, X[200:], y[200:], tmp_path)


@pytest.mark.parametrize("given", [[0.0, 1.0, 2.0], [0, 1, 2], [True, False, True]])
def test_numbers_for_a_column_of_which_text_was_learned_are_refused(given, tmp_path):
    _, y = made()
    table = pd.DataFrame({"c": ["0", "1", "2", "1"] * 100, "x": np.arange(400.0)})
    steps = ColumnTransformer([("c", OneHotEncoder(), ["c"]), ("x", StandardScaler(), ["x"])])
    model = make_pipeline(steps, LogisticRegression()).fit(table, y)
    other = table.assign(c=[*given, given[0]] * 100)
    with pytest.raises(RowsError, match="column 'c' holds numbers, but OneHotEncoder learned text"):
        exported(model, other, y, tmp_path)


@pytest.mark.parametrize("n_quantiles", [2, 10, 1000])
@pytest.mark.parametrize("digits", [0, 1, 9])
def test_quantiles_are_nodes_of_our_own(n_quantiles, digits, tmp_path):
    """With one digit most quantiles are equal to others; with none there are a dozen different values."""
    X, y = made(1400)
    X = X.round(digits)
    step = QuantileTransformer(n_quantiles=n_quantiles)
    model = make_pipeline(step, StandardScaler(), LogisticRegression())
    model.fit(X[:1000], y[:1000])
    report = exported(model, X[1000:], y[1000:], tmp_path, calibrator="none")
    near = np.nextafter(X[:40], np.inf)
    rows = np.concatenate([X, model[0].quantiles_[:, :], X[:9] * 100, -X[:9] * 100, near])
    np.testing.assert_allclose(answers(report, rows), model.predict_proba(rows), atol=1e-9)


def test_quantiles_of_missing_values_are_missing(tmp_path):
    X, y = made(900)
    X[::7, 1] = np.nan
    model = make_pipeline(QuantileTransformer(n_quantiles=50), HistGradientBoostingClassifier(max_iter=3))
    model.fit(X[:500], y[:500])
    report = exported(model, X[500:], y[500:], tmp_path, calibrator="none")
    np.testing.assert_allclose(answers(report, X), model.predict_proba(X), atol=1e-6)


def encoded(*columns: str) -> Any:
    steps = ColumnTransformer(
        [("c", OneHotEncoder(handle_unknown="ignore"), list(columns)), ("x", StandardScaler(), ["x"])]
    )
    return make_pipeline(steps, LogisticRegression())


@pytest.mark.parametrize("words", [["None", "yes"], ["NA", "yes"], ["null", "nan"]])
@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_values_where_the_training_held_words_that_mean_missing_are_refused(words, missing, tmp_path):
    _, y = made()
    table = pd.DataFrame({"c": words * 200, "x": np.arange(400.0)})
    model = encoded("c").fit(table, y)
    read_otherwise = table.assign(c=pd.Series([missing, "yes"] * 200, dtype=object))
    with pytest.raises(RowsError, match=r"column 'c' is missing in 200 of 400 rows .*keep_default_na=False"):
        exported(model, read_otherwise, y, tmp_path)
    table.loc[3, "c"] = None  # a few missing ones beside the words are missing ones
    exported(model, table, y, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zip": [1001] * 400}, "column 'zip' holds numbers, but OneHotEncoder learned text there, such as"),
        (
            {"code": ["1"] * 400},
            "column 'code' holds text, but OneHotEncoder learned numbers there, such as 0",
        ),
        ({"zip": pd.array([1001, None] * 200, dtype="Int64")}, "column 'zip' holds numbers"),
        ({"x": ["1.5", 2] * 200}, "column 'x', row 1: 2: expected numbers alone or text alone"),
        ({"x": pd.to_datetime(["2026-01-01"] * 400)}, "column 'x' holds datetime64.* as in the training"),
        ({"x": [{}] * 400}, "column 'x', row 0: {}: expected numbers alone or text alone"),
        ({"zip": [None] * 400}, "column 'zip' holds missing values alone"),
    ],
)
def test_a_column_that_cannot_be_that_of_the_training_is_named(change, message, tmp_path):
    _, y = made()
    table = pd.DataFrame({"zip": ["01001", "2"] * 200, "code": [0, 1] * 200, "x": np.arange(400.0)})
    steps = [("z", OneHotEncoder(), ["zip"]), ("n", OneHotEncoder(), ["code"])]
    steps = ColumnTransformer([*steps, ("x", StandardScaler(), ["x"])])
    model = make_pipeline(steps, LogisticRegression()).fit(table, y)
    with pytest.raises(RowsError, match=message):
        exported(model, table.assign(**change), y, tmp_path)


def test_a_column_of_another_type_is_named_even_beside_one_that_is_right(tmp_path):
    _, y = made()
    table = pd.DataFrame({"zip": ["01001", "2"] * 200, "town": ["a", "b"] * 200, "x": np.arange(400.0)})
    model = encoded("zip", "town").fit(table, y)
    with pytest.raises(RowsError, match="column 'zip' holds numbers, but OneHotEncoder learned text"):
        exported(model, table.assign(zip=[1001, 2] * 200), y, tmp_path)


@pytest.mark.parametrize("name", ["c", "x"])
def test_two_columns_of_one_name_are_refused(name, tmp_path):
    _, y = made()
    table = pd.DataFrame({"c": ["a", "b"] * 200, "x": np.arange(400.0)})
    model = encoded("c").fit(table, y)
    with pytest.raises(RowsError, match=f"there are 2 columns '{name}': give each its own name"):
        exported(model, pd.concat([table, table[[name]]], axis=1), y, tmp_path)


def test_decimals_are_numbers_at_the_export_too(tmp_path):
    _, y = made()
    table = pd.DataFrame({"c": ["a", "b"] * 200, "x": np.arange(400.0)})
    model = encoded("c").fit(table, y)
    expected = exported(model, table, y, tmp_path)
    found = exported(model, table.assign(x=[Decimal(str(each)) for each in table["x"]]), y, tmp_path)
    assert found.manifest.inputs == expected.manifest.inputs
    np.testing.assert_array_equal(answers(found, table), answers(expected, table))


def test_an_array_is_read_by_position_for_a_model_that_was_trained_on_a_table(tmp_path):
    X, y = made()
    table = pd.DataFrame(X, columns=list("abcd"))
    for model in (LogisticRegression(), RandomForestClassifier(3, random_state=0), GaussianNB()):
        report = exported(model.fit(table, y), X, y, tmp_path, calibrator="none")
        np.testing.assert_allclose(answers(report, X), model.predict_proba(table), atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(5, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
        lightgbm.LGBMClassifier(n_estimators=3, verbose=-1),
        xgboost.XGBClassifier(n_estimators=3),
        catboost.CatBoostClassifier(iterations=3, verbose=0, allow_writing_files=False),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("trained_on", [np.asarray, pd.DataFrame])
def test_a_model_without_names_has_those_of_the_table_that_it_is_exported_with(model, trained_on, tmp_path):
    """A table in another order is not read in the wrong one: such models answer it without a word."""
    X, y = made()
    model.fit(trained_on(X), y)
    names = list(range(4)) if trained_on is pd.DataFrame else ["a", "b", "c", "d"]
    table = pd.DataFrame(X, columns=names)
    report = exported(model, table, y, tmp_path)
    assert list(report.manifest.inputs[0].column_names) == [str(name) for name in names]
    for rows in (table[names[::-1]], table.assign(id=0.0)[["id", *names]], X):
        np.testing.assert_array_equal(answers(report, rows), answers(report, table))
    with pytest.raises(DoNotFit, match=r"missing column\(s\)"):
        answers(report, table.add_prefix("other_"))


@pytest.mark.parametrize("kind", ["names", "from_dtype", "in a Pipeline", "in a vote", "numbers"])
def test_categories_that_an_estimator_encodes_itself_are_named_as_the_reason(kind):
    X, y = made(n_columns=2)
    words = pd.Series(np.where(X[:, 0] > 0, "yes", "no"), dtype="category")
    table = pd.DataFrame({"word": words, "x": X[:, 1]})
    if kind == "numbers":
        table["word"] = words.cat.codes
    asked = "from_dtype" if kind in ("from_dtype", "in a Pipeline", "in a vote") else ["word"]
    model: Any = HistGradientBoostingClassifier(max_iter=2, categorical_features=asked)
    if kind == "in a Pipeline":
        model = Pipeline([("nothing", "passthrough"), ("model", model)])
    if kind == "in a vote":
        model = VotingClassifier([("model", model)], voting="soft")
    with pytest.raises(EstimatorError, match=r"with categorical_features is not supported; encode"):
        from_sklearn(model.fit(table, y), table)
