"""How much of what could be answered is answered: ours beside other procedures with the same promise.

All of them promise that with probability 1 − delta at most `max_error` of the accepted rows are wrong. The
populations are finite, so the truth is known, and so is the *oracle*: the loosest threshold that truly keeps
the error. Confidences are those of a model that saw none of the rows, and no calibrator is fitted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from mapie.risk_control import BinaryClassificationController
from scipy.special import betaincinv

from tamiz_convert.certificates.certify import find
from tamiz_convert.certificates.outcomes import Outcomes
from tamiz_convert.metrics.binomial import p_values
from tamiz_convert.rows.held_out import SplitPlan

from .populations import DELTA
from .tables import judged

SIZES: Final = (200, 500, 1_000, 5_000)

SEED: Final = 20_261_129
"""Of the draws that count. The procedure was tuned on others: after a change, take another seed."""

CASES: Final = (
    ("diamonds-price", "lr", 0.01),
    ("diamonds-price", "lr", 0.02),
    ("diamonds-price", "tree", 0.02),
    ("digits", "lr", 0.02),
    ("vocabulary", "rf", 0.1),
    ("movies", "lr", 0.1),
    ("movies", "lr", 0.2),
    ("diamonds-cut", "rf", 0.2),
    ("free-light-chain", "lr", 0.1),
    ("health-insurance", "rf", 0.2),
    ("pharmacies", "nb", 0.1),
    ("baseball", "rf", 0.2),
)
"""Table, model, promised error. The oracle answers 28 % to 96 % of the rows."""

Procedure = Callable[[np.ndarray, np.ndarray, float, float], float]
"""(confidence, error, max_error, delta) → threshold; infinite if nothing is proven."""


def ours(confidence: np.ndarray, error: np.ndarray, max_error: float, delta: float) -> float:
    """Split as an export without a calibrator splits them; the rows come in random order."""
    cut = len(error) - SplitPlan(only_places=True).n_certifying(len(error))
    calibration = Outcomes(confidence[:cut], error[:cut])
    found = find(calibration, Outcomes(confidence[cut:], error[cut:]), max_error=max_error, delta=delta)
    return np.inf if found is None else found.threshold


def sgr(confidence: np.ndarray, error: np.ndarray, max_error: float, delta: float) -> float:
    """Selection with guaranteed risk, all rows (Geifman & El-Yaniv, NeurIPS 2017, algorithm 2).

    A bisection over the rows with an exact binomial bound at each of its ⌈log₂ n⌉ steps. In the paper its
    last threshold is the answer; here, the loosest whose bound held.
    """
    n_rows = len(error)
    descending = np.sort(confidence)[::-1]
    n_errors = np.concatenate([[0], np.cumsum(error[np.argsort(-confidence, kind="stable")])])
    steps = int(np.ceil(np.log2(n_rows)))
    strict, loose, best = 0, n_rows - 1, np.inf
    for _ in range(steps):
        middle = (strict + loose + 1) // 2
        n = int(np.searchsorted(-descending, -descending[middle], side="right"))
        k = int(n_errors[n])
        if k < n and betaincinv(k + 1, n - k, 1 - delta / steps) <= max_error:
            best, strict = min(best, float(descending[middle])), middle
        else:
            loose = middle
    return best


def bonferroni(confidence: np.ndarray, error: np.ndarray, max_error: float, delta: float) -> float:
    """Learn then Test with Bonferroni's correction, all rows, forty thresholds at their quantiles."""
    thresholds = np.quantile(confidence, np.arange(40) / 40, method="higher")
    p = p_values(*Outcomes(confidence, error).errors_and_rows(thresholds), max_error)
    return float(thresholds[p <= delta / len(thresholds)].min(initial=np.inf))


def mapie(confidence: np.ndarray, error: np.ndarray, max_error: float, delta: float) -> float:
    """MAPIE's control of the precision, as it comes: all rows, a hundred even thresholds, Holm's correction.

    A row counts as positive if it is accepted, and its label says whether it is right.
    """
    controller = BinaryClassificationController(
        lambda X: np.column_stack([1 - X[:, 0], X[:, 0]]),
        risk="precision",
        target_level=1 - max_error,
        confidence_level=1 - delta,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing is proven
        controller.calibrate(confidence[:, None], (~error).astype(int))
    return float(np.min(controller.valid_predict_params, initial=np.inf))


PROCEDURES: Final[Mapping[str, Procedure]] = {
    "Tamiz": ours,
    "SGR": sgr,
    "Learn then Test, Bonferroni": bonferroni,
    "MAPIE": mapie,
}


@dataclass(frozen=True)
class Truth:
    """A finite population, for any threshold: what it accepts, and how much of that is wrong."""

    confidence: np.ndarray
    error: np.ndarray
    outcomes: Outcomes

    def sample(self, n: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        index = random.integers(0, len(self.error), n)
        return self.confidence[index], self.error[index]

    def errors_and_rows(self, threshold: float) -> tuple[int, int]:
        k, n = self.outcomes.errors_and_rows(np.array([threshold]))
        return int(k[0]), int(n[0])

    def is_broken(self, threshold: float, max_error: float) -> bool:
        k, n = self.errors_and_rows(threshold)
        return k > max_error * n

    def coverage(self, threshold: float) -> float:
        return self.errors_and_rows(threshold)[1] / len(self.error)

    def oracle(self, max_error: float) -> float:
        """The coverage of the loosest threshold that truly keeps the error."""
        k, n = self.outcomes.errors_and_rows(np.unique(self.confidence))
        return float(n[k <= max_error * n].max(initial=0)) / len(self.error)


@cache
def truth(table: str, model: str) -> Truth:
    """Return the population of a table and a model."""
    its = judged(table, model)
    return Truth(its.confidence, its.error, Outcomes(its.confidence, its.error))


@dataclass(frozen=True)
class Power:
    """What a procedure reached at one size.

    Attributes:
        share: the mean over the cases of coverage / the oracle's coverage.
        standard_error: of that mean, from the spread of the draws of each case.
        worst: the largest share of broken promises of any case.
    """

    share: float
    standard_error: float
    worst: float


def power(procedure: Procedure, n: int, draws: int, cases: Sequence[tuple[str, str, float]] = CASES) -> Power:
    """Draw so many times from each case, the same rows for every procedure."""
    shares, broken = np.zeros((len(cases), draws)), np.zeros((len(cases), draws))
    for row, (table, model, max_error) in enumerate(cases):
        population, random = truth(table, model), np.random.default_rng([SEED, n])
        oracle = population.oracle(max_error)
        for draw in range(draws):
            threshold = procedure(*population.sample(n, random), max_error, DELTA)
            shares[row, draw] = population.coverage(threshold) / oracle
            broken[row, draw] = population.is_broken(threshold, max_error)
    spread = float(np.sqrt((shares.var(axis=1, ddof=1) / draws).sum()) / len(cases))
    return Power(float(shares.mean()), spread, float(broken.mean(axis=1).max()))
