"""`inference.GRPCInferenceService`, the Open Inference Protocol, over the same engines as `v1`."""
