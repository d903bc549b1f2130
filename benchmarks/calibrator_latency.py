"""`python -m benchmarks.calibrator_latency`: what each calibrator adds to a single row in onnxruntime.

One thread. Graphs that end in scores and graphs that end in probabilities take turns. The median over the
rounds counts; the goal is at most 20 µs for each calibrator.
"""

from __future__ import annotations

import argparse
import sys
from statistics import median

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.special import softmax

from tamiz_convert.calibrators import METHODS
from tamiz_convert.calibrators.methods import fit
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.latency import median_us
from tamiz_convert.graphs.runner import Runner
from tamiz_convert.graphs.score_graph import SCORES, ScoresKind
from tamiz_convert.pipeline.graft import graft

_GOAL_US = 20.0
_N_CALIBRATION_ROWS = 5_000
_N_FEATURES = 30
_KINDS: tuple[ScoresKind, ...] = ("logits", "probabilities")
_N_CLASSES = (2, 10)

Case = tuple[str, ScoresKind, int]
Graph = tuple[Runner, dict[str, NDArray[np.float64]]]


def main() -> int:
    """Run the benchmark; return the exit status, which is 0 if every calibrator reaches the goal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibrator_latency", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=20, help="rounds of a hundred runs; the median counts (default: 20)"
    )
    rounds = parser.parse_args().rounds
    return _show(_measure(_graphs(), rounds))


def _graphs() -> dict[Case, Graph]:
    """Return a graph and one row for each case; with the method "", the graph ends in scores."""
    graphs: dict[Case, Graph] = {}
    for n_classes in _N_CLASSES:
        n_scores = 1 if n_classes == 2 else n_classes  # noqa: PLR2004  two classes have one score
        random = np.random.default_rng(n_classes)
        for kind in _KINDS:
            model = _linear(random, n_scores, kind)
            rows = random.normal(size=(_N_CALIBRATION_ROWS, _N_FEATURES))
            scores = Runner(model).run({"x": rows})
            y = _drawn(random, scores, kind)
            for method in ("", *METHODS):
                graph = model
                if method:
                    fitted = fit(method, scores, y, kind=kind, n_classes=n_classes)
                    graph = graft(model, fitted, n_classes=n_classes)
                graphs[method, kind, n_classes] = Runner(graph), {"x": rows[:1]}
    return graphs


def _linear(random: np.random.Generator, n_scores: int, kind: ScoresKind) -> onnx.ModelProto:
    """Return a linear model: features ─► Gemm [─► Sigmoid | Softmax] ─► scores."""
    builder = GraphBuilder()
    features = builder.input("x", TensorProto.DOUBLE, [None, _N_FEATURES])
    weights = builder.constant(random.normal(0.0, 2.0 / np.sqrt(_N_FEATURES), (_N_FEATURES, n_scores)))
    scores = builder.add("Gemm", features, weights, builder.constant(np.zeros(n_scores)))
    if kind == "probabilities":
        scores = builder.add("Sigmoid", scores) if n_scores == 1 else builder.add("Softmax", scores, axis=1)
    return builder.build(scores, SCORES, TensorProto.DOUBLE, n_scores)


def _drawn(random: np.random.Generator, scores: NDArray[np.float64], kind: ScoresKind) -> NDArray[np.int64]:
    """Draw a class per row, from probabilities that are less confident than the scores."""
    p = scores if kind == "probabilities" else softmax(np.column_stack([-scores, scores]) / 2.0, axis=1)
    if scores.shape[1] == 1:
        p = np.column_stack([1.0 - p[:, -1], p[:, -1]])
    elif kind == "logits":
        p = softmax(scores, axis=1)
    softened = 0.8 * p + 0.2 / p.shape[1]
    return (softened.cumsum(axis=1) > random.random((len(p), 1))).argmax(axis=1)


def _measure(graphs: dict[Case, Graph], rounds: int) -> dict[Case, float]:
    """Return the median time of a run, in microseconds; graphs with the same scores take turns."""
    medians: dict[Case, float] = {}
    for column in track([(k, n) for n in _N_CLASSES for k in _KINDS], "measuring", transient=True):
        turns = {case: graph for case, graph in graphs.items() if case[1:] == column}
        runners, feeds = zip(*turns.values(), strict=True)
        times = [median_us(runners, feeds) for _ in range(rounds)]
        medians |= zip(turns, map(median, zip(*times, strict=True)), strict=True)
    return medians


def _show(medians: dict[Case, float]) -> int:
    """Print what each calibrator adds; return the exit status."""
    columns = [(kind, n_classes) for n_classes in _N_CLASSES for kind in _KINDS]
    table = Table(title="added to the time of one row, µs (median)")
    table.add_column("calibrator")
    for kind, n_classes in columns:
        table.add_column(f"{n_classes} classes, {kind}", justify="right")
    scores = [medians["", kind, n_classes] for kind, n_classes in columns]
    table.add_row("(scores alone take)", *(f"{alone:.1f}" for alone in scores), style="dim")
    slowest = 0.0
    for method in METHODS:
        added = [medians[method, *column] - alone for column, alone in zip(columns, scores, strict=True)]
        slowest = max(slowest, *added)
        table.add_row(method, *(f"{each:.1f}" for each in added))
    Console(highlight=False).print(table, f"goal: each at most {_GOAL_US:g}; the slowest: {slowest:.1f}")
    return 0 if slowest <= _GOAL_US else 1


if __name__ == "__main__":
    sys.exit(main())
