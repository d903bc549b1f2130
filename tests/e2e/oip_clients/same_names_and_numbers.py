"""Our .proto file against those of tritonclient, kserve and mlserver: a field that both know has the same
number, type and count.

The first argument is our folder of protocol sources, the second the package to compare with. It does not need
a server.
"""

from __future__ import annotations

import importlib
import sys
import sysconfig
import types
from pathlib import Path
from typing import Any

THEIRS = {
    "tritonclient": ("tritonclient.grpc.service_pb2", "tritonclient.grpc.model_config_pb2"),
    "kserve": ("kserve.protocol.grpc.grpc_predict_v2_pb2",),
    "mlserver": ("mlserver.grpc.dataplane_pb2", "mlserver.grpc.model_repository_pb2"),
}
# KServe answers these two methods with messages of its own; ours are Triton's, which MLServer's are too.
DIFFERENT_IN_KSERVE = {
    "RepositoryModelLoadRequest",
    "RepositoryModelLoadResponse",
    "RepositoryModelUnloadRequest",
    "RepositoryModelUnloadResponse",
}

OURS = "ModelMetadataResponse.inputs_digest"
"""A field that the protocol does not have, with a number far from its own."""


def without_its_server(package: str) -> None:
    """Have a package's modules imported without what its own `__init__` imports: mlserver's is a whole
    server.
    """
    for name in (package, f"{package}.grpc"):
        module = types.ModuleType(name)
        module.__path__ = [str(Path(sysconfig.get_path("purelib"), *name.split(".")))]
        sys.modules[name] = module


def messages(file: Any) -> dict[str, Any]:
    found = {}
    waiting = list(file.message_types_by_name.values())
    while waiting:
        message = waiting.pop()
        found[message.full_name.partition(".")[2]] = message
        waiting += message.nested_types
    return found


def field(each: Any) -> tuple[Any, ...]:
    kind = each.message_type or each.enum_type
    return each.name, each.type, each.is_repeated, kind.name if kind else None


def main() -> None:
    sys.path.append(str(Path(sys.argv[1])))
    if sys.argv[2] == "mlserver":
        without_its_server("mlserver")
    first, second = (
        ("tamiz.oip.inference", *THEIRS[sys.argv[2]]),
        (*THEIRS[sys.argv[2]], "tamiz.oip.inference"),
    )
    for name in first if sys.argv[3] == "ours-first" else second:
        importlib.import_module(name)
    ours = messages(sys.modules["tamiz.oip.inference"].DESCRIPTOR)
    theirs: dict[str, Any] = {}
    for name in THEIRS[sys.argv[2]]:
        theirs |= messages(sys.modules[name].DESCRIPTOR)
    compared = 0
    for name in set(ours) & set(theirs):
        if sys.argv[2] == "kserve" and name in DIFFERENT_IN_KSERVE:
            continue
        for number in set(ours[name].fields_by_number) & set(theirs[name].fields_by_number):
            one, other = ours[name].fields_by_number[number], theirs[name].fields_by_number[number]
            assert field(one) == field(other), (name, field(one), field(other))
            compared += 1
        for text, each in ours[name].fields_by_name.items():
            known = theirs[name].fields_by_name.get(text)
            assert known is None or known.number == each.number, (name, text)
            if sys.argv[2] == "tritonclient" and f"{name}.{text}" != OURS:
                assert known is not None, f"{name}.{text} is not in Triton's protocol"
    assert compared > 60, compared


main()
