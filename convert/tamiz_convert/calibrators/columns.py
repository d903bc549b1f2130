"""Parameters of calibrators that have a table per score: `x_0`, `y_0`, `x_1` and so on."""

from __future__ import annotations

from tamiz_convert.calibrators.calibrator import Array


def named(**tables: tuple[Array, ...]) -> list[tuple[str, list[float]]]:
    """Return the tables as `Calibrator.parameters` does: their names end with the number of the score."""
    n_scores = len(next(iter(tables.values())))
    return [(f"{name}_{k}", each[k].tolist()) for k in range(n_scores) for name, each in tables.items()]
