"""What a request costs at each threshold, if prices chose it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tamiz_convert.evidence import ExpectedCost, ScoredRows

_POINTS: Final = 300


def cost_data(rows: ScoredRows, cost: ExpectedCost | None) -> dict[str, Any] | None:
    """Return the prices, the expected cost and its curve; None without prices.

    Returns:
        `abstention` and `answers` (row: true class, column: answer): the prices; `mean` and `interval`: what
        a request costs on average at the exported threshold; `if_all_answered`; and `curve`: `coverage` and
        `cost` of at most 300 thresholds, strict to loose.
    """
    if cost is None:
        return None
    return {
        "abstention": cost.prices.abstention,
        "answers": cost.prices.answers.tolist(),
        "mean": cost.mean,
        "interval": list(cost.interval),
        "if_all_answered": cost.answering,
        "curve": _curve(rows, cost),
    }


def _curve(rows: ScoredRows, cost: ExpectedCost) -> list[dict[str, float]]:
    n_rows, order = len(rows.y), np.argsort(-rows.confidence, kind="stable")  # NaN comes last
    order = order[: int(rows.scored.sum())]
    extra = cost.prices.per_row(rows.y, rows.prediction, rows.scored)[order] - cost.prices.abstention
    confidence = rows.confidence[order]
    ends = np.append(np.flatnonzero(np.diff(confidence)), len(order) - 1) if len(order) else order
    coverage = np.append(0, ends + 1) / n_rows
    means = cost.prices.abstention + np.append(0.0, np.cumsum(extra)[ends]) / n_rows
    kept = np.unique(np.linspace(0, len(means) - 1, _POINTS).round().astype(int))
    return [{"coverage": float(coverage[i]), "cost": float(means[i])} for i in kept]
