"""From a model or a bundle and held-out rows to a new bundle: `export` and `recalibrate`, step by step."""
