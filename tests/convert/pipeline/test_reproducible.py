"""Two exports of the same inputs give the same files, except for dates and timings."""

from __future__ import annotations

import json

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import torch
import xgboost
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from torch import nn

from tamiz_convert import OnnxModel, export

N_TRAIN = 600


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(4)
    X = random.normal(size=(2_400, 3)).round(3)
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    table["region"] = random.choice(["north", "south"], len(X))
    y = (X[:, 0] - X[:, 1] + random.logistic(size=len(X)) / 2 > 0).astype(int)
    return table, y


def dense(X, y):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(torch.tensor(X, dtype=torch.float32)), torch.tensor(y)).backward()
        optimizer.step()
    return module.eval()


MODELS = {
    "forest": lambda X, y: RandomForestClassifier(10, random_state=0).fit(X, y),
    "xgboost": lambda X, y: xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(X, y),
    "lightgbm": lambda X, y: lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(X, y),
    "catboost": lambda X, y: catboost.CatBoostClassifier(
        iterations=5, verbose=0, thread_count=1, allow_writing_files=False
    ).fit(X, y),
    "torch": dense,
}


@pytest.mark.parametrize("name", [*MODELS, "onnx"])
def test_two_exports_with_a_chosen_calibrator_differ_in_date_and_latency_only(
    name, rows, tmp_path, monkeypatch
):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    table, y = rows
    X = table[["a", "b", "c"]].to_numpy()[:N_TRAIN]
    if name == "onnx":
        linear = LogisticRegression().fit(X, y[:N_TRAIN])
        file = to_onnx(linear, X[:1].astype(np.float32), options={id(linear): {"zipmap": False}})
        (tmp_path / "m.onnx").write_bytes(file.SerializeToString())
        model = OnnxModel(tmp_path / "m.onnx", "probabilities")
    else:
        model = MODELS[name](X, y[:N_TRAIN])
    written = []
    for folder in "ab":
        report = export(
            model,
            tmp_path / folder / "m/1",
            calibration=(table[N_TRAIN:], y[N_TRAIN:]),
            max_error=0.25,
            slice_by="region",
            groups=np.arange(len(y) - N_TRAIN) // 2,
        )
        data = json.loads(report.path.with_name("report.json").read_text())
        data.pop("latency")
        written.append((report.path.read_bytes(), data))
    assert written[0] == written[1]
    assert len(report.manifest.calibrator.candidates) > 1
