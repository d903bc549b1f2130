"""`inference.GRPCInferenceService`, the Open Inference Protocol, over the same engines as the typed service."""
