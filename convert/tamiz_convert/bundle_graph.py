"""A bundle taken apart again: its graph as far as the scores, ready for another calibrator.

features ─► … ─► scores ─┬─► calibrator ─► probabilities        is removed
                         └ from here on a new calibrator is appended
slice ─► … ─► subset                                            stays
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, get_args

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tamiz.bundle_format import PROBABILITIES
from tamiz.v1.manifest_pb2 import Classes, Manifest
from tamiz_convert.errors import BundleError
from tamiz_convert.parity import Runner
from tamiz_convert.score_graph import SCORES, Labels, ScoreGraph, ScoresKind
from tamiz_convert.sklearn_inputs import inputs_of

_BINARY: Final = 2


def from_bundle(model: onnx.ModelProto, manifest: Manifest) -> ScoreGraph:
    """Return the score graph that a bundle was made of.

    Args:
        model: the bundle's graph.
        manifest: what the bundle says of itself.

    Returns:
        Its score graph. The reference is the bundle's own graph, asked for its scores; what it could not score is NaN.

    Raises:
        BundleError: if the graph has no scores, or if it cannot be told what they are.
    """
    inputs = inputs_of(manifest.inputs)
    classes = classes_of(manifest.classes)
    return ScoreGraph(
        model=cut_at_scores(model, len(classes)),
        inputs=tuple(manifest.inputs),
        classes=classes,
        kind=_scores_kind(model, manifest),
        estimator=manifest.estimator,
        reference=_reference(model, inputs.feed),
        feed=inputs.feed,
    )


def classes_of(classes: Classes) -> Labels:
    """Return the classes of a manifest in their own type, (n_classes,), int64 or str."""
    if classes.strings:
        return np.array(classes.strings)
    return np.array(classes.integers, dtype=np.int64)


def cut_at_scores(model: onnx.ModelProto, n_classes: int) -> onnx.ModelProto:
    """Return a graph without its calibrator: `SCORES` takes the place of `probabilities` among the outputs.

    Nodes and initializers that no output needs any more are removed; the others stay as they are, in their order.

    Args:
        model: the graph of a bundle.
        n_classes: how many classes there are.

    Raises:
        BundleError: if it has no scores.
    """
    if not any(SCORES in node.output for node in model.graph.node):
        raise BundleError(
            f"the graph has no tensor {SCORES!r} that a calibrator could be put behind; export the estimator again"
        )
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    del cut.metadata_props[:]
    n_scores = 1 if n_classes == _BINARY else n_classes
    others = [output for output in model.graph.output if output.name != PROBABILITIES]
    scores = helper.make_tensor_value_info(SCORES, TensorProto.DOUBLE, [None, n_scores])
    _replace(cut.graph.output, [scores, *others])
    nodes, needed = _needed(model.graph)
    _replace(cut.graph.node, nodes)
    _replace(cut.graph.initializer, [each for each in model.graph.initializer if each.name in needed])
    onnx.checker.check_model(cut)
    return cut


def output_of(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return a graph whose only output is one of its tensors; nothing else is changed."""
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    declared = [output for output in model.graph.output if output.name == name]
    _replace(asked.graph.output, declared or [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None)])
    return asked


def _needed(graph: onnx.GraphProto) -> tuple[list[onnx.NodeProto], set[str]]:
    """Return the nodes that the scores and the outputs other than the probabilities need, and all names in them."""
    needed = {SCORES} | {output.name for output in graph.output if output.name != PROBABILITIES}
    nodes = []
    for node in reversed(graph.node):  # a node stands behind those that it reads
        if needed.intersection(node.output):
            needed.update(_read_by(node))
            nodes.append(node)
    return nodes[::-1], needed


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node reads, also in the bodies of loops and branches, which see the names around them."""
    yield from node.input
    for attribute in node.attribute:
        for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for inner in body.node:
                yield from _read_by(inner)


def _replace(field: Any, values: list[Any]) -> None:
    del field[:]
    field.extend(values)


def _reference(
    model: onnx.ModelProto, feed: Callable[[Any], dict[str, NDArray[Any]]]
) -> Callable[[Any], NDArray[np.float64]]:
    """Return rows → the scores that a bundle's whole graph computes for them; NaN for a row without finite ones."""
    runner = Runner(output_of(model, SCORES))

    def scores(rows: Any) -> NDArray[np.float64]:
        found = runner.run(feed(rows))
        return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.nan)

    return scores


def _scores_kind(model: onnx.ModelProto, manifest: Manifest) -> ScoresKind:
    """Return what the scores are; for a bundle of format 1, which does not say it, what follows from its calibrator."""
    named: dict[str, ScoresKind] = {kind: kind for kind in get_args(ScoresKind)}
    kind = named.get(manifest.scores_kind) or _implied_kind(model, manifest)
    if kind is None:
        raise BundleError(
            f"the bundle is of format {manifest.format_version} and does not say whether its scores are logits or"
            f" probabilities, and its calibrator {manifest.calibrator.method!r} does not show it; export the estimator again"
        )
    return kind


def _implied_kind(model: onnx.ModelProto, manifest: Manifest) -> ScoresKind | None:
    """Margins have no metrics before the calibrator; of probabilities `temperature` takes the logarithm, `none` a part."""
    if not manifest.calibrator.metrics_before:
        return "margins"
    shows = {"temperature": "Log", "none": "Clip"}.get(manifest.calibrator.method)
    if shows is None:
        return None
    behind, _ = _needed(model.graph)
    kept = {node.name for node in behind}
    calibrator = {node.op_type for node in model.graph.node if node.name not in kept}
    return "probabilities" if shows in calibrator else "logits"
