"""Edge rows contain only rows that the model accepts, and few calls find them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from tamiz_convert.errors import RowsError
from tamiz_convert.rows import edge
from tamiz_convert.sources.sklearn_graph import from_sklearn


def refuses(rows: np.ndarray) -> np.ndarray:
    """Whether a row is one that the model below refuses: a huge number, or a column that is zero."""
    return (np.abs(rows) >= 1e6).any(axis=1) | (np.abs(rows[:, 3]) < 1e-9)


@pytest.fixture
def asked(cancer):
    """A tree's graph, and the sizes of what its reference was asked; some rows are refused."""
    graph = from_sklearn(
        DecisionTreeClassifier(max_depth=4).fit(cancer.train, cancer.y_train), cancer.held_out
    )
    sizes: list[int] = []

    def reference(rows: np.ndarray) -> np.ndarray:
        sizes.append(len(rows))
        if refuses(np.asarray(rows)).any():
            raise RowsError("refused")
        return graph.reference(rows)

    return replace(graph, reference=reference), graph, sizes


def test_rows_that_the_model_refuses_are_left_out_and_no_others(asked, cancer, monkeypatch):
    particular, willing, _ = asked
    everything = edge.edge_rows(cancer.held_out, willing)
    kept = edge.edge_rows(cancer.held_out, particular)
    assert refuses(everything).any()
    assert not refuses(kept).any()
    # What was made in one part is refused as one part: all that is missing shares a part with a refused row.
    parts = []
    monkeypatch.setattr(edge, "_answered", lambda made, _reference: parts.extend(made) or made)
    edge.edge_rows(cancer.held_out, willing)
    alone = [part for part in parts if not refuses(part.to_numpy()).any()]
    np.testing.assert_array_equal(kept, pd.concat(alone).to_numpy())


def test_a_model_that_refuses_nothing_is_asked_once(asked, cancer):
    _, willing, sizes = asked
    rows = cancer.held_out[~refuses(cancer.held_out)]
    counted = replace(willing, reference=lambda given: sizes.append(len(given)) or willing.reference(given))
    assert sizes == [len(edge.edge_rows(rows, counted))]


@pytest.mark.parametrize("n_columns", [1, 2, 5])
def test_an_array_for_a_model_that_knows_names_has_edge_rows_too(n_columns):
    X = np.random.default_rng(0).normal(size=(60, n_columns))
    table = pd.DataFrame(X, columns=list("abcde")[:n_columns])
    graph = from_sklearn(DecisionTreeClassifier(max_depth=2).fit(table, X[:, 0] > 0), table)
    assert edge.edge_rows(X, graph).shape[1] == n_columns
