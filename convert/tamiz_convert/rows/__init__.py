"""Rows as callers have them: checked, counted, matched with classes and slices, divided."""
