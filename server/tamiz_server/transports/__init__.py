"""Fronts of the service: bytes in, bytes out, nothing else; none of them knows a model."""
