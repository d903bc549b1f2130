"""A scaler before a linear model is folded into it, unless digits would be lost."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from tamiz_convert.sources.linear import with_scaler_folded


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("options", [{}, {"with_mean": False}, {"with_std": False}])
def test_the_folded_model_gives_the_same_scores(n_classes, options):
    random = np.random.default_rng(0)
    X, y = random.normal(5, 3, (200, 4)), np.arange(200) % n_classes
    scaler = StandardScaler(**options).fit(X)
    model = LogisticRegression().fit(scaler.transform(X), y)
    steps, folded = with_scaler_folded([scaler], model)
    assert steps == []
    np.testing.assert_allclose(
        folded.decision_function(X), model.decision_function(scaler.transform(X)), atol=1e-12
    )
    assert folded is not model


def test_what_would_lose_digits_or_is_no_scaler_stays():
    X, y = np.random.default_rng(0).normal(1e9, 1e-1, (50, 2)), np.arange(50) % 2
    far = StandardScaler().fit(X)
    model = LogisticRegression().fit(far.transform(X), y)
    assert with_scaler_folded([far], model) == ([far], model)
    other = MinMaxScaler().fit(X)
    assert with_scaler_folded([other], model) == ([other], model)
