"""Metrics of probabilities: proper scores, calibration, and ranking by confidence.

Every metric is a pure function of `probabilities`, (n_rows, n_classes), float64, whose rows sum to 1, and
`y`, (n_rows,), int64, the index of each row's class. There is at least one row. If any probability is NaN, so
is the metric.
"""
