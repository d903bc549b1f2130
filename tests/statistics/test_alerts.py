"""How chance moves the numbers behind alerts, when nothing has changed and when something has."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tests.deploy.observed import OPERATIONS, rules

RULES = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
N_DRAWS = 5_000


def number(name: str, pattern: str) -> float:
    """A number that stands in a rule."""
    return float(re.search(pattern, RULES[name])[1])


DEVIATIONS = number("tamiz:confidence_psi:noise1h", r"\+ ([\d.]+) \* sqrt\(2 \* ")
TARGET = number("tamiz:target_psi", r"([\d.]+)")
ERRORS = number("tamiz:coverage:noise1h", r"^([\d.]+) \* sqrt")
ERRORS_OF_CONFIDENCE = number("tamiz:expected_accuracy:noise1h", r"^([\d.]+) \* sqrt")


def shares(low: float, a: float, b: float) -> np.ndarray:
    """The shares of twenty bins, of confidences between `low` and 1."""
    edges = np.linspace(0, 1, 21)
    values = low + (1 - low) * np.random.default_rng(1).beta(a, b, 400_000)
    return np.histogram(values, edges)[0] / len(values)


def stability(live: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index and its noise, as recording.yml computes them."""
    n, m = live.sum(axis=-1)[0], reference.sum(axis=-1)[0]
    unit = 1 / n + 1 / m
    q, p = np.maximum(live / n, 0.5 * unit), np.maximum(reference / m, 0.5 * unit)
    used = ((live > 0) | (reference > 0)).sum(axis=-1)
    return ((q - p) * np.log(q / p)).sum(axis=-1), (used + DEVIATIONS * np.sqrt(2 * used)) * unit


CONFIDENCES = {
    "two classes, flat": (0.5, 1.0, 1.0),
    "two classes, sure": (0.5, 8.0, 1.0),
    "many classes": (0.0, 2.0, 1.5),
}


@pytest.mark.parametrize("where", CONFIDENCES)
@pytest.mark.parametrize(("n", "m"), [(100, 200), (1_000, 300), (1_000_000, 200), (200, 20_000)])
def test_confidences_that_have_not_moved_are_within_chance(where, n, m):
    random = np.random.default_rng(0)
    truth = shares(*CONFIDENCES[where])
    index, noise = stability(random.multinomial(n, truth, N_DRAWS), random.multinomial(m, truth, N_DRAWS))
    assert np.mean(index > noise) <= 0.001
    assert not (index > noise + TARGET).any()


def test_confidences_that_have_moved_are_beyond_chance():
    random = np.random.default_rng(0)
    live = random.multinomial(1_000, shares(0.5, 1.0, 1.0), N_DRAWS)
    index, noise = stability(live, random.multinomial(500, shares(0.5, 8.0, 1.0), N_DRAWS))
    assert np.mean(index > noise + TARGET) > 0.99


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize(("n", "m"), [(100, 200), (1_000, 300), (1_000_000, 200), (200, 20_000)])
def test_a_share_answered_that_has_not_moved_is_within_chance(share, n, m):
    random = np.random.default_rng(0)
    live, expected = random.binomial(n, share, 100_000) / n, random.binomial(m, share, 100_000) / m
    pooled = (live * n + expected * m) / (n + m)
    noise = ERRORS * np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    assert np.mean((np.abs(live - expected) > noise) & (np.abs(live - expected) > 0.05)) <= 0.0005


def test_the_worked_example_says_what_the_rules_compute():
    """docs/operations.md: 480 of 600 are answered, at export 450 of 500; 93 % of 480 should be right."""
    text = " ".join(OPERATIONS.read_text(encoding="utf-8").split())
    pooled = (480 + 450) / (600 + 500)
    assert (
        f"up to {ERRORS * np.sqrt(pooled * (1 - pooled) * (1 / 600 + 1 / 500)):.1%}".rstrip("%") + " points"
        in text
    )
    pooled = (48 + 450) / (60 + 500)
    assert f"explain {100 * ERRORS * np.sqrt(pooled * (1 - pooled) * (1 / 60 + 1 / 500)):.0f} points" in text
    assert (
        f"explains {100 * ERRORS_OF_CONFIDENCE * np.sqrt(0.93 * 0.07 / 480):.1f} points below the promise"
        in text
    )
