"""A first specification, written from a table: a draft that its owner completes."""

from __future__ import annotations

from typing import Any, Final

import pandas as pd
import yaml

from tamiz_convert.checks.specification import specification_of
from tamiz_convert.errors import RowsError

_MOST_VALUES: Final = 20
_FEWEST_ROWS: Final = 100
_MOST_COLUMNS: Final = 3
_MOST_CHANGED: Final = 10
_MOST_CLASSES: Final = 100


def draft(rows: pd.DataFrame, labels: pd.Series[Any]) -> str:
    """Return a specification in YAML with comments, made of the columns of a table.

    The limits are starting points: nothing is known of a model yet. What a table cannot say only warns.

    Args:
        rows: (n_rows, n_features), the features.
        labels: (n_rows,), the labels; missing ones are left out.

    Raises:
        RowsError: if the labels are not those of classes.
    """
    classes = labels.dropna().value_counts()
    if not 2 <= len(classes) <= _MOST_CLASSES:  # noqa: PLR2004  fewer are nothing to predict
        raise RowsError(
            f"column {labels.name!r} holds {len(classes)} different labels; expected 2 to {_MOST_CLASSES}"
            " classes"
        )
    share = float(classes.iloc[0] / classes.sum())
    parts = [_head(str(classes.index[0]), share), _slices(rows, share), _changes(rows), _abstention(rows)]
    text = "\n".join(part for part in parts if part)
    specification_of(yaml.safe_load(text))  # a draft that cannot be read would be a fault of this function
    return text


def _head(most_frequent: str, share: float) -> str:
    return f"""\
# Release checks: what a model must pass before it becomes a bundle. This is a draft, made from a table.
# The limits are starting points: put in what your model has to keep. docs/checks.md describes every section.
version: 1
alpha: 0.05                    # the chance that any check passes although its limit is broken
on_inconclusive: warn          # too few rows to tell: warn or block

parity:                        # the graph against the estimator
  max_abs_prob: 1e-4
  label_flips: 0

calibration:                   # could the labels come from these probabilities?
  min_p: 0.001
  log_loss_not_worse_than: identity

selective:                     # the gate over all rows
  min_coverage: 0.5
  max_selective_risk: 0.1      # error among accepted rows

baseline:                      # always to answer {most_frequent!a} is right for {share:.1%} of the rows
  - {{against: majority, min_gain: {min(0.01, round((1 - share) / 4, 4)):g}}}

true_class:                    # a good error over all answers can hide a class that is answered wrongly
  - {{metric: selective_risk, max_upper_bound: 0.2, severity: warn}}
  - {{metric: coverage, min_lower_bound: 0.3, severity: warn}}
"""


def _abstention(rows: pd.DataFrame) -> str:
    """Return the section for rows without any value; whole numbers and bools cannot be missing."""
    if all(column.dtype.kind in "iub" for _, column in rows.items()):
        return ""
    return """\
abstention:                    # rows that must not be answered
  - {generate: nan, expect: all_abstain, severity: warn}
"""


def _slices(rows: pd.DataFrame, share: float) -> str:
    """Return the section for columns of few values, each with enough rows to prove something."""
    names = [name for name in rows.columns if _is_grouping(rows[name])][:_MOST_COLUMNS]
    if not names:
        return ""
    limit = f"{min(share, 0.95) // 0.05 * 0.05:.2f}"
    lines = [
        f"  - {{by: {_listed([name])}, metric: accuracy, min_lower_bound: {limit}, severity: warn}}"
        for name in names
    ]
    return "\n".join(["slices:                        # a limit in each value of a column", *lines, ""])


def _is_grouping(column: pd.Series[Any]) -> bool:
    if pd.api.types.is_float_dtype(column):
        return False
    counts = column.value_counts()
    return 2 <= len(counts) <= _MOST_VALUES and int(counts.min()) >= _FEWEST_ROWS  # noqa: PLR2004  two make a difference


def _changes(rows: pd.DataFrame) -> str:
    """Return a check of noise in the columns of fractions: a little of it must not change the answer."""
    numbers = [name for name in rows.columns if pd.api.types.is_float_dtype(rows[name])][:_MOST_CHANGED]
    if not numbers:
        return ""
    return f"""\
perturbation:                  # a little noise must not change the answer
  - name: noise
    columns: {_listed(numbers)}
    transform: {{gaussian: {{rel_std: 0.01}}}}
    max_label_flip_rate_ub: 0.05
    severity: warn
"""


def _listed(names: list[Any]) -> str:
    text: str = yaml.safe_dump([*map(str, names)], default_flow_style=True, allow_unicode=True, width=10**6)
    return text.strip()
