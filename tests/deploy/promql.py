"""What a query in PromQL asks for: which labels its result has, found by walking its syntax tree.

It refuses a metric that nobody exports, a label that the metric has not, and two sides of an operator that can never match
because their labels differ: Prometheus answers all three with silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import promql_parser as promql

Labels = frozenset[str]
SCRAPED: Labels = frozenset({"job", "instance"})


class QueryError(Exception):
    """A query asks for what is not there."""


class Catalog:
    """The metrics that there are: name → labels. Remembers which of them were asked for."""

    def __init__(self, labels: Mapping[str, Labels]) -> None:
        self._labels = dict(labels)
        self.used: set[str] = set()

    def add(self, name: str, expr: str) -> None:
        """Add the result of a recording rule."""
        self._labels[name] = self.labels(expr)

    def labels(self, expr: str) -> Labels:
        """Return the labels of a query's result.

        Raises:
            QueryError: if it asks for what is not there.
        """
        return self._of(promql.parse(expr))

    def _of(self, node: promql.Expr) -> Labels:
        match node:
            case promql.VectorSelector():
                return self._selected(node)
            case promql.MatrixSelector():
                return self._selected(node.vector_selector)
            case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
                return self._of(node.expr)
            case promql.AggregateExpr():
                return self._aggregated(node)
            case promql.Call():
                return self._called(node)
            case promql.BinaryExpr():
                return self._joined(node)
        return frozenset()

    def _selected(self, node: promql.VectorSelector) -> Labels:
        if node.name not in self._labels:
            raise QueryError(f"nobody exports {node.name}")
        self.used.add(node.name)
        labels = self._labels[node.name]
        asked = {matcher.name for matcher in node.matchers.matchers}
        if not asked <= labels:
            raise QueryError(f"{node.name} has no label {sorted(asked - labels)}, only {sorted(labels)}")
        return labels

    def _aggregated(self, node: promql.AggregateExpr) -> Labels:
        inner = self._of(node.expr)
        if node.modifier is None:
            return frozenset()
        named = frozenset(node.modifier.labels)
        if not named <= inner:
            raise QueryError(f"by or without {sorted(named - inner)}, of {sorted(inner)}: {node.prettify()}")
        return named if node.modifier.type == promql.AggModifierType.By else inner - named

    def _called(self, node: promql.Call) -> Labels:
        inner: Labels = frozenset().union(*map(self._of, node.args))
        if node.func.name != "histogram_quantile":
            return inner
        if "le" not in inner:
            raise QueryError(f"a quantile of what has no le: {node.prettify()}")
        return inner - {"le"}

    def _joined(self, node: promql.BinaryExpr) -> Labels:
        left, right = self._of(node.lhs), self._of(node.rhs)
        scalars = [_is_scalar(side) for side in (node.lhs, node.rhs)]
        if any(scalars):
            return left | right
        matching = node.modifier.matching if node.modifier else None
        if matching is None:
            one, other = left, right
        elif matching.type == promql.LabelModifierType.Include:
            one = other = frozenset(matching.labels)
            if not one <= left & right and str(node.op) != "or":
                raise QueryError(
                    f"on {sorted(one)}, of {sorted(left)} and {sorted(right)}: {node.prettify()}"
                )
        else:
            one, other = left - set(matching.labels), right - set(matching.labels)
        if one != other and str(node.op) != "or":
            raise QueryError(f"{sorted(one)} never match {sorted(other)}: {node.prettify()}")
        if str(node.op) in ("and", "unless"):
            return left
        if str(node.op) == "or":
            return left | right
        card = node.modifier.card if node.modifier else promql.VectorMatchCardinality.OneToOne
        if card == promql.VectorMatchCardinality.ManyToOne:
            return left
        if card == promql.VectorMatchCardinality.OneToMany:
            return right
        return one


def _is_scalar(node: promql.Expr) -> bool:
    match node:
        case promql.NumberLiteral():
            return True
        case promql.ParenExpr() | promql.UnaryExpr():
            return _is_scalar(node.expr)
        case promql.Call():
            return node.func.name in ("time", "scalar")
        case promql.BinaryExpr():
            return _is_scalar(node.lhs) and _is_scalar(node.rhs)
    return False


def substituted(expr: str, values: Mapping[str, str]) -> str:
    """Return a panel's query with its variables in place, as Grafana does it."""

    def value(found: re.Match[str]) -> str:
        return values[found[1] or found[2]]

    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", value, expr)
