"""Numbers as text, the same everywhere in a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

NOTHING: Final = "–"
"""What stands for a number that there is not."""

_CROWDED: Final = 0.999


def percent(value: float | None, decimals: int = 1) -> str:
    """Return a share as a percentage with so many decimals: 0.934 → "93.4%"."""
    return NOTHING if value is None else f"{100 * value:.{decimals}f}%"


def plain_percent(value: float) -> str:
    """Return a share as it would be spoken, with up to three digits: 0.02 → "2%", 0.0125 → "1.25%"."""
    return f"{100 * value:.3g}%"


def number(value: float | None, decimals: int = 4) -> str:
    """Return a number with so many decimals."""
    return NOTHING if value is None else f"{value:.{decimals}f}".replace("-", "−")


def count(value: int) -> str:
    """Return a whole number with its thousands apart."""
    return f"{value:,}"


def threshold(value: float | None) -> str:
    """Return a threshold; one above 1 accepts nothing, and says so. Close to 1, where they crowd, it has more digits."""
    if value is None:
        return NOTHING
    if value > 1.0:
        return "none accepted"
    return f"{value:.4f}" if value < _CROWDED else f"{value:.6f}"


def interval(bounds: Sequence[float] | None, decimals: int = 1) -> str:
    """Return an interval of shares in percent: (0.01, 0.034) → "1.0–3.4%"."""
    if bounds is None:
        return NOTHING
    low, high = bounds
    return f"{100 * low:.{decimals}f}–{100 * high:.{decimals}f}%"


def plural(n: int, singular: str, several: str | None = None) -> str:
    """Return a count with its noun: "1 row", "2,000 rows"."""
    return f"{count(n)} {singular if n == 1 else several or singular + 's'}"
