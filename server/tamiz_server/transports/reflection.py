"""Server reflection over services whose messages live in different descriptor pools."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc import aio
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from tamiz.oip import inference
from tamiz.v1 import prediction_pb2

_FILES = (prediction_pb2.DESCRIPTOR, inference.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)


def enable_reflection(names: Iterable[str], server: aio.Server) -> None:
    """Describe the services of these names, and those of health and reflection, to tools such as grpcurl."""
    pool = DescriptorPool()
    for file in _FILES:
        _copy(file, pool, set())
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server, pool)


def _copy(file: FileDescriptor, pool: DescriptorPool, known: set[str]) -> None:
    """Add a file to a pool, after what it imports."""
    if file.name in known:
        return
    known.add(file.name)
    for imported in file.dependencies:
        _copy(imported, pool, known)
    pool.AddSerializedFile(file.serialized_pb)
