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

class OnnxGraph(_message.Message):
    __slots__ = ("node", "initializer", "sparse_initializer")
    NODE_FIELD_NUMBER: _ClassVar[int]
    INITIALIZER_FIELD_NUMBER: _ClassVar[int]
    SPARSE_INITIALIZER_FIELD_NUMBER: _ClassVar[int]
    node: _containers.RepeatedCompositeFieldContainer[OnnxNode]
    initializer: _containers.RepeatedCompositeFieldContainer[OnnxTensor]
    sparse_initializer: _containers.RepeatedCompositeFieldContainer[OnnxSparseTensor]
    def __init__(self, node: _Optional[_Iterable[_Union[OnnxNode, _Mapping]]] = ..., initializer: _Optional[_Iterable[_Union[OnnxTensor, _Mapping]]] = ..., sparse_initializer: _Optional[_Iterable[_Union[OnnxSparseTensor, _Mapping]]] = ...) -> None: ...

class OnnxFunction(_message.Message):
    __slots__ = ("name", "attribute_proto", "node", "domain", "overload")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_PROTO_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OVERLOAD_FIELD_NUMBER: _ClassVar[int]
    name: str
    attribute_proto: _containers.RepeatedCompositeFieldContainer[OnnxAttribute]
    node: _containers.RepeatedCompositeFieldContainer[OnnxNode]
    domain: str
    overload: str
    def __init__(self, name: _Optional[str] = ..., attribute_proto: _Optional[_Iterable[_Union[OnnxAttribute, _Mapping]]] = ..., node: _Optional[_Iterable[_Union[OnnxNode, _Mapping]]] = ..., domain: _Optional[str] = ..., overload: _Optional[str] = ...) -> None: ...

class OnnxNode(_message.Message):
    __slots__ = ("name", "op_type", "attribute", "domain", "overload")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OP_TYPE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OVERLOAD_FIELD_NUMBER: _ClassVar[int]
    name: str
    op_type: str
    attribute: _containers.RepeatedCompositeFieldContainer[OnnxAttribute]
    domain: str
    overload: str
    def __init__(self, name: _Optional[str] = ..., op_type: _Optional[str] = ..., attribute: _Optional[_Iterable[_Union[OnnxAttribute, _Mapping]]] = ..., domain: _Optional[str] = ..., overload: _Optional[str] = ...) -> None: ...

class OnnxAttribute(_message.Message):
    __slots__ = ("name", "t", "g", "tensors", "graphs", "sparse_tensor", "sparse_tensors")
    NAME_FIELD_NUMBER: _ClassVar[int]
    T_FIELD_NUMBER: _ClassVar[int]
    G_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    GRAPHS_FIELD_NUMBER: _ClassVar[int]
    SPARSE_TENSOR_FIELD_NUMBER: _ClassVar[int]
    SPARSE_TENSORS_FIELD_NUMBER: _ClassVar[int]
    name: str
    t: OnnxTensor
    g: OnnxGraph
    tensors: _containers.RepeatedCompositeFieldContainer[OnnxTensor]
    graphs: _containers.RepeatedCompositeFieldContainer[OnnxGraph]
    sparse_tensor: OnnxSparseTensor
    sparse_tensors: _containers.RepeatedCompositeFieldContainer[OnnxSparseTensor]
    def __init__(self, name: _Optional[str] = ..., t: _Optional[_Union[OnnxTensor, _Mapping]] = ..., g: _Optional[_Union[OnnxGraph, _Mapping]] = ..., tensors: _Optional[_Iterable[_Union[OnnxTensor, _Mapping]]] = ..., graphs: _Optional[_Iterable[_Union[OnnxGraph, _Mapping]]] = ..., sparse_tensor: _Optional[_Union[OnnxSparseTensor, _Mapping]] = ..., sparse_tensors: _Optional[_Iterable[_Union[OnnxSparseTensor, _Mapping]]] = ...) -> None: ...

class OnnxTensor(_message.Message):
    __slots__ = ("dims", "name", "external_data", "data_location")
    DIMS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_DATA_FIELD_NUMBER: _ClassVar[int]
    DATA_LOCATION_FIELD_NUMBER: _ClassVar[int]
    dims: _containers.RepeatedScalarFieldContainer[int]
    name: str
    external_data: _containers.RepeatedCompositeFieldContainer[MetadataEntry]
    data_location: int
    def __init__(self, dims: _Optional[_Iterable[int]] = ..., name: _Optional[str] = ..., external_data: _Optional[_Iterable[_Union[MetadataEntry, _Mapping]]] = ..., data_location: _Optional[int] = ...) -> None: ...

class OnnxSparseTensor(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: OnnxTensor
    def __init__(self, values: _Optional[_Union[OnnxTensor, _Mapping]] = ...) -> None: ...
