"""Requests to bytes and bytes to answers, for both clients. No I/O.

A health check has one string in its request and one number in its answer, both as field 1: on the wire they
are protobuf's own wrapper messages, so that the client needs no package for them.
"""

from __future__ import annotations

from google.protobuf.wrappers_pb2 import StringValue, UInt32Value

from tamiz_client.answers import parse

SERVING = 1
"""`grpc.health.v1.HealthCheckResponse.SERVING`."""


def health_request(service: str) -> bytes:
    """Return a `grpc.health.v1.HealthCheckRequest`."""
    return StringValue(value=service).SerializeToString()


def is_serving(answer: bytes) -> bool:
    """Return whether a `grpc.health.v1.HealthCheckResponse` says SERVING."""
    return parse(UInt32Value, answer).value == SERVING
