"""Preprocessing steps of a Pipeline as ONNX nodes, in float64 throughout.

Imputers, one-hot encoders and unions are our own nodes: onnxruntime has no imputer for float64, and
skl2onnx's encoder gives float32. skl2onnx converts every other step, with float64 inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from onnx import TensorProto
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, QuantileTransformer

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.builder import ML_OPSET, OPSET, GraphBuilder
from tamiz_convert.graphs.runner import Runner
from tamiz_convert.sources.failures import converting, shown
from tamiz_convert.sources.learned_categories import check_type
from tamiz_convert.sources.quantile_graph import append_quantiles


@dataclass(frozen=True)
class Matrix:
    """Columns in a graph: (n_rows, n_columns), strings or float64.

    Attributes:
        name: their name in the graph.
        n_columns: how many.
        is_text: whether they are strings.
    """

    name: str
    n_columns: int
    is_text: bool = False


class Preprocessing:
    """Appends preprocessing steps to a graph.

    Attributes:
        refused: names of (n_rows, 1) bool: rows that scikit-learn would have refused, for example for an
            unseen category. Their scores must become NaN, so that the gate abstains.
    """

    def __init__(self, builder: GraphBuilder) -> None:
        self.refused: list[str] = []
        self._builder = builder

    def append(self, step: Any, matrix: Matrix) -> Matrix:
        """Append one fitted step (or a Pipeline of them) that reads a matrix."""
        if _is_identity(step):
            return matrix
        if isinstance(step, Pipeline):
            for _, each in step.steps:
                matrix = self.append(each, matrix)
            return matrix
        if isinstance(step, ColumnTransformer):
            return self._split_matrix(step, matrix)
        with converting(f"the preprocessing step {shown(step)}"):
            return self._own.get(type(step), Preprocessing._convert)(self, step, matrix)

    def append_columns(self, step: ColumnTransformer, columns: Mapping[str, Matrix]) -> Matrix:
        """Append a fitted ColumnTransformer that reads named columns, each (n_rows, 1)."""
        names = list(step.feature_names_in_)
        return self._join(
            step, lambda selected: self._concat([columns[name] for name in _as_names(selected, names)])
        )

    def _split_matrix(self, step: ColumnTransformer, matrix: Matrix) -> Matrix:
        names = list(getattr(step, "feature_names_in_", range(matrix.n_columns)))

        def select(selected: Any) -> Matrix:
            indices = [names.index(name) for name in _as_names(selected, names)]
            taken = self._builder.add(
                "Gather", matrix.name, self._builder.constant(indices, np.int64), axis=1
            )
            return replace(matrix, name=taken, n_columns=len(indices))

        return self._join(step, select)

    def _join(self, step: ColumnTransformer, select: Callable[[Any], Matrix]) -> Matrix:
        """Append each transformer with its columns, and put the results side by side."""
        parts = []
        for name, transformer, selected in step.transformers_:
            if transformer == "drop" or len(np.atleast_1d(selected)) == 0:
                continue
            part = self.append(transformer, select(selected))
            if part.is_text:
                raise EstimatorError(
                    f"the transformer {name!r} hands strings to the estimator; encode them, for example with"
                    " OneHotEncoder. If it was trained on numbers or bools there, pass these columns as such"
                )
            parts.append(self._weighed(part, step, name))
        return self._concat(parts)

    def _union(self, step: FeatureUnion, matrix: Matrix) -> Matrix:
        """Append each transformer with all columns, and put the results side by side."""
        parts = []
        for name, transformer in step.transformer_list:
            if transformer != "drop":
                parts.append(self._weighed(self.append(transformer, matrix), step, name))
        return self._concat(parts)

    def _weighed(self, part: Matrix, step: ColumnTransformer | FeatureUnion, name: str) -> Matrix:
        weight = (step.transformer_weights or {}).get(name)
        if weight is None:
            return part
        return replace(part, name=self._builder.add("Mul", part.name, self._builder.constant(float(weight))))

    def _concat(self, parts: Sequence[Matrix]) -> Matrix:
        if len(parts) == 1:
            return parts[0]
        if len({part.is_text for part in parts}) > 1:
            raise EstimatorError(
                "one transformer reads both strings and numbers; give each kind a transformer of its own. If"
                " all its columns should be numbers, convert them, for example with pd.to_numeric"
            )
        joined = self._builder.add("Concat", *(part.name for part in parts), axis=1)
        return Matrix(joined, sum(part.n_columns for part in parts), parts[0].is_text)

    def _impute(self, step: SimpleImputer, matrix: Matrix) -> Matrix:
        """X ─► IsNaN | Equal("") ─► Where(statistic, x)."""
        if step.add_indicator or not _is_missing(step.missing_values):
            raise EstimatorError(
                "SimpleImputer is supported with missing_values=nan and add_indicator=False; change it and"
                " train again"
            )
        if pd.isna(step.statistics_).any():
            raise EstimatorError(
                "SimpleImputer saw a column without any value; drop that column and train again"
            )
        builder = self._builder
        if matrix.is_text:
            missing = builder.add("Equal", matrix.name, builder.constant([""], np.str_))
            fill = builder.constant([list(step.statistics_)], np.str_)
        else:
            missing = builder.add("IsNaN", matrix.name)
            fill = builder.constant([step.statistics_.astype(np.float64)])
        return replace(matrix, name=builder.add("Where", missing, fill, matrix.name))

    def _one_hot(self, step: OneHotEncoder, matrix: Matrix) -> Matrix:
        """Per column: x ─► Equal(categories) ─► Cast(double); then Concat."""
        if any(infrequent is not None for infrequent in getattr(step, "infrequent_categories_", [])):
            raise EstimatorError(
                "OneHotEncoder with infrequent categories is not supported; train it without min_frequency"
                " and max_categories"
            )
        builder = self._builder
        parts = []
        for index, categories in enumerate(step.categories_):
            names = getattr(step, "feature_names_in_", range(len(step.categories_)))
            check_type(names[index], categories, is_text=matrix.is_text)
            column = builder.add("Gather", matrix.name, builder.constant([index], np.int64), axis=1)
            hits = builder.add("Equal", column, self._categories(categories, is_text=matrix.is_text))
            is_missing = np.array([[_is_missing(each) for each in categories]])
            if is_missing.any() and not matrix.is_text:  # NaN does not equal itself
                gone = builder.add(
                    "And", builder.add("IsNaN", column), builder.constant(is_missing, np.bool_)
                )
                hits = builder.add("Or", hits, gone)
            encoded = builder.cast(hits, TensorProto.DOUBLE)
            if step.handle_unknown == "error":
                seen = builder.add("ReduceSum", encoded, builder.constant([1], np.int64), keepdims=1)
                self.refused.append(builder.add("Equal", seen, builder.constant(0.0)))
            parts.append(self._without_dropped(step, index, Matrix(encoded, len(categories))))
        return self._concat(parts)

    def _without_dropped(self, step: OneHotEncoder, index: int, encoded: Matrix) -> Matrix:
        dropped = None if step.drop_idx_ is None else step.drop_idx_[index]
        if dropped is None:
            return encoded
        kept = [column for column in range(encoded.n_columns) if column != dropped]
        name = self._builder.add("Gather", encoded.name, self._builder.constant(kept, np.int64), axis=1)
        return Matrix(name, len(kept))

    def _categories(self, categories: Any, *, is_text: bool) -> str:
        if is_text:
            return self._builder.constant([["" if pd.isna(each) else each for each in categories]], np.str_)
        return self._builder.constant([np.asarray(categories, dtype=np.float64)])

    def _polynomial(self, step: PolynomialFeatures, matrix: Matrix) -> Matrix:
        """X ─► Concat(1) ─► per factor of the products: Gather ─► Mul."""
        if matrix.is_text:
            raise EstimatorError("PolynomialFeatures reads strings; encode them first, with OneHotEncoder")
        builder, powers = self._builder, step.powers_
        one = matrix.n_columns  # the index of a column of ones
        first = builder.add("Gather", matrix.name, builder.constant([0], np.int64), axis=1)
        ones = builder.add("Equal", first, first)
        ones = builder.cast(ones, TensorProto.DOUBLE)
        widened = builder.add("Concat", matrix.name, ones, axis=1)
        factors = np.full((len(powers), max(1, int(powers.sum(axis=1).max()))), one)
        for row, each in zip(factors, powers, strict=True):
            features = np.repeat(np.arange(len(each)), each)
            row[: len(features)] = features
        product = ""
        for indices in factors.T:
            taken = builder.add("Gather", widened, builder.constant(indices, np.int64), axis=1)
            product = builder.add("Mul", product, taken) if product else taken
        return Matrix(product, len(powers))

    def _quantiles(self, step: QuantileTransformer, matrix: Matrix) -> Matrix:
        if matrix.is_text or step.output_distribution != "uniform":
            return self._convert(step, matrix)
        return replace(matrix, name=append_quantiles(self._builder, step, matrix.name))

    def _convert(self, step: Any, matrix: Matrix) -> Matrix:
        """Let skl2onnx convert a step that reads numbers."""
        if matrix.is_text:
            raise EstimatorError(
                f"{type(step).__name__} on strings is not supported; use SimpleImputer and OneHotEncoder on"
                " string columns"
            )
        types = [("x", DoubleTensorType([None, matrix.n_columns]))]
        opsets = {"": OPSET, "ai.onnx.ml": ML_OPSET}
        n_columns = (
            len(step.get_feature_names_out()) if hasattr(step, "get_feature_names_out") else matrix.n_columns
        )
        model = convert_sklearn(step, initial_types=types, target_opset=opsets)
        found = _row_through(model, matrix.n_columns).shape
        if found != (1, n_columns):
            raise EstimatorError(
                f"the preprocessing step {type(step).__name__} cannot be converted: skl2onnx gives an output"
                f" of shape {found} for one row, where the step gives {n_columns} columns"
            )
        output = self._builder.embed(model, {"x": matrix.name})[0]
        return Matrix(self._builder.cast(output, TensorProto.DOUBLE), n_columns)

    _own: Final[dict[type, Callable[[Preprocessing, Any, Matrix], Matrix]]] = {
        SimpleImputer: _impute,
        FeatureUnion: _union,
        OneHotEncoder: _one_hot,
        PolynomialFeatures: _polynomial,
        QuantileTransformer: _quantiles,
    }


def _row_through(model: onnx.ModelProto, n_columns: int) -> NDArray[Any]:
    """Return the output of a converted step for a row of zeros; raise if onnxruntime refuses the graph.

    It refuses some of the float64 graphs that skl2onnx makes. Wrong output types in the graph do not matter,
    because it is embedded without them.
    """
    trial = onnx.ModelProto()
    trial.CopyFrom(model)
    trial.graph.ClearField("value_info")
    for output in trial.graph.output:
        output.ClearField("type")
    return Runner(trial).run_once({"x": np.zeros((1, n_columns))})


def used_columns(step: ColumnTransformer) -> list[str]:
    """Return the names of the columns that a fitted ColumnTransformer reads, in the table's order."""
    names = list(step.feature_names_in_)
    used: set[str] = set()
    for _, transformer, selected in step.transformers_:
        if transformer != "drop":
            used |= set(_as_names(selected, names))
    return [name for name in names if name in used]


def transformed_columns(step: ColumnTransformer) -> list[tuple[Any, list[str]]]:
    """Return each transformer of a fitted ColumnTransformer, with the names of the columns that it reads."""
    names = list(step.feature_names_in_)
    return [(each, _as_names(selected, names)) for _, each, selected in step.transformers_ if each != "drop"]


def columns_that_may_miss(step: ColumnTransformer) -> dict[str, Any]:
    """Return the columns in which a fitted ColumnTransformer handles missing values: imputed or a category.

    The values say what is missing to it: NaN or None.

    Raises:
        EstimatorError: if such a column has the empty string as a category: a request cannot tell the two
            apart.
    """
    names = list(step.feature_names_in_)
    found: dict[str, Any] = {}
    for _, transformer, selected in step.transformers_:
        steps = (
            [each for _, each in transformer.steps] if isinstance(transformer, Pipeline) else [transformer]
        )
        columns = _as_names(selected, names)
        imputed = isinstance(steps[0], SimpleImputer)
        encoder = next((each for each in steps if isinstance(each, OneHotEncoder)), None)
        for index, column in enumerate(columns):
            categories = [] if encoder is None else list(encoder.categories_[index])
            missing = [steps[0].missing_values] if imputed else [each for each in categories if pd.isna(each)]
            if missing:
                if "" in categories:
                    raise EstimatorError(
                        f"column {column!r} has both missing values and the empty string as a category, and a"
                        " request cannot tell them apart; replace the empty string by a word and train again"
                    )
                found[column] = missing[0]
    return found


def _as_names(selected: Any, names: Sequence[Any]) -> list[Any]:
    """Return a ColumnTransformer's selection (names, positions, a slice or a mask) as names."""
    if isinstance(selected, slice):
        return list(names[selected])
    chosen = np.atleast_1d(np.asarray(selected, dtype=object)).tolist()
    if chosen and all(isinstance(each, (bool, np.bool_)) for each in chosen):
        return [name for name, taken in zip(names, chosen, strict=True) if taken]
    return [each if isinstance(each, str) else names[each] for each in chosen]


def _is_identity(step: Any) -> bool:
    return (
        step is None or step == "passthrough" or (isinstance(step, FunctionTransformer) and step.func is None)
    )


def _is_missing(value: Any) -> bool:
    return bool(pd.isna(value))
