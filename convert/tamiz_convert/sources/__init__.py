"""Models of every supported kind, each turned into a score graph."""
