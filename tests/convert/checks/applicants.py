"""Made applicants whose default depends on income and debt, with models that are right or broken."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

NUMBERS = ["income", "debt"]
TEXTS = ["region", "postcode"]


def applicants(n_rows, seed):
    """Return (table, labels): "default" or "repays"; the postcode means nothing."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "income": random.normal(50, 15, n_rows),
            "debt": random.normal(20, 8, n_rows),
            "region": random.choice(["north", "south"], n_rows),
            "postcode": random.choice(["p1", "p2", "p3"], n_rows),
        }
    )
    return table, np.where(random.random(n_rows) < 1 / (1 + np.exp(-risk(table))), "default", "repays")


def risk(table):
    """Return (n_rows,) the log odds of a default."""
    return (table["debt"] - 20) / 2 - (table["income"] - 50) / 3.75


def fitted(table, labels, columns=(*NUMBERS, *TEXTS), **options):
    """Return a logistic regression on some columns of the table."""
    chosen = ColumnTransformer(
        [
            ("numbers", StandardScaler(), [name for name in NUMBERS if name in columns]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), [name for name in TEXTS if name in columns]),
        ]
    )
    return make_pipeline(chosen, LogisticRegression(**options)).fit(table, labels)
