"""Metrics of probabilities: proper scores, calibration, and ranking by confidence.

Every metric is a pure function of `probabilities`, (n_rows, n_classes), float64, whose rows sum to 1, and
`y`, (n_rows,), int64, the index of each row's class. There is at least one row. If any probability is NaN, so
is the metric.

`weights`, (n_rows,), float64, at least 0 and not all 0, say how often each row counts: a row of weight 2 is
as two rows, one of weight 0 as none. Without them each row counts once.
"""
