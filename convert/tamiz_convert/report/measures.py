"""STAND-IN until the branch metrics is merged."""

from __future__ import annotations

import numpy as np

from tamiz_convert import metrics
from tamiz_convert.certify import upper_bound


def two_sided(k, n, level=0.95):
    half = (1 - level) / 2
    return (1.0 - upper_bound(n - k, n, half), upper_bound(k, n, half))


def reliability_bins(p, y, n_bins=10):
    c = p.max(axis=1)
    ok = p.argmax(axis=1) == y
    edges = np.quantile(c, np.linspace(0, 1, n_bins + 1))
    b = np.clip(np.searchsorted(edges, c, side="left") - 1, 0, n_bins - 1)
    out = []
    for i in range(n_bins):
        m = b == i
        if m.any():
            out.append(
                (
                    c[m].min(),
                    c[m].max(),
                    int(m.sum()),
                    c[m].mean(),
                    ok[m].mean(),
                    two_sided(int(ok[m].sum()), int(m.sum())),
                )
            )
    return out


def null_ece(p, seed=0):
    r = np.random.default_rng(seed)
    c = p.max(axis=1)
    two = np.stack([c, 1 - c], axis=1)
    v = []
    for _ in range(200):
        hit = r.random(len(c)) < c
        bins = np.clip(np.ceil(c * 15).astype(int) - 1, 0, 14)
        v.append(np.abs(np.bincount(bins, weights=hit - c, minlength=15)).sum() / len(c))
    return float(np.mean(v)), float(np.quantile(v, 0.95))


def risk_coverage(p, y):
    c = p.max(axis=1)
    w = p.argmax(axis=1) != y
    o = np.argsort(-c, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(c[o]) != 0, True))
    n = ends + 1
    return n / len(c), np.cumsum(w[o])[ends] / n


def bootstrap(p, y, seed=0):
    r = np.random.default_rng(seed)
    v = []
    for _ in range(100):
        i = r.integers(0, len(y), len(y))
        v.append([x for _, x in metrics.summarize(p[i], y[i])])
    lo, hi = np.quantile(v, [0.025, 0.975], axis=0)
    return [(name, x, (lo[j], hi[j])) for j, (name, x) in enumerate(metrics.summarize(p, y))]
