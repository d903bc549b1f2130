"""One threshold per subset of the rows, all certified together.

A certificate over all rows says nothing about a part of them: a pooled threshold may keep its promise while
the error in a hard slice is many times higher. Here each subset is certified on its own rows with a share of
delta, so that all certificates hold together with probability 1 − delta. If each subset keeps the promise,
all accepted rows together keep it too.

The shares are equal, with two savings. A subset whose rows could prove nothing, even if all of them were
right, gets none; this looks at no label. And a subset that proves its whole walk, down to accepting every
row, needs its share no longer: it is divided among the others. That is a graphical procedure, with one chain
of hypotheses for each subset and equal weights from the end of a chain to the starts of the others (Bretz,
Maurer, Brannath & Posch, Statistics in Medicine 28, 2009). It bounds the probability that any promise fails
by delta, whatever the dependence between the subsets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamiz.thresholds import ACCEPT_NONE
from tamiz_convert.certificates.attainable import errors_to_try, unattainable
from tamiz_convert.certificates.certify import Certified, loosest_proven
from tamiz_convert.certificates.fixed_sequence import FEWEST_TO_PLACE, Walk, walk
from tamiz_convert.certificates.outcomes import Confidences, Errors, Groups, Outcomes
from tamiz_convert.errors import UnattainableError
from tamiz_convert.evidence import AttainableError
from tamiz_convert.metrics.binomial import fewest_rows, p_values, upper_bound

_SHOWN: Final = 3

_Part = tuple[Outcomes, Outcomes]
"""The calibration rows and the certification rows of a subset."""


class SubsetRows(NamedTuple):
    """Held-out rows with the subset of each.

    Attributes:
        confidence: (n,), float64; NaN is never accepted.
        error: (n,), bool, whether the prediction is wrong.
        subset: (n,), int64, the subset of each row, from 0; a row with any other number is in no subset.
        group: (n,), int64, which rows belong together; None if all are independent.
    """

    confidence: Confidences
    error: Errors
    subset: NDArray[np.int64]
    group: Groups | None = None

    @property
    def outcomes(self) -> Outcomes:
        """All rows."""
        return Outcomes(self.confidence, self.error, self.group)

    def of(self, index: int) -> Outcomes:
        """Return the rows of one subset."""
        return self.where(self.subset == index).outcomes

    def where(self, mask: NDArray[np.bool_]) -> SubsetRows:
        """Return some of the rows."""
        group = None if self.group is None else self.group[mask]
        return SubsetRows(self.confidence[mask], self.error[mask], self.subset[mask], group)

    def joined(self, other: SubsetRows) -> SubsetRows:
        """Return these rows, then others; both come in groups, or none does."""
        return SubsetRows(
            np.concatenate([self.confidence, other.confidence]),
            np.concatenate([self.error, other.error]),
            np.concatenate([self.subset, other.subset]),
            None if self.group is None or other.group is None else np.concatenate([self.group, other.group]),
        )


@dataclass(frozen=True)
class SubsetCertified:
    """The result for one subset.

    Attributes:
        name: the class or the slice, as text.
        certified: its threshold; None if nothing could be proven.
        confidence_level: of its own certificate: one less its share of delta. All of delta if it took what
            others had left.
        reason: why nothing could be proven; else empty.
    """

    name: str
    certified: Certified | None
    confidence_level: float
    reason: str = ""

    @property
    def threshold(self) -> float:
        """Accept where the confidence is at least this; an uncertified subset accepts nothing."""
        return ACCEPT_NONE if self.certified is None else self.certified.threshold


@dataclass(frozen=True)
class SubsetsCertified:
    """The result for all subsets.

    Attributes:
        subsets: one entry per name.
        overall: over the rows of all subsets together. Its threshold is the strictest one; its p-value and
            bound come from the pooled counts.
    """

    subsets: tuple[SubsetCertified, ...]
    overall: Certified


class Found(NamedTuple):
    """What the rows of one subset prove.

    Attributes:
        certified: the threshold; None if nothing is proven.
        delta: the probability that this one proof may fail with: its share; all of delta if it took what
            others had left.
    """

    certified: Certified | None
    delta: float


def certify_subsets(
    calibration: SubsetRows,
    certification: SubsetRows,
    names: Sequence[str],
    *,
    max_error: float,
    confidence_level: float,
) -> SubsetsCertified:
    """Find, for each subset, the loosest threshold that its certification rows prove.

    Args:
        calibration: the rows that place the candidates.
        certification: the rows that prove.
        names: the names of the subsets, in the order of their indices. Their choice may depend on the rows,
            but not on confidences or labels.
        max_error: the wanted bound on the error among the accepted rows of each subset, between 0 and 1.
        confidence_level: the wanted probability that all bounds hold, between 0 and 1.

    Raises:
        UnattainableError: if no subset can be certified. If some can, the others accept nothing.
    """
    delta = 1.0 - confidence_level
    parts = _parts(calibration, certification, len(names))
    found = _find(parts, max_error, delta)
    advised = _smallest_errors(parts, max_error, delta, [not each.certified for each in found])
    subsets = tuple(
        SubsetCertified(
            name,
            each.certified,
            1.0 - each.delta,
            "" if each.certified else str(unattainable(*part, max_error, each.delta, attainable)),
        )
        for name, each, part, attainable in zip(names, found, parts, advised, strict=True)
    )
    if not any(each.certified for each in found):
        raise _none_attainable(subsets, max_error, confidence_level)
    overall = _overall(found, certification, max_error, delta)
    return SubsetsCertified(subsets, overall)


def find_in_subsets(
    calibration: SubsetRows, certification: SubsetRows, n_subsets: int, *, max_error: float, delta: float
) -> list[Certified | None]:
    """Return what the rows of each subset prove, all together but for `delta`; None if they prove nothing."""
    parts = _parts(calibration, certification, n_subsets)
    return [each.certified for each in _find(parts, max_error, delta)]


def _parts(calibration: SubsetRows, certification: SubsetRows, n_subsets: int) -> list[_Part]:
    return [(calibration.of(index), certification.of(index)) for index in range(n_subsets)]


def _find(parts: Sequence[_Part], max_error: float, delta: float) -> list[Found]:
    able = _able(parts, max_error, delta)
    share, none = delta / max(len(able), 1), delta / (len(able) + 1)
    walks = {index: walk(*parts[index], max_error, share) for index in able}
    deltas = _passed_on({index: each for index, each in walks.items() if each is not None}, share)
    found = []
    for index, (_, certification) in enumerate(parts):
        steps = walks.get(index)
        if steps is None:
            found.append(Found(None, share if index in able else none))
            continue
        certified = loosest_proven(steps, certification, deltas[index])
        is_own = len(steps.proven(share)) == len(steps.proven(deltas[index]))  # the stricter ones too
        found.append(Found(certified, share if certified is None or is_own else delta))
    return found


def _able(parts: Sequence[_Part], max_error: float, delta: float) -> set[int]:
    """Return the subsets that share delta: as many as have the rows to prove something with such a share."""
    n_rows = [
        0 if placing.n_finite < FEWEST_TO_PLACE else certifying.n_finite for placing, certifying in parts
    ]
    largest_first = sorted(range(len(parts)), key=lambda index: -n_rows[index])
    able = {n: n_rows[index] >= fewest_rows(max_error, delta / n) for n, index in enumerate(largest_first, 1)}
    return set(largest_first[: sum(able.values())])  # it takes more rows to be one of more


def _passed_on(walks: Mapping[int, Walk], share: float) -> dict[int, float]:
    """Return what each walk is tested with in the end: its share, and what walks proven whole passed on."""
    deltas = dict.fromkeys(walks, share)
    waiting = set(walks)
    while waiting:
        done = {each for each in waiting if walks[each].is_proven_whole(deltas[each])}
        waiting -= done
        if not done or not waiting:
            break
        freed = sum(deltas[each] for each in sorted(done))
        for index in waiting:
            deltas[index] += freed / len(waiting)
    return deltas


def _smallest_errors(
    parts: Sequence[_Part], max_error: float, delta: float, is_wanted: Sequence[bool]
) -> list[AttainableError | None]:
    """Return, for each wanted subset, the smallest larger error that is proven if it is asked for."""
    smallest: list[AttainableError | None] = [None] * len(parts)
    wanted = {index for index, each in enumerate(is_wanted) if each and parts[index][1].n_rows}
    if not wanted:
        return smallest
    for error in errors_to_try(max(parts[index][1].n_rows for index in wanted), delta, above=max_error):
        found = _find(parts, error, delta)
        for index in sorted(wanted):
            proven = found[index].certified
            if proven is not None:
                share = proven.n_accepted / proven.n_rows
                smallest[index] = AttainableError(proven.n_rows, error, share)
                wanted.remove(index)
        if not wanted:
            break
    return smallest


def _overall(found: Sequence[Found], certification: SubsetRows, max_error: float, delta: float) -> Certified:
    """Return what holds for the accepted rows of all subsets together."""
    proven = [each.certified for each in found if each.certified is not None]
    k, n = sum(each.n_errors for each in proven), sum(each.n_accepted for each in proven)
    n_groups = certification.outcomes.n_groups
    # The pooled counts of groups are not those of independent rows: what holds in each subset holds for all.
    p_value = min(1.0, len(found) * max(each.p_value for each in proven))
    bound = max(each.error_upper_bound or 1.0 for each in proven)
    if n_groups is None:
        p_value, bound = float(p_values(k, n, max_error)), upper_bound(k, n, delta)
    strictest = max(ACCEPT_NONE if each.certified is None else each.certified.threshold for each in found)
    return Certified(strictest, len(certification.confidence), n, k, p_value, bound, n_groups)


def _none_attainable(
    subsets: Sequence[SubsetCertified], max_error: float, confidence_level: float
) -> UnattainableError:
    shown = "; ".join(f"{subset.name!r}: {subset.reason}" for subset in subsets[:_SHOWN])
    more = f"; and {len(subsets) - _SHOWN} more" if len(subsets) > _SHOWN else ""
    return UnattainableError(
        f"none of the {len(subsets)} subsets can be certified for an error of at most {max_error:g}, all"
        f" together with confidence {confidence_level:g}. {shown}{more}",
        threshold=None,
    )
