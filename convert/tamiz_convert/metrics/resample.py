"""Rows drawn with replacement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def resamples(
    n_rows: int,
    n_resamples: int,
    seed: int,
    groups: NDArray[Any] | None = None,
    weights: NDArray[np.float64] | None = None,
) -> Iterator[NDArray[Any]]:
    """Yield (n_rows,), how often each row counts: how often it was drawn, times its weight.

    Args:
        n_rows: the number of rows, and of draws.
        n_resamples: the number of resamples.
        seed: the seed of the draws.
        groups: (n_rows,), which rows belong together. Whole groups are drawn, as many as there are; None
            draws rows.
        weights: (n_rows,), how often a row counts each time that it is drawn; None for once.
    """
    random = np.random.default_rng(seed)
    if groups is None:
        group, n_groups = np.arange(n_rows), n_rows
    else:
        distinct, group = np.unique(groups, return_inverse=True)
        n_groups = len(distinct)
    for _ in range(n_resamples):
        drawn = random.integers(0, n_groups, n_groups)
        times = np.bincount(drawn, minlength=n_groups)[group]
        yield times if weights is None else times * weights
