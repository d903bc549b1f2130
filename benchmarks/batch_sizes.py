"""`python -m benchmarks.batch_sizes`: how much a row's probabilities depend on the size of its batch.

onnxruntime chooses its kernels, and divides work among threads, by the shape of a batch. A sum in another
order differs in its last digits. Every row is computed alone and in batches of 2 to 64 rows. The largest
difference of a probability is shown, and must stay below 1e-6.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import lightgbm
import numpy as np
import onnxruntime
import torch
import xgboost
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from tamiz.bundle_format import FILE_NAME, PROBABILITIES
from tamiz_convert import export

BATCH_SIZES: Final = (2, 3, 5, 7, 8, 16, 17, 31, 33, 64)
N_THREADS: Final = (1, 4)
LIMIT: Final = 1e-6
_SEED: Final = 0

MODELS: Final[dict[str, Callable[[], Any]]] = {
    "LogisticRegression": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)),
    "SVC": lambda: make_pipeline(StandardScaler(), SVC()),
    "MLPClassifier": lambda: make_pipeline(
        StandardScaler(), MLPClassifier((64, 32), max_iter=300, random_state=_SEED)
    ),
    "KNeighbors": lambda: make_pipeline(StandardScaler(), KNeighborsClassifier()),
    "RandomForest": lambda: RandomForestClassifier(200, random_state=_SEED),
    "HistGradientBoosting": lambda: HistGradientBoostingClassifier(max_iter=100, random_state=_SEED),
    "XGBoost": lambda: xgboost.XGBClassifier(n_estimators=100, n_jobs=1),
    "LightGBM": lambda: lightgbm.LGBMClassifier(n_estimators=100, n_jobs=1, verbose=-1),
}


class Perceptron(nn.Module):
    """Two layers in float32."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, 512), nn.ReLU(), nn.Linear(512, n_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, (n_rows, n_classes)."""
        logits: torch.Tensor = self.layers(x)
        return logits


class Difference(NamedTuple):
    """How much a row's batch changes its probabilities.

    Attributes:
        n_threads: how many threads computed them.
        largest: the largest difference between a probability and that of the row computed alone.
        batch_size: the batch size with that difference; 1 if there is no difference.
        flips: how many labels changed, over all batch sizes.
    """

    n_threads: int
    largest: float
    batch_size: int
    flips: int


def main() -> int:
    """Run the measurement; return the exit status, which is 0 if no difference reaches the limit."""
    table = Table("data", "model", "threads", "largest difference", "rows", "labels changed")
    worst = 0.0
    for data, name, model, X, y in track(list(_trained()), console=Console(stderr=True)):
        for each in _compare(model, X, y):
            worst = max(worst, each.largest)
            where = str(each.batch_size) if each.largest else "–"
            table.add_row(data, name, str(each.n_threads), f"{each.largest:.1e}", where, str(each.flips))
    Console(width=100).print(table)
    print(f"largest: {worst:.1e}; limit: {LIMIT:.0e}")
    return 0 if worst < LIMIT else 1


def _trained() -> Iterator[tuple[str, str, Any, NDArray[Any], NDArray[Any]]]:
    """Return every model on every data set, trained on one half of the rows, and the other half."""
    for data, load in (("breast_cancer", load_breast_cancer), ("digits", load_digits)):
        X, y = load(return_X_y=True)
        order = np.random.default_rng(_SEED).permutation(len(y))
        train, held_out = np.array_split(order, 2)
        for name, make in MODELS.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a network that has not converged will do
                yield data, name, make().fit(X[train], y[train]), X[held_out], y[held_out]
        scale = np.abs(X).max(axis=0) + 1.0
        module = _train(Perceptron(X.shape[1], int(y.max()) + 1), X[train] / scale, y[train])
        held = (X[held_out] / scale).astype(np.float32)
        yield data, "torch, float32", module, held, y[held_out]


def _train(module: nn.Module, X: NDArray[Any], y: NDArray[Any]) -> nn.Module:
    torch.manual_seed(_SEED)
    rows, labels = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(rows), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return module.eval()


def _compare(model: Any, X: NDArray[Any], y: NDArray[Any]) -> Iterator[Difference]:
    """Return how much a row's batch changes, for each number of threads."""
    with tempfile.TemporaryDirectory() as folder:
        export(model, Path(folder) / "m/1", calibration=(X, y), threshold=0.8, calibrator="temperature")
        content = (Path(folder) / "m/1" / FILE_NAME).read_bytes()
    for n_threads in N_THREADS:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        alone = _probabilities(session, X, 1)
        largest, at, flips = 0.0, 1, 0
        for size in BATCH_SIZES:
            together = _probabilities(session, X, size)
            difference = float(np.abs(together - alone).max())
            if difference > largest:
                largest, at = difference, size
            flips += int((together.argmax(axis=1) != alone.argmax(axis=1)).sum())
        yield Difference(n_threads, largest, at, flips)


def _probabilities(session: Any, X: NDArray[Any], batch_size: int) -> NDArray[np.float64]:
    parts = [X[start : start + batch_size] for start in range(0, len(X), batch_size)]
    return np.concatenate([session.run([PROBABILITIES], {"features": part})[0] for part in parts])


if __name__ == "__main__":
    sys.exit(main())
