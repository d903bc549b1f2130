"""What every calibrator can do: be fitted, predict, become nodes, be written down and rebuilt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import ScoresKind

Array = NDArray[np.float64]
ClassIndices = NDArray[np.int64]


class Calibrator(Protocol):
    """A fitted calibrator.

    Attributes:
        method: its name, as `fit` takes it.
        needs_probabilities: whether it has no answer to margins, which carry no probability of their own.
    """

    method: ClassVar[str]
    needs_probabilities: ClassVar[bool]

    @classmethod
    def fit(cls, scores: Array, y: ClassIndices, kind: ScoresKind) -> Self:
        """Fit to scores as `predict` takes them and the index of each row's class; both were checked."""

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Array], kind: ScoresKind) -> Self:
        """Return the calibrator that had these `parameters`, exactly.

        Raises:
            KeyError: if one is missing.
        """

    def parameters(self) -> list[tuple[str, list[float]]]:
        """Return the fitted parameters by name."""

    def predict(self, scores: Array) -> Array:
        """Return probabilities.

        Args:
            scores: (n_rows, 1) for two classes, else (n_rows, n_classes), float64.

        Returns:
            (n_rows, n_classes), float64, rows sum to 1.
        """

    def append(self, builder: GraphBuilder, n_scores: int) -> str:
        """Append nodes that do to `SCORES` what `predict` does; return the name of the probabilities.

        A row with a score that is NaN or infinite has to become NaN.

        Args:
            builder: a graph that holds `SCORES`, (n_rows, n_scores), float64.
            n_scores: 1 for two classes, else the number of classes.
        """
