"""The classes that an ONNX file names: in a ZipMap, in a classifier's node, or behind an ArgMax."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.score_graph import Labels, class_labels


def labels_of_file(model: onnx.ModelProto, output: str, n_classes: int, given: Any) -> Any:
    """Return the caller's classes, or those that the file names; None if nobody names any.

    Numbers from 0 up are positions, which the caller may name.

    Args:
        model: the file, as it is.
        output: the name of the scores, before a ZipMap.
        n_classes: how many classes the scores tell apart.
        given: the caller's, in the order of the scores' columns; None for the file's.

    Raises:
        EstimatorError: if both name classes, and not the same ones in the same order.
    """
    named = next((each for each in _named(model, output) if len(each) == n_classes), None)
    if named is None or given is None:
        return named if given is None else given
    asked = class_labels(given)
    ours, theirs = ([str(label) for label in labels.tolist()] for labels in (asked, named))
    is_position = theirs == [str(number) for number in range(n_classes)]
    if ours != theirs and (not is_position or sorted(ours) == sorted(theirs)):
        raise EstimatorError(
            f"classes is {asked.tolist()}, but the ONNX file names its classes {named.tolist()}, in the order"
            " of its scores; leave classes (--classes) out, or give them as the file does"
        )
    return given


def _named(model: onnx.ModelProto, output: str) -> list[Labels]:
    """Return every list of classes in the file, the likeliest first."""
    nodes = list(model.graph.node)
    maker = {name: node for node in nodes for name in node.output}
    zipmaps = [node for node in nodes if node.op_type == "ZipMap" and output in node.input]
    found = [_attribute(node) for node in (*zipmaps, *_behind(maker, output))]
    constants = {each.name: each for each in model.graph.initializer}
    for node in nodes:
        if node.op_type == "ArrayFeatureExtractor" and node.input[0] in constants:
            chosen = _behind(maker, node.input[1])
            if any(each.op_type == "ArgMax" for each in chosen):
                found.append(_constant(constants[node.input[0]]))
    return [labels for labels in found if labels is not None]


def _behind(maker: dict[str, onnx.NodeProto], output: str) -> list[onnx.NodeProto]:
    """Return the nodes that lead to a value, the nearest first, back to where two values meet."""
    path = []
    while output in maker:
        node = maker[output]
        path.append(node)
        made = [name for name in node.input if name in maker]
        if len(set(made)) != 1:
            break
        output = made[0]
    return path


def _attribute(node: onnx.NodeProto) -> Labels | None:
    for attribute in node.attribute:
        if attribute.name.startswith("classlabels"):
            if attribute.strings:
                return class_labels([each.decode() for each in attribute.strings])
            return class_labels(np.array(attribute.ints, dtype=np.int64)) if len(attribute.ints) > 1 else None
    return None


def _constant(tensor: onnx.TensorProto) -> Labels | None:
    values = numpy_helper.to_array(tensor).ravel().tolist()
    labels = [value.decode() if isinstance(value, bytes) else value for value in values]
    return class_labels(labels) if len(set(labels)) == len(labels) > 1 else None
