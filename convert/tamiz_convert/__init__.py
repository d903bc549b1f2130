"""Export of trained classifiers: estimator, calibrator and certified threshold become one ONNX bundle."""
