"""`tamiz.v1.PredictionService`, the typed protocol."""
