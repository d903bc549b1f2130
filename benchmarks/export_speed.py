"""`python -m benchmarks.export_speed`: an export, compared with scikit-learn and skl2onnx on the same forest.

A random forest of 200 trees, 20,000 held-out rows, calibrator="auto". The peer is CalibratedClassifierCV
around the frozen forest, with isotonic regression, and then skl2onnx.to_onnx of the forest. Both are measured
in turns in one run. The ratio counts.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.progress import track
from rich.table import Table
from skl2onnx import to_onnx
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator

from tamiz_convert import export

_N_TREES: Final = 200
_N_ROWS: Final = 20_000
_ROUNDS: Final = 3
_GOAL: Final = 4.0

console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the benchmark; return the exit status, which is 0 if the goal is reached."""
    X, y = make_classification(
        _N_ROWS + 5_000, 20, n_informative=8, n_redundant=4, flip_y=0.05, random_state=0
    )
    forest = RandomForestClassifier(_N_TREES, random_state=0).fit(X[_N_ROWS:], y[_N_ROWS:])
    held_out = X[:_N_ROWS], y[:_N_ROWS]
    seconds: dict[str, list[float]] = {"scikit-learn and skl2onnx": [], "tamiz export": []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in track(range(_ROUNDS), description="exporting", console=console, transient=True):
            seconds["scikit-learn and skl2onnx"].append(_timed(lambda: _peer(forest, *held_out)))
            output = Path(folder) / "forest" / str(turn + 1)
            seconds["tamiz export"].append(_timed(lambda to=output: _ours(forest, held_out, to)))  # type: ignore[misc]
    return _show(seconds)


def _peer(forest: Any, X: Any, y: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries warn about each other
        CalibratedClassifierCV(FrozenEstimator(forest), method="isotonic").fit(X, y)
        to_onnx(forest, X[:1], options={"zipmap": False}).SerializeToString()


def _ours(forest: Any, held_out: tuple[Any, Any], output: Path) -> None:
    export(forest, output, calibration=held_out, calibrator="auto", max_error=0.05, replace=True)


def _timed(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _show(seconds: dict[str, list[float]]) -> int:
    peer, ours = (median(each) for each in seconds.values())
    table = Table("", "median s", "all s")
    for name, each in seconds.items():
        table.add_row(name, f"{median(each):.2f}", ", ".join(f"{one:.2f}" for one in each))
    console.print(table)
    reached = ours <= _GOAL * peer
    console.print(f"ratio {ours / peer:.2f}, goal ≤ {_GOAL:g}: {'reached' if reached else 'missed'}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
