"""Models of XGBoost, LightGBM and CatBoost against the libraries themselves: no label flips, probabilities
equal.
"""

from __future__ import annotations

from typing import Any

import catboost
import lightgbm
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import xgboost
from scipy.sparse import csr_matrix
from scipy.special import expit
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tamiz_convert import EstimatorError, ParityError, RowsError, export
from tamiz_convert.calibrators import METHODS
from tamiz_convert.sources import xgboost_trees

TOLERANCES = dict.fromkeys(METHODS, 1e-5) | {"isotonic": 1e-4, "venn-abers": 1e-4}
QUICK = ("none", "sigmoid", "isotonic")
"""Enough where the model is what is asked about: scores as they are, and steps between them."""
CAT = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}
LGB = {"verbose": -1, "n_jobs": 1, "min_child_samples": 5}


def xgb(**options: Any) -> Any:
    return xgboost.XGBClassifier(**{"n_estimators": 15, "n_jobs": 1, **options})


def lgbm(**options: Any) -> Any:
    return lightgbm.LGBMClassifier(**{"n_estimators": 15, **LGB, **options})


def cat(**options: Any) -> Any:
    return catboost.CatBoostClassifier(**{"iterations": 15, **CAT, **options})


CLASSIFIERS = {
    "XGBoost": xgb,
    "XGBoost dart": lambda: xgb(booster="dart", rate_drop=0.5),
    "XGBoost forest": lambda: xgb(n_estimators=4, num_parallel_tree=3, subsample=0.7),
    "XGBoost random forest": lambda: xgboost.XGBRFClassifier(n_estimators=10, n_jobs=1),
    "LightGBM": lgbm,
    "LightGBM dart": lambda: lgbm(boosting_type="dart"),
    "LightGBM random forest": lambda: lgbm(boosting_type="rf", subsample=0.6, subsample_freq=1),
    "CatBoost": lambda: cat(depth=4),
    "CatBoost lossguide": lambda: cat(grow_policy="Lossguide"),
}
NUMBERED = {"XGBoost", "XGBoost dart", "XGBoost forest", "XGBoost random forest"}


def numbers(y: np.ndarray) -> np.ndarray:
    return np.unique(y, return_inverse=True)[1]


def check(model: Any, rows: Any, y: Any, folder: Any, calibrators: Any = QUICK, **options: Any) -> Any:
    """Export with each calibrator; the export itself compares with the library."""
    for calibrator in calibrators:
        report = export(
            model,
            folder / calibrator / "1",
            calibration=(rows, y),
            calibrator=calibrator,
            threshold=0.8,
            report=False,
            replace=True,  # some tests check several forms of a model in one folder
            **options,
        )
        parity = report.manifest.parity
        assert parity.label_flips == 0
        assert parity.max_probability_difference <= TOLERANCES[calibrator]
        assert parity.n_rows > len(rows)
        assert list(parity.batch_sizes) == [1, 7, 64]
    return report


def exported(model: Any, rows: Any, y: Any, folder: Any) -> Any:
    """Export without a calibrator."""
    return export(
        model,
        folder / "none/1",
        calibration=(rows, y),
        calibrator="none",
        threshold=0.8,
        report=False,
        replace=True,
        allow_duplicates=True,
    )


def served(folder: Any, rows: np.ndarray) -> np.ndarray:
    """The probabilities without a calibrator, out of the bundle."""
    session = onnxruntime.InferenceSession(folder / "none" / "1" / "model.onnx")
    return session.run(["probabilities"], {"features": rows})[0]


@pytest.mark.parametrize("data", ["cancer", "wine"])
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, np.float64) for name in CLASSIFIERS),
        *((name, np.float32) for name in ("XGBoost", "LightGBM", "CatBoost")),
    ],
)
def test_a_classifier_survives_the_export_with_a_calibrator(name, data, dtype, request, tmp_path):
    """With every calibrator, one kind of each library."""
    rows = request.getfixturevalue(data)
    y, y_held_out = (numbers(y) if name in NUMBERED else y for y in (rows.y_train, rows.y_held_out))
    model = CLASSIFIERS[name]().fit(rows.train.astype(dtype), y)
    calibrators = METHODS if dtype == np.float64 and name in ("XGBoost", "LightGBM", "CatBoost") else QUICK
    check(model, rows.held_out.astype(dtype), y_held_out, tmp_path, calibrators)
    own = model.predict_proba(rows.held_out.astype(dtype))
    np.testing.assert_allclose(served(tmp_path, rows.held_out.astype(dtype)), own, atol=1e-5)


@pytest.mark.parametrize("name", ["XGBoost", "LightGBM", "CatBoost"])
def test_ten_classes(name, digits, tmp_path):
    model = CLASSIFIERS[name]()
    model.set_params(**{"iterations" if name == "CatBoost" else "n_estimators": 5})
    model.fit(digits.train, digits.y_train)
    check(model, digits.held_out, digits.y_held_out, tmp_path)


@pytest.mark.parametrize("name", ["XGBoost", "LightGBM", "CatBoost"])
@pytest.mark.parametrize("in_training", [True, False])
def test_missing_values_take_the_branch_that_the_library_sends_them(name, in_training, cancer, tmp_path):
    holes = np.random.default_rng(0).random(cancer.train.shape) < 0.2
    with_holes = np.where(holes, np.nan, cancer.train)
    model = CLASSIFIERS[name]().fit(with_holes if in_training else cancer.train, cancer.y_train)
    held_out = np.where(holes[: len(cancer.held_out)], np.nan, cancer.held_out[: len(holes)])
    report = check(model, held_out, cancer.y_held_out[: len(holes)], tmp_path)
    assert report.manifest.inputs[0].missing_values_allowed
    np.testing.assert_allclose(served(tmp_path, held_out), model.predict_proba(held_out), atol=1e-5)


@pytest.mark.parametrize("mode", ["Min", "Max"])
def test_catboost_sends_missing_values_to_either_end(mode, cancer, tmp_path):
    holes = np.where(np.arange(cancer.train.size).reshape(cancer.train.shape) % 7 == 0, np.nan, cancer.train)
    model = cat(nan_mode=mode).fit(holes, cancer.y_train)
    check(model, holes, cancer.y_train, tmp_path)


def native_xgboost(rows: Any) -> Any:
    data = xgboost.DMatrix(rows.train, numbers(rows.y_train))
    return xgboost.train({"objective": "multi:softprob", "num_class": 3, "nthread": 1}, data, 10)


def native_lightgbm(rows: Any) -> Any:
    data = lightgbm.Dataset(rows.train, numbers(rows.y_train))
    return lightgbm.train(
        {"objective": "multiclass", "num_class": 3, "num_threads": 1, "verbose": -1}, data, 10
    )


def native_catboost(rows: Any) -> Any:
    options = {"loss_function": "MultiClass", "iterations": 10, **CAT}
    return catboost.CatBoost(options).fit(rows.train, numbers(rows.y_train))


@pytest.mark.parametrize("train", [native_xgboost, native_lightgbm, native_catboost])
def test_a_native_booster_has_the_classes_zero_one_two(train, wine, tmp_path):
    report = check(train(wine), wine.held_out, numbers(wine.y_held_out), tmp_path)
    assert list(report.manifest.classes.integers) == [0, 1, 2]
    assert report.manifest.estimator.split(".")[0] in report.manifest.library_versions


@pytest.mark.parametrize("train", [native_xgboost, native_lightgbm])
def test_the_classes_of_a_native_booster_can_be_named(train, wine, tmp_path):
    names = np.unique(wine.y_train)
    report = check(train(wine), wine.held_out, wine.y_held_out, tmp_path, classes=names)
    assert list(report.manifest.classes.strings) == names.tolist()
    with pytest.raises(EstimatorError, match="classes names 2 classes, the model tells 3 apart"):
        check(train(wine), wine.held_out, wine.y_held_out, tmp_path, classes=["a", "b"])


@pytest.mark.parametrize("objective", ["binary:logistic", "binary:logitraw"])
def test_a_binary_native_xgboost_booster(objective, cancer, tmp_path):
    data = xgboost.DMatrix(cancer.train, cancer.y_train)
    model = xgboost.train({"objective": objective, "base_score": 0.3, "nthread": 1}, data, 10)
    check(model, cancer.held_out, cancer.y_held_out, tmp_path)
    margin = model.predict(xgboost.DMatrix(cancer.held_out), output_margin=True)
    np.testing.assert_allclose(served(tmp_path, cancer.held_out)[:, 1], expit(margin), atol=1e-6)


def test_lightgbms_own_slope_of_the_sigmoid_is_kept(cancer, tmp_path):
    data = lightgbm.Dataset(cancer.train, cancer.y_train)
    model = lightgbm.train({"objective": "binary", "sigmoid": 2.5, "num_threads": 1, "verbose": -1}, data, 10)
    check(model, cancer.held_out, cancer.y_held_out, tmp_path)
    own = model.predict(cancer.held_out)
    np.testing.assert_allclose(served(tmp_path, cancer.held_out)[:, 1], own, atol=1e-9)


@pytest.mark.parametrize(
    "make", [lambda: lgbm(objective="multiclassova"), lambda: cat(loss_function="MultiClassOneVsAll")]
)
def test_one_versus_all_has_margins_that_need_a_calibrator(make, wine, tmp_path):
    model = make().fit(wine.train, wine.y_train)
    report = export(model, tmp_path / "m/1", calibration=(wine.held_out, wine.y_held_out), threshold=0.5)
    assert report.manifest.scores_kind == "margins"
    with pytest.raises(EstimatorError, match="needs an estimator with probabilities"):
        check(model, wine.held_out, wine.y_held_out, tmp_path)


@pytest.mark.parametrize("name", ["XGBoost", "LightGBM"])
def test_early_stopping_exports_what_the_classifier_predicts_with(name, cancer, tmp_path):
    evaluated = (cancer.train[200:], cancer.y_train[200:])
    if name == "XGBoost":
        model = xgb(n_estimators=200, early_stopping_rounds=2)
        model.fit(cancer.train[:200], cancer.y_train[:200], eval_set=[evaluated], verbose=False)
    else:
        model = lgbm(n_estimators=200)
        model.fit(
            cancer.train[:200],
            cancer.y_train[:200],
            eval_X=evaluated[0],
            eval_y=evaluated[1],
            callbacks=[lightgbm.early_stopping(2, verbose=False)],
        )
    report = check(model, cancer.held_out, cancer.y_held_out, tmp_path)
    np.testing.assert_allclose(
        served(tmp_path, cancer.held_out), model.predict_proba(cancer.held_out), atol=1e-5
    )
    if name == "XGBoost":
        assert "up to the best iteration" in str(report)
        native = model.get_booster()
        report = check(native, cancer.held_out, cancer.y_held_out, tmp_path)
        assert "uses all" in str(report)
        margin = native.predict(xgboost.DMatrix(cancer.held_out), output_margin=True)
        np.testing.assert_allclose(served(tmp_path, cancer.held_out)[:, 1], expit(margin), atol=1e-5)


@pytest.mark.parametrize("name", ["XGBoost", "LightGBM", "CatBoost"])
def test_a_table_gives_the_names_of_the_columns(name, cancer, tmp_path):
    columns = [f"mean {i}" for i in range(30)]
    train, held_out = (pd.DataFrame(X, columns=columns) for X in (cancer.train, cancer.held_out))
    model = CLASSIFIERS[name]().fit(train, cancer.y_train)
    for given in (model, make_pipeline(model)):
        report = check(given, held_out[columns[::-1]], cancer.y_held_out, tmp_path)
        assert list(report.manifest.inputs[0].column_names) == columns


@pytest.mark.parametrize("name", ["XGBoost", "LightGBM", "CatBoost"])
@pytest.mark.parametrize("sparse", [0.0, 1.0])
def test_a_pipeline_over_a_table(name, sparse, customers, tmp_path):
    """With a sparse matrix XGBoost takes zeros for missing values, and so does the graph."""
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["income", "balance"]),
            ("cities", OneHotEncoder(handle_unknown="ignore"), ["city"]),
            ("ages", "passthrough", ["age"]),
        ],
        sparse_threshold=sparse,
    )
    y, y_held_out = (
        (numbers(y) if name == "XGBoost" else y) for y in (customers.y_train, customers.y_held_out)
    )
    model = make_pipeline(columns, CLASSIFIERS[name]()).fit(customers.train, y)
    report = check(model, customers.held_out, y_held_out, tmp_path)
    assert [spec.name for spec in report.manifest.inputs] == ["age", "income", "balance", "city"]


def test_a_scaler_before_trees_changes_no_branch(cancer, tmp_path):
    for name in ("XGBoost", "LightGBM", "CatBoost"):
        model = make_pipeline(StandardScaler(), CLASSIFIERS[name]()).fit(cancer.train, cancer.y_train)
        check(model, cancer.held_out, cancer.y_held_out, tmp_path / name)


def test_rows_on_a_threshold_and_beside_it_are_compared(cancer, tmp_path, monkeypatch):
    """If thresholds move by one float32, as with a wrong reading of "<", the parity check must fail."""
    model = xgb().fit(cancer.train, cancer.y_train)
    monkeypatch.setattr(xgboost_trees.np, "nextafter", lambda value, _to: value)
    with pytest.raises(ParityError, match="edge row"):
        check(model, cancer.held_out, cancer.y_held_out, tmp_path)


def lightgbm_options(**options: Any) -> Any:
    options = {"objective": "binary", "verbose": -1, "num_threads": 1, **options}
    return lambda X, y: lightgbm.train(options, lightgbm.Dataset(X, y), 2)


def xgboost_options(**options: Any) -> Any:
    return lambda X, y: xgboost.train({"nthread": 1, **options}, xgboost.DMatrix(X, y), 2)


def with_holes(X: np.ndarray, value: float) -> np.ndarray:
    return np.where(np.random.default_rng(0).random(X.shape) < 0.2, value, X)


def threshold_of_catboost(X: np.ndarray, y: np.ndarray, threshold: float) -> Any:
    model = cat(iterations=2).fit(X, y)
    model.set_probability_threshold(threshold)
    return model


REFUSED = {
    "unfitted XGBClassifier": (lambda _X, _y: xgb(), "is not fitted; call fit"),
    "unfitted LGBMClassifier": (lambda _X, _y: lgbm(), "is not fitted; call fit"),
    "unfitted CatBoostClassifier": (lambda _X, _y: cat(), "is not fitted; call fit"),
    "unfitted CatBoost": (lambda _X, _y: catboost.CatBoost(CAT), "is not fitted; call fit"),
    "unfitted xgboost.Booster": (lambda _X, _y: xgboost.Booster(), "is not trained"),
    "XGBRegressor": (lambda X, y: xgboost.XGBRegressor(n_estimators=2).fit(X, y), "is not a classifier"),
    "LGBMRegressor": (
        lambda X, y: lightgbm.LGBMRegressor(n_estimators=2, **LGB).fit(X, y),
        "is not a classifier",
    ),
    "CatBoostRegressor": (
        lambda X, y: catboost.CatBoostRegressor(iterations=2, **CAT).fit(X, y),
        "is not a classifier",
    ),
    "xgboost squared error": (
        xgboost_options(objective="reg:squarederror"),
        "'reg:squarederror' is not a class",
    ),
    "xgboost hinge": (xgboost_options(objective="binary:hinge"), "'binary:hinge' is not a classifier"),
    "xgboost linear": (xgboost_options(objective="binary:logistic", booster="gblinear"), "is a linear model"),
    "lightgbm regression": (lightgbm_options(objective="regression"), "'regression' is not a classifier"),
    "lightgbm linear trees": (lightgbm_options(linear_tree=True), "linear_tree=True is not supported"),
    "lightgbm categories": (
        lambda X, y: lightgbm.train(
            {
                "objective": "binary",
                "verbose": -1,
                "num_threads": 1,
                "min_data_in_leaf": 2,
                "min_data_per_group": 2,
            },
            lightgbm.Dataset(X // 5, (X[:, 0] // 5) % 2, categorical_feature=[0]),
            3,
        ),
        "categorical splits is not supported",
    ),
    "catboost regression": (
        lambda X, y: catboost.CatBoost({"loss_function": "RMSE", "iterations": 2, **CAT}).fit(X, y),
        "'RMSE' is not a classifier",
    ),
    "catboost categories": (
        lambda X, y: cat(iterations=2).fit(pd.DataFrame(X).assign(c="a"), y, cat_features=["c"]),
        "CatBoost with categorical features is not supported",
    ),
    "catboost threshold": (lambda X, y: threshold_of_catboost(X, y, 0.2), "predicts another class"),
    "xgboost trained on sparse rows": (
        lambda X, y: xgb().fit(csr_matrix(np.maximum(X - 15, 0)), y),
        "on a sparse matrix",
    ),
    "native xgboost, missing=": (
        lambda X, y: xgboost.train(
            {"nthread": 1, "objective": "binary:logistic"},
            xgboost.DMatrix(with_holes(X, -1.0), y, missing=-1.0),
            5,
        ),
        "trained with missing=",
    ),
    "xgboost categories": (
        lambda X, y: xgb(enable_categorical=True).fit(
            pd.DataFrame({"a": pd.Categorical(X[:, 0].round().astype(int)), "b": X[:, 1]}), y
        ),
        "categorical splits is not supported",
    ),
}


@pytest.mark.parametrize("missing", [-1.0, 0.0, 1e9])
def test_a_number_that_is_missing_to_xgboost_is_missing_in_the_graph(missing, cancer, tmp_path):
    model = xgb(missing=missing).fit(with_holes(cancer.train, missing), cancer.y_train)
    held_out = with_holes(cancer.held_out, missing)
    exported(model, held_out, cancer.y_held_out, tmp_path)
    np.testing.assert_allclose(served(tmp_path, held_out), model.predict_proba(held_out), atol=1e-5)
    spoiled = np.where(held_out == missing, np.nan, held_out)
    np.testing.assert_allclose(served(tmp_path, spoiled), model.predict_proba(held_out), atol=1e-5)


def test_rows_with_nan_for_what_a_sparse_matrix_leaves_out_are_read_as_xgboost_reads_it(cancer, tmp_path):
    dense = np.maximum(cancer.train - 15, 0)
    model = xgb().fit(csr_matrix(dense), cancer.y_train)
    held_out = np.maximum(cancer.held_out - 15, 0)
    with pytest.raises(RowsError, match="put NaN, not 0"):
        exported(model, csr_matrix(held_out), cancer.y_held_out, tmp_path)
    exported(model, np.where(held_out == 0, np.nan, held_out), cancer.y_held_out, tmp_path)
    found = served(tmp_path, np.where(held_out == 0, np.nan, held_out))
    np.testing.assert_allclose(found, model.predict_proba(csr_matrix(held_out)), atol=1e-5)


def test_few_splits_that_show_missing_values_give_a_note(cancer, tmp_path):
    train = cancer.train.copy()
    train[::9, 0] = np.nan
    model = xgb().fit(train, cancer.y_train)
    notes = exported(model, cancer.held_out, cancer.y_held_out, tmp_path).notes
    assert any("no held-out row has any" in note for note in notes)
    train[::9, 0] = cancer.train[::9, 0]
    notes = exported(xgb().fit(train, cancer.y_train), cancer.held_out, cancer.y_held_out, tmp_path).notes
    assert not any("no held-out row has any" in note for note in notes)


@pytest.mark.parametrize(
    "column",
    [lambda r: -r.integers(0, 3, 400), lambda r: r.choice([0.0, -0.0, 1e-36, -1e-36, -2e-35, 3.0], 400)],
)
@pytest.mark.parametrize("options", [{}, {"zero_as_missing": True}, {"use_missing": False}])
def test_what_is_near_zero_is_zero_to_lightgbm(column, options, tmp_path):
    random = np.random.default_rng(0)
    X = np.column_stack([column(random), random.integers(-2, 3, 400), random.normal(size=400)]).astype(float)
    y = (X[:, 0] + X[:, 1] + random.normal(size=400) > 0).astype(int)
    model = lgbm(**options).fit(X[:200], y[:200])
    exported(model, X[200:], y[200:], tmp_path)
    near = np.repeat(X[200:204], 6, axis=0)
    near[:, 0] = np.resize([1e-35, -1e-35, 1.0000000180025095e-35, -1.0000000180025097e-35, -0.0, 2e-35], 24)
    np.testing.assert_allclose(served(tmp_path, near), model.predict_proba(near), atol=1e-9)


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_come_out_wrong_is_refused(name, cancer, tmp_path):
    make, message = REFUSED[name]
    model = make(cancer.train, cancer.y_train)
    with pytest.raises(EstimatorError, match=message):
        export(model, tmp_path / "m/1", calibration=(cancer.held_out, cancer.y_held_out), threshold=0.5)


def test_a_ranker_is_refused(cancer, tmp_path):
    data = xgboost.DMatrix(cancer.train, cancer.y_train, qid=np.zeros(len(cancer.train)))
    model = xgboost.train({"objective": "rank:pairwise", "nthread": 1}, data, 2)
    with pytest.raises(EstimatorError, match="'rank:pairwise' is not a classifier"):
        export(model, tmp_path / "m/1", calibration=(cancer.held_out, cancer.y_held_out), threshold=0.5)


def test_rows_and_classes_that_do_not_fit_are_refused(cancer, tmp_path):
    model = xgb().fit(cancer.train, cancer.y_train)
    with pytest.raises(RowsError, match=r"wants the shape \[rows, 30\], got \[1, 5\]"):
        export(
            model, tmp_path / "m/1", calibration=(cancer.held_out[:, :5], cancer.y_held_out), threshold=0.5
        )
    with pytest.raises(EstimatorError, match="the model was trained on \\[0, 1\\]; leave classes out"):
        export(
            model,
            tmp_path / "m/1",
            calibration=(cancer.held_out, cancer.y_held_out),
            threshold=0.5,
            classes=["no", "yes"],
        )
