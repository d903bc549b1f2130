"""Thresholds that promise the joint error or the coverage, not the error among accepted rows.

Both quantities are monotone in the threshold. So one can scan from the safe end and stop at the first
failure, without a correction for the number of thresholds, even if the thresholds are the certification rows'
own confidences. A broken promise implies that one single test, at the boundary, went wrong (Bates,
Angelopoulos, Lei, Malik & Jordan, arXiv 2101.02703, theorem 1). No calibration rows are needed.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from tamiz_convert.certificates.attainable import rounded_up
from tamiz_convert.certificates.certify import Certified
from tamiz_convert.certificates.outcomes import Confidences, Evidence, Outcomes, midway_below
from tamiz_convert.errors import UnattainableError
from tamiz_convert.metrics.binomial import fewest_rows, p_values, upper_bound

JOINT_ERROR_METHOD: Final = "clopper-pearson-monotone-scan"
COVERAGE_METHOD: Final = "binomial-order-statistic"

_MOST_OF_GROUPS: Final = 500


def certify_joint_error(rows: Outcomes, *, max_error: float, confidence_level: float) -> Certified:
    """Find the loosest threshold at which at most `max_error` of *all* rows are accepted and wrong.

    This does not bound the share of errors among accepted rows: if few rows are accepted, all of them may be
    wrong.

    Args:
        rows: the certification rows.
        max_error: the wanted bound on P(accepted and wrong), between 0 and 1.
        confidence_level: the wanted probability that it holds, between 0 and 1.

    Raises:
        UnattainableError: if no threshold that accepts any row can be proven.
    """
    delta = 1.0 - confidence_level
    thresholds = _scanned(rows)
    n_errors, n_accepted = rows.errors_and_rows(thresholds)
    evidence = rows.errors_among_all(thresholds, delta)
    p = p_values(*evidence, max_error)
    failed = np.flatnonzero(p > delta)
    last = (int(failed[0]) if len(failed) else len(p)) - 1
    if last < 0:
        first = int(n_errors[0]) if len(n_errors) else 0
        raise _joint_error_unattainable(rows, first, evidence, max_error, delta)
    bound = upper_bound(*evidence.at(last), delta)
    k, n = int(n_errors[last]), int(n_accepted[last])
    return Certified(float(thresholds[last]), rows.n_rows, n, k, float(p[last]), bound, rows.n_groups)


def certify_coverage(rows: Outcomes, *, min_coverage: float, confidence_level: float) -> Certified:
    """Find the strictest threshold at which at least `min_coverage` of the rows are accepted.

    It accepts the n most confident rows, with the smallest n for which P(Binomial(m, min_coverage) >= n) <=
    1 − confidence_level. This is Wilks' one-sided tolerance limit (Ann. Math. Statist. 12, 1941). It promises
    nothing about errors.

    Args:
        rows: the certification rows; their errors are only counted.
        min_coverage: the wanted share of accepted rows, between 0 and 1.
        confidence_level: the wanted probability that it is reached, between 0 and 1.

    Raises:
        UnattainableError: if accepting every row that has a confidence still does not prove it.
    """
    delta = 1.0 - confidence_level
    thresholds = _scanned(rows)[::-1]  # accepting every row is the safe end
    evidence = rows.refused_among_all(thresholds, delta)
    p = p_values(*evidence, 1.0 - min_coverage)
    failed = np.flatnonzero(p > delta)
    last = (int(failed[0]) if len(failed) else len(p)) - 1
    if last < 0:
        raise _coverage_unattainable(rows, evidence, min_coverage, delta)
    k, n = (int(counts[last]) for counts in rows.errors_and_rows(thresholds))
    return Certified(float(thresholds[last]), rows.n_rows, n, k, float(p[last]), None, rows.n_groups)


def _scanned(rows: Outcomes) -> Confidences:
    """Return the thresholds that are scanned, strict to loose: one for each confidence.

    Rows in groups get quantiles instead, because each threshold takes a count of each group.
    """
    values = np.unique(rows.confidence)[::-1]
    if rows.n_groups is not None and len(values) > _MOST_OF_GROUPS:
        values = values[np.linspace(0, len(values) - 1, _MOST_OF_GROUPS).astype(int)]
    return midway_below(rows.confidence[::-1], values)


def _joint_error_unattainable(
    rows: Outcomes, n_errors: int, evidence: Evidence, max_error: float, delta: float
) -> UnattainableError:
    fewest = fewest_rows(max_error, delta)
    attainable = rounded_up(upper_bound(*evidence.at(0), delta)) if len(evidence.hits) else 1.0
    advice = f", or ask for {attainable:g}, which these rows prove" if attainable < 1.0 else ""
    if rows.n_rows < fewest:
        problem = f"it takes at least {fewest}. Bring more rows{advice}"
    elif len(rows.confidence) == 0:
        problem = "none of them has a confidence. Look for invalid inputs or outputs in them"
    else:
        problem = f"{n_errors} rows are wrong at the highest confidence alone. Improve the model{advice}"
    return UnattainableError(
        f"{rows.n_rows} certification rows cannot prove that at most {max_error:g} of all rows are accepted"
        f" and wrong, with confidence {1.0 - delta:g}: {problem}",
        threshold=None,
    )


def _coverage_unattainable(
    rows: Outcomes, evidence: Evidence, min_coverage: float, delta: float
) -> UnattainableError:
    n_rows, n_finite = rows.n_rows, len(rows.confidence)
    without = f" ({n_rows - n_finite} of them have no confidence)" if n_finite < n_rows else ""
    fewest = math.ceil(math.log(delta) / math.log(min_coverage))
    refused = rounded_up(upper_bound(*evidence.at(0), delta)) if len(evidence.hits) else 1.0
    advice = f", or ask for {1.0 - refused:.6g}, which these rows prove" if refused < 1.0 else ""
    return UnattainableError(
        f"{n_rows} certification rows{without} cannot prove that at least {min_coverage:g} of the rows are"
        f" accepted, with confidence {1.0 - delta:g}: it takes at least {fewest} rows, all of them with a"
        f" confidence. Bring more rows{advice}",
        threshold=None,
    )
