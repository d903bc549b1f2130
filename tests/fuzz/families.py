"""A small model of every family that the exporter knows, exported: `python -m tests.fuzz.families FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from onnx import TensorProto, helper, numpy_helper
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from tamiz_convert import OnnxModel, export

N_ROWS = 160
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(N_ROWS, 3)).round(2)
Y = (X[:, 0] + X[:, 1] ** 2 + RANDOM.normal(0, 0.5, N_ROWS) > 0.5).astype(int)
TABLE = pd.DataFrame(
    {
        "gap": np.where(RANDOM.random(N_ROWS) < 0.2, np.nan, X[:, 0]),
        "share": X[:, 1].astype(np.float32),
        "age": RANDOM.integers(0, 90, N_ROWS),
        "is_new": RANDOM.random(N_ROWS) < 0.5,
        "city": RANDOM.choice(["Málaga", "東京", "Oslo"], N_ROWS),
    }
)
CITIES = (OneHotEncoder(handle_unknown="ignore"), ["city"])

ON_NUMBERS = {
    "linear": LogisticRegression(),
    "forest": RandomForestClassifier(5, max_depth=4, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=5, random_state=0),
    "vectors": make_pipeline(StandardScaler(), SVC()),
    "bayes": GaussianNB(),
    "neighbors": KNeighborsClassifier(3),
    "network": MLPClassifier((4,), max_iter=50, tol=1.0, random_state=0),
    "xgboost": xgboost.XGBClassifier(n_estimators=5, n_jobs=1),
    "lightgbm": lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1),
}
ON_A_TABLE = make_pipeline(
    make_column_transformer(CITIES, remainder="passthrough", sparse_threshold=0),
    HistGradientBoostingClassifier(max_iter=5, random_state=0),
)


def _foreign(path: Path) -> OnnxModel:
    """Write a file that another tool may have made: it looks up an embedding, and divides by a count.

    item [n, 1] int64 ─► Gather(table) ─► Div(by count [n, 1]) ─► logits
    """
    table = numpy_helper.from_array(RANDOM.normal(size=(90, 2)).astype(np.float32), "table")
    squeeze = numpy_helper.from_array(np.array([1]), "axis")
    nodes = [
        helper.make_node("Squeeze", ["item", "axis"], ["index"]),
        helper.make_node("Gather", ["table", "index"], ["looked_up"]),
        helper.make_node("Div", ["looked_up", "count"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [
            helper.make_tensor_value_info("item", TensorProto.INT64, ["n", 1]),
            helper.make_tensor_value_info("count", TensorProto.FLOAT, ["n", 1]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
        [table, squeeze],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return OnnxModel(path, kind="logits")


def _heavy() -> dict[str, tuple[Any, Any]]:
    """Return models of libraries that take seconds to import; their graphs have the operators of others."""
    import catboost  # noqa: PLC0415
    import torch  # noqa: PLC0415

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).eval()
    trees = catboost.CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False, thread_count=1)
    return {"torch": (module, X), "catboost": (trees.fit(X, Y), X)}


def export_all(folder: Path, *, heavy: bool = True) -> None:
    """Export every family into FAMILY/1 of a folder; `heavy`: also PyTorch and CatBoost."""
    items = {"item": TABLE[["age"]].to_numpy(), "count": np.abs(X[:, :1]).astype(np.float32) + 1}
    models: dict[str, tuple[Any, Any]] = {name: (model.fit(X, Y), X) for name, model in ON_NUMBERS.items()}
    models["table"] = ON_A_TABLE.fit(TABLE, Y), TABLE
    models["foreign"] = _foreign(folder / "foreign.onnx"), items
    models |= _heavy() if heavy else {}
    for name, (model, rows) in models.items():
        export(
            model,
            folder / name / "1",
            calibration=(rows, Y),
            calibrator="temperature",
            threshold=0.6,
            report=False,
        )


if __name__ == "__main__":
    export_all(Path(sys.argv[1]))
