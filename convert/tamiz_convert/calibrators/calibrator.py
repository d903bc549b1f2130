"""What every calibrator can do: fit, predict, append its nodes to a graph, give its parameters."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.errors import ExportError
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import ScoresKind

Array = NDArray[np.float64]
ClassIndices = NDArray[np.int64]


@dataclass(frozen=True)
class Candidacy:
    """What the calibration rows must be like before `auto` considers a calibrator.

    Attributes:
        minor_rows: the fewest rows of the rarest class. Two are always needed, one on each side of a fold.
        rows_per_squared_class: the fewest rows per parameter, for a calibrator with n_classes² parameters.
        most_rows: the most rows; None for any number.
        most_scores: the most rows times scores per row. With more, the folds of a comparison would take
            minutes. None for any number.
        on_few_rows: whether `SelectionSettings.rows_to_fit` rows are enough; otherwise it takes
            `rows_to_compare` rows.
        for_more_classes: whether it is only for more than two classes.
        repeats: another calibrator that does the same unless the scores are probabilities. Then `auto`
            considers only the other one.
    """

    minor_rows: int = 0
    rows_per_squared_class: int = 0
    most_rows: int | None = None
    most_scores: int | None = 2_000_000
    on_few_rows: bool = False
    for_more_classes: bool = False
    repeats: str = ""

    def __post_init__(self) -> None:
        for name in ("minor_rows", "rows_per_squared_class", "most_rows", "most_scores"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 0):
                raise ExportError(f"{name} is {value!r}; expected a whole number from 0 up")


@dataclass(frozen=True)
class Calibrator(ABC):
    """A fitted calibrator. Its fields are the fitted parameters, and `kind` if it needs that.

    A formula that was fitted to n rows can be asked about scores far beyond them, and would answer 1 − 1e-30.
    So the probabilities p of a formula become (1 − f) p + f / n_classes, such that none is above
    1 − 1 / (n + 2). That is Laplace's rule of succession: after n rows without an error, the next one is
    wrong with this probability. The order of rows and the labels stay. `none` states what the estimator
    does, and the tables of isotonic and venn-abers keep such a bound by themselves.

    Attributes:
        method: its name in `calibrators.METHODS`, in settings and in the manifest.
        needs_probabilities: whether it refuses margins, because they do not give probabilities.
        needs_every_class: whether it learns each class from rows of that class.
        candidacy: when `auto` considers it.
        is_formula: whether it can state more than its rows support, unless it is kept from it.
        support: how many rows it was fitted to, or the sum of their weights.
        tolerance: how far the graph's probabilities may be from `predict` on the estimator's scores.
    """

    method: ClassVar[str]
    needs_probabilities: ClassVar[bool] = False
    needs_every_class: ClassVar[bool] = True
    candidacy: ClassVar[Candidacy]
    is_formula: ClassVar[bool] = False
    tolerance: ClassVar[float] = 1e-5
    support: float = field(default=math.inf, kw_only=True)

    @classmethod
    @abstractmethod
    def fit(cls, scores: Array, y: ClassIndices, kind: ScoresKind, weights: Array) -> Self:
        """Fit to rows that the caller has checked.

        Args:
            scores: in the shape that `predict` takes.
            y: (n_rows,), the index of each row's class.
            kind: what the scores are.
            weights: (n_rows,), float64, above 0: a row of weight 2 counts as two rows.
        """

    def parameters(self) -> list[tuple[str, list[float]]]:
        """Return the fitted parameters by name; a matrix row by row."""
        return [(name, np.ravel(getattr(self, name)).tolist()) for name in self._names()]

    def remarks(self) -> tuple[str, ...]:
        """Return what is out of the ordinary about the parameters, for people; often nothing."""
        return ()

    def predict(self, scores: Array) -> Array:
        """Return probabilities.

        Args:
            scores: (n_rows, 1) for two classes, else (n_rows, n_classes), float64.

        Returns:
            (n_rows, n_classes), float64, rows sum to 1.
        """
        p = self.stated(scores)
        floor = self._floor(p.shape[1])
        return (1.0 - floor * p.shape[1]) * p + floor if floor else p

    def append(self, builder: GraphBuilder, n_scores: int) -> str:
        """Append nodes that do to `SCORES` what `predict` does; return the name of the probabilities.

        A row with a NaN or infinite score must become NaN.

        Args:
            builder: a graph that holds `SCORES`, (n_rows, n_scores), float64.
            n_scores: 1 for two classes, else the number of classes.
        """
        p = self.append_stated(builder, n_scores)
        n_classes = max(2, n_scores)
        floor = self._floor(n_classes)
        if not floor:
            return p
        scaled = builder.add("Mul", p, builder.constant(1.0 - floor * n_classes))
        return builder.add("Add", scaled, builder.constant(floor))

    @abstractmethod
    def stated(self, scores: Array) -> Array:
        """Return what `predict` does, before it is kept from saying more than the rows support."""

    @abstractmethod
    def append_stated(self, builder: GraphBuilder, n_scores: int) -> str:
        """Append nodes that do what `stated` does; see `append`."""

    def _names(self) -> list[str]:
        """Return the names of the fitted parameters, those of the formula first."""
        own = [each.name for each in fields(self) if each.name not in {"kind", "is_at_bound", "support"}]
        return [*own, "support"] if self.is_formula else own

    def _floor(self, n_classes: int) -> float:
        """Return the least probability of a class: then none is above 1 − 1 / (support + 2)."""
        return 1.0 / (self.support + 2.0) / (n_classes - 1.0) if self.is_formula else 0.0
