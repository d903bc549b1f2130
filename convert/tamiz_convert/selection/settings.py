"""Every cut-off of the choice."""

from __future__ import annotations

from dataclasses import dataclass, fields

from tamiz_convert.errors import ExportError

_AT_LEAST = {"rows_to_fit": 2, "n_folds": 2, "n_resamples": 2, "rows_per_squared_class_dirichlet": 1}
_STANDARD_ERRORS = ("standard_errors", "veto_standard_errors")


@dataclass(frozen=True)
class SelectionSettings:
    """Who is a candidate, and how the winner is found.

    The defaults come from comparing the test log loss of calibrators on four models at 60 to 10,000 calibration rows:
    isotonic regression is worse than nothing on few rows, and below some 300 rows picking costs more than it gains.

    Attributes:
        rows_to_fit: below, no calibrator is fitted that can be avoided.
        rows_to_compare: below, temperature is the only candidate beside none, and wins if it is not worse.
        rows_to_take_lowest: from here on, the lowest log loss wins; below, the simplest candidate near it does.
        standard_errors: how near that is, in paired standard errors.
        veto_standard_errors: by how many paired standard errors a candidate may rank rows worse than the estimator.
        minor_rows_sigmoid: how many rows of the rarest class sigmoid and sigmoid-logit need.
        minor_rows_beta: likewise beta and venn-abers.
        minor_rows_isotonic: likewise isotonic.
        most_rows_venn_abers: beyond, venn-abers is no candidate: its table grows with the rows.
        rows_per_squared_class_dirichlet: how many rows dirichlet needs for each of its n_classes² parameters.
        n_folds: of the cross-validation; fewer where the rarest class has fewer rows.
        n_resamples: of the bootstrap behind the veto.
    """

    rows_to_fit: int = 100
    rows_to_compare: int = 300
    rows_to_take_lowest: int = 1000
    standard_errors: float = 0.5
    veto_standard_errors: float = 1.0
    minor_rows_sigmoid: int = 15
    minor_rows_beta: int = 50
    minor_rows_isotonic: int = 300
    most_rows_venn_abers: int = 20_000
    rows_per_squared_class_dirichlet: int = 20
    n_folds: int = 5
    n_resamples: int = 100

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _STANDARD_ERRORS:
                if not 0.0 <= value < float("inf"):
                    raise ExportError(f"{field.name} is {value}; expected a number from 0 up")
            elif not isinstance(value, int) or value < _AT_LEAST.get(field.name, 0):
                least = _AT_LEAST.get(field.name, 0)
                raise ExportError(f"{field.name} is {value!r}; expected a whole number from {least} up")
        if not self.rows_to_fit <= self.rows_to_compare <= self.rows_to_take_lowest:
            raise ExportError(
                f"rows_to_fit, rows_to_compare and rows_to_take_lowest are {self.rows_to_fit}, {self.rows_to_compare} and"
                f" {self.rows_to_take_lowest}; expected them to ascend"
            )
