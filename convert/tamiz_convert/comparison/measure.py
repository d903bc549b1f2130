"""One measure of both bundles, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tamiz_convert.comparison.differences import DECIMALS, HIGHER_IS_BETTER
from tamiz_convert.report.formats import NOTHING, number, percent

SIGNIFICANCE: Final = 0.05
"""The probability that any of the differences that are called more than noise is noise."""

Side = Literal["A", "B"]


@dataclass(frozen=True)
class Measure:
    """One measure of both bundles.

    Attributes:
        name: a key of `HIGHER_IS_BETTER`.
        a, b: its values on the rows at hand; None if there is nothing to measure, such as the error among no
            accepted rows.
        interval: the 95 % interval of b − a.
        p_value: of the test that there is no difference; exact for the accuracy, else from the resamples.
        corrected_p_value: the same, corrected for the number of measures.
        chance_a, chance_b: for the calibration error, what chance alone gives: the mean of a perfectly
            calibrated model on these rows. None for other measures.
    """

    name: str
    a: float | None
    b: float | None
    interval: tuple[float, float] | None
    p_value: float
    corrected_p_value: float
    chance_a: float | None = None
    chance_b: float | None = None

    @property
    def difference(self) -> float | None:
        """B − a; what only rounding tells apart is the same."""
        return None if self.a is None or self.b is None else round(self.b - self.a, DECIMALS)

    @property
    def better(self) -> Side | None:
        """The better bundle, if the difference is more than noise."""
        if self.corrected_p_value > SIGNIFICANCE or not self.difference:
            return None
        return "B" if (self.difference > 0) == HIGHER_IS_BETTER[self.name] else "A"


def title(name: str, at_error: float) -> str:
    """Return the name of a measure for people."""
    return {
        "accuracy": "accuracy",
        "log_loss": "log loss",
        "brier": "Brier score",
        "ece_15": "calibration error (ECE)",
        "aurc": "AURC",
        "coverage": "coverage",
        "selective_error": "error among accepted",
        "coverage_at_error": f"coverage at {100 * at_error:.3g}% error",
    }[name]


def is_share(name: str) -> bool:
    """Return whether a measure is a share of rows, to be shown in percent."""
    return name in {"accuracy", "coverage", "selective_error", "coverage_at_error"}


def amount(name: str, value: float | None) -> str:
    """Return a value of a measure as text: a share in percent, any other value with four decimals."""
    return percent(value) if is_share(name) else number(value)


def difference(measure: Measure) -> str:
    """Return B − A as text; differences of shares are in percentage points."""
    return NOTHING if measure.difference is None else _signed(measure.name, measure.difference)


def interval(measure: Measure) -> str:
    """Return the interval of B − A as text."""
    if measure.interval is None:
        return NOTHING
    return " to ".join(_signed(measure.name, end) for end in measure.interval)


def _signed(name: str, value: float) -> str:
    return f"{100 * value:+.1f}" if is_share(name) else f"{value:+.4f}"


def ahead(only_a: int, only_b: int) -> Side | None:
    """Return which one is right more often, given the rows on which only A and only B is."""
    if only_a == only_b:
        return None
    return "A" if only_a > only_b else "B"
