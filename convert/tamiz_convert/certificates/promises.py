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
from scipy.stats import binom

from tamiz_convert.certificates.certify import Certified
from tamiz_convert.certificates.fixed_sequence import Outcomes, midway_below
from tamiz_convert.errors import UnattainableError
from tamiz_convert.metrics.binomial import fewest_rows, p_values, upper_bound

JOINT_ERROR_METHOD: Final = "clopper-pearson-monotone-scan"
COVERAGE_METHOD: Final = "binomial-order-statistic"


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
    values = np.unique(rows.confidence)[::-1]
    thresholds = midway_below(rows.confidence[::-1], values)
    n_errors, n_accepted = rows.errors_and_rows(thresholds)
    p = p_values(n_errors, np.full(len(thresholds), rows.n_rows), max_error)
    # p rises with the errors, and the errors rise with every looser threshold.
    last = int(np.count_nonzero(p <= delta)) - 1
    if last < 0:
        raise _joint_error_unattainable(rows, int(n_errors[0]) if len(n_errors) else 0, max_error, delta)
    k, n = int(n_errors[last]), int(n_accepted[last])
    return Certified(
        float(thresholds[last]), rows.n_rows, n, k, float(p[last]), upper_bound(k, rows.n_rows, delta)
    )


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
    proven = binom.sf(np.arange(rows.n_rows + 1) - 1, rows.n_rows, min_coverage) <= delta
    needed = int(np.argmax(proven)) if proven.any() else rows.n_rows + 1
    if needed > len(rows.confidence):
        raise _coverage_unattainable(rows, min_coverage, delta)
    threshold = midway_below(rows.confidence[::-1], rows.confidence[needed - 1 : needed])
    n_errors, n_accepted = (int(counts[0]) for counts in rows.errors_and_rows(threshold))
    p_value = float(binom.sf(n_accepted - 1, rows.n_rows, min_coverage))
    return Certified(float(threshold[0]), rows.n_rows, n_accepted, n_errors, p_value, None)


def _joint_error_unattainable(
    rows: Outcomes, n_errors: int, max_error: float, delta: float
) -> UnattainableError:
    fewest = fewest_rows(max_error, delta)
    if rows.n_rows < fewest:
        attainable = 1.0 - delta ** (1.0 / rows.n_rows)
        problem = f"it takes at least {fewest}. Bring more rows, or ask for {attainable:.2g}"
    elif len(rows.confidence) == 0:
        problem = "none of them has a confidence. Look for invalid inputs or outputs in them"
    else:
        proven = upper_bound(n_errors, rows.n_rows, delta)
        problem = (
            f"{n_errors} rows are wrong at the highest confidence alone, which proves {proven:.2g}. Ask for"
            " that, or improve the model"
        )
    return UnattainableError(
        f"{rows.n_rows} certification rows cannot prove that at most {max_error:g} of all rows are accepted"
        f" and wrong, with confidence {1.0 - delta:g}: {problem}",
        threshold=None,
    )


def _coverage_unattainable(rows: Outcomes, min_coverage: float, delta: float) -> UnattainableError:
    n_rows, n_finite = rows.n_rows, len(rows.confidence)
    without = f" ({n_rows - n_finite} of them have no confidence)" if n_finite < n_rows else ""
    fewest = math.ceil(math.log(delta) / math.log(min_coverage))
    return UnattainableError(
        f"{n_rows} certification rows{without} cannot prove that at least {min_coverage:g} of the rows are"
        f" accepted, with confidence {1.0 - delta:g}: it takes at least {fewest} rows, all of them with a"
        " confidence. Bring more rows, or ask for less",
        threshold=None,
    )
