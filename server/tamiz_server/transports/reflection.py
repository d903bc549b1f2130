"""Server reflection, v1 and v1alpha: what grpcurl and others learn about the services.

grpcio-reflection serves v1alpha only. The messages of both versions are the same on the wire. The services'
own messages live in different descriptor pools.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any, Final

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tamiz.oip import inference
from tamiz.v1 import prediction_pb2
from tamiz_server.access.access import paced
from tamiz_server.errors import InvalidRequest
from tamiz_server.serving.methods import Feed, Method, Methods, Stream
from tamiz_server.telemetry.access_log import Metadata

# The module of the messages is not typed.
_pb: Any = reflection_pb2
_ALPHA: Final = "grpc.reflection.v1alpha"
_V1: Final = "grpc.reflection.v1"
_FILES: Final = (prediction_pb2.DESCRIPTOR, inference.DESCRIPTOR, health_pb2.DESCRIPTOR, _pb.DESCRIPTOR)
_NOT_FOUND: Final = 5


def reflection(services: Iterable[Methods]) -> tuple[Methods, ...]:
    """Return the two services that describe these services, and themselves."""
    names = [service.name for service in services]
    described = sorted([*names, *(f"{package}.ServerReflection" for package in (_V1, _ALPHA))])
    pool = DescriptorPool()
    for file in _FILES:
        _copy(file, pool, set())
    pool.AddSerializedFile(_as_v1(_pb.DESCRIPTOR))
    return tuple(_Reflection(f"{package}.ServerReflection", described, pool) for package in (_V1, _ALPHA))


class _Reflection:
    """`ServerReflection` of one version; see `Methods`."""

    predicts: frozenset[str] = frozenset()

    def __init__(self, name: str, described: list[str], pool: DescriptorPool) -> None:
        self.name = name
        self._described = described
        self._pool = pool
        self.methods: dict[str, Method] = {}
        self.feeds: dict[str, Feed] = {}
        self.streams: dict[str, Stream] = {"ServerReflectionInfo": self._answers}

    async def _answers(
        self,
        bodies: AsyncIterator[bytes],
        deadline_s: float,  # noqa: ARG002  a Stream
        metadata: Metadata,  # noqa: ARG002  a Stream
    ) -> AsyncGenerator[bytes, None]:
        async for body in paced(bodies):
            try:
                request = _pb.ServerReflectionRequest.FromString(body)
            except DecodeError as error:
                raise InvalidRequest(f"the message is not one of this method: {error}") from error
            answer = _pb.ServerReflectionResponse(valid_host=request.host, original_request=request)
            try:
                self._fill(answer, request)
            except KeyError:
                answer.error_response.error_code = _NOT_FOUND
                answer.error_response.error_message = "not found"
            yield answer.SerializeToString()

    def _fill(self, answer: Any, request: Any) -> None:
        """Fill in what was asked for; KeyError if there is no such thing."""
        asked = request.WhichOneof("message_request")
        if asked == "list_services":
            answer.list_services_response.service.extend(
                _pb.ServiceResponse(name=name) for name in self._described
            )
        elif asked == "all_extension_numbers_of_type":
            message = self._pool.FindMessageTypeByName(request.all_extension_numbers_of_type)
            numbers = sorted(each.number for each in self._pool.FindAllExtensions(message))
            answer.all_extension_numbers_response.base_type_name = message.full_name
            answer.all_extension_numbers_response.extension_number.extend(numbers)
        else:
            files = _with_imports(self._file(asked, request), {})
            answer.file_descriptor_response.file_descriptor_proto.extend(files.values())

    def _file(self, asked: str | None, request: Any) -> FileDescriptor:
        if asked == "file_by_filename":
            return self._pool.FindFileByName(request.file_by_filename)
        if asked == "file_containing_symbol":
            return self._file_of(request.file_containing_symbol)
        if asked == "file_containing_extension":
            extension = request.file_containing_extension
            message = self._pool.FindMessageTypeByName(extension.containing_type)
            found: Any = self._pool.FindExtensionByNumber(message, extension.extension_number)
            return self._pool.FindFileContainingSymbol(found.full_name)
        raise InvalidRequest("the message asks for nothing: expected one of the fields of message_request")

    def _file_of(self, symbol: str) -> FileDescriptor:
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:  # it does not find methods
            service, _, method = symbol.rpartition(".")
            self._pool.FindServiceByName(service).methods_by_name[method]
            return self._pool.FindFileContainingSymbol(service)


def _as_v1(alpha: FileDescriptor) -> bytes:
    """Return the file of v1, which differs from v1alpha's in its name and package."""
    new = FileDescriptorProto.FromString(alpha.serialized_pb)
    new.name = "grpc/reflection/v1/reflection.proto"
    new.package = _V1
    for message in new.message_type:
        for field in filter(_is_message, message.field):
            field.type_name = field.type_name.replace(f".{_ALPHA}.", f".{_V1}.")
    for method in new.service[0].method:
        method.input_type = method.input_type.replace(f".{_ALPHA}.", f".{_V1}.")
        method.output_type = method.output_type.replace(f".{_ALPHA}.", f".{_V1}.")
    return new.SerializeToString()


def _is_message(field: FieldDescriptorProto) -> bool:
    return bool(field.type_name)


def _with_imports(file: FileDescriptor, files: dict[str, bytes]) -> dict[str, bytes]:
    """Add a file and those that it imports to others, by name."""
    if file.name not in files:
        files[file.name] = file.serialized_pb
        for imported in file.dependencies:
            _with_imports(imported, files)
    return files


def _copy(file: FileDescriptor, pool: DescriptorPool, known: set[str]) -> None:
    """Add a file to a pool, after the files that it imports."""
    if file.name in known:
        return
    known.add(file.name)
    for imported in file.dependencies:
        _copy(imported, pool, known)
    pool.AddSerializedFile(file.serialized_pb)
