"""The limits for the choice of a calibrator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tamiz_convert.calibrators import METHODS, unknown
from tamiz_convert.calibrators.calibrator import Candidacy
from tamiz_convert.errors import ExportError

_AT_LEAST: Final = {
    "rows_to_fit": 2,
    "rows_to_compare": 0,
    "rows_to_take_lowest": 0,
    "n_folds": 2,
    "n_resamples": 2,
}
_STANDARD_ERRORS: Final = ("standard_errors", "veto_standard_errors")


@dataclass(frozen=True)
class SelectionSettings:
    """Which calibrators are candidates, and how the winner is found.

    The defaults come from comparing the test log loss of calibrators on 17 models of real tables at 100 to
    2,000 calibration rows (`tests/statistics/test_regret.py`). On few rows, isotonic regression is worse
    than no calibration.

    Attributes:
        rows_to_fit: with fewer rows, only the reference is a candidate.
        rows_to_compare: with fewer rows, temperature is the only candidate besides none, and wins if it is
            not worse.
        rows_to_take_lowest: from this many rows on, the lowest log loss wins. With fewer rows, the simplest
            candidate near it wins.
        standard_errors: how near that is, in paired standard errors.
        veto_standard_errors: how many paired standard errors worse than the estimator a candidate may rank
            rows. Of candidates that rank rows as well, chance vetoes one in forty at two, one in six at one.
        candidacies: name → a calibrator's candidacy, instead of the one in its own file.
        n_folds: of the cross-validation; fewer if the rarest class has fewer rows.
        n_resamples: of the bootstrap behind the veto.
    """

    rows_to_fit: int = 100
    rows_to_compare: int = 100
    rows_to_take_lowest: int = 1000
    standard_errors: float = 0.5
    veto_standard_errors: float = 2.0
    candidacies: Mapping[str, Candidacy] = field(default_factory=dict)
    n_folds: int = 5
    n_resamples: int = 100

    def __post_init__(self) -> None:
        for name, least in _AT_LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ExportError(f"{name} is {value!r}; expected a whole number from {least} up")
        for name in _STANDARD_ERRORS:
            value = getattr(self, name)
            if not 0.0 <= value < float("inf"):
                raise ExportError(f"{name} is {value}; expected a number from 0 up")
        if not self.rows_to_fit <= self.rows_to_compare <= self.rows_to_take_lowest:
            raise ExportError(
                f"rows_to_fit, rows_to_compare and rows_to_take_lowest are {self.rows_to_fit},"
                f" {self.rows_to_compare} and {self.rows_to_take_lowest}; expected them to ascend"
            )
        for name in self.candidacies:
            if name not in METHODS:
                raise unknown(name)
