from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OnnxFile(_message.Message):
    __slots__ = ("ir_version", "graph", "opset_import", "metadata_props", "functions")
    IR_VERSION_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    OPSET_IMPORT_FIELD_NUMBER: _ClassVar[int]
    METADATA_PROPS_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    ir_version: int
    graph: bytes
    opset_import: _containers.RepeatedScalarFieldContainer[bytes]
    metadata_props: _containers.RepeatedCompositeFieldContainer[MetadataEntry]
    functions: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ir_version: _Optional[int] = ..., graph: _Optional[bytes] = ..., opset_import: _Optional[_Iterable[bytes]] = ..., metadata_props: _Optional[_Iterable[_Union[MetadataEntry, _Mapping]]] = ..., functions: _Optional[_Iterable[bytes]] = ...) -> None: ...

class MetadataEntry(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
