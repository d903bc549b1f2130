"""The report of an export: one page for people, and the same numbers for programs."""
