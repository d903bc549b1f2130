"""The sections of a specification; their fields are its keys."""

from __future__ import annotations

from argparse import ArgumentTypeError
from dataclasses import dataclass
from typing import Any, Final, Literal

from tamiz.tables.options import Reading, encoding_of, separator_of
from tamiz_convert.check_result import Severity
from tamiz_convert.checks.finding import Heading
from tamiz_convert.checks.transforms import Transform
from tamiz_convert.errors import SpecificationError

ColumnName = str | int
ClassName = str | int
Columns = tuple[str | int, ...]

_MIN_N: Final = 30
_PERCENT: Final = 100.0


def _rate(name: str, value: float | None, *, upper: bool) -> None:
    """Refuse a limit that no number of rows could prove."""
    if value is None or 0.0 < value < 1.0:
        return
    reason = "no number of rows proves a rate of exactly 0 or 1" if value in (0.0, 1.0) else "a rate"
    if 1.0 < value < _PERCENT:
        raise SpecificationError(
            f"{name} is {value:g}; expected a number above 0 and below 1,"
            f" such as {value / _PERCENT:g} for {value:g}%"
        )
    raise SpecificationError(
        f"{name} is {value:g}; expected a number above 0 and below 1 ({reason}), such as"
        f" {0.01 if upper else 0.99}"
    )


def _exactly_one(**values: Any) -> None:
    given = [name for name, value in values.items() if value is not None]
    if len(given) != 1:
        raise SpecificationError(
            f"expected exactly one of {', '.join(values)}, got {' and '.join(given) or 'none'}"
        )


@dataclass(frozen=True, kw_only=True)
class Files:
    """How the files of rows that a specification names are read; the keys are what the flags of commands are.

    Attributes:
        separator, encoding: of text files; by default they are found.
        missing_values: the words that mean a missing value.
    """

    separator: str | None = None
    encoding: str | None = None
    missing_values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            if self.separator is not None:
                separator_of(self.separator)
            if self.encoding is not None:
                encoding_of(self.encoding)
        except ArgumentTypeError as error:
            raise SpecificationError(str(error)) from None

    @property
    def reading(self) -> Reading:
        """The same for the reader of files."""
        separator = None if self.separator is None else separator_of(self.separator)
        return Reading(separator, self.encoding, frozenset(self.missing_values))


@dataclass(frozen=True, kw_only=True)
class Check:
    """The fields of all checks.

    Attributes:
        name: for people; by default it says what the check does.
        severity: whether a failure stops the export.
        on_inconclusive: whether too few rows to tell stop the export; by default as at the top of the
            specification.
    """

    name: str | None = None
    severity: Severity = "block"
    on_inconclusive: Severity | None = None

    def heading(self, kind: str, default: str, on_inconclusive: Severity) -> Heading:
        """Return the heading of the check's findings."""
        return Heading(self.name or default, kind, self.severity, self.on_inconclusive or on_inconclusive)


@dataclass(frozen=True, kw_only=True)
class ParityCheck(Check):
    """How far the graph may be from the estimator, in the comparison that every export makes.

    Attributes:
        max_abs_prob: the largest difference of a probability.
        label_flips: how many labels may differ.
    """

    max_abs_prob: float = 1e-4
    label_flips: int = 0


@dataclass(frozen=True, kw_only=True)
class LatencyCheck(Check):
    """How long onnxruntime may take for a batch, with one thread: the median, in microseconds."""

    max_us_1_row: float | None = None
    max_us_64_rows: float | None = None

    def __post_init__(self) -> None:
        if self.max_us_1_row is None and self.max_us_64_rows is None:
            raise SpecificationError("expected max_us_1_row, max_us_64_rows or both")


@dataclass(frozen=True, kw_only=True)
class EceLimit:
    """How far the calibration error may be above what a perfectly calibrated model shows on as many rows.

    Attributes:
        bins: how many.
        strategy: bins of equal width, or of equally many rows.
        max_excess_over_null_q95: how far above the 95 % quantile of that model's error.
    """

    bins: int = 15
    strategy: Literal["equal_width", "equal_mass"] = "equal_mass"
    max_excess_over_null_q95: float = 0.01

    def __post_init__(self) -> None:
        if self.bins < 1:
            raise SpecificationError(f"bins is {self.bins}; expected at least 1")


@dataclass(frozen=True, kw_only=True)
class CalibrationCheck(Check):
    """Whether the probabilities are calibrated. That can be refuted, but never proven.

    Attributes:
        test: which test; Spiegelhalter's needs no bins.
        min_p: a smaller p-value is a failure, of this test and of the log loss. Calibrators are fitted on
            samples themselves, so more than this share of sound ones fails.
        ece: the limit of the calibration error.
        log_loss_not_worse_than: "identity": the probabilities without the calibrator.
    """

    test: Literal["spiegelhalter"] = "spiegelhalter"
    min_p: float = 0.001  # at 0.01, 8 to 10 % of sound temperature fits are refuted, at 0.001 2 to 3 %
    ece: EceLimit | None = None
    log_loss_not_worse_than: Literal["identity"] | None = None

    def __post_init__(self) -> None:
        _rate("min_p", self.min_p, upper=True)


@dataclass(frozen=True, kw_only=True)
class SelectiveCheck(Check):
    """What the gate must do over all rows.

    Attributes:
        min_coverage: the smallest share of answered rows.
        max_selective_risk: the largest share of errors among them.
    """

    min_coverage: float | None = None
    max_selective_risk: float | None = None

    def __post_init__(self) -> None:
        _rate("min_coverage", self.min_coverage, upper=False)
        _rate("max_selective_risk", self.max_selective_risk, upper=True)
        if self.min_coverage is None and self.max_selective_risk is None:
            raise SpecificationError("expected min_coverage, max_selective_risk or both")


@dataclass(frozen=True, kw_only=True)
class RateCheck(Check):
    """A limit of a rate in each of some groups of rows.

    Attributes:
        metric: accuracy of all rows, error among accepted rows, or share of accepted rows.
        min_lower_bound: the limit of accuracy and coverage.
        max_upper_bound: the limit of the selective risk.
        min_n: groups with fewer rows (for the selective risk: accepted ones) are inconclusive.
    """

    metric: Literal["accuracy", "selective_risk", "coverage"]
    min_lower_bound: float | None = None
    max_upper_bound: float | None = None
    min_n: int = _MIN_N

    def __post_init__(self) -> None:
        wanted, other = "min_lower_bound", "max_upper_bound"
        if self.metric == "selective_risk":
            wanted, other = other, wanted
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise SpecificationError(f"the metric {self.metric} needs {wanted}, and only that")
        _rate(wanted, getattr(self, wanted), upper=wanted == "max_upper_bound")


@dataclass(frozen=True, kw_only=True)
class SliceCheck(RateCheck):
    """A limit of a rate in every slice: each combination of values of some columns.

    Attributes:
        by: the columns; none for all rows.
    """

    by: Columns


@dataclass(frozen=True, kw_only=True)
class TrueClassCheck(RateCheck):
    """A limit of a rate among the rows that truly belong to a class, for each class.

    Attributes:
        classes: which; by default every class.
    """

    classes: tuple[str | int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NamedRule:
    """A simpler rule, which `baseline` compares with by its name.

    Attributes:
        column: of the rows, with the rule's answers; or
        file: a table of decisions, relative to the specification: with the columns
        by: which the rows have too, and the column
        answer: with what is answered to rows with these values.
    """

    column: ColumnName | None = None
    file: str | None = None
    by: Columns = ()
    answer: str | None = None

    def __post_init__(self) -> None:
        _exactly_one(column=self.column, file=self.file)
        if self.file is not None and not (self.by and self.answer):
            raise SpecificationError(
                "a file needs by, the columns that it decides by, and answer, its column with the answers"
            )
        if self.column is not None and (self.by or self.answer):
            raise SpecificationError("by and answer belong to a file; a column holds the answers itself")


@dataclass(frozen=True, kw_only=True)
class FunctionalityCheck(Check):
    """Cases that the model must get right: all rows of a file. They are the whole list, not a sample.

    Attributes:
        data: the file, relative to the specification.
        target: its column with the expected labels.
        max_failure_rate: the largest share of wrong ones.
        accepted_only: whether only answered rows can be failures.
    """

    name: str
    data: str
    target: str
    max_failure_rate: float = 0.0
    accepted_only: bool = False


@dataclass(frozen=True, kw_only=True)
class ChangeCheck(Check):
    """The fields of all checks that change rows.

    Attributes:
        columns: the columns that are changed.
        transform: how they are changed.
    """

    columns: Columns
    transform: Transform

    def __post_init__(self) -> None:
        if not self.columns:
            raise SpecificationError("columns is empty; expected at least one")

    @property
    def described(self) -> str:
        """What is changed, and how."""
        return f"{self.transform.name} {', '.join(map(str, self.columns))}"


@dataclass(frozen=True, kw_only=True)
class InvarianceCheck(ChangeCheck):
    """A change of the rows that must not change the answer.

    Attributes:
        max_label_flip_rate_ub: the largest share of rows whose label changes.
        max_mean_abs_dp: the largest mean change of the probability of the class that was predicted before.
    """

    max_label_flip_rate_ub: float
    max_mean_abs_dp: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _rate("max_label_flip_rate_ub", self.max_label_flip_rate_ub, upper=True)
        _rate("max_mean_abs_dp", self.max_mean_abs_dp, upper=True)


@dataclass(frozen=True, kw_only=True)
class PerturbationCheck(ChangeCheck):
    """A change of the rows that may change the answer a little.

    Attributes:
        repeats: how often, each time with new noise; a row counts as changed if any repeat changes its label.
        max_label_flip_rate_ub: the largest share of changed rows.
        must_not_raise_confidence: whether the mean confidence must not rise, as noise tells the model
            nothing.
    """

    repeats: int = 1
    max_label_flip_rate_ub: float
    must_not_raise_confidence: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _rate("max_label_flip_rate_ub", self.max_label_flip_rate_ub, upper=True)
        if self.repeats < 1:
            raise SpecificationError(f"repeats is {self.repeats}; expected at least 1")


@dataclass(frozen=True, kw_only=True)
class DirectionalCheck(ChangeCheck):
    """A change of the rows that must move the probability of a class in one direction.

    Attributes:
        target: the class.
        direction: where its probability must go, or stay.
        tolerance: how far it may go the other way.
        max_violation_rate_ub: the largest share of rows that go further.
    """

    target: ClassName
    direction: Literal["increase", "decrease"]
    tolerance: float = 1e-6
    max_violation_rate_ub: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _rate("max_violation_rate_ub", self.max_violation_rate_ub, upper=True)


@dataclass(frozen=True, kw_only=True)
class AbstentionCheck(Check):
    """Rows that must not be answered.

    Attributes:
        data: a file with the rows, relative to the specification; or
        generate: how rows are made from the rows at hand: all values missing, far out of range, or columns
            exchanged.
        n_rows: how many rows are made.
        min_abstain_rate_lb: the smallest share that must abstain; or
        expect: "all_abstain": every one of these rows must abstain.
    """

    data: str | None = None
    generate: Literal["nan", "out_of_range", "shuffled_columns"] | None = None
    n_rows: int = 500
    min_abstain_rate_lb: float | None = None
    expect: Literal["all_abstain"] | None = None

    def __post_init__(self) -> None:
        _exactly_one(data=self.data, generate=self.generate)
        _exactly_one(min_abstain_rate_lb=self.min_abstain_rate_lb, expect=self.expect)
        _rate("min_abstain_rate_lb", self.min_abstain_rate_lb, upper=False)
        if self.n_rows < 1:
            raise SpecificationError(f"n_rows is {self.n_rows}; expected at least 1")


@dataclass(frozen=True, kw_only=True)
class ComparisonCheck(Check):
    """How much worse than the bundle in production the model may be, over all rows and in every slice.

    Attributes:
        compare_to: the bundle, relative to the specification: its version's folder, or the file in it.
        by: columns whose values make the slices.
        every_slice: whether the limit holds for slices too: a gain in a large slice hides a loss in a small
            one.
        metric: accuracy, or the error among accepted rows.
        max_regression: the largest loss of accuracy, or rise of the error.
        min_n: slices with fewer rows are inconclusive, unless they prove the loss.
    """

    compare_to: str
    by: Columns = ()
    every_slice: bool = True
    metric: Literal["accuracy", "selective_risk"] = "accuracy"
    max_regression: float
    min_n: int = _MIN_N

    def __post_init__(self) -> None:
        _rate("max_regression", self.max_regression, upper=True)


@dataclass(frozen=True, kw_only=True)
class BaselineCheck(Check):
    """A simpler rule that the model must beat, on the same rows.

    Attributes:
        against: "majority", the most frequent class of the calibration rows, or the name of a rule: of the
            section `rules`, or of the caller; or
        column: a column with the rule's labels.
        min_gain: by how much the accuracy must be higher.
    """

    against: str | None = None
    column: ColumnName | None = None
    min_gain: float = 0.0

    def __post_init__(self) -> None:
        _exactly_one(against=self.against, column=self.column)
        if not 0.0 <= self.min_gain < 1.0:
            raise SpecificationError(f"min_gain is {self.min_gain:g}; expected a share from 0 to below 1")
