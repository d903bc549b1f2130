"""Which held-out rows fit the calibrator, and which certify. Training rows are used for neither.

Rows that belong together (the same customer, the same day) must not be on both sides. Otherwise the
calibrator would have seen the rows that test the certificate. Equal rows are divided like all others: if one
that is frequent in traffic went to one side whole, the certificate would often not see it at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit, TimeSeriesSplit

from tamiz_convert.errors import RowsError
from tamiz_convert.graphs.score_graph import Labels
from tamiz_convert.rows.labeled import LabeledRows, labeled, refuse_overlap, row_keys
from tamiz_convert.rows.per_row import as_codes, one_per_row, refuse_other_order
from tamiz_convert.rows.weights import sample_weights, worth_of

MAX_DUPLICATES: Final = 0.05
"""The largest share of rows that may repeat others. A larger one looks like a mistake, such as rows drawn
with replacement."""

_CERTIFYING: Final = 0.7
_PLACING: Final = 0.2
_MOST_PLACING: Final = 500
"""Without a calibrator to fit, a fifth of the rows, at most 500, says where the walk begins."""


@dataclass(frozen=True)
class HeldOut:
    """Held-out rows, by their use.

    Attributes:
        fitting: the rows that fit the calibrator.
        certifying: the rows that certify the threshold and measure everything.
        groups: (n_fitting,), which of the fitting rows belong together; None if none do.
        certifying_groups: (n_certifying,), the same of the certifying rows.
        notes: what the caller should know about the rows.
    """

    fitting: LabeledRows
    certifying: LabeledRows
    groups: NDArray[Any] | None
    certifying_groups: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SplitPlan:
    """How held-out rows are divided.

    Attributes:
        fraction: the share of rows that certify, between 0 and 1; None for the usual one.
        groups: (n_rows,), one value per calibration row; rows with the same value stay on one side.
        splitter: folds the rows to choose a calibrator. With a TimeSeriesSplit the rows are in order of time,
            and the last ones certify.
        allow_duplicates: whether equal rows are other observations with the same values; then there may be
            many, also between the sets.
        seed: the seed of the shuffle.
        certification_groups: (n_rows,), the same as `groups` for separate certification rows.
        weights: (n_rows,), how often each calibration row counts.
        only_places: whether nothing is fitted to the rows that do not certify: they only say where to begin.
            Then fewer will do.
    """

    fraction: float | None = None
    groups: Any = None
    splitter: Any = None
    allow_duplicates: bool = False
    seed: int = 0
    certification_groups: Any = None
    weights: Any = None
    only_places: bool = False

    def n_certifying(self, n_rows: int) -> int:
        """Return how many of so many rows certify, if none belong together."""
        if self.fraction is not None:
            return round(n_rows * self.fraction)
        if self.only_places:
            return n_rows - min(round(n_rows * _PLACING), _MOST_PLACING)
        return round(n_rows * _CERTIFYING)

    def __post_init__(self) -> None:
        if self.fraction is not None and not 0.0 < self.fraction < 1.0:
            raise RowsError(f"certification_fraction is {self.fraction}; expected a share between 0 and 1")


def held_out(
    calibration: tuple[Any, Any],
    certification: tuple[Any, Any] | None,
    train: Any,
    classes: Labels,
    plan: SplitPlan,
    slices: tuple[NDArray[Any] | None, NDArray[Any] | None] = (None, None),
) -> HeldOut:
    """Check held-out rows and divide them.

    Args:
        calibration: (X, y), rows that the estimator was not trained on.
        certification: (X, y) that certify; None divides the calibration rows.
        train: the training rows, X or (X, y), to refuse held-out rows that are among them; or None.
        classes: the estimator's classes.
        plan: how to divide.
        slices: the slice value of each row, for the calibration and for the certification rows.

    Raises:
        RowsError: if rows or labels cannot be used, rows are on two sides, or too many rows repeat others.
    """
    given = labeled(*calibration, classes, "calibration", slices[0])
    refuse_other_order(calibration[0], plan.groups, "groups")
    groups = _groups(plan.groups, len(given))
    given, groups, left_out = _weighted(given, groups, calibration[0], plan.weights)
    notes = left_out + _duplicates(given, "calibration", allowed=plan.allow_duplicates)
    if certification is None:
        fitting, certifying = divide(given, replace(plan, groups=groups))
        if plan.certification_groups is not None:
            raise RowsError("certification_groups needs certification: separate rows that certify")
        parts = HeldOut(
            given.take(fitting),
            given.take(certifying),
            _taken(groups, fitting),
            _taken(groups, certifying),
            notes,
        )
    else:
        others = labeled(*certification, classes, "certification", slices[1])
        notes += refuse_overlap(
            others.rows, given.rows, "certification", "calibration", allowed=plan.allow_duplicates
        )
        notes += _duplicates(others, "certification", allowed=plan.allow_duplicates)
        refuse_other_order(certification[0], plan.certification_groups, "certification_groups")
        others_groups = _groups(plan.certification_groups, len(others), "certification")
        _refuse_shared(plan)
        parts = HeldOut(given, others, groups, others_groups, notes)
    if train is not None:
        seen = train[0] if isinstance(train, tuple) else train
        checked = {"calibration": given.rows}
        if certification is not None:
            checked["certification"] = parts.certifying.rows
        for what, rows in checked.items():
            notes += refuse_overlap(rows, seen, what, "training", allowed=plan.allow_duplicates)
    fits, certifies = (
        replace(part, weights=worth_of(part.weights)) for part in (parts.fitting, parts.certifying)
    )
    notes += (
        *_worth(fits, "fit the calibrator"),
        *_worth(certifies, "measure it"),
        *_absent(certifies, classes),
    )
    return replace(parts, fitting=fits, certifying=certifies, notes=notes)


def _weighted(
    rows: LabeledRows, groups: NDArray[Any] | None, given: Any, weights: Any
) -> tuple[LabeledRows, NDArray[Any] | None, tuple[str, ...]]:
    """Return rows with their weights, and their groups, without those of weight 0; and a note about these."""
    if weights is None:
        return rows, groups, ()
    refuse_other_order(given, weights, "sample weights")
    read = sample_weights(weights, len(rows))
    counted = np.flatnonzero(read)
    kept = replace(rows, weights=read).take(counted)
    n_left = len(rows) - len(kept)
    note = f"{n_left:,} of {len(rows):,} calibration rows have the sample weight 0 and are left out"
    return kept, _taken(groups, counted), (note,) if n_left else ()


def _worth(rows: LabeledRows, use: str) -> tuple[str, ...]:
    """Return a note about rows that have weights."""
    if rows.weights is None:
        return ()
    note = (
        f"the {len(rows):,} rows that {use} count by their sample weights, and are worth"
        f" {rows.weights.sum():,.0f} rows of equal weight"
    )
    return (note,)


def divide(rows: LabeledRows, plan: SplitPlan) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of the rows that fit and of the rows that certify, both ascending.

    Independent rows are drawn at random. Groups stay whole. Rows in order of time are cut at one time.

    Raises:
        RowsError: if either part would be empty, or the cut in time goes through a group.
    """
    n_certifying = plan.n_certifying(len(rows))
    if not 0 < n_certifying < len(rows):
        raise RowsError(
            f"{len(rows):,} held-out rows cannot be split into calibration and certification rows; bring more"
        )
    groups = _groups(plan.groups, len(rows))
    if isinstance(plan.splitter, TimeSeriesSplit):
        positions = np.arange(len(rows))
        before, after = positions[:-n_certifying], positions[-n_certifying:]
        if groups is not None:
            _refuse_cut_groups(groups[before], groups[after])
        return before, after
    if groups is not None:
        return _whole_groups(groups, plan)
    return _drawn(len(rows), n_certifying, plan.seed)


def _refuse_cut_groups(before: NDArray[Any], after: NDArray[Any]) -> None:
    cut = np.intersect1d(before, after)
    if len(cut):
        raise RowsError(
            f"{len(cut):,} groups have rows before and after the cut in time, such as {cut.tolist()[0]!r}:"
            " rows that belong together must be on one side. Choose certification_fraction so that the cut"
            " falls between groups; or give certification rows, in other groups, yourself"
        )


def _whole_groups(groups: NDArray[Any], plan: SplitPlan) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    n_groups = len(np.unique(groups))
    if n_groups < 2:  # noqa: PLR2004  one for each side
        raise RowsError(
            f"all rows belong to the group {groups.tolist()[0]!r}, so they cannot be divided: bring rows of"
            " more groups"
        )
    n_certifying = max(1, min(n_groups - 1, math.ceil(n_groups * (plan.fraction or _CERTIFYING))))
    shuffle = GroupShuffleSplit(1, test_size=n_certifying, random_state=plan.seed)
    fitting, certifying = next(shuffle.split(groups, groups=groups))
    return np.sort(fitting), np.sort(certifying)


def _drawn(n_rows: int, n_certifying: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide independent rows by a plain draw, row by row.

    The draw is not stratified by class. Then both sides would have the same share of each class, and luck of
    the calibration rows, which choose where the walk begins, would be luck of the certification rows.

    Equal rows are not kept together. One that is frequent in the traffic would be on the calibration side
    whole in three of ten draws, and the certificate would be about traffic without it.
    """
    drawn = np.random.default_rng(seed).permutation(n_rows)
    return np.sort(drawn[n_certifying:]), np.sort(drawn[:n_certifying])


def _refuse_shared(plan: SplitPlan) -> None:
    """Refuse groups on one side only, and groups on both sides."""
    sides = plan.groups, plan.certification_groups
    if all(each is None for each in sides):
        return
    if any(each is None for each in sides):
        raise RowsError(
            "groups and certification_groups go together: each calibration row and each certification row has"
            " its group, or none has one"
        )
    one, other = (set(one_per_row(each, "groups").values.tolist()) for each in sides)
    if one & other:
        raise RowsError(
            f"{len(one & other):,} groups have calibration rows and certification rows, such as"
            f" {min(one & other, key=repr)!r}: rows that belong together must be on one side. Give all rows"
            " as calibration, and they are split by groups"
        )


def _groups(groups: Any, n_rows: int, what: str = "calibration") -> NDArray[Any] | None:
    if groups is None:
        return None
    read = one_per_row([groups] if isinstance(groups, str) else groups, "groups")
    if len(read.values) != n_rows:
        raise RowsError(
            f"there are {n_rows:,} {what} rows and {len(read.values):,} groups; expected one group per"
            " row: groups=X['customer'], not the column's name"
        )
    if read.missing.any():
        raise RowsError(
            f"{np.count_nonzero(read.missing):,} of {n_rows:,} groups are missing, the first in row"
            f" {np.argmax(read.missing)}: rows without a group may belong together; give each its group, or a"
            " group of its own"
        )
    return as_codes(read)


def _taken(groups: NDArray[Any] | None, positions: NDArray[np.int64]) -> NDArray[Any] | None:
    return None if groups is None else groups[positions]


def _absent(rows: LabeledRows, classes: Labels) -> tuple[str, ...]:
    """Return a note about classes without certification rows."""
    absent = np.setdiff1d(np.arange(len(classes)), rows.y)
    if len(absent) == 0:
        return ()
    named = ", ".join(repr(classes[index].item()) for index in absent)
    return (f"there is no certification row of class {named}: the certificate says nothing about such rows",)


def _duplicates(rows: LabeledRows, what: str, *, allowed: bool) -> tuple[str, ...]:
    """Return a note about rows that repeat others, label included; refuse many of them."""
    keys = np.column_stack([row_keys(rows.rows), rows.y.astype(np.uint64)])
    _, first = np.unique(keys, axis=0, return_index=True)
    n_repeated = len(rows) - len(first)
    if n_repeated == 0:
        return ()
    example = int(np.setdiff1d(np.arange(len(rows)), first)[0])
    message = (
        f"{n_repeated:,} of {len(rows):,} {what} rows repeat another row and its label (the first is row"
        f" {example})"
    )
    if n_repeated > MAX_DUPLICATES * len(rows) and not allowed:
        raise RowsError(
            f"{message}. A certificate needs independent rows, and copies of an observation are not"
            " independent. If these are copies, as of a join or of rows drawn with replacement, keep one of"
            " each: each then counts once. If they are other observations with the same values, as with few"
            " categories, pass allow_duplicates=True (--allow-duplicates): each row then counts as an"
            " observation, and the certificate is wrong if they are copies after all"
        )
    if allowed:
        return (f"{message}; allow_duplicates says that these are other observations with the same values",)
    return (f"{message}; each counts as an observation: remove them if they are copies",)
