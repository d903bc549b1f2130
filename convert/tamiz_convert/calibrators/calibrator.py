"""What every calibrator can do: fit, predict, append its nodes to a graph, give its parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
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
        on_few_rows: whether `SelectionSettings.rows_to_fit` rows are enough; otherwise it takes
            `rows_to_compare` rows.
        for_more_classes: whether it is only for more than two classes.
        repeats: another calibrator that does the same unless the scores are probabilities. Then `auto`
            considers only the other one.
    """

    minor_rows: int = 0
    rows_per_squared_class: int = 0
    most_rows: int | None = None
    on_few_rows: bool = False
    for_more_classes: bool = False
    repeats: str = ""

    def __post_init__(self) -> None:
        for name in ("minor_rows", "rows_per_squared_class", "most_rows"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 0):
                raise ExportError(f"{name} is {value!r}; expected a whole number from 0 up")


@dataclass(frozen=True)
class Calibrator(ABC):
    """A fitted calibrator. Its fields are the fitted parameters, and `kind` if it needs that.

    Attributes:
        method: its name in `calibrators.METHODS`, in settings and in the manifest.
        needs_probabilities: whether it refuses margins, because they do not give probabilities.
        candidacy: when `auto` considers it.
        tolerance: how far the graph's probabilities may be from `predict` on the estimator's scores.
    """

    method: ClassVar[str]
    needs_probabilities: ClassVar[bool] = False
    candidacy: ClassVar[Candidacy]
    tolerance: ClassVar[float] = 1e-5

    @classmethod
    @abstractmethod
    def fit(cls, scores: Array, y: ClassIndices, kind: ScoresKind) -> Self:
        """Fit to scores, in the shape that `predict` takes, and class indices; the caller checked both."""

    def parameters(self) -> list[tuple[str, list[float]]]:
        """Return the fitted parameters by name; a matrix row by row."""
        names = [field.name for field in fields(self) if field.name != "kind"]
        return [(name, np.ravel(getattr(self, name)).tolist()) for name in names]

    def remarks(self) -> tuple[str, ...]:
        """Return what is out of the ordinary about the parameters, for people; often nothing."""
        return ()

    @abstractmethod
    def predict(self, scores: Array) -> Array:
        """Return probabilities.

        Args:
            scores: (n_rows, 1) for two classes, else (n_rows, n_classes), float64.

        Returns:
            (n_rows, n_classes), float64, rows sum to 1.
        """

    @abstractmethod
    def append(self, builder: GraphBuilder, n_scores: int) -> str:
        """Append nodes that do to `SCORES` what `predict` does; return the name of the probabilities.

        A row with a NaN or infinite score must become NaN.

        Args:
            builder: a graph that holds `SCORES`, (n_rows, n_scores), float64.
            n_scores: 1 for two classes, else the number of classes.
        """
