"""The caller's rows: checked, counted, matched with classes and slices, and divided."""
