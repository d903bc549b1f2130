"""Folds of the calibration rows: a calibrator is fitted on one part and judged on the other."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from tamiz_convert.errors import RowsError
from tamiz_convert.metrics.top_label import Array, Classes

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Folds:
    """Disjoint parts that judge, each with the rows to fit on.

    Attributes:
        parts: (fitting, judging) positions of each fold.
        description: the folds in words, for people.
    """

    parts: tuple[tuple[Positions, Positions], ...]
    description: str

    @property
    def judging(self) -> Positions:
        """(n_judging,), the positions of the rows that judge, fold by fold; in time order, not the first."""
        return np.concatenate([judging for _, judging in self.parts])

    @property
    def numbers(self) -> Positions:
        """(n_judging,), the number of the fold that each row judges in."""
        return np.repeat(np.arange(len(self.parts)), [len(judging) for _, judging in self.parts])


def fold(
    scores: Array, y: Classes, groups: NDArray[Any] | None, splitter: Any, n_folds: int, seed: int
) -> Folds:
    """Fold rows with the splitter. Without one, folds are stratified by class, and groups stay whole.

    Args:
        scores: (n_rows, n_scores), float64.
        y: (n_rows,), int64.
        groups: (n_rows,) or None.
        splitter: a scikit-learn splitter or None.
        n_folds: how many, without a splitter.
        seed: of the shuffle, without a splitter.

    Raises:
        RowsError: if there are too few rows or groups, if a row judges twice, or if a row or group is on both
            sides of a fold.
    """
    if splitter is not None:
        used, description = splitter, repr(splitter)
    elif groups is None:
        used = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        description = f"{n_folds} stratified folds"
    else:
        _refuse_few_groups(groups, n_folds)
        used = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        description = f"{n_folds} stratified folds of whole groups"
    parts = _split(used, scores, y, groups)
    _refuse_no_folds(parts, used)
    _refuse_beyond(parts, len(y), used)
    _refuse_shared_rows(parts, used)
    if groups is not None:
        _refuse_shared_groups(parts, groups, used)
    return Folds(parts, description)


def _split(
    splitter: Any, scores: Array, y: Classes, groups: NDArray[Any] | None
) -> tuple[tuple[Positions, Positions], ...]:
    """Return the folds in which any row judges.

    scikit-learn's warnings (a splitter that ignores groups, a rare class) are ignored: the result is checked.
    """
    if isinstance(splitter, (str, type)) or not hasattr(splitter, "split"):
        raise RowsError(f"the splitter is {splitter!r}; expected one of scikit-learn's, such as KFold(5)")
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            found = [(np.asarray(one), np.asarray(other)) for one, other in splitter.split(scores, y, groups)]
    except ValueError as error:
        raise RowsError(f"{splitter!r} cannot fold {len(y)} calibration rows: {error}") from error
    return tuple((fitting, judging) for fitting, judging in found if len(judging))


def _refuse_few_groups(groups: NDArray[Any], n_folds: int) -> None:
    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        raise RowsError(
            f"there are {n_groups} groups of calibration rows and {n_folds} folds; bring rows of more"
            " groups, lower n_folds, or name a calibrator"
        )


def _refuse_no_folds(parts: Iterable[tuple[Positions, Positions]], splitter: Any) -> None:
    if not parts:
        raise RowsError(f"{splitter!r} gives no row to judge a calibrator by; use another splitter")


def _refuse_beyond(parts: Iterable[tuple[Positions, Positions]], n_rows: int, splitter: Any) -> None:
    last = max(int(side.max(initial=0)) for part in parts for side in part)
    if last >= n_rows:
        raise RowsError(
            f"{splitter!r} names row {last}, and the calibrator has {n_rows:,} rows: those that certify and"
            " those of weight 0 are not among them; use a splitter for any number of rows, such as KFold"
        )


def _refuse_shared_rows(parts: Iterable[tuple[Positions, Positions]], splitter: Any) -> None:
    seen: Positions = np.empty(0, dtype=np.int64)
    for number, (fitting, judging) in enumerate(parts, 1):
        if np.isin(judging, fitting).any():
            raise RowsError(f"{splitter!r} puts rows on both sides of fold {number}; use another splitter")
        if np.isin(judging, seen).any():
            raise RowsError(
                f"{splitter!r} lets rows judge more than once; use a splitter with disjoint parts, such as"
                " KFold, GroupKFold or TimeSeriesSplit"
            )
        seen = np.concatenate([seen, judging])


def _refuse_shared_groups(
    parts: Iterable[tuple[Positions, Positions]], groups: NDArray[Any], splitter: Any
) -> None:
    for number, (fitting, judging) in enumerate(parts, 1):
        shared = np.intersect1d(groups[fitting], groups[judging])
        if len(shared):
            raise RowsError(
                f"{splitter!r} puts the group {shared.tolist()[0]!r} on both sides of fold {number}; use a"
                " splitter that keeps groups together, such as GroupKFold"
            )
