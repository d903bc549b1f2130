"""What is said in the bytes: the typed protocol v1 and the Open Inference Protocol, side by side."""
