"""A kind of model that can be exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tamiz_convert.graphs.score_graph import ScoreGraph


@dataclass(frozen=True)
class Kind:
    """A kind of model. `owns` must not import a heavy library: it looks at the module of the model's type.

    Attributes:
        described: which models are of this kind, for people.
        owns: whether a model is of this kind.
        convert: a model, rows like those that will be predicted, and the labels in the order of the model's
            outputs (or None) → its score graph.
        columns: a model and a table → the columns that the model reads by name.
    """

    described: str
    owns: Callable[[Any], bool]
    convert: Callable[[Any, Any, Any], ScoreGraph]
    columns: Callable[[Any, pd.DataFrame], list[str]] = lambda _model, _table: []
