"""Server reflection over services whose messages live in different descriptor pools."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from tamiz.oip import inference
from tamiz.v1 import prediction_pb2
from tamiz_server.transports.parsing import ParsingServer

_FILES = (prediction_pb2.DESCRIPTOR, inference.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)


def enable_reflection(names: Iterable[str], server: ParsingServer) -> None:
    """Describe these services, health and reflection to tools such as grpcurl."""
    pool = DescriptorPool()
    for file in _FILES:
        _copy(file, pool, set())
    described = (*names, health.SERVICE_NAME, reflection.SERVICE_NAME)
    servicer = reflection.aio.ReflectionServicer(described, pool=pool)  # type: ignore[attr-defined]
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)


def _copy(file: FileDescriptor, pool: DescriptorPool, known: set[str]) -> None:
    """Add a file to a pool, after the files that it imports."""
    if file.name in known:
        return
    known.add(file.name)
    for imported in file.dependencies:
        _copy(imported, pool, known)
    pool.AddSerializedFile(file.serialized_pb)
