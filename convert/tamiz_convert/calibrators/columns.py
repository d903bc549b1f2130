"""Parameters of calibrators that have a table per score: `x_0`, `y_0`, `x_1` and so on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tamiz_convert.calibrators.calibrator import Array


def named(**tables: tuple[Array, ...]) -> list[tuple[str, list[float]]]:
    """Return the tables as `Calibrator.parameters` does: their names end with the number of the score."""
    n_scores = len(next(iter(tables.values())))
    return [(f"{name}_{k}", each[k].tolist()) for k in range(n_scores) for name, each in tables.items()]


def from_named(parameters: Mapping[str, Array], *names: str) -> Iterator[tuple[Array, ...]]:
    """Return the tables of each name, in the order of the scores.

    Raises:
        KeyError: if one is missing.
    """
    n_scores = max(1, sum(name.startswith(f"{names[0]}_") for name in parameters))
    return (tuple(parameters[f"{name}_{k}"] for k in range(n_scores)) for name in names)
