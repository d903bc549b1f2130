"""Numbers as text, the same everywhere in a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

NOTHING: Final = "–"
"""What stands for a missing number."""

_CROWDED: Final = 0.999
_SMALLEST: Final = 0.0001
_NOTICEABLE: Final = 1e-9
_LARGE: Final = 1000.0


def percent(value: float | None, decimals: int = 1) -> str:
    """Return a share as a percentage with a fixed number of decimals: 0.934 → "93.4%"."""
    return NOTHING if value is None else f"{100 * value:.{decimals}f}%"


def plain_percent(value: float) -> str:
    """Return a share as one would say it, with up to three digits: 0.02 → "2%", 0.0125 → "1.25%"."""
    return f"{100 * value:.3g}%"


def number(value: float | None, decimals: int = 4) -> str:
    """Return a number with a fixed number of decimals."""
    return NOTHING if value is None else f"{value:.{decimals}f}".replace("-", "−")


def quantity(value: float | None) -> str:
    """Return a number of unknown size with four digits: 20000.0 → "20,000", 0.0286, 6.7e-8 → 0.000000067."""
    if value is None:
        return NOTHING
    if abs(value) >= _LARGE:
        text = f"{value:,.0f}"
    elif value and abs(value) < _SMALLEST:
        text = _decimals(value)
    else:
        text = f"{value:.4g}"
    return text.replace("-", "−")


def share(value: float | None) -> str:
    """Return a share of unknown size in percent, with four digits: 0.9073 → "90.73%", 1e-6 → "0.0001%"."""
    return NOTHING if value is None else f"{quantity(100 * value)}%"


def _decimals(value: float) -> str:
    """Return a tiny number without an exponent, with two digits; a person does not read 6.7e-8."""
    if abs(value) < _NOTICEABLE:
        return f"less than {_NOTICEABLE:.9f}"
    places = 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{places}f}".rstrip("0")


def p_value(value: float | None) -> str:
    """Return a p-value with three digits; a tiny one is only called small: 1e-22 → "< 0.0001"."""
    if value is None:
        return NOTHING
    return f"{value:.3g}" if value >= _SMALLEST else f"< {_SMALLEST}"


def count(value: int) -> str:
    """Return a whole number with separated thousands: 20000 → "20,000"."""
    return f"{value:,}"


def threshold(value: float | None) -> str:
    """Return a threshold as text; above 1 it accepts nothing. Near 1, where many lie, it has more digits."""
    if value is None:
        return NOTHING
    if value > 1.0:
        return "none accepted"
    return f"{value:.4f}" if value < _CROWDED else f"{value:.6f}"


def interval(bounds: Sequence[float] | None, decimals: int = 1) -> str:
    """Return an interval of shares in percent: "1.0–3.4%". Ends that look alike get one decimal more."""
    if bounds is None:
        return NOTHING
    low, high = (f"{100 * bound:.{decimals}f}" for bound in bounds)
    if low == high:
        low, high = (f"{100 * bound:.{decimals + 1}f}" for bound in bounds)
    return f"{low}–{high}%"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return names as one would say them: "a, b and c", or "a, b and 7 more"."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {count(len(names) - most + 1)} more"
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def plural(n: int, singular: str, several: str | None = None) -> str:
    """Return a count with its noun: "1 row", "2,000 rows"."""
    return f"{count(n)} {singular if n == 1 else several or singular + 's'}"
