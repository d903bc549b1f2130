"""Refuses graphs that reach outside their file or are larger than they look, before onnxruntime sees them.

        other files         a bundle is one file: tensors that are elsewhere could name any path
    other operators     those of domains that no exporter uses and onnxruntime does not have
    row's death         integer divisions that end the process for one value: see `integer_division`
    hidden sizes        tensors with fewer bytes than elements, sparse ones; endless calls between functions

A graph does not show how long it computes. Time and memory are limited when it runs: see `trial`,
`run_limit`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from tamiz.bundle_format import OnnxParts
from tamiz.integer_division import unguarded_divisions
from tamiz.v1.onnx_file_pb2 import OnnxAttribute, OnnxFunction, OnnxGraph, OnnxNode, OnnxTensor
from tamiz_server.errors import BundleError

MAX_NODES: Final = 1_000_000
"""The most nodes of a graph; the nodes of a function count for each call."""

MAX_DEPTH: Final = 16
"""The most levels of graphs within graphs, and of functions that call functions."""

_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
_EXTERNAL: Final = 1
_SHOWN: Final = 80
# The densest ways to store elements are four bits each.
_ELEMENTS_PER_BYTE: Final = 2

_Function = tuple[str, str, str]


def check_graph(path: Path, parts: OnnxParts) -> None:
    """Check a graph.

    Args:
        path: where the file was read, for messages.
        parts: the file.

    Raises:
        BundleError: naming the node or tensor, what is wrong with it, and what to do.
    """
    try:
        graph = OnnxGraph.FromString(bytes(parts.graph))
        functions = [OnnxFunction.FromString(bytes(each)) for each in parts.functions]
    except DecodeError as error:
        raise BundleError(
            f"{path}: its graph cannot be read, or is nested too deep; export it again"
        ) from error
    _Check(path, functions).run(graph)


class _Check:
    def __init__(self, path: Path, functions: Iterable[OnnxFunction]) -> None:
        self._path = path
        self._functions = {(each.domain, each.name, each.overload): each for each in functions}
        self._domains = _DOMAINS | {domain for domain, _, _ in self._functions}
        self._sizes: dict[_Function, tuple[int, int]] = {}

    def run(self, graph: OnnxGraph) -> None:
        for function in self._functions.values():
            if function.domain in _DOMAINS:
                raise self._refused(
                    f"function {_name(function.name)} takes the place of an operator of"
                    f" {_name(function.domain)}",
                    "functions of a domain of their own",
                )
            for attribute in function.attribute_proto:
                self._attribute(attribute, f"an attribute of function {_name(function.name)}", 0)
        n_nodes = self._graph(graph, "the graph", 0)
        for key in self._functions:
            self._function(key, ())
        self._divisions(graph)
        for function in self._functions.values():
            self._divisions(function)
        n_nodes += sum(self._sizes[each][0] for each in self._called(graph.node))
        if n_nodes > MAX_NODES:
            raise self._refused(
                f"the graph has {n_nodes} nodes with those of its functions", f"at most {MAX_NODES}"
            )

    def _divisions(self, graph: OnnxGraph | OnnxFunction) -> None:
        for division in unguarded_divisions(graph):
            raise self._refused(
                f"node {_name(division.node.name or division.node.output[0])} (Div) divides integers, or what"
                " may be some, and the smallest of them divided by -1 ends the process",
                "a divisor that is guarded against -1, as this version of tamiz-convert writes it",
            )

    def _graph(self, graph: OnnxGraph, where: str, depth: int) -> int:
        """Check a graph; return how many nodes it has, including those of graphs within it."""
        if depth > MAX_DEPTH:
            raise self._refused(f"{where} is nested {depth} graphs deep", f"at most {MAX_DEPTH}")
        for tensor in graph.initializer:
            self._tensor(tensor, f"initializer {_name(tensor.name)}")
        for sparse in graph.sparse_initializer:
            raise self._sparse(f"initializer {_name(sparse.values.name)}")
        return self._nodes(graph.node, depth)

    def _nodes(self, nodes: Iterable[OnnxNode], depth: int) -> int:
        return sum(self._node(node, depth) for node in nodes)

    def _node(self, node: OnnxNode, depth: int) -> int:
        where = f"node {_name(node.name)} ({_name(node.op_type)})"
        if node.domain not in self._domains:
            known = ", ".join(sorted(_name(domain) for domain in _DOMAINS))
            raise self._refused(
                f"{where} is an operator of the domain {_name(node.domain)}",
                f"one of {known}, or of the file's functions",
            )
        return 1 + sum(self._attribute(attribute, where, depth) for attribute in node.attribute)

    def _attribute(self, attribute: OnnxAttribute, where: str, depth: int) -> int:
        where = f"{where}, attribute {_name(attribute.name)},"
        for tensor in _tensors(attribute):
            self._tensor(tensor, where)
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            raise self._sparse(where)
        graphs = [*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs]
        return sum(self._graph(graph, where, depth + 1) for graph in graphs)

    def _tensor(self, tensor: OnnxTensor, where: str) -> None:
        if tensor.data_location == _EXTERNAL or tensor.external_data:
            raise self._refused(f"{where} is stored in another file", "everything in one file")
        if any(size < 0 for size in tensor.dims):
            raise self._refused(f"{where} has a negative size", "sizes of at least 0")
        n_elements, n_bytes = math.prod(tensor.dims), tensor.ByteSize()
        if n_elements > n_bytes * _ELEMENTS_PER_BYTE:
            raise self._refused(
                f"{where} has more elements than its {n_bytes} bytes can hold", "all of them in the file"
            )

    def _function(self, key: _Function, callers: tuple[_Function, ...]) -> tuple[int, int]:
        """Check a function; return its nodes and levels, including those of the functions that it calls."""
        n_nodes, depth = self._sizes.get(key, (0, 0))
        if key not in callers and not depth:
            nodes = self._functions[key].node
            n_nodes = self._nodes(nodes, 0)
            for each in self._called(nodes) if len(callers) < MAX_DEPTH else ():
                called = self._function(each, (*callers, key))
                n_nodes, depth = n_nodes + called[0], max(depth, called[1])
            depth += 1
            self._sizes[key] = n_nodes, depth
        if key in callers or len(callers) + depth > MAX_DEPTH:
            raise self._refused(
                f"function {_name(key[1])} calls itself, or a chain of functions that is too long",
                f"no cycle, and at most {MAX_DEPTH} levels",
            )
        return n_nodes, depth

    def _called(self, nodes: Iterable[OnnxNode]) -> list[_Function]:
        return [each for each in _calls(nodes) if each in self._functions]

    def _sparse(self, where: str) -> BundleError:
        return self._refused(
            f"{where} is a sparse tensor, whose size in memory the file does not show", "a dense one"
        )

    def _refused(self, found: str, expected: str) -> BundleError:
        return BundleError(f"{self._path}: {found}: expected {expected}; export it again with tamiz-convert")


def _tensors(attribute: OnnxAttribute) -> Iterator[OnnxTensor]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors


def _calls(nodes: Iterable[OnnxNode]) -> Iterator[_Function]:
    """Return what nodes call, including nodes in the graphs within them."""
    for node in nodes:
        yield node.domain, node.op_type, node.overload
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _calls(graph.node)


def _name(text: str) -> str:
    """Return a name from the file for a message: quoted, and cut if it is long."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
