"""Existing ONNX files: other versions, several outputs, old constants, local functions, subgraphs."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from tamiz.bundle_format import OnnxParts
from tamiz_convert import EstimatorError, OnnxModel, RowsError, export
from tamiz_convert.calibrators import METHODS
from tamiz_server.model.graph_check import check_graph


@pytest.fixture(scope="module")
def scaled(wine):
    scaler = StandardScaler().fit(wine.train)
    y, y_held_out = (np.unique(y, return_inverse=True)[1] for y in (wine.y_train, wine.y_held_out))
    return scaler.transform(wine.train), y, scaler.transform(wine.held_out), y_held_out


@pytest.fixture(scope="module")
def weights(scaled):
    model = LogisticRegression().fit(scaled[0], scaled[1])
    return model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32)


def linear(
    weights,
    *,
    n_rows=None,
    opset=19,
    ir_version=10,
    nodes=None,
    outputs=(("scores", 3),),
    constants_as_inputs=False,
    **options,
) -> onnx.ModelProto:
    """features ─► MatMul ─► Add ─► scores, or other nodes."""
    nodes = nodes or [
        helper.make_node("MatMul", ["features", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["scores"]),
    ]
    constants = [numpy_helper.from_array(each, name) for each, name in zip(weights, "wb", strict=True)]
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [n_rows, 13])]
    if constants_as_inputs:
        inputs += [helper.make_tensor_value_info(t.name, TensorProto.FLOAT, list(t.dims)) for t in constants]
    declared = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [n_rows, size]) for name, size in outputs
    ]
    graph = helper.make_graph(nodes, "linear", inputs, declared, constants)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version, **options
    )


@pytest.fixture
def check(scaled, tmp_path):
    """Write a model, export it, and compare the bundle with what the file itself gives."""

    def run(
        model,
        kind="logits",
        *,
        output=None,
        rows=None,
        calibrators=("none", "temperature", "isotonic"),
        **options,
    ):
        path = tmp_path / "given.onnx"
        if isinstance(model, onnx.ModelProto):
            onnx.save(model, path)
        else:
            path = model
        for calibrator in calibrators:
            report = export(
                OnnxModel(path, kind, output),
                tmp_path / calibrator / "1",
                calibration=(scaled[2] if rows is None else rows, options.pop("y", scaled[3])),
                calibrator=calibrator,
                threshold=0.8,
                replace=True,
                report=False,
                **options,
            )
            assert report.manifest.parity.label_flips == 0
            assert report.manifest.parity.max_probability_difference <= 1e-5
            onnxruntime.InferenceSession(report.path)
        return report

    return run


def softmaxed(logits):
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def test_a_ratio_of_integers_is_guarded_so_that_no_row_ends_the_server_or_the_exporter(tmp_path):
    """The smallest integer divided by −1 ends a process that computes it."""
    random = np.random.default_rng(5)
    rows = np.column_stack([random.integers(-(10**9), 10**9, 600), random.integers(-9, 9, 600)])
    rows[rows[:, 1] == 0, 1] = 1
    rows[:3] = [[-(2**63), -1], [7, -1], [-7, 2]]
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2),
        helper.make_node("Div", ["a", "b"], ["ratio"]),
        helper.make_node("Cast", ["ratio"], ["r"], to=TensorProto.FLOAT),
        helper.make_node("Tanh", ["r"], ["t"]),
        helper.make_node("Neg", ["t"], ["n"]),
        helper.make_node("Concat", ["n", "t"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "ratio",
        [helper.make_tensor_value_info("x", TensorProto.INT64, [None, 2])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9),
        tmp_path / "m.onnx",
    )
    labels = (rows[:, 0] / rows[:, 1] > 0).astype(int)
    report = export(
        OnnxModel(tmp_path / "m.onnx", "logits"),
        tmp_path / "ratio/1",
        calibration=(rows, labels),
        calibrator="none",
        threshold=0.6,
    )
    content = report.path.read_bytes()
    check_graph(report.path, OnnxParts.of(content))
    session = onnxruntime.InferenceSession(content)
    for row, less in (([-(2**63), -1], True), ([6, -1], True), ([-(2**63), 1], True), ([9, 3], False)):
        probabilities = session.run(["probabilities"], {"x": np.array([row])})[0]
        assert (probabilities[0, 0] > 0.5) == less


@pytest.mark.parametrize(
    ("opset", "ir_version"), [(7, 3), (9, 4), (13, 7), (17, 8), (19, 9), (21, 10), (22, 10)]
)
def test_a_file_of_any_version_is_taken(check, weights, scaled, opset, ir_version):
    model = linear(weights, opset=opset, ir_version=ir_version, constants_as_inputs=ir_version < 4)
    report = check(model, calibrators=("none",))
    assert [spec.name for spec in report.manifest.inputs] == ["features"]
    assert report.manifest.estimator == "onnx:given.onnx"
    feed = {"features": scaled[2].astype(np.float32)}
    found = onnxruntime.InferenceSession(report.path).run(["probabilities"], feed)[0]
    np.testing.assert_allclose(found, softmaxed(scaled[2] @ weights[0] + weights[1]), atol=1e-6)


def test_every_calibrator_and_named_classes(check, weights, scaled):
    names = np.array(["a", "b", "c"])
    report = check(linear(weights), calibrators=("none",), classes=names, y=names[scaled[3]])
    assert list(report.manifest.classes.strings) == names.tolist()
    check(linear(weights), calibrators=METHODS)
    margins = [method for method, calibrator in METHODS.items() if not calibrator.needs_probabilities]
    check(linear(weights), "margins", calibrators=margins)


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(max_iter=1_000), RandomForestClassifier(10, random_state=0)]
)
@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("opset", [12, 18])
def test_what_skl2onnx_wrote_is_taken_with_its_one_floating_output(check, scaled, estimator, zipmap, opset):
    fitted = estimator.fit(scaled[0].astype(np.float32), scaled[1])
    model = convert_sklearn(
        fitted,
        initial_types=[("x", FloatTensorType([None, 13]))],
        target_opset={"": opset, "ai.onnx.ml": 3},
        options={id(fitted): {"zipmap": zipmap}},
    )
    check(model, "probabilities")


def test_two_candidate_outputs_have_to_be_told_apart(check, weights):
    nodes = [
        helper.make_node("Gemm", ["features", "w", "b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    model = linear(weights, nodes=nodes, outputs=(("logits", 3), ("probabilities", 3)))
    with pytest.raises(
        EstimatorError, match=r"2 outputs that may hold scores \(logits, probabilities\); name the one"
    ):
        check(model)
    with pytest.raises(EstimatorError, match="has no output 'scores'; it has logits, probabilities"):
        check(model, output="scores")
    check(model, output="logits", calibrators=("none",))
    check(model, "probabilities", output="probabilities", calibrators=("none", "temperature"))


@pytest.mark.parametrize(
    ("output", "kind", "message"),
    [
        ("probabilities", "logits", "rows sum to 1, as behind a softmax"),
        ("logits", "probabilities", "does not hold probabilities: it reaches from"),
        ("logits", "scores", "kind is 'scores'; expected one of logits, margins, probabilities"),
    ],
)
def test_a_kind_that_the_values_contradict_is_refused(check, weights, output, kind, message):
    nodes = [
        helper.make_node("Gemm", ["features", "w", "b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    model = linear(weights, nodes=nodes, outputs=(("logits", 3), ("probabilities", 3)))
    with pytest.raises(EstimatorError, match=message):
        check(model, kind, output=output)


@pytest.mark.parametrize("n_columns", [1, 2])
def test_two_classes_may_have_one_column_or_two(check, weights, scaled, n_columns):
    binary = scaled[3] % 2
    two = (weights[0][:, :n_columns].copy(), weights[1][:n_columns].copy())
    report = check(linear(two, outputs=(("scores", n_columns),)), y=binary, calibrators=("none",))
    logits = (scaled[2] @ two[0] + two[1]).astype(np.float64)
    logits = np.column_stack([np.zeros(len(logits)), logits]) if n_columns == 1 else logits
    feed = {"features": scaled[2].astype(np.float32)}
    found = onnxruntime.InferenceSession(report.path).run(["probabilities"], feed)[0]
    np.testing.assert_allclose(found, softmaxed(logits), atol=1e-6)


def test_a_fixed_number_of_rows_is_refused_with_advice(check, weights):
    with pytest.raises(EstimatorError, match=r"takes exactly 1 row\(s\).*dynamic first dimension"):
        check(linear(weights, n_rows=1))


def test_a_named_number_of_rows_is_dynamic(check, weights):
    check(linear(weights, n_rows="batch"), calibrators=("none",))


@pytest.mark.parametrize("n_rows", [-1, 0])
def test_minus_one_and_zero_stand_for_any_number_of_rows(check, weights, n_rows):
    report = check(linear(weights, n_rows=n_rows), calibrators=("none",))
    assert list(report.manifest.inputs[0].shape) == [-1, 13]


@pytest.mark.parametrize("opset", [15, 17, 19])
@pytest.mark.parametrize("functions_opset", [15, 18, 21])
def test_a_local_function_may_be_of_another_opset_than_the_file(check, weights, opset, functions_opset):
    body = [helper.make_node("MatMul", ["x", "m"], ["p"]), helper.make_node("Add", ["p", "c"], ["y"])]
    function = helper.make_function(
        "ours", "Dense", ["x", "m", "c"], ["y"], body, [helper.make_opsetid("", functions_opset)]
    )
    nodes = [helper.make_node("Dense", ["features", "w", "b"], ["scores"], domain="ours")]
    model = linear(weights, opset=opset, nodes=nodes, functions=[function])
    model.opset_import.append(helper.make_opsetid("ours", 1))
    check(model, calibrators=("none",))


CLASSES = [["b", "a", "c"], [3, 1, 2], [1, 2, 3]]


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), GaussianNB(), DecisionTreeClassifier(max_depth=3)]
)
@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("classes", CLASSES)
def test_the_classes_that_a_file_names_are_taken(check, scaled, estimator, zipmap, classes):
    y, y_held_out = (np.array(classes)[each] for each in (scaled[1], scaled[3]))
    model = convert_sklearn(
        estimator.fit(scaled[0].astype(np.float32), y),
        initial_types=[("x", FloatTensorType([None, 13]))],
        target_opset=17,
        options={id(estimator): {"zipmap": zipmap}},
    )
    report = check(model, "probabilities", calibrators=("none",), y=y_held_out)
    found = report.manifest.classes
    assert list(found.strings or found.integers) == sorted(classes)
    check(model, "probabilities", calibrators=("none",), y=y_held_out, classes=sorted(classes))
    for others in (sorted(classes, reverse=True), ["x", "y", "z"]):
        with pytest.raises(EstimatorError, match="the ONNX file names its classes"):
            check(model, "probabilities", classes=others, y=y_held_out)


def test_classes_that_are_only_numbered_in_the_file_may_be_named(check, scaled):
    model = convert_sklearn(
        LogisticRegression().fit(scaled[0].astype(np.float32), scaled[1]),
        initial_types=[("x", FloatTensorType([None, 13]))],
        target_opset=17,
    )
    names = np.array(["a", "b", "c"])
    check(model, "probabilities", calibrators=("none",), classes=names, y=names[scaled[3]])
    with pytest.raises(EstimatorError, match="the ONNX file names its classes"):
        check(model, "probabilities", classes=[2, 1, 0])


@pytest.mark.parametrize("columns", [["x", "city"], ["city", "x", "note"], ["model_x", "city"]])
def test_a_table_with_text_is_read_column_by_column(check, columns):
    random = np.random.default_rng(0)
    number = next(name for name in columns if name.endswith("x"))
    table = pd.DataFrame({name: random.choice(["a", "b"], 300) for name in columns})
    table[number] = random.normal(size=300).astype(np.float32)
    y = (table[number] + (table["city"] == "a") + random.logistic(size=300) > 0).astype(int).to_numpy()
    pipeline = make_pipeline(
        ColumnTransformer([("n", "passthrough", [number]), ("c", OneHotEncoder(), ["city"])]),
        LogisticRegression(),
    ).fit(table, y)
    types = [
        (name, FloatTensorType([None, 1]) if name == number else StringTensorType([None, 1]))
        for name in table.columns
        if name != "note"
    ]
    model = convert_sklearn(pipeline, initial_types=types, target_opset=17, options={"zipmap": False})
    check(model, "probabilities", calibrators=("none",), rows=table, y=y, allow_duplicates=True)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("impossible", [0.05, 0.5])
def test_log_probabilities_of_impossible_classes_are_taken(check, tmp_path, n_classes, impossible):
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, n_classes)).astype(np.float32)
    rows[random.random(rows.shape) < impossible] = -np.inf
    rows[:, 0] = np.where(np.isneginf(rows).all(axis=1), 0, rows[:, 0])
    y = np.array([random.choice(n_classes, p=softmaxed(row[None])[0]) for row in rows])
    # The file reads finite rows, and writes −∞ for −100.
    nodes = [
        helper.make_node("Less", ["features", "limit"], ["gone"]),
        helper.make_node("Where", ["gone", "never", "features"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "log",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, n_classes])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, n_classes])],
        [
            numpy_helper.from_array(np.float32(-99), "limit"),
            numpy_helper.from_array(np.float32(-np.inf), "never"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    given = np.where(np.isneginf(rows), np.float32(-100), rows)
    check(model, rows=given, y=y, calibrators=("temperature",), allow_duplicates=True)
    check(model, rows=given, y=y, calibrators=("isotonic",), allow_duplicates=True)
    report = check(model, rows=given, y=y, calibrators=("none",), allow_duplicates=True)
    found = onnxruntime.InferenceSession(report.path).run(["probabilities"], {"features": given})[0]
    np.testing.assert_allclose(found, softmaxed(rows), atol=1e-6)


def test_external_data_are_taken_into_the_bundle(check, weights, tmp_path):
    path = tmp_path / "apart.onnx"
    onnx.save(linear(weights), path, save_as_external_data=True, location="apart.bin", size_threshold=0)
    assert (tmp_path / "apart.bin").exists()
    report = check(path, calibrators=("none",))
    assert not onnx.external_data_helper.uses_external_data(onnx.load(report.path).graph.initializer[0])
    (tmp_path / "apart.bin").unlink()
    with pytest.raises(EstimatorError, match=r"apart\.bin"):
        check(path)


def test_local_functions_and_subgraphs_are_carried_over(check, weights):
    body = [
        helper.make_node("MatMul", ["x", "m"], ["product"]),
        helper.make_node("Add", ["product", "c"], ["y"]),
    ]
    function = helper.make_function(
        "ours", "Dense", ["x", "m", "c"], ["y"], body, [helper.make_opsetid("", 19)]
    )
    branches = {
        name: helper.make_graph(
            [helper.make_node(op, ["logits", "features_sum"], [f"{name}_out"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)],
        )
        for name, op in (("then_branch", "Add"), ("else_branch", "Sub"))
    }
    nodes = [
        helper.make_node("Dense", ["features", "w", "b"], ["logits"], domain="ours"),
        helper.make_node("ReduceMean", ["features"], ["features_sum"], axes=None),
        helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node("If", ["yes"], ["scores"], **branches),
    ]
    nodes[1] = helper.make_node("ReduceMin", ["b"], ["features_sum"], keepdims=0)
    model = linear(weights, nodes=nodes, functions=[function])
    model.opset_import.append(helper.make_opsetid("ours", 1))
    check(model, calibrators=("none", "temperature"))


def test_names_of_the_bundles_own_may_stand_in_the_file_but_not_for_an_input(check, weights):
    nodes = [
        helper.make_node("Gemm", ["features", "w", "b"], ["probabilities"]),
        helper.make_node("Identity", ["probabilities"], ["calibrator_constant_1"]),
    ]
    check(linear(weights, nodes=nodes, outputs=(("calibrator_constant_1", 3),)))
    model = linear(weights)
    model.graph.input[0].name = "scores"
    model.graph.node[0].input[0] = "scores"
    model.graph.node[1].output[0] = model.graph.output[0].name = "out"
    with pytest.raises(EstimatorError, match="called 'scores'"):
        check(model)


def test_several_inputs_are_read_from_a_dict_or_a_table(check, scaled, tmp_path):
    names = ["x", "y"]
    nodes = [
        helper.make_node("Concat", names, ["both"], axis=1),
        helper.make_node("ReduceSum", ["both", "axis"], ["sum"], keepdims=1),
    ]
    graph = helper.make_graph(
        nodes,
        "sum",
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, 1]) for name in names],
        [helper.make_tensor_value_info("sum", TensorProto.DOUBLE, [None, 1])],
        [numpy_helper.from_array(np.array([1]), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    rows = dict(zip(names, np.random.default_rng(0).normal(size=(2, 200)), strict=True))
    y = (rows["x"] > 0).astype(int)
    for given in (rows, pd.DataFrame(rows)):
        report = check(model, rows=given, y=y, calibrators=("none",))
        assert [list(spec.shape) for spec in report.manifest.inputs] == [[-1, 1], [-1, 1]]
        assert {each.name for each in report.manifest.reference_histograms} == {"confidence", "x", "y"}
    with pytest.raises(RowsError, match="input 'y' is not among the columns 'x'"):
        check(model, rows={"x": rows["x"]}, y=y)
    with pytest.raises(RowsError, match="the model reads 2 inputs"):
        check(model, rows=scaled[2], y=y)


def test_rows_that_do_not_fit_are_refused(check, weights, scaled):
    with pytest.raises(RowsError, match=r"wants the shape \[rows, 13\], got \[89, 5\]"):
        check(linear(weights), rows=scaled[2][:, :5])
    with pytest.raises(EstimatorError, match="classes names 2 classes, the output 'scores' tells 3 apart"):
        check(linear(weights), classes=["a", "b"])


def test_what_is_no_model_is_refused(check, tmp_path, weights):
    with pytest.raises(EstimatorError, match=r"nowhere\.onnx does not exist"):
        check(tmp_path / "nowhere.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"\x00\xff" * 40)
    with pytest.raises(EstimatorError, match="is not a valid ONNX model"):
        check(tmp_path / "bad.onnx")
    nodes = [helper.make_node("ArgMax", ["features"], ["label"], axis=1)]
    model = linear(weights, nodes=nodes, outputs=(("label", 1),))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(EstimatorError, match=r"0 outputs that may hold scores \(none\)"):
        check(model)
    with pytest.raises(EstimatorError, match="is of type INT64; scores are floating-point"):
        check(model, output="label")


def test_images_and_tables_go_through(check, weights, scaled):
    nodes = [
        helper.make_node("Flatten", ["features"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["scores"]),
    ]
    model = linear(weights, nodes=nodes)
    model.graph.input[0].CopyFrom(
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 1, "height", 1])
    )
    report = check(model, rows=scaled[2].reshape(-1, 1, 13, 1), calibrators=("temperature",))
    assert list(report.manifest.inputs[0].shape) == [-1, 1, 13, 1]
    table = pd.DataFrame(scaled[2], columns=[f"c{i}" for i in range(13)])
    report = check(linear(weights), rows=table, calibrators=("temperature",))
    assert list(report.manifest.inputs[0].column_names) == list(table.columns)


@pytest.mark.parametrize(
    ("said", "seen", "allowed"), [(False, True, False), (True, True, True), (True, False, False)]
)
def test_missing_values_are_allowed_if_the_caller_says_so_and_held_out_rows_hold_some(
    weights, scaled, tmp_path, said, seen, allowed
):
    imputing = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Sub", ["b", "b"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Where", ["missing", "zero", "features"], ["imputed"]),
        helper.make_node("MatMul", ["imputed", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["scores"]),
    ]
    path = tmp_path / "given.onnx"
    onnx.save(linear(weights, nodes=imputing), path)
    rows = scaled[2].copy()
    if seen:
        rows[::7, 0] = np.nan
    report = export(
        OnnxModel(path, "logits", missing_values_allowed=said),
        tmp_path / "m/1",
        calibration=(rows, scaled[3]),
        threshold=0.5,
    )
    assert report.manifest.inputs[0].missing_values_allowed is allowed
