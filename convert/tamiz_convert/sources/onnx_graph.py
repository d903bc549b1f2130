"""Convert an existing ONNX file to a score graph. The reference is the file itself in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz_convert.errors import EstimatorError, RowsError
from tamiz_convert.graphs.guarded_division import guarded
from tamiz_convert.graphs.runner import Runner
from tamiz_convert.graphs.score_graph import ScoreGraph, ScoresKind
from tamiz_convert.rows.raw import as_rows, count, take
from tamiz_convert.sources.array_inputs import ArrayInputs
from tamiz_convert.sources.failures import reason
from tamiz_convert.sources.foreign_onnx import followable, load_onnx, true_inputs
from tamiz_convert.sources.kind import Kind
from tamiz_convert.sources.onnx_classes import labels_of_file
from tamiz_convert.sources.score_columns import check_output, end_in_scores, named_classes, to_scores

_DATA_TYPES: Final[dict[int, DataType]] = {
    TensorProto.BOOL: DataType.DATA_TYPE_BOOL,
    TensorProto.INT8: DataType.DATA_TYPE_INT8,
    TensorProto.INT16: DataType.DATA_TYPE_INT16,
    TensorProto.INT32: DataType.DATA_TYPE_INT32,
    TensorProto.INT64: DataType.DATA_TYPE_INT64,
    TensorProto.UINT8: DataType.DATA_TYPE_UINT8,
    TensorProto.UINT16: DataType.DATA_TYPE_UINT16,
    TensorProto.UINT32: DataType.DATA_TYPE_UINT32,
    TensorProto.UINT64: DataType.DATA_TYPE_UINT64,
    TensorProto.FLOAT16: DataType.DATA_TYPE_FLOAT16,
    TensorProto.FLOAT: DataType.DATA_TYPE_FLOAT32,
    TensorProto.DOUBLE: DataType.DATA_TYPE_FLOAT64,
    TensorProto.STRING: DataType.DATA_TYPE_STRING,
}
_SCORES: Final[set[int]] = {TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE}
_PROBE_ROWS: Final = 256


@dataclass(frozen=True)
class OnnxModel:
    """A classifier in an ONNX file.

    Attributes:
        path: the file.
        kind: what the output holds: "logits" (before the softmax or sigmoid), "margins" or "probabilities".
        output: the name of the output; None if only one is possible.
        missing_values_allowed: whether the model was made for NaN; if not, rows with NaN abstain.
    """

    path: str | Path
    kind: ScoresKind
    output: str | None = None
    missing_values_allowed: bool = False


def from_onnx(source: OnnxModel, rows: Any, classes: Any = None) -> ScoreGraph:
    """Convert a classifier that is an ONNX file.

    Args:
        source: the file, and what its output holds.
        rows: rows like those that will be predicted: an array or DataFrame, or a dict of arrays by input.
        classes: (n_classes,), the labels in the order of the output's columns; by default 0, 1, ….

    Raises:
        EstimatorError: if the file is not a valid model or has a fixed number of rows, or if its output is
            ambiguous, has another shape than [rows, classes], or contradicts the kind.
        RowsError: if the rows do not fit.
    """
    path = Path(source.path)
    model = guarded(load_onnx(path))  # the held-out rows must not end this process either
    output = _without_zipmap(model, source.output or _only_output(model, path))
    elem_type = _output_type(model, output, path)
    changed, name = followable(model, output)
    rows = as_rows(rows, "calibration")
    wanted = [_spec(each, source, path) for each in true_inputs(changed.graph)]
    inputs = ArrayInputs.of(rows, wanted)
    reference = _reference(model, output, inputs)
    probe = reference(take(rows, slice(_PROBE_ROWS)))
    what = f"the output {output!r}"
    n_classes = check_output(probe, min(count(rows), _PROBE_ROWS), source.kind, what)
    return ScoreGraph(
        model=end_in_scores(changed, name, probe, kind=source.kind),
        inputs=inputs.specs,
        classes=named_classes(labels_of_file(model, output, n_classes, classes), n_classes, what),
        kind=source.kind,
        estimator=f"onnx:{path.name}",
        reference=lambda asked: to_scores(reference(asked), source.kind),
        feed=inputs.feed,
        reference_name="the ONNX file in onnxruntime",
        is_single_precision=elem_type != TensorProto.DOUBLE,
        compares_anywhere=elem_type == TensorProto.DOUBLE,
    )


def input_names(source: OnnxModel) -> list[str]:
    """Return the names of the inputs of an ONNX file.

    Raises:
        EstimatorError: if it is not a valid model.
    """
    return [each.name for each in true_inputs(load_onnx(Path(source.path)).graph)]


def input_specs(source: OnnxModel) -> list[InputSpec]:
    """Return the inputs of an ONNX file.

    Raises:
        EstimatorError: if it is not a valid model, or one of them cannot be served.
    """
    path = Path(source.path)
    return [_spec(each, source, path) for each in true_inputs(load_onnx(path).graph)]


def _reference(
    model: onnx.ModelProto, output: str, inputs: ArrayInputs
) -> Callable[[Any], NDArray[np.float64]]:
    try:
        runner = Runner(_as_given(model, output), output)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise EstimatorError(
            f"onnxruntime cannot load the ONNX file, and so no server can: {reason(error)}. Export it again"
            " with operators of ONNX itself"
        ) from error
    read = {each.name for each in true_inputs(model.graph)}
    extra = read - {spec.name for spec in inputs.specs}
    if extra:
        raise EstimatorError(
            f"the output does not depend on the input(s) {', '.join(sorted(extra))} of the ONNX file; remove"
            " them"
        )

    def reference(rows: Any) -> NDArray[np.float64]:
        try:
            return runner.run(inputs.feed(rows))
        except RowsError:
            raise
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise RowsError(f"onnxruntime refuses the rows: {error}") from error

    return reference


def _as_given(model: onnx.ModelProto, output: str) -> onnx.ModelProto:
    """Return the model with `output` among its outputs; it may be missing there if it feeds a ZipMap."""
    if output in {each.name for each in model.graph.output}:
        return model
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.append(onnx.helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    return shown


def _only_output(model: onnx.ModelProto, path: Path) -> str:
    candidates = [
        each.name
        for each in model.graph.output
        if each.type.HasField("sequence_type") or each.type.tensor_type.elem_type in _SCORES
    ]
    if len(candidates) == 1:
        return candidates[0]
    found = ", ".join(candidates) or "none"
    raise EstimatorError(
        f"{path} has {len(candidates)} outputs that may hold scores ({found}); name the one that does:"
        " output=… (--output-name)"
    )


def _without_zipmap(model: onnx.ModelProto, output: str) -> str:
    """Return the output, or the input of its ZipMap; skl2onnx uses one to make a list of dicts."""
    for node in model.graph.node:
        if output in node.output and node.op_type == "ZipMap":
            return str(node.input[0])
    return output


def _output_type(model: onnx.ModelProto, output: str, path: Path) -> int:
    outputs = {each.name: each.type.tensor_type.elem_type for each in model.graph.output}
    if output not in outputs and not any(output in node.output for node in model.graph.node):
        raise EstimatorError(f"{path} has no output {output!r}; it has {', '.join(outputs)}")
    elem_type = outputs.get(output, TensorProto.FLOAT)
    if elem_type not in _SCORES:
        raise EstimatorError(
            f"the output {output!r} of {path} is of type {TensorProto.DataType.Name(elem_type)}; scores are"
            " floating-point"
        )
    return elem_type


def _spec(value: onnx.ValueInfoProto, source: OnnxModel, path: Path) -> InputSpec:
    tensor = value.type.tensor_type
    if tensor.elem_type not in _DATA_TYPES:
        raise EstimatorError(
            f"the input {value.name!r} of {path} is of a type that cannot be served; expected numbers or"
            " strings"
        )
    if tensor.HasField("shape") and tensor.shape.dim and tensor.shape.dim[0].HasField("dim_value"):
        n_rows = tensor.shape.dim[0].dim_value
        raise EstimatorError(
            f"the input {value.name!r} of {path} takes exactly {n_rows} row(s), and a server batches as many"
            " as come. Export the file again with a dynamic first dimension: dynamic_shapes in"
            " torch.onnx.export, None in skl2onnx's initial_types"
        )
    shape = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
    return InputSpec(
        name=value.name,
        dtype=_DATA_TYPES[tensor.elem_type],
        shape=[-1, *shape[1:]] if shape else [],
        missing_values_allowed=source.missing_values_allowed,
    )


KIND: Final = Kind(
    "an ONNX file as OnnxModel",
    lambda model: isinstance(model, OnnxModel),
    from_onnx,
    lambda model, _table: input_names(model),
)
