"""Record what a client and a server of some version say: `python tests/skew/record.py FOLDER TARGET`.

It puts itself between a client of its own and a server at TARGET that serves `tests/golden`, as NAME/1. Run
it at every release, with that version's code, and keep FOLDER as `tests/skew/VERSION`. It uses only what
every version has.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tamiz.oip import inference
from tamiz.v1 import manifest_pb2, prediction_pb2
from tamiz_client import Client

GOLDEN = Path(__file__).parents[1] / "golden"
OIP = "/inference.GRPCInferenceService/"


class Between(grpc.GenericRpcHandler):
    """Hands every call on to a server, byte for byte, and remembers it."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self.calls: list[dict[str, str]] = []

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler:
        method = handler_call_details.method

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                answered = self._channel.unary_unary(method)(request, timeout=30)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
            self.calls.append({"method": method, "request": request.hex(), "answer": answered.hex()})
            return answered

        return grpc.unary_unary_rpc_method_handler(answer)


def golden_rows(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Return the rows that belong to a golden bundle, by input."""
    expected = np.load(path.with_name("expected.npz"))
    return {name: expected[name] for name in names}


def ask_everything(target: str) -> None:
    """Call what clients call."""
    with Client(target) as client:
        for path in sorted(GOLDEN.glob("*/model.onnx")):
            name = path.parent.name
            info = client.model(name)
            rows = golden_rows(path, [spec.name for spec in info.manifest.inputs])
            client.predict(name, rows)
            client.predict(name, rows, version=1, threshold=0.97, return_probabilities=True)
        client.models()
    with grpc.insecure_channel(target) as channel:
        for path in sorted(GOLDEN.glob("*/model.onnx")):
            metadata = inference.ModelMetadataRequest(name=path.parent.name).SerializeToString()
            channel.unary_unary(OIP + "ModelMetadata")(metadata, timeout=30)
        channel.unary_unary(OIP + "ServerReady")(b"", timeout=30)


def main(folder: Path, target: str) -> None:
    """Write calls.json and contract.binpb."""
    folder.mkdir(parents=True)
    with grpc.insecure_channel(target) as channel:
        between = Between(channel)
        server = grpc.server(ThreadPoolExecutor(2), handlers=[between])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        ask_everything(f"127.0.0.1:{port}")
        server.stop(None)
    (folder / "calls.json").write_text(json.dumps(between.calls, indent=1) + "\n")
    files = FileDescriptorSet()
    for module in (manifest_pb2, prediction_pb2, inference):
        for each in (*module.DESCRIPTOR.dependencies, module.DESCRIPTOR):
            if each.name not in {file.name for file in files.file}:
                each.CopyToProto(files.file.add())
    (folder / "contract.binpb").write_bytes(files.SerializeToString())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
