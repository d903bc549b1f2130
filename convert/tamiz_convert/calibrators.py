"""Calibrators: from scores to probabilities, fitted on rows that the estimator never saw.

scikit-learn's semantics (1.9), with two differences: whether scores are probabilities is told, not guessed from the
data; and isotonic probabilities keep away from 0 and 1 (see `Isotonic`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax
from sklearn.isotonic import IsotonicRegression

from tamiz_convert.errors import EstimatorError, RowsError
from tamiz_convert.score_graph import ScoresKind

Array = NDArray[np.float64]

LOG_FLOOR: Final = 1e-12
"""What is added to a probability before its logarithm is taken, as in scikit-learn."""

SATURATED: Final = 500.0
"""Where the sigmoid's argument is cut, so that no probability becomes 0: one-vs-rest divides by their sum."""

_LOG_BETA_BOUNDS: Final = (-10.0, 10.0)
_NEWTON_STEPS: Final = 100
_NEWTON_TOLERANCE: Final = 1e-12


class Calibrator(Protocol):
    """A fitted calibrator."""

    @property
    def method(self) -> str:
        """Its name, as `fit` takes it."""

    def predict(self, scores: Array) -> Array:
        """Return probabilities.

        Args:
            scores: (n_rows, 1) for two classes, else (n_rows, n_classes), float64.

        Returns:
            (n_rows, n_classes), float64, rows sum to 1.
        """

    def parameters(self) -> list[tuple[str, list[float]]]:
        """Return the fitted parameters by name."""


@dataclass(frozen=True)
class Identity:
    """`none`: the estimator's own probabilities.

    Attributes:
        kind: what the scores are; logits or probabilities.
    """

    kind: ScoresKind
    method = "none"

    def predict(self, scores: Array) -> Array:
        """See `Calibrator.predict`."""
        if self.kind == "probabilities":
            clipped = np.clip(scores, 0.0, 1.0)
            return both(clipped) if scores.shape[1] == 1 else clipped
        return both(expit(scores)) if scores.shape[1] == 1 else softmax(scores, axis=1)

    def parameters(self) -> list[tuple[str, list[float]]]:
        """See `Calibrator.parameters`."""
        return []


@dataclass(frozen=True)
class Sigmoid:
    """`sigmoid`: p = 1 / (1 + exp(a s + b)) (Platt 1999, with his targets); several classes one-vs-rest, renormalized.

    Attributes:
        a, b: (n_scores,), float64.
    """

    a: Array
    b: Array
    method = "sigmoid"

    def predict(self, scores: Array) -> Array:
        """See `Calibrator.predict`."""
        linear = np.clip(-(scores * self.a + self.b), -SATURATED, SATURATED)
        return one_vs_rest(expit(linear))

    def parameters(self) -> list[tuple[str, list[float]]]:
        """See `Calibrator.parameters`."""
        return [("a", self.a.tolist()), ("b", self.b.tolist())]


@dataclass(frozen=True)
class Isotonic:
    """`isotonic`: piecewise linear through knots, constant beyond them; several classes one-vs-rest, renormalized.

    The values are kept within [1/(n+2), 1 − 1/(n+2)], n being the number of calibration rows: a bin without an error
    proves no certainty, and one wrong row at probability 0 would make the log loss infinite.

    Attributes:
        x, y: per score the knots, ascending, and the probabilities there.
    """

    x: tuple[Array, ...]
    y: tuple[Array, ...]
    method = "isotonic"

    def predict(self, scores: Array) -> Array:
        """See `Calibrator.predict`."""
        columns = [np.interp(scores[:, k], self.x[k], self.y[k]) for k in range(len(self.x))]
        return one_vs_rest(np.stack(columns, axis=1))

    def parameters(self) -> list[tuple[str, list[float]]]:
        """See `Calibrator.parameters`."""
        named = []
        for k, (x, y) in enumerate(zip(self.x, self.y, strict=True)):
            named += [(f"x_{k}", x.tolist()), (f"y_{k}", y.tolist())]
        return named


@dataclass(frozen=True)
class Temperature:
    """`temperature`: softmax(beta z) with beta = 1 / T (Guo et al. 2017).

    z are the scores; for two classes (−s, s); of probabilities the logarithms.

    Attributes:
        beta: the inverse temperature.
        kind: what the scores are.
    """

    beta: float
    kind: ScoresKind
    method = "temperature"

    def predict(self, scores: Array) -> Array:
        """See `Calibrator.predict`."""
        return np.asarray(softmax(self.beta * _logits(scores, self.kind), axis=1))

    def parameters(self) -> list[tuple[str, list[float]]]:
        """See `Calibrator.parameters`."""
        return [("beta", [self.beta])]


def fit(method: str, scores: Array, y: NDArray[np.int64], *, kind: ScoresKind, n_classes: int) -> Calibrator:
    """Fit a calibrator.

    Args:
        method: one of METHODS.
        scores: (n_rows, 1) for two classes, else (n_rows, n_classes), float64.
        y: (n_rows,), the index of each row's class.
        kind: what the scores are.
        n_classes: how many classes there are.

    Raises:
        EstimatorError: if the method is unknown, or is `none` and the scores carry no probability.
        RowsError: if scores are not finite, or a class is missing.
    """
    if method not in METHODS:
        raise EstimatorError(f"unknown calibrator {method!r}; there are: {', '.join(METHODS)}")
    if not np.isfinite(scores).all():
        rows = np.flatnonzero(~np.isfinite(scores).all(axis=1))
        raise RowsError(
            f"the estimator gives no finite score for {len(rows)} calibration row(s), the first of them row {rows[0]};"
            " remove or impute them"
        )
    if method != "none":
        absent = sorted(set(range(n_classes)) - set(np.unique(y).tolist()))
        if absent:
            raise RowsError(
                f"no calibration row of class number {', '.join(map(str, absent))} (in the order of classes_); add some"
            )
    return METHODS[method](scores, y, kind)


def both(positive: Array) -> Array:
    """Return the probabilities of both classes, given that of the second, (n_rows, 1)."""
    return np.concatenate([1.0 - positive, positive], axis=1)


def one_vs_rest(columns: Array) -> Array:
    """Return probabilities that sum to 1 from one per class; a row of zeros becomes uniform.

    Args:
        columns: (n_rows, n_scores), float64; one score means two classes.
    """
    if columns.shape[1] == 1:
        return both(columns)
    total = columns.sum(axis=1, keepdims=True)
    uniform = np.full_like(columns, 1.0 / columns.shape[1])
    np.divide(columns, total, out=uniform, where=total != 0)
    return uniform


def _logits(scores: Array, kind: ScoresKind) -> Array:
    if kind == "probabilities":
        clipped = np.clip(scores, 0.0, 1.0)
        return np.log((both(clipped) if scores.shape[1] == 1 else clipped) + LOG_FLOOR)
    return np.concatenate([-scores, scores], axis=1) if scores.shape[1] == 1 else scores


def _fit_identity(scores: Array, y: NDArray[np.int64], kind: ScoresKind) -> Identity:  # noqa: ARG001  nothing is fitted
    if kind == "margins":
        raise EstimatorError(
            "calibrator 'none' needs an estimator with probabilities of its own, and this one has only margins; choose"
            " sigmoid, isotonic or temperature"
        )
    return Identity(kind)


def _fit_sigmoid(scores: Array, y: NDArray[np.int64], kind: ScoresKind) -> Sigmoid:  # noqa: ARG001  any scores do
    fitted = [_platt(scores[:, k], target) for k, target in enumerate(_targets(scores, y))]
    return Sigmoid(np.array([a for a, _ in fitted]), np.array([b for _, b in fitted]))


def _fit_isotonic(scores: Array, y: NDArray[np.int64], kind: ScoresKind) -> Isotonic:  # noqa: ARG001  any scores do
    floor = 1.0 / (len(y) + 2.0)
    x, values = [], []
    for k, target in enumerate(_targets(scores, y)):
        fitted = IsotonicRegression(out_of_bounds="clip").fit(scores[:, k], target)
        x.append(np.asarray(fitted.X_thresholds_, dtype=np.float64))
        values.append(np.clip(np.asarray(fitted.y_thresholds_, dtype=np.float64), floor, 1.0 - floor))
    return Isotonic(tuple(x), tuple(values))


def _fit_temperature(scores: Array, y: NDArray[np.int64], kind: ScoresKind) -> Temperature:
    logits = _logits(scores, kind)
    targets = np.eye(logits.shape[1])[y]
    if (logits.argmax(axis=1) == y).all():
        # Without an error the likelihood grows with beta for ever, and any score would become a certainty. So the
        # targets are smoothed, as Platt's are: n right rows of n leave room for an error of 1 in n + 2.
        wrong = 1.0 / (len(y) + 2.0)
        targets = np.where(targets > 0, 1.0 - wrong, wrong / (logits.shape[1] - 1))

    def log_loss(log_beta: float) -> float:
        return float(-(targets * log_softmax(np.exp(log_beta) * logits, axis=1)).sum(axis=1).mean())

    tolerance = 64 * np.finfo(np.float64).eps
    found = minimize_scalar(log_loss, bounds=_LOG_BETA_BOUNDS, method="bounded", options={"xatol": tolerance})
    return Temperature(float(np.exp(found.x)), kind)


def _targets(scores: Array, y: NDArray[np.int64]) -> list[Array]:
    """Return one 0/1 target per score: for one score that of class 1."""
    positive = [1] if scores.shape[1] == 1 else range(scores.shape[1])
    return [(y == k).astype(np.float64) for k in positive]


def _platt(score: Array, target: Array) -> tuple[float, float]:
    """Return Platt's (a, b): Newton's method on a convex loss (Lin, Lin & Weng 2007), to the last digits."""
    n_positive, n_negative = target.sum(), len(target) - target.sum()
    smoothed = np.where(target > 0, (n_positive + 1.0) / (n_positive + 2.0), 1.0 / (n_negative + 2.0))
    scale = max(1.0, float(np.abs(score).max()))
    z = np.column_stack([score / scale, np.ones_like(score)])
    w = np.array([0.0, -np.log((n_negative + 1.0) / (n_positive + 1.0))])  # p = expit(z @ w)

    def loss(w: Array) -> float:
        linear = z @ w
        return float((np.logaddexp(0.0, linear) - smoothed * linear).sum())

    current = loss(w)
    for _ in range(_NEWTON_STEPS):
        p = expit(z @ w)
        gradient = z.T @ (p - smoothed)
        hessian = (z * (p * (1.0 - p))[:, None]).T @ z + _NEWTON_TOLERANCE * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        while loss(w - step) > current and np.abs(step).max() > _NEWTON_TOLERANCE:
            step = step / 2.0
        w = w - step
        current = loss(w)
        if np.abs(step).max() <= _NEWTON_TOLERANCE * (1.0 + np.abs(w).max()):
            break
    return float(-w[0] / scale), float(-w[1])


METHODS: Final[dict[str, Callable[[Array, NDArray[np.int64], ScoresKind], Calibrator]]] = {
    "none": _fit_identity,
    "sigmoid": _fit_sigmoid,
    "isotonic": _fit_isotonic,
    "temperature": _fit_temperature,
}
"""Name → fit. A new calibrator is a class, a fit, a recipe in graft.py, and a line here and there."""
