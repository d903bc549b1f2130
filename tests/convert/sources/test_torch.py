"""Torch modules against torch itself, and everything that is refused."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

from tamiz_convert import EstimatorError, RowsError, TorchModel, export

QUICK = ("none", "temperature", "isotonic")
"""Logits of two, three and ten classes meet every calibrator in test_parity_matrix.py."""


def train(module: nn.Module, X: np.ndarray, y: np.ndarray, steps: int = 60) -> nn.Module:
    """A few steps of Adam; one output is trained as the logit of class 1."""
    inputs, labels = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    module.train()
    for _ in range(steps):
        optimizer.zero_grad()
        logits = module(inputs)
        if logits.ndim == 1 or logits.shape[1] == 1:
            loss = functional.binary_cross_entropy_with_logits(logits.reshape(-1), labels.float())
        else:
            loss = functional.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
    return module.eval()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def scaled(cancer):
    mean, spread = cancer.train.mean(axis=0), cancer.train.std(axis=0)
    return (
        (cancer.train - mean) / spread,
        cancer.y_train,
        (cancer.held_out - mean) / spread,
        cancer.y_held_out,
    )


@pytest.fixture(scope="module")
def images(digits):
    def image(X):
        return X.reshape(-1, 1, 8, 8).astype(np.float32) / 16

    return image(digits.train), digits.y_train, image(digits.held_out), digits.y_held_out


@pytest.fixture(scope="module")
def cnn(images):
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(8 * 36, 10)
    )
    return train(module, images[0], images[1])


@pytest.fixture(scope="module")
def dense(scaled):
    return train(nn.Sequential(nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 2)), *scaled[:2])


def check(model, rows, y, folder, calibrators=("none",), **options):
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
        assert parity.max_probability_difference <= (
            1e-4 if calibrator in {"isotonic", "venn-abers"} else 1e-5
        )
        assert list(parity.batch_sizes) == [1, 7, 64]
    return report


def probabilities(folder, feed):
    return onnxruntime.InferenceSession(folder / "none" / "1" / "model.onnx").run(["probabilities"], feed)[0]


def test_images_survive_the_export_with_a_calibrator(cnn, images, tmp_path):
    report = check(cnn, images[2], images[3], tmp_path, QUICK)
    (spec,) = report.manifest.inputs
    assert (spec.name, list(spec.shape)) == ("features", [-1, 1, 8, 8])
    assert [each.name for each in report.manifest.reference_histograms] == ["confidence"]
    assert report.manifest.estimator == "torch.nn.modules.container.Sequential"
    assert {"torch", "onnxscript"} <= set(report.manifest.library_versions)
    with torch.inference_mode():
        own = torch.softmax(cnn(torch.tensor(images[2])).double(), 1).numpy()
    np.testing.assert_allclose(probabilities(tmp_path, {"features": images[2]}), own, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_either_precision_are_read_as_the_parameters_are(dense, scaled, dtype, tmp_path):
    report = check(dense, scaled[2].astype(dtype), scaled[3], tmp_path)
    (spec,) = report.manifest.inputs
    assert (
        spec.DESCRIPTOR.fields_by_name["dtype"]
        .enum_type.values_by_number[spec.dtype]
        .name.endswith("FLOAT32")
    )


def test_a_module_in_float64_keeps_it(scaled, tmp_path):
    module = train(nn.Sequential(nn.Linear(30, 2)), *scaled[:2]).double()
    report = check(module, scaled[2], scaled[3], tmp_path)
    assert report.manifest.parity.max_probability_difference < 1e-12


@pytest.mark.parametrize("last", [nn.Identity, lambda: nn.Flatten(0)])
def test_one_output_is_the_logit_of_the_second_class(scaled, last, tmp_path):
    module = train(nn.Sequential(nn.Linear(30, 1), last()), *scaled[:2])
    names = np.array(["benign", "malignant"])
    report = check(module, scaled[2], names[scaled[3]], tmp_path, QUICK, classes=names)
    assert list(report.manifest.classes.strings) == names.tolist()
    with torch.inference_mode():
        own = torch.sigmoid(module(torch.tensor(scaled[2], dtype=torch.float32)).double()).numpy().ravel()
    found = probabilities(tmp_path, {"features": scaled[2].astype(np.float32)})
    np.testing.assert_allclose(found[:, 1], own, atol=1e-5)


def test_a_table_gives_the_names_of_the_columns(dense, scaled, tmp_path):
    table = pd.DataFrame(scaled[2], columns=[f"c{i}" for i in range(30)])
    report = check(dense, table, scaled[3], tmp_path, ("temperature",))
    assert list(report.manifest.inputs[0].column_names) == list(table.columns)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.color = nn.Embedding(3, 4)
        self.last = nn.Linear(4 + 5, 2)

    def forward(self, color, size):
        return self.last(torch.cat([self.color(color[:, 0]), size], dim=1))


def test_several_inputs_are_named_after_the_arguments_of_forward(tmp_path):
    random = np.random.default_rng(0)
    rows = {"size": random.normal(size=(300, 5)), "color": random.integers(0, 3, 300)}
    y = (rows["size"][:, 0] + rows["color"] > 1).astype(int)
    module = TwoInputs().eval()
    report = check(module, rows, y, tmp_path)
    assert [(spec.name, list(spec.shape)) for spec in report.manifest.inputs] == [
        ("color", [-1, 1]),
        ("size", [-1, 5]),
    ]
    with pytest.raises(RowsError, match="the arguments of forward are color, size"):
        check(module, {"colour": rows["color"], "size": rows["size"]}, y, tmp_path)


def test_an_exported_program_is_as_good_as_its_module(dense, scaled, tmp_path):
    example = (torch.zeros(2, 30),)
    with_names = torch.export.export(dense, example, dynamic_shapes=({0: torch.export.Dim("batch")},))
    report = check(with_names, scaled[2], scaled[3], tmp_path, ("none", "temperature"))
    assert [spec.name for spec in report.manifest.inputs] == ["features"]
    with pytest.raises(EstimatorError, match=r"takes exactly 2 row\(s\)"):
        check(torch.export.export(dense, example), scaled[2], scaled[3], tmp_path)


def test_a_softmax_at_the_end_is_told_and_taken_as_probabilities_if_said(dense, scaled, tmp_path):
    module = nn.Sequential(dense, nn.Softmax(dim=1)).eval()
    with pytest.raises(EstimatorError, match="rows sum to 1, as behind a softmax"):
        check(module, scaled[2], scaled[3], tmp_path)
    report = check(TorchModel(module, kind="probabilities"), scaled[2], scaled[3], tmp_path)
    assert report.manifest.scores_kind == "probabilities"
    with pytest.raises(EstimatorError, match="does not hold probabilities"):
        check(TorchModel(dense, kind="probabilities"), scaled[2], scaled[3], tmp_path)


class Says(nn.Module):
    """A linear layer, and what a function makes of its output."""

    def __init__(self, change):
        super().__init__()
        self.linear = nn.Linear(30, 2)
        self.change = change

    def forward(self, x):
        return self.change(self.linear(x))


def norm_over_the_batch(x):
    return functional.batch_norm(x, None, None, training=True) if len(x) > 1 else x


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: functional.dropout(x, 0.5), "different scores for the same rows the second time"),
        (norm_over_the_batch, "rows of a batch influence each other"),
        (lambda x: {"logits": x}, "returns a dict, expected one tensor of logits"),
        (lambda x: x[:, :, None], r"has shape \[256, 2, 1\] for 256 rows"),
        (lambda x: x[0], "expected one row of scores per row"),
        (lambda x: x * torch.inf, "holds NaN or infinity"),
        (lambda x: x[:, :1].sigmoid(), "lie between 0 and 1, as behind a sigmoid"),
        (lambda x: x if float(x.sum()) > 1e9 else x + 1, "torch cannot export the module"),
    ],
)
def test_a_module_that_cannot_be_served_is_refused(change, message, scaled, tmp_path):
    with pytest.raises(EstimatorError, match=message):
        export(Says(change).eval(), tmp_path / "m/1", calibration=scaled[2:], threshold=0.5)


def test_training_mode_is_refused_by_the_name_of_the_part(dense, cnn, scaled, images, tmp_path):
    module = nn.Sequential(dense, nn.Dropout())
    with pytest.raises(
        EstimatorError, match=r"in training mode \(the module itself, 1\).*call module.eval\(\)"
    ):
        export(module, tmp_path / "m/1", calibration=scaled[2:], threshold=0.5)


def test_what_is_no_module_is_refused(dense, scaled, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(dense, torch.zeros(2, 30))
    for model, message in (
        (TorchModel(dense.state_dict()), "a state_dict holds weights only"),
        (torch.zeros(3), "torch.Tensor is not a model"),
        (traced, "a TorchScript module cannot be exported"),
    ):
        with pytest.raises(EstimatorError, match=f"(?i){message}"):
            export(model, tmp_path / "m/1", calibration=scaled[2:], threshold=0.5)


def test_rows_that_do_not_fit_are_refused(dense, scaled, tmp_path):
    for rows, message in (
        (scaled[2][:, :7], "the module fails on rows of features float32"),
        (scaled[2].round().astype(int), r"features int64\[.*pass rows.astype\(np.float32\)"),
        (scaled[2].astype(str), "torch reads numbers only"),
    ):
        with pytest.raises(RowsError, match=message):
            export(dense, tmp_path / "m/1", calibration=(rows, scaled[3]), threshold=0.5)
    with pytest.raises(EstimatorError, match="classes names 3 classes, the module tells 2 apart"):
        export(dense, tmp_path / "m/1", calibration=scaled[2:], threshold=0.5, classes=["a", "b", "c"])


def test_a_missing_exporter_names_the_extra(dense, scaled, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(EstimatorError, match=r"pip install 'tamiz\[torch\]'"):
        export(dense, tmp_path / "m/1", calibration=scaled[2:], threshold=0.5)
