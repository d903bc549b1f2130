"""Thresholds with a guarantee: the tests behind them, what can be promised, and its words."""
