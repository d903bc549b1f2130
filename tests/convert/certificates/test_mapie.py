"""MAPIE's risk control as an oracle: the same question, the same p-values and the same thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from mapie.risk_control import BinaryClassificationController, BinaryRisk

from tamiz_convert.certificates.fixed_sequence import walk
from tamiz_convert.certificates.outcomes import Outcomes
from tamiz_convert.certificates.promises import certify_joint_error
from tamiz_convert.metrics.binomial import p_values

pytestmark = [
    pytest.mark.filterwarnings("ignore:Fixed sequence testing requires a monotonic risk"),
    pytest.mark.filterwarnings("ignore:No predict parameters were found"),
]

MAX_ERROR, DELTA = 0.05, 0.1


def sample(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.5, 1.0, n)
    return confidence, random.random(n) > confidence


def controlled(rows, thresholds, *, risk, target_level) -> BinaryClassificationController:
    """MAPIE's controller; "positive" stands for accepted, the label for right."""
    confidence, error = rows
    controller = BinaryClassificationController(
        lambda X: np.column_stack([1 - X[:, 0], X[:, 0]]),
        risk=risk,
        target_level=target_level,
        confidence_level=1 - DELTA,
        list_predict_params=thresholds,
        fwer_method="fixed_sequence",
        best_predict_param_choice="precision",
    )
    return controller.calibrate(confidence[:, None], (~error).astype(int))


def agree(theirs: np.ndarray, n_errors: np.ndarray, n_rows: np.ndarray) -> np.ndarray:
    """Return where the p-values are equal. MAPIE multiplies a rate by n and rounds up: k may become k + 1."""
    ours, one_more = p_values(n_errors, n_rows, MAX_ERROR), p_values(n_errors + 1, n_rows, MAX_ERROR)
    assert (theirs >= ours * (1 - 1e-9)).all()
    assert (theirs <= one_more * (1 + 1e-9)).all()
    equal = np.isclose(theirs, ours, rtol=1e-9)
    assert equal.mean() > 0.3
    return equal


@pytest.mark.parametrize("seed", range(5))
def test_the_error_among_accepted_rows_is_tested_as_mapie_tests_a_precision(seed):
    certification = sample(3_000, seed + 100)
    found = walk(Outcomes(*sample(3_000, seed)), Outcomes(*certification), MAX_ERROR, DELTA)
    theirs = controlled(certification, found.path, risk="precision", target_level=1 - MAX_ERROR)
    equal = agree(theirs.p_values.ravel(), found.n_errors, found.n_accepted)
    ours = found.path[: found.last_proven(DELTA) + 1]
    valid = np.ravel(theirs.valid_predict_params)
    np.testing.assert_array_equal(valid, ours[: len(valid)])
    # MAPIE stops early only where it counts one error too many.
    assert len(valid) == len(ours) or not equal[len(valid)]


@pytest.mark.parametrize("seed", range(5))
def test_the_joint_error_is_tested_as_mapie_tests_a_risk_over_all_rows(seed):
    rows = sample(1_000, seed)
    joint = BinaryRisk(
        risk_occurrence=lambda y_true, y_pred: (y_pred == 1) & (y_true == 0),
        risk_condition=lambda y_true, y_pred: np.ones(len(y_true), dtype=bool),
        higher_is_better=False,
    )
    certified = certify_joint_error(Outcomes(*rows), max_error=MAX_ERROR, confidence_level=1 - DELTA)
    values = np.unique(rows[0])
    grid = ((values[1:] + values[:-1]) / 2)[::-1]
    theirs = controlled(rows, grid, risk=joint, target_level=MAX_ERROR)
    n_errors = np.array([(rows[1] & (rows[0] >= each)).sum() for each in grid])
    agree(theirs.p_values.ravel(), n_errors, np.full(len(grid), len(rows[0])))
    loosest = np.min(theirs.valid_predict_params)
    # MAPIE may stop a few candidates earlier, by the one error too many.
    assert certified.threshold <= loosest
    assert (rows[1] & (rows[0] >= certified.threshold)).sum() - (rows[1] & (rows[0] >= loosest)).sum() <= 1
