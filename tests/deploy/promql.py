"""Checks PromQL queries: walks a query's syntax tree and finds which labels its result has.

It refuses a metric that nobody exports, a label that the metric does not have, and an operator whose two
sides can never match because their labels differ. Prometheus silently returns nothing for all three.
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
    """The existing metrics: name → labels. Remembers which of them were queried."""

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
        ways = {
            promql.VectorSelector: self._selected,
            promql.MatrixSelector: lambda node: self._selected(node.vector_selector),
            promql.ParenExpr: lambda node: self._of(node.expr),
            promql.UnaryExpr: lambda node: self._of(node.expr),
            promql.SubqueryExpr: lambda node: self._of(node.expr),
            promql.AggregateExpr: self._aggregated,
            promql.Call: self._called,
            promql.BinaryExpr: self._joined,
        }
        way = ways.get(type(node))
        return way(node) if way else frozenset()

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
        if _is_scalar(node.lhs) or _is_scalar(node.rhs):
            return left | right
        op = str(node.op)
        if op == "or":
            return left | right
        one, other = _matched(node, left, right)
        if one != other:
            raise QueryError(f"{sorted(one)} never match {sorted(other)}: {node.prettify()}")
        card = node.modifier.card if node.modifier else promql.VectorMatchCardinality.OneToOne
        if op in ("and", "unless") or card == promql.VectorMatchCardinality.ManyToOne:
            return left
        return right if card == promql.VectorMatchCardinality.OneToMany else one


def _matched(node: promql.BinaryExpr, left: Labels, right: Labels) -> tuple[Labels, Labels]:
    """Return the labels by which the sides of an operator are matched."""
    matching = node.modifier.matching if node.modifier else None
    if matching is None:
        return left, right
    named = frozenset(matching.labels)
    if matching.type == promql.LabelModifierType.Exclude:
        return left - named, right - named
    if not named <= left & right:
        raise QueryError(f"on {sorted(named)}, of {sorted(left)} and {sorted(right)}: {node.prettify()}")
    return named, named


def _is_scalar(node: promql.Expr) -> bool:
    if isinstance(node, promql.ParenExpr | promql.UnaryExpr):
        return _is_scalar(node.expr)
    if isinstance(node, promql.Call):
        return node.func.name in ("time", "scalar")
    if isinstance(node, promql.BinaryExpr):
        return _is_scalar(node.lhs) and _is_scalar(node.rhs)
    return isinstance(node, promql.NumberLiteral)


def substituted(expr: str, values: Mapping[str, str]) -> str:
    """Return a panel's query with its variables in place, as Grafana does it."""

    def value(found: re.Match[str]) -> str:
        return values[found[1] or found[2]]

    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", value, expr)
