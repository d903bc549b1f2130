"""What each outcome of a request costs: a wrong answer, a right one, and none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz.v1.manifest_pb2 import Prices as PricesMessage
from tamiz_convert.errors import ExportError, did_you_mean

_ABSTENTION: Final = "abstention"
_ERROR: Final = "error"
_MATRIX: Final = "matrix"
_LARGEST: Final = 1e100
_EXPECTED: Final = (
    "expected the price of an error and of an abstention, such as {'error': 10, 'abstention': 1}; or a"
    " matrix of true class × answer instead of the error, such as {'matrix': {'no': {'yes': 5}, 'yes':"
    " {'no': 50}}, 'abstention': 1}"
)

Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]
Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prices:
    """What each outcome costs, in any unit.

    Attributes:
        abstention: of a request that is not answered.
        answers: (n_classes, n_classes), float64: of each answer (column) to a row of each true class (row).
    """

    abstention: float
    answers: Reals

    @classmethod
    def of(cls, cost: Mapping[str, Any], classes: Sequence[Any]) -> Prices:
        """Return the prices that a caller gave.

        Args:
            cost: see `checked`.
            classes: the labels, in the order of the model.

        Raises:
            ExportError: if a price is missing, is not a number, or leaves nothing to choose.
        """
        checked("cost", cost)
        n = len(classes)
        if _ERROR in cost:
            answers = float(cost[_ERROR]) * (1.0 - np.eye(n))
        else:
            answers = _matrix(cost[_MATRIX], list(classes))
        prices = cls(float(cost[_ABSTENTION]), answers)
        if (prices.answers >= prices.abstention).all():
            raise ExportError(
                f"cost: no answer is cheaper than an abstention ({prices.abstention:g}), so nothing would be"
                " answered; expected an answer that is cheaper, such as a right one for 0"
            )
        return prices

    @property
    def span(self) -> tuple[float, float]:
        """The lowest and the highest price."""
        every = np.append(self.answers, self.abstention)
        return float(every.min()), float(every.max())

    @property
    def message(self) -> PricesMessage:
        """The prices as a manifest has them."""
        error = float(self.answers[0, 1])
        as_error = error * (1.0 - np.eye(len(self.answers)))
        if min(error, self.abstention) > 0.0 and np.array_equal(self.answers, as_error):
            return PricesMessage(abstention=self.abstention, error=error)
        return PricesMessage(abstention=self.abstention, matrix=self.answers.ravel())

    def per_row(self, y: Integers, predicted: Integers, accepted: Booleans) -> Reals:
        """Return what each row costs.

        Args:
            y: (n_rows,), the index of each row's class.
            predicted: (n_rows,), the index of the predicted class; anything where the row is not accepted.
            accepted: (n_rows,), whether the row is answered.
        """
        costs = np.full(len(y), self.abstention)
        costs[accepted] = self.answers[y[accepted], predicted[accepted]]
        return costs


def checked(name: str, cost: Any) -> None:
    """Refuse what cannot be prices, whatever the classes are.

    Raises:
        ExportError: with what was wrong.
    """
    if not isinstance(cost, Mapping):
        raise ExportError(f"{name} is {cost!r}; {_EXPECTED}")
    known = [_ERROR, _ABSTENTION, _MATRIX]
    for key in cost:
        if key not in known:
            raise ExportError(f"{name}: unknown key {key!r}{did_you_mean(str(key), known)}; {_EXPECTED}")
    if _ABSTENTION not in cost or (_ERROR in cost) == (_MATRIX in cost):
        given = ", ".join(map(str, cost)) or "nothing"
        raise ExportError(f"{name} has {given}; {_EXPECTED}")
    abstention = _price(f"the price of an abstention in {name}", cost[_ABSTENTION])
    if _ERROR in cost:
        error = _price(f"the price of an error in {name}", cost[_ERROR])
        if error <= 0.0 or abstention <= 0.0:
            raise ExportError(
                f"{name}: an error costs {error:g} and an abstention {abstention:g}, but a right answer costs"
                " nothing; expected prices above 0"
            )


def _matrix(given: Any, classes: list[Any]) -> Reals:
    """Return the matrix of a mapping of mappings or a table, by name; or of an array, by position."""
    n = len(classes)
    if isinstance(given, pd.DataFrame):
        return _named([(truth, row.items()) for truth, row in given.iterrows()], classes)
    if isinstance(given, Mapping):
        for truth, row in given.items():
            if not isinstance(row, Mapping):
                raise ExportError(
                    f"cost: the prices for the true class {truth!r} are {row!r}; expected {{answer: price}}"
                )
        return _named([(truth, row.items()) for truth, row in given.items()], classes)
    try:
        rows = np.asarray(given, dtype=object)
    except ValueError:
        rows = np.empty(0)
    if rows.ndim != 2:  # noqa: PLR2004  a matrix
        raise ExportError(f"cost: the matrix is {given!r}; {_EXPECTED}")
    if rows.shape != (n, n):
        raise ExportError(
            f"cost: the matrix has shape {list(rows.shape)}; expected {[n, n]}: a row per true class and a"
            f" column per answer, in the order {', '.join(map(repr, classes))}"
        )
    return _named([(classes[i], zip(classes, row, strict=True)) for i, row in enumerate(rows)], classes)


def _named(given: Iterable[tuple[Any, Iterable[tuple[Any, Any]]]], classes: list[Any]) -> Reals:
    """Return the matrix of {true class: {answer: price}}; a right answer that is not named costs nothing."""
    matrix = np.full((len(classes), len(classes)), np.nan)
    for truth, row in given:
        i = _position(truth, classes)
        for answer, price in row:
            j = _position(answer, classes)
            if not np.isnan(matrix[i, j]):
                raise ExportError(
                    f"cost: the answer {classes[j]!r} to a row that is {classes[i]!r} has two prices;"
                    " expected one. A class may be named as itself or as text, but not both"
                )
            matrix[i, j] = _price(f"the price of {classes[j]!r} for the true class {classes[i]!r}", price)
    right = np.diagonal(matrix)
    np.fill_diagonal(matrix, np.where(np.isnan(right), 0.0, right))
    missing = np.argwhere(np.isnan(matrix))
    if len(missing):
        i, j = missing[0].tolist()
        raise ExportError(
            f"cost: the matrix has no price for the answer {classes[j]!r} to a row that is {classes[i]!r};"
            " expected one for every wrong answer"
        )
    return matrix


def _position(label: Any, classes: list[Any]) -> int:
    """Return where a class stands; a file may write the class 1 as text."""
    for each in (label, str(label)):
        for i, name in enumerate(classes):
            if name == each or str(name) == each:
                return i
    named = ", ".join(map(repr, classes[:20]))
    meant = did_you_mean(str(label), list(map(str, classes)))
    if isinstance(label, bool):
        meant = " (in YAML, yes, no, on and off are put in quotes)"
    raise ExportError(f"cost: there is no class {label!r}{meant}; the classes are {named}")


def _price(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ExportError(f"{what} is {value!r}; expected a number")
    try:
        price = float(value)
    except OverflowError:
        price = math.inf
    if not abs(price) <= _LARGEST:  # true for NaN; sums of prices stay finite
        raise ExportError(f"{what} is {price:g}; expected a number, at most {_LARGEST:g}")
    return price
