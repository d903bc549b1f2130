"""What an export found out about a bundle: all that the report shows, as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tamiz.gate import Decisions, decide
from tamiz.v1.manifest_pb2 import Manifest
from tamiz_convert.check_result import CheckResult
from tamiz_convert.metrics.prices import Prices

THIS_BUNDLE: Final = "this bundle"


@dataclass(frozen=True)
class ScoredRows:
    """Held-out rows and what the bundle's graph says of them.

    Attributes:
        y: (n_rows,), int64, the index of each row's class.
        probabilities: (n_rows, n_classes), float64, calibrated; NaN in rows that the gate answers at no
            threshold, because their inputs are invalid or because they are not probabilities.
        probabilities_before: the same without the calibrator; None where the scores carry no probability. Not
            NaN.
        thresholds: (n_rows,), float64, what each row's confidence has to reach.
        slices: column → (n_rows,) values as text, for every column that was asked to be looked at in slices.
        weights: (n_rows,), float64, above 0, how often each row counts in metrics of the probabilities; None
            for once. What the gate does is counted in rows.
    """

    y: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    probabilities_before: NDArray[np.float64] | None
    thresholds: NDArray[np.float64]
    slices: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    weights: NDArray[np.float64] | None = None

    @cached_property
    def _decided(self) -> Decisions:
        return decide(self.probabilities, self.thresholds)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(n_rows,), whether the row has a predicted class."""
        return self._decided.has_class

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """(n_rows,), float64, the probability of the predicted class; NaN where there is none."""
        return np.where(self.scored, self._decided.confidence, np.nan)

    @property
    def prediction(self) -> NDArray[np.int64]:
        """(n_rows,), int64, the index of the predicted class; `NO_CLASS` where there is none."""
        return self._decided.class_index

    @cached_property
    def wrong(self) -> NDArray[np.bool_]:
        """(n_rows,), whether the prediction is not the row's class; true where there is none."""
        return np.asarray(self.prediction != self.y)

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """(n_rows,), whether the gate answers the row."""
        return self._decided.accepted


@dataclass(frozen=True)
class AttainableError:
    """The smallest error that so many certification rows would prove, if they were like those at hand."""

    n_rows: int
    max_error: float
    coverage: float


@dataclass(frozen=True)
class Latency:
    """How long onnxruntime takes for one batch, with one thread; medians, in microseconds."""

    batch_size: int
    scores_us: float
    calibrated_us: float


@dataclass(frozen=True)
class Baseline:
    """What a simpler rule, or the bundle itself, achieves on the rows of the release checks.

    Attributes:
        name: of the rule; `THIS_BUNDLE` for the bundle.
        accuracy: the share of all rows that it predicts rightly.
        n_rows: how many rows there are.
        accuracy_accepted: the same among the rows that the bundle answers; None if it answers none.
        n_accepted: how many rows it answers.
    """

    name: str
    accuracy: float
    n_rows: int
    accuracy_accepted: float | None = None
    n_accepted: int = 0


@dataclass(frozen=True)
class ExpectedCost:
    """What a request costs on average, on the certification rows.

    Attributes:
        prices: of the outcomes.
        mean: with the exported threshold.
        interval: of it, at 95 %; valid for every number of rows.
        answering: the mean if every row that can be were answered.
    """

    prices: Prices
    mean: float
    interval: tuple[float, float]
    answering: float

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"a request costs {self.mean:.4g} on average (95% interval {low:.4g} to {high:.4g});"
            f" {self.answering:.4g} if all were answered, {self.prices.abstention:.4g} if none"
        )


@dataclass(frozen=True)
class Evidence:
    """All that an export found out.

    Attributes:
        manifest: the bundle's manifest as it was written, with its format version and digest.
        calibration: the rows that fitted the calibrator.
        certification: the rows that certified the threshold; all measurements in the report use these.
        attainable: ascending numbers of rows; the last one is the number at hand, or beyond.
        checks: the results of the release checks; empty if there were none.
        baselines: what simpler rules achieve, and at the end the bundle itself.
        latency: by batch size.
        notes: what the caller should know.
        version: of the bundle; 0 if it has none.
        cost: what a request costs, if prices chose the threshold.
    """

    manifest: Manifest
    calibration: ScoredRows
    certification: ScoredRows
    attainable: Sequence[AttainableError] = ()
    checks: Sequence[CheckResult] = ()
    baselines: Sequence[Baseline] = ()
    latency: Sequence[Latency] = ()
    notes: Sequence[str] = ()
    version: int = 0
    cost: ExpectedCost | None = None
