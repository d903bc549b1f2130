"""The messages of `inference.proto`, in their own descriptor pool.

tritonclient, kserve and mlserver each register messages with the same full names
(`inference.ModelInferRequest`) in protobuf's default pool, which accepts a name once, so the second import
fails. Names of messages never travel on the wire. So ours live in a private pool, and any of these packages
can be imported before or after this module.

The types in `inference.pyi` and the descriptor in `inference.binpb` come from protoc: `make proto`.
"""

from __future__ import annotations

from importlib.resources import files

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

_FILE = descriptor_pb2.FileDescriptorSet.FromString(
    files(__package__).joinpath("inference.binpb").read_bytes()
).file[0]
_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_FILE)

DESCRIPTOR = _POOL.FindFileByName(_FILE.name)

for _name, _message in DESCRIPTOR.message_types_by_name.items():
    globals()[_name] = message_factory.GetMessageClass(_message)
for _name, _enum in DESCRIPTOR.enum_types_by_name.items():
    globals()[_name] = EnumTypeWrapper(_enum)
    globals().update((value.name, value.number) for value in _enum.values)
