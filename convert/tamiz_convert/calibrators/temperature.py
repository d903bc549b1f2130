"""`temperature`: one parameter; it never changes the order of a row's classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import softmax

from tamiz_convert.calibrators.calibrator import Array, Calibrator, Candidacy, ClassIndices
from tamiz_convert.calibrators.score_nodes import append_guard, append_logits
from tamiz_convert.calibrators.scores import finite_rows, logits
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import SCORES, ScoresKind

_LOG_BETA_BOUNDS: Final = (-10.0, 10.0)
_USUAL: Final = (1 / 30, 30.0)
"""Temperatures of models whose scores are logits; those of neural networks lie between 0.3 and 10."""


@dataclass(frozen=True)
class Temperature(Calibrator):
    """`temperature`: softmax(beta z) with beta = 1 / T (Guo et al. 2017).

    z are the scores, or the logarithms of probabilities. A single score s gives z = (−s, s).

    Attributes:
        beta: the inverse temperature.
        kind: what the scores are.
        is_at_bound: whether beta would be beyond the bounds of the search, were it not for them.
    """

    beta: float
    kind: ScoresKind
    is_at_bound: bool = False
    method: ClassVar[str] = "temperature"
    needs_every_class: ClassVar[bool] = False
    candidacy: ClassVar[Candidacy] = Candidacy(on_few_rows=True, most_scores=None)
    is_formula: ClassVar[bool] = True

    @classmethod
    def fit(cls, scores: Array, y: ClassIndices, kind: ScoresKind, weights: Array) -> Temperature:
        """See `Calibrator.fit`."""
        beta, is_at_bound = inverse_temperature(logits(scores, kind), y, weights)
        return cls(beta, kind, is_at_bound)

    def remarks(self) -> tuple[str, ...]:
        """Return a remark if the temperature is far from 1."""
        temperature = 1.0 / self.beta
        if self.is_at_bound:
            remark = (
                f"the temperature reached a bound of its search, {temperature:.3g}: the labels of the"
                " calibration rows ask for scores without any influence, or with an unlimited one"
            )
            return (remark,)
        if _USUAL[0] <= temperature <= _USUAL[1]:
            return ()
        remark = (
            f"the temperature is {temperature:.3g}, far from 1: either the scores are in another unit than"
            " logits, or they contradict the labels of the calibration rows, as a class does that the model"
            " rules out where it is right"
        )
        return (remark,)

    def stated(self, scores: Array) -> Array:
        """See `Calibrator.stated`."""
        return np.asarray(softmax(self.beta * logits(finite_rows(scores), self.kind), axis=1))

    def append_stated(self, builder: GraphBuilder, n_scores: int) -> str:
        """Logits ─► Mul(beta) ─► Softmax. A single score: Mul([−beta, beta]) ─► Softmax."""
        # No guard is needed for a single score: both columns are NaN where it is not finite.
        if self.kind != "probabilities" and n_scores == 1:
            beta = builder.constant([-self.beta, self.beta])
            return builder.add("Softmax", builder.add("Mul", SCORES, beta), axis=1)
        scaled = builder.add("Mul", append_logits(builder, self.kind, n_scores), builder.constant(self.beta))
        return append_guard(builder, builder.add("Softmax", scaled, axis=1))


def inverse_temperature(z: Array, y: ClassIndices, weights: Array) -> tuple[float, bool]:
    """Return the beta with the least log loss, where the loss has no slope, and whether a bound stopped it.

    Beta lies within scikit-learn's bounds, or the same bounds in the unit of the scores.

    Args:
        z: (n_rows, n_classes), float64.
        y: (n_rows,), the index of each row's class.
        weights: (n_rows,), how often each row counts.
    """
    share = weights / weights.sum()
    below_top = z - z.max(axis=1, keepdims=True)
    of_truth = float(share @ (_targets(below_top, y, weights.sum()) * below_top).sum(axis=1))

    def slope(log_beta: float) -> float:
        odds = np.exp(np.exp(log_beta) * below_top)
        return float(share @ ((odds * below_top).sum(axis=1) / odds.sum(axis=1))) - of_truth

    low, high = _LOG_BETA_BOUNDS
    if slope(low) >= 0.0 or slope(high) <= 0.0:  # the scores may have another unit, such as whole numbers
        unit = np.log(-below_top.mean()) if below_top.any() else 0.0
        low, high = low - unit, high - unit
    if slope(low) >= 0.0:
        return float(np.exp(low)), True
    if slope(high) <= 0.0:
        return float(np.exp(high)), bool(below_top.any())
    return float(np.exp(brentq(slope, low, high))), False


def _targets(below_top: Array, y: ClassIndices, n_rows: float) -> Array:
    """Return the targets of the probabilities, (n_rows, n_classes): 1 for the right class.

    If no row is wrong, the likelihood grows with beta without limit, and every score would become a
    certainty. Then the targets are smoothed like Platt's: n right rows of n leave room for 1 error in n + 2.
    """
    n_classes = below_top.shape[1]
    targets = np.eye(n_classes)[y]
    if (below_top.argmax(axis=1) != y).any():
        return targets
    wrong = 1.0 / (n_rows + 2.0)
    return np.asarray(np.where(targets > 0.0, 1.0 - wrong, wrong / (n_classes - 1)))
