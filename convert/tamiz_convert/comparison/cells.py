"""The cells of a comparison's tables, the same on the page and in the terminal."""

from __future__ import annotations

from tamiz_convert.comparison.measure import Measure, amount, difference, interval, title
from tamiz_convert.comparison.result import Comparison, Discordance
from tamiz_convert.comparison.slices import Slice
from tamiz_convert.report.formats import count, percent, plural


def measure_cells(measure: Measure, at_error: float) -> list[str]:
    """Return the name, A, B, B − A, the interval of that, and which one is better."""
    values = (amount(measure.name, value) for value in (measure.a, measure.b))
    name = title(measure.name, at_error)
    return [name, *values, difference(measure), interval(measure), measure.better or ""]


def chance_cells(measure: Measure) -> list[str]:
    """Return what chance alone gives for A and B."""
    return [amount(measure.name, value) for value in (measure.chance_a, measure.chance_b)]


def slice_cells(each: Slice) -> list[str]:
    """Return the rows of a slice, accuracy, coverage and error of A and B, and which one is better."""
    shares = (each.accuracy_a, each.accuracy_b, each.coverage_a, each.coverage_b, each.error_a, each.error_b)
    return [count(each.n_rows), *map(percent, shares), each.better or ""]


def discordance_cells(found: Discordance) -> list[list[str]]:
    """Return how many rows are right, and how many accepted: by both, only A, only B, neither."""
    right = (found.both_right, found.only_a_right, found.only_b_right, found.both_wrong)
    accepted = (found.both_accepted, found.only_a_accepted, found.only_b_accepted, found.none_accepted)
    return [["right", *map(count, right)], ["accepted", *map(count, accepted)]]


def latency_cells(comparison: Comparison) -> list[list[str]]:
    """Return, for each batch size, the times of A and B, and B / A."""
    of_b = comparison.b.latency_us
    return [
        [plural(size, "row"), f"{a:.0f} µs", f"{of_b[size]:.0f} µs", f"{of_b[size] / a:.2f}"]
        for size, a in comparison.a.latency_us.items()
    ]
