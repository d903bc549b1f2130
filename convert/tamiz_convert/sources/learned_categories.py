"""What one-hot encoders learned of a column, and whether a column of held-out rows can be the same one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from tamiz.rows import Column
from tamiz_convert.errors import RowsError
from tamiz_convert.rows.inputs import Inputs
from tamiz_convert.rows.per_row import READ_AS_MISSING, words_advice


def learned_categories(transformers: Sequence[tuple[Any, list[str]]]) -> Iterator[tuple[str, list[Any]]]:
    """Yield each column that a one-hot encoder reads, and the categories that it learned there.

    Args:
        transformers: each transformer of a ColumnTransformer, and the columns that it reads.
    """
    for transformer, columns in transformers:
        steps = transformer.steps if isinstance(transformer, Pipeline) else [("", transformer)]
        encoder = next((step for _, step in steps if isinstance(step, OneHotEncoder)), None)
        if encoder is not None and len(encoder.categories_) == len(columns):
            yield from zip(columns, map(list, encoder.categories_), strict=True)


def check_type(name: Any, categories: Sequence[Any], *, is_text: bool) -> None:
    """Refuse a column of numbers where the encoder learned text, and the reverse."""
    known = [each for each in categories if not pd.isna(each)]
    if any(isinstance(each, str) != is_text for each in known):
        learned, given = ("numbers", "text") if is_text else ("text", "numbers")
        raise RowsError(
            f"column {name!r} holds {given}, but OneHotEncoder learned {learned} there, such as"
            f" {np.asarray(known[:1]).tolist()[0]!r}: pass the column as {learned}"
        )


def check_words(name: str, categories: Sequence[Any], column: Column) -> None:
    """Refuse missing values in place of words that a reader of CSV took for missing values.

    It is certain where the training held such words and no missing value, and these rows hold the reverse.
    """
    words = READ_AS_MISSING.intersection(each for each in categories if isinstance(each, str))
    n_missing = np.count_nonzero(column.missing)
    if n_missing and words and words.isdisjoint(column.values[~column.missing].tolist()):
        raise RowsError(
            f"column {name!r} is missing in {n_missing:,} of {len(column.missing):,} rows (the first is row"
            f" {np.argmax(column.missing)}), but was never missing in training{words_advice(words)}"
        )


def check_columns(
    transformers: Sequence[tuple[Any, list[str]]], table: Mapping[str, Column], inputs: Inputs
) -> None:
    """Refuse columns that cannot be those of the training; see `check_type` and `check_words`.

    Args:
        transformers: see `learned_categories`.
        table: the held-out rows.
        inputs: what the estimator reads of them.
    """
    for name, categories in learned_categories(transformers):
        check_type(name, categories, is_text=name in inputs.texts)
        if name not in inputs.may_miss:
            check_words(name, categories, table[name])
