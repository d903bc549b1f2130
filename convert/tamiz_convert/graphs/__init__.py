"""ONNX graphs: building them, running them, timing them."""
