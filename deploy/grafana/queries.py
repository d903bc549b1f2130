"""What the queries of all dashboards share, in PromQL."""

from __future__ import annotations

from typing import Final, NamedTuple

MODEL: Final = 'job=~"$job",model=~"$model",version=~"$version"'
"""The matchers for series with a model and a version."""

SERVER: Final = 'job=~"$job"'
"""The matchers for series of a server as a whole."""

RATE: Final = "[$__rate_interval]"
"""The time over which rates are taken."""

NAME: Final = "{{model}} {{version}}"
"""The legend of a version's series."""


class Query(NamedTuple):
    """A query in PromQL, and the legend of its series."""

    expr: str
    legend: str = ""


def rate(counter: str, by: str = "", over_time: str = RATE) -> str:
    """Return the query for the rate per second of a counter with its matchers, by these labels."""
    return f"sum{_by(by)}(rate({counter}{over_time}))"


def ratio(over: str, under: str, by: str = "", under_by: str | None = None, *, over_time: str = RATE) -> str:
    """Return the query for one counter's rate over another's, by these labels; nothing while the other rests.

    Args:
        over: a counter with its matchers.
        under: another.
        by: the labels that stay, with commas.
        under_by: those of the other, where it has fewer.
        over_time: that over which rates are taken.
    """
    if under_by is None:
        return f"{rate(over, by, over_time)} / ({rate(under, by, over_time)} > 0)"
    left_out = ", ".join(sorted(set(by.split(", ")) - set(under_by.split(", "))))
    matched = f"ignoring ({left_out}) group_left ()"
    return f"{rate(over, by, over_time)} / {matched} ({rate(under, under_by, over_time)} > 0)"


def worst(metric: str) -> str:
    """Return the query for a gauge's largest value, with its matchers, among a version's replicas."""
    return f"max by (job, model, version) ({metric})"


def quantile(q: float, histogram: str, by: str = "") -> str:
    """Return the query for a quantile of a histogram, by these labels, of the chosen versions."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket{{{MODEL}}}', labels)})"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
