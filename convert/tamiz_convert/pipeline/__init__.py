"""`export` and `recalibrate`, step by step: from a model or a bundle and held-out rows to a new bundle."""
