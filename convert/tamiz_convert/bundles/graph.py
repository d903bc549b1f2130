"""A bundle taken apart again: its graph as far as the scores, ready for another calibrator.

features ─► … ─► scores ─┬─► calibrator ─► probabilities        is removed
                         └ from here on a new calibrator is appended
slice ─► … ─► subset                                            stays
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, get_args

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tamiz.bundle_format import PROBABILITIES, SUBSET
from tamiz.dtypes import NUMERIC_DTYPES
from tamiz.v1.manifest_pb2 import Classes, InputSpec, Manifest
from tamiz_convert.bundles.inputs import feed_of
from tamiz_convert.errors import BundleError
from tamiz_convert.graphs.runner import Feed, Runner
from tamiz_convert.graphs.score_graph import SCORES, Labels, ScoreGraph, ScoresKind

_BINARY: Final = 2


def from_bundle(model: onnx.ModelProto, manifest: Manifest, *, with_subset: bool = True) -> ScoreGraph:
    """Return the score graph that a bundle was made of.

    Args:
        model: the bundle's graph.
        manifest: what the bundle says of itself.
        with_subset: whether to keep the output `subset`, if the graph has it, and what only that output reads.

    Returns:
        Its score graph. The reference is the bundle's own graph, asked for its scores; what it could not score is NaN.

    Raises:
        BundleError: if the graph has no scores, or if it cannot be told what they are.
    """
    classes = classes_of(manifest.classes)
    cut = cut_at_scores(model, len(classes), with_subset=with_subset)
    declared = {each.name for each in cut.graph.input}
    specs = tuple(spec for spec in manifest.inputs if spec.name in declared)
    unread = [spec for spec in manifest.inputs if spec.name not in declared]
    feed = feed_of(specs)
    return ScoreGraph(
        model=cut,
        inputs=specs,
        classes=classes,
        kind=_scores_kind(model, manifest),
        estimator=manifest.estimator,
        reference=_reference(model, feed, unread),
        feed=feed,
        reference_name="the bundle itself",
        is_single_precision=True,  # it may be, and the parts are compared all the same
        compares_anywhere=False,
    )


def classes_of(classes: Classes) -> Labels:
    """Return the classes of a manifest in their own type, (n_classes,), int64 or str."""
    if classes.strings:
        return np.array(classes.strings)
    return np.array(classes.integers, dtype=np.int64)


def cut_at_scores(model: onnx.ModelProto, n_classes: int, *, with_subset: bool = True) -> onnx.ModelProto:
    """Return a graph without its calibrator: `SCORES` takes the place of `probabilities` among the outputs.

    The nodes behind the scores are removed, with the initializers that only they read; all others stay as they are, in
    their order.

    Args:
        model: the graph of a bundle.
        n_classes: how many classes there are.
        with_subset: whether the output `subset` stays, and the input that only it reads.

    Raises:
        BundleError: if it has no scores.
    """
    if not any(SCORES in node.output for node in model.graph.node):
        raise BundleError(
            f"the graph has no tensor {SCORES!r} that a calibrator could be put behind; export the estimator again"
        )
    removed = _behind_scores(model.graph) | (set() if with_subset else _only_for_subset(model.graph))
    read = [set(_read_by(node)) for node in model.graph.node]
    kept = [i for i in range(len(read)) if i not in removed]
    gone = _union(read[i] for i in removed) - _union(read[i] for i in kept)
    outputs = {PROBABILITIES} if with_subset else {PROBABILITIES, SUBSET}
    scores = helper.make_tensor_value_info(
        SCORES, TensorProto.DOUBLE, [None, 1 if n_classes == _BINARY else n_classes]
    )
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    del cut.metadata_props[:]
    _replace(cut.graph.output, [scores, *(each for each in model.graph.output if each.name not in outputs)])
    _replace(cut.graph.node, [model.graph.node[i] for i in kept])
    _replace(cut.graph.initializer, [each for each in model.graph.initializer if each.name not in gone])
    _replace(cut.graph.input, [each for each in model.graph.input if each.name not in gone])
    onnx.checker.check_model(cut)
    return cut


def output_of(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return a graph whose only output is one of its tensors; nothing else is changed."""
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    declared = [output for output in model.graph.output if output.name == name]
    _replace(asked.graph.output, declared or [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None)])
    return asked


def _behind_scores(graph: onnx.GraphProto) -> set[int]:
    """Return the positions of the nodes that read the scores, directly or through others."""
    computed = {SCORES}
    found = set()
    for i, node in enumerate(graph.node):  # a node stands behind those that it reads
        if not computed.isdisjoint(_read_by(node)):
            computed.update(node.output)
            found.add(i)
    return found


def _only_for_subset(graph: onnx.GraphProto) -> set[int]:
    """Return the positions of the nodes that the output `subset` needs, and the scores do not."""
    return _needed(graph, SUBSET) - _needed(graph, SCORES)


def _needed(graph: onnx.GraphProto, name: str) -> set[int]:
    """Return the positions of the nodes that compute a tensor."""
    names = {name}
    found = set()
    for i in reversed(range(len(graph.node))):
        if not names.isdisjoint(graph.node[i].output):
            names.update(_read_by(graph.node[i]))
            found.add(i)
    return found


def _union(sets: Iterable[set[str]]) -> set[str]:
    return set().union(*sets)


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
    model: onnx.ModelProto, feed: Callable[[Any], Feed], unread: Sequence[InputSpec]
) -> Callable[[Any], NDArray[np.float64]]:
    """Return rows → the scores that a bundle's whole graph computes for them; NaN for a row without finite ones.

    Args:
        model: the graph of the bundle.
        feed: rows as the caller has them → what the scores are computed from.
        unread: further inputs of the graph, on which the scores do not depend.
    """
    runner = Runner(output_of(model, SCORES))

    def scores(rows: Any) -> NDArray[np.float64]:
        given = feed(rows)
        n_rows = len(next(iter(given.values())))
        found = runner.run(given | {spec.name: _blank(spec, n_rows) for spec in unread})
        return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.nan)

    return scores


def _blank(spec: InputSpec, n_rows: int) -> NDArray[Any]:
    dtype = NUMERIC_DTYPES.get(spec.dtype)
    shape = (n_rows, *list(spec.shape)[1:])
    return np.full(shape, "", dtype=object) if dtype is None else np.zeros(shape, dtype)


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
    calibrator = {model.graph.node[i].op_type for i in _behind_scores(model.graph)}
    return "probabilities" if shows in calibrator else "logits"
