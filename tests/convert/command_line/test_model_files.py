"""The commands for every kind of model file, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import catboost
import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
import xgboost
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn

from tamiz_convert import read_manifest
from tamiz_convert.__main__ import main

COLUMNS = [f"c {i}" for i in range(30)]


def identity(X: Any) -> Any:
    return X


@pytest.fixture(scope="module")
def files(cancer, tmp_path_factory):
    """Rows, and a model of every kind in every kind of file."""
    folder = tmp_path_factory.mktemp("files")
    names = np.array(["bad", "good"])
    table = pd.DataFrame(cancer.held_out, columns=COLUMNS)
    table.assign(label=cancer.y_held_out).to_parquet(folder / "rows.parquet")
    table.assign(label=names[cancer.y_held_out]).to_parquet(folder / "named.parquet")
    images = cancer.held_out.reshape(-1, 1, 5, 6).astype(np.float32)
    np.savez(folder / "rows.npz", x=images, label=cancer.y_held_out)
    np.savez(folder / "labels.npz", label=cancer.y_held_out)

    scaled = make_pipeline(StandardScaler(), LogisticRegression()).fit(cancer.train, cancer.y_train)
    joblib.dump(scaled, folder / "model.joblib")
    skops.io.dump(scaled, folder / "model.skops")
    custom = make_pipeline(FunctionTransformer(identity), LogisticRegression(max_iter=5_000))
    skops.io.dump(custom.fit(cancer.train / 1e3, cancer.y_train), folder / "custom.skops")
    model = to_onnx(scaled, cancer.train[:1].astype(np.float32), options={id(scaled): {"zipmap": False}})
    (folder / "model.onnx").write_bytes(model.SerializeToString())

    train = pd.DataFrame(cancer.train, columns=COLUMNS)
    data = xgboost.DMatrix(train, cancer.y_train)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 5)
    for suffix in ("json", "ubj"):
        booster.save_model(folder / f"xgboost.{suffix}")
    data = lightgbm.Dataset(train, cancer.y_train)
    lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 5).save_model(
        folder / "lightgbm.txt"
    )
    cat = catboost.CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False, thread_count=1)
    cat.fit(train, cancer.y_train).save_model(folder / "catboost.cbm")

    module = nn.Sequential(nn.Flatten(), nn.Linear(30, 2)).eval()
    with torch.no_grad():
        module[1].weight.copy_(torch.tensor(np.vstack([0 * scaled[-1].coef_, scaled[-1].coef_ / 100])))
    torch.save(module, folder / "module.pt")
    batch = ({0: torch.export.Dim("batch")},)
    torch.export.save(
        torch.export.export(module, (torch.zeros(2, 1, 5, 6),), dynamic_shapes=batch), folder / "module.pt2"
    )
    return folder


def run(files, tmp_path, command, model, *extra, rows="rows.parquet"):
    where = [
        "--calibration",
        str(files / rows),
        "--target",
        "label",
        "--output",
        str(tmp_path / "models/m/1"),
    ]
    return main([command, str(files / model), *where, "--threshold", "0.8", *extra])


@pytest.mark.parametrize(
    ("command", "model", "extra", "rows"),
    [
        ("sklearn", "model.joblib", ["--trust-pickle"], "rows.parquet"),
        ("sklearn", "model.skops", [], "rows.parquet"),
        ("booster", "xgboost.json", [], "rows.parquet"),
        ("booster", "xgboost.ubj", ["--classes", "bad,good"], "named.parquet"),
        ("booster", "lightgbm.txt", [], "rows.parquet"),
        ("booster", "catboost.cbm", [], "rows.parquet"),
        (
            "onnx",
            "model.onnx",
            ["--scores", "probabilities", "--output-name", "probabilities"],
            "rows.parquet",
        ),
        ("onnx", "model.onnx", ["--scores", "probabilities", "--classes", "bad,good"], "named.parquet"),
        ("torch", "module.pt", ["--trust-pickle"], "rows.npz"),
        ("torch", "module.pt2", ["--trust-pickle", "--classes", "0,1"], "rows.npz"),
    ],
)
def test_every_kind_of_file_becomes_a_bundle(files, tmp_path, capsys, command, model, extra, rows):
    assert run(files, tmp_path, command, model, *extra, rows=rows) == 0, capsys.readouterr().err
    manifest = read_manifest(tmp_path / "models/m/1")
    assert list(manifest.classes.strings or manifest.classes.integers) in (["bad", "good"], [0, 1])
    assert list(manifest.inputs[0].shape) == ([-1, 1, 5, 6] if rows == "rows.npz" else [-1, 30])
    if command == "booster":
        assert list(manifest.inputs[0].column_names) == COLUMNS


def test_rows_of_four_dimensions_are_recalibrated_compared_and_checked(files, tmp_path, capsys):
    assert run(files, tmp_path, "torch", "module.pt", "--trust-pickle", rows="rows.npz") == 0
    first, second = (str(tmp_path / "models/m" / version) for version in "12")
    rows = [str(files / "rows.npz"), "--target", "label"]
    assert main(["recalibrate", first, "--calibration", *rows, "--threshold", "0.9", "--output", second]) == 0
    assert main(["compare", first, second, "--data", *rows, "--json", str(tmp_path / "compared.json")]) == 0
    assert (tmp_path / "compared.json").exists()
    (tmp_path / "checks.yaml").write_text(
        "version: 1\nabstention:\n  - {generate: nan, expect: all_abstain}\n"
    )
    assert main(["check", first, "--data", *rows, "--checks", str(tmp_path / "checks.yaml")]) == 0
    assert "1 passed" in capsys.readouterr().out
    assert main(["compare", first, second, "--data", *rows, "--slices", "x"]) == 1
    assert "pass a DataFrame, or slices={name: values}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "model", "extra", "rows", "message"),
    [
        ("sklearn", "custom.skops", [], "rows.parquet", "holds types that are not known to be harmless"),
        ("sklearn", "xgboost.json", [], "rows.parquet", "ends in .joblib, .pkl, .pickle, .skops"),
        ("torch", "module.pt", [], "rows.npz", "may hold pickles"),
        ("torch", "module.pt2", [], "rows.npz", "may hold pickles"),
        ("torch", "model.onnx", ["--trust-pickle"], "rows.npz", "ends in .pt2, .pt, .pth"),
        ("booster", "nowhere.json", [], "rows.parquet", "does not exist"),
        ("booster", "model.joblib", [], "rows.parquet", "ends in .json, .ubj, .txt, .cbm"),
        ("onnx", "model.onnx", ["--scores", "logits"], "rows.parquet", "as behind a softmax"),
        ("torch", "module.pt", ["--trust-pickle"], "labels.npz", "has no array besides 'label'"),
        ("torch", "module.pt", ["--trust-pickle"], "nowhere.npz", "nowhere.npz does not exist"),
        (
            "torch",
            "module.pt",
            ["--trust-pickle", "--classes", "a,b,c"],
            "rows.npz",
            "classes names 3 classes",
        ),
    ],
)
def test_a_foreseen_error_is_one_line(files, tmp_path, capsys, command, model, extra, rows, message):
    assert run(files, tmp_path, command, model, *extra, rows=rows) == 1
    error = capsys.readouterr().err
    assert error.startswith("tamiz-convert: ")
    assert error.count("\n") == 1
    assert message in error


def test_a_broken_file_is_told_in_one_line(files, tmp_path, capsys):
    for name, command in (("broken.json", "booster"), ("broken.cbm", "booster"), ("broken.skops", "sklearn")):
        (files / name).write_bytes(b"\x00nothing")
        assert run(files, tmp_path, command, name) == 1
        assert "cannot be loaded" in capsys.readouterr().err


def test_types_in_a_skops_file_can_be_trusted_by_name(files, tmp_path, capsys):
    run(files, tmp_path, "sklearn", "custom.skops")
    advice = capsys.readouterr().err.split("--trust-types ")[1].strip()
    assert run(files, tmp_path, "sklearn", "custom.skops", "--trust-types", advice) == 1
    assert "FunctionTransformer" in capsys.readouterr().err  # loaded now, and refused for what it is


@pytest.mark.parametrize(
    ("command", "model", "library", "extra"),
    [
        ("booster", "xgboost.json", "xgboost", "boosters"),
        ("booster", "lightgbm.txt", "lightgbm", "boosters"),
        ("booster", "catboost.cbm", "catboost", "boosters"),
        ("torch", "module.pt", "torch", "torch"),
    ],
)
def test_a_missing_library_names_the_extra(
    files, tmp_path, capsys, monkeypatch, command, model, library, extra
):
    monkeypatch.setitem(sys.modules, library, None)
    trust = ["--trust-pickle"] if command == "torch" else []
    assert run(files, tmp_path, command, model, *trust) == 1
    assert (
        f"{library} is not installed; such models need: pip install 'tamiz[{extra}]'"
        in capsys.readouterr().err
    )


def test_exporting_a_scikit_learn_model_imports_no_heavy_library():
    code = "import sys, tamiz_convert; print({'torch', 'xgboost', 'lightgbm', 'catboost'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "set()\n"
    )
