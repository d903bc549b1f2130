"""A bundle taken apart: its graph up to the scores, ready for another calibrator.

features ─► … ─► scores ─┬─► calibrator ─► probabilities        is removed
                         └ a new calibrator is appended here
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
from tamiz_convert.errors import BundleError
from tamiz_convert.graphs.runner import Feed, Runner
from tamiz_convert.graphs.score_graph import SCORES, Labels, ScoreGraph, ScoresKind
from tamiz_convert.rows.inputs import feed_of

_BINARY: Final = 2


def from_bundle(model: onnx.ModelProto, manifest: Manifest, *, with_subset: bool = True) -> ScoreGraph:
    """Return the score graph that a bundle was made of.

    Args:
        model: the bundle's graph.
        manifest: what the bundle says about itself.
        with_subset: whether to keep the output `subset`, if the graph has it, and what only that output
            reads.

    Returns:
        Its score graph. The reference is the scores of the bundle's own graph; rows that it cannot score are
        NaN.

    Raises:
        BundleError: if the graph has no scores, or if it is not known what they are.
    """
    classes = classes_of(manifest.classes)
    cut = cut_at_scores(model, len(classes), with_subset=with_subset)
    declared = {each.name for each in cut.graph.input}
    specs = tuple(spec for spec in manifest.inputs if spec.name in declared)
    unread = [spec for spec in manifest.inputs if spec.name not in declared]

    def feed(rows: Any) -> Feed:
        return feed_of(rows, specs)

    return ScoreGraph(
        model=cut,
        inputs=specs,
        classes=classes,
        kind=_scores_kind(model, manifest),
        estimator=manifest.estimator,
        reference=_reference(model, feed, unread),
        feed=feed,
        reference_name="the bundle itself",
        is_single_precision=True,  # nothing says that it is not; the parts are compared in any case
        compares_anywhere=False,
    )


def classes_of(classes: Classes) -> Labels:
    """Return the classes of a manifest in their own type, (n_classes,), int64 or str."""
    if classes.strings:
        return np.array(classes.strings)
    return np.array(classes.integers, dtype=np.int64)


def cut_at_scores(model: onnx.ModelProto, n_classes: int, *, with_subset: bool = True) -> onnx.ModelProto:
    """Return a graph without its calibrator: `SCORES` takes the place of `probabilities` among the outputs.

    The nodes behind the scores are removed, and the initializers that only they read. All others stay as they
    are, in their order.

    Args:
        model: the graph of a bundle.
        n_classes: how many classes there are.
        with_subset: whether the output `subset` stays, and the input that only it reads.

    Raises:
        BundleError: if the graph has no scores.
    """
    if not any(SCORES in node.output for node in model.graph.node):
        raise BundleError(
            f"the graph has no tensor {SCORES!r} to append a calibrator to; export the estimator again"
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
    """Return a graph whose only output is one of its tensors; nothing else changes."""
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    declared = [output for output in model.graph.output if output.name == name]
    _replace(asked.graph.output, declared or [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None)])
    return asked


def _behind_scores(graph: onnx.GraphProto) -> set[int]:
    """Return the positions of the nodes that read the scores, directly or through others."""
    computed = {SCORES}
    found = set()
    for i, node in enumerate(graph.node):  # nodes come after those that they read
        if not computed.isdisjoint(_read_by(node)):
            computed.update(node.output)
            found.add(i)
    return found


def _only_for_subset(graph: onnx.GraphProto) -> set[int]:
    """Return the positions of the nodes that the output `subset` needs but the scores do not."""
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
    """Yield the names that a node reads, also inside loops and branches, which see the outer names."""
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
    """Return rows → the scores of a bundle's whole graph; NaN for a row whose scores are not finite.

    Args:
        model: the graph of the bundle.
        feed: rows as the caller has them → what the scores are computed from.
        unread: inputs of the graph that the scores do not depend on.
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
    """Return what the scores are. A bundle of format 1 does not say it; then its calibrator may show it."""
    named: dict[str, ScoresKind] = {kind: kind for kind in get_args(ScoresKind)}
    kind = named.get(manifest.scores_kind) or _implied_kind(model, manifest)
    if kind is None:
        raise BundleError(
            f"the bundle has format {manifest.format_version}, which does not say whether its scores are"
            f" logits or probabilities, and its calibrator {manifest.calibrator.method!r} does not show it:"
            " export the estimator again"
        )
    return kind


def _implied_kind(model: onnx.ModelProto, manifest: Manifest) -> ScoresKind | None:
    """Return the kind that the calibrator shows.

    Margins have no metrics before the calibrator. Of probabilities, `temperature` takes the logarithm, and
    `none` clips them.
    """
    if not manifest.calibrator.metrics_before:
        return "margins"
    shows = {"temperature": "Log", "none": "Clip"}.get(manifest.calibrator.method)
    if shows is None:
        return None
    calibrator = {model.graph.node[i].op_type for i in _behind_scores(model.graph)}
    return "probabilities" if shows in calibrator else "logits"
