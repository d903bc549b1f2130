"""Final estimators of scikit-learn as ONNX nodes, one file per family; the table is in `estimator_scores`."""
