"""Why a graph does not give what its estimator gives, and what to do: one function per cause.

Only a row that differs is looked at, so an export without a mismatch pays nothing. The estimator is right by
definition: no cause blames it for what the graph does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from onnx import TensorProto

from tamiz_convert.errors import ExportError
from tamiz_convert.graphs.runner import Array, Runner
from tamiz_convert.graphs.score_graph import ScoreGraph
from tamiz_convert.rows.edge import UNSEEN
from tamiz_convert.rows.raw import flat, take

_NEAR: Final = 1e-5
"""Scores that differ by less, relative to their size, are the same."""
_STEP: Final = 1e-6
"""A relative change of a number that no model should notice; ten times float32's rounding."""
_N_NEIGHBORS: Final = 4
_QUANTIZED: Final = ("QLinear", "QGemm", "QAttention", "DynamicQuantize", "QuantizeLinear", "MatMulInteger")
_QUANTIZED_CONV: Final = "ConvInteger"


@dataclass(frozen=True)
class Mismatch:
    """A row that graph and estimator score differently.

    Attributes:
        graph: the score graph, with its reference.
        row: the row alone, of the same kind as the caller's rows.
        found: (1, n_scores), the graph's scores.
        expected: (1, n_scores), the estimator's, among all rows.
    """

    graph: ScoreGraph
    row: Any
    found: Array
    expected: Array

    @property
    def table(self) -> pd.DataFrame:
        """The row as a table of single values."""
        return flat(self.row).table

    def changed(self, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Any:
        """Return the row with all its fractions changed, of the same kind; the row itself if it has none."""
        table = self.table.copy()
        for name in table.select_dtypes(np.floating).columns:
            table[name] = change(table[name].to_numpy(dtype=np.float64))
        return flat(self.row).restore(table)

    def scores_of(self, row: Any) -> tuple[Array, Array] | None:
        """Return the graph's and the estimator's scores of another row; None if one of them refuses it."""
        try:
            return Runner(self.graph.model).run(self.graph.feed(row)), self.graph.reference(row)
        except (ExportError, TypeError, ValueError):
            return None


def explanation(graph: ScoreGraph, rows: Any, row: int, scores: Array) -> str:
    """Return the cause of a mismatch and what to do, as sentences that follow the facts.

    Args:
        graph: the score graph, with its reference.
        rows: the rows that were compared.
        row: the number of the row that differs.
        scores: (n_rows, n_scores), the estimator's scores of all rows.
    """
    one = take(rows, slice(row, row + 1))
    found = Runner(graph.model).run(graph.feed(one))
    mismatch = Mismatch(graph, one, found, scores[row : row + 1])
    return ". " + next(why for cause in _CAUSES if (why := cause(mismatch)) is not None)


def _reference_depends_on_batch(mismatch: Mismatch) -> str | None:
    both = mismatch.scores_of(mismatch.row)
    if both is None or _same(both[1], mismatch.expected):
        return None
    return (
        "The model itself answers this row differently alone and among others, so no server can repeat its"
        " answer: look for a normalization in training mode (call model.eval()), a sort, or a mean over the"
        " rows"
    )


def _float16(mismatch: Mismatch) -> str | None:
    if TensorProto.FLOAT16 not in _types(mismatch.graph):
        return None
    return (
        "The graph computes in float16, which keeps three digits: convert the model in float32, for example"
        " with model.float()"
    )


def _quantized(mismatch: Mismatch) -> str | None:
    names = sorted({node.op_type for node in mismatch.graph.model.graph.node})
    found = [name for name in names if name.startswith(_QUANTIZED) or name == _QUANTIZED_CONV]
    if not found:
        return None
    return (
        f"The graph is quantized ({', '.join(found)}): its whole numbers fall on one side or the other by the"
        " last digit of a float, and differ between batches and processors. Export the model as it was before"
        " it was quantized"
    )


def _missing(mismatch: Mismatch) -> str | None:
    table = mismatch.table
    names = [name for name in table.columns if pd.isna(table[name].iloc[0]) or table[name].iloc[0] == ""]
    if not names:
        return None
    return (
        f"The row has a missing value in {_named(names)}, and the conversion treats it otherwise than the"
        " model does: fill missing values in with a SimpleImputer as the first step of the Pipeline"
    )


def _unseen(mismatch: Mismatch) -> str | None:
    table = mismatch.table
    names = [name for name in table.columns if table[name].iloc[0] == UNSEEN]
    if not names:
        return None
    return (
        f"The row has a category in {_named(names)} that the model has not seen in training, and the"
        ' conversion treats it otherwise than the model does: use OneHotEncoder(handle_unknown="ignore"), or'
        ' handle_unknown="error"'
    )


def _rounds_to_float32(mismatch: Mismatch) -> str | None:
    """A number between two float32 neighbours: one side rounds it, and a split or a bin lies between."""
    for shift in range(-_N_NEIGHBORS, _N_NEIGHBORS + 1):
        near = mismatch.changed(_rounded_beside(1.0 + shift * _STEP))
        both = mismatch.scores_of(near)
        if both is None or not _same(*both):
            return None
    return (
        "With the row's numbers rounded to float32 they agree: one of them rounds, and the model answers"
        " another value there. Train the model on float32, X.astype('float32'), and export it with such rows"
    )


def _rounded_beside(factor: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda values: (values * factor).astype(np.float32).astype(np.float64)


def _jumps(mismatch: Mismatch) -> str | None:
    """A step that rounds or bins: the estimator's own answer changes with the last digits of a number."""
    for factor in (1.0 - _STEP, 1.0 + _STEP):
        both = mismatch.scores_of(mismatch.changed(partial(np.multiply, factor)))
        if both is not None and not np.allclose(both[1], mismatch.expected, rtol=1e-3, atol=1e-3):
            return (
                "The model's own answer jumps here: change the row's numbers by a millionth, and the model"
                " answers something else. So does a step that rounds or sorts into bins, such as"
                " KBinsDiscretizer, Binarizer, or QuantileTransformer at a repeated value, and the last digit"
                " of a sum decides. Put such a step first in the Pipeline, train on numbers with fewer"
                " digits, X.round(6), or use a step without jumps, such as StandardScaler"
            )
    return None


def _of_the_conversion(mismatch: Mismatch) -> str:
    if mismatch.graph.reference_name == "the bundle itself":
        return "The bundle's graph is at fault: export the model again"
    what = mismatch.graph.faulty_step(mismatch.row) or mismatch.graph.estimator
    return (
        f"The conversion of {what} is at fault, not the model: it does not follow one of its settings. Set"
        " them back to their defaults one by one to find which; or convert the model with another tool, and"
        " export the file as OnnxModel(path, kind)"
    )


_CAUSES: Final[tuple[Callable[[Mismatch], str | None], ...]] = (
    _reference_depends_on_batch,
    _float16,
    _quantized,
    _missing,
    _unseen,
    _rounds_to_float32,
    _jumps,
    _of_the_conversion,
)
"""In the order in which they are tried; the last one always has an answer."""


def _same(one: Array, other: Array) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=_NEAR, atol=_NEAR, equal_nan=True)


def _types(graph: ScoreGraph) -> set[int]:
    inner = graph.model.graph
    made = {each.data_type for each in inner.initializer}
    cast = {attribute.i for node in inner.node if node.op_type == "Cast" for attribute in node.attribute}
    return made | cast


def _named(names: Iterable[Any]) -> str:
    return ", ".join(map(repr, names))
