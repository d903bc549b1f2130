"""What the server's two protocols read: requests, answered as a caller would see it, without a transport."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from tests.conftest import by_slice, write_bundle
from tests.serving_parts import Serving

from tamiz.oip.inference import ModelInferRequest, ModelInferResponse
from tamiz.v1.prediction_pb2 import GetModelRequest, PredictRequest, PredictResponse
from tamiz_client.answers import read_info, read_result
from tamiz_server.errors import (
    DeadlineExceeded,
    InputsChanged,
    InvalidRequest,
    ModelNotFound,
    NotLoaded,
    NotOffered,
    QueueFull,
    RowsFailed,
)
from tamiz_server.model import message_size
from tamiz_server.protocols.oip.json_answer import JSON_LENGTH
from tamiz_server.protocols.oip.json_request import read_request
from tamiz_server.serving.endpoints import Asked, Reply
from tamiz_server.transports.h1.routes import Routes

from .target import Run, Target

GRAPHS = {"good": "softmax", "text": "text", "row": "failing", "sliced": "sliced"}
PREDICTING = (
    InvalidRequest,
    ModelNotFound,
    InputsChanged,
    DeadlineExceeded,
    QueueFull,
    RowsFailed,
)


class Answering:
    """A server's parts, with some models of version 1, in a loop of their own."""

    def __init__(self, folder: Path, opened: ExitStack, bundles: Mapping[str, Path] | None = None) -> None:
        self._runner = opened.enter_context(asyncio.Runner())
        self.serving = Serving(folder, max_batch_size=8, max_queue_delay_us=0)
        bundles = _few(folder) if bundles is None else bundles
        self._runner.run(self._serve({(name, 1): path for name, path in bundles.items()}))

        self._routes = Routes(self.serving.endpoints())

    async def _serve(self, paths: dict[tuple[str, int], Path]) -> None:
        self.serving.serve(paths)

    def ask_http(
        self, verb: str, path: str, body: bytes, headers: Mapping[str, str] = MappingProxyType({})
    ) -> Reply:
        """Return the reply to a request over HTTP."""
        found = self._routes.find(path)
        asked = Asked(found.named, headers, body, math.inf, headers.items)

        async def answer() -> Reply:
            return await found.endpoints[verb].answer(asked)

        return self._runner.run(answer())

    def ask(self, method: Callable[..., Any], body: bytes) -> bytes:
        """Return the answer of a method."""

        async def answer() -> Any:
            return await method(body, math.inf, lambda: ())

        answered: bytes = self._runner.run(answer())
        return answered


def _few(folder: Path) -> dict[str, Path]:
    changes = {"sliced": by_slice}
    return {
        name: write_bundle(folder / name / "1", graph, change=changes.get(name))
        for name, graph in GRAPHS.items()
    }


def predict(folder: Path, opened: ExitStack) -> Run:
    """Answer PredictRequests; the client must believe every answer."""
    server = Answering(folder, opened)
    infos = {}
    for name in GRAPHS:
        asked = GetModelRequest(name=name)
        infos[name] = read_info(server.ask(server.serving.v1.get_model, asked.SerializeToString()), asked)

    def run(data: bytes) -> None:
        response = PredictResponse.FromString(server.ask(server.serving.v1.predict, data))
        asked = PredictRequest.FromString(data)
        read_result(response, asked, asked.inputs[0].shape[0], infos[asked.model_name])

    return run


def infer(folder: Path, opened: ExitStack) -> Run:
    """Answer ModelInferRequests: an accepted row has a label and a confidence of at least the threshold."""
    server = Answering(folder, opened)

    def run(data: bytes) -> None:
        response = ModelInferResponse.FromString(server.ask(server.serving.oip.model_infer, data))
        asked = ModelInferRequest.FromString(data)
        assert response.model_name == asked.model_name
        for output in response.outputs:
            assert output.shape[0] == asked.inputs[0].shape[0]

    return run


def infer_json(folder: Path, opened: ExitStack) -> Run:
    """Answer requests in JSON, with tensors behind it: the first byte says how much of it is JSON."""
    server = Answering(folder, opened)

    def run(data: bytes) -> None:
        size, body = data[:1], data[1:]
        json_bytes = min(len(body), 4 * size[0]) if size and size[0] else None
        asked = read_request(body, json_bytes, "good", "")  # refused as the server refuses it
        length = {} if json_bytes is None else {JSON_LENGTH: str(json_bytes)}
        for name in GRAPHS:
            with suppress(InvalidRequest):
                reply = server.ask_http("POST", f"/v2/models/{name}/infer", body, length)
                sizes = dict(reply.headers)
                answer = json.loads(reply.body[: int(sizes.get(JSON_LENGTH, len(reply.body)))])
                assert answer.get("id", "") == asked.message.id
                assert all(each["shape"][0] == asked.message.inputs[0].shape[0] for each in answer["outputs"])

    return run


def rows_json(folder: Path, opened: ExitStack) -> Run:
    """Answer requests for rows in JSON: an accepted row has a label, one that abstained has a reason."""
    server = Answering(folder, opened)

    def run(data: bytes) -> None:
        for name in GRAPHS:
            with suppress(*PREDICTING):
                answer = json.loads(server.ask_http("POST", f"/v1/models/{name}:predict", data).body)
                columns = answer.get("outputs")
                rows = answer.get("predictions") or [
                    dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
                ]
                for row in rows:
                    assert row["accepted"] == (row["label"] is not None) == (row["reason"] is None)
                    assert not row["accepted"] or row["confidence"] >= row.get(
                        "threshold", answer["threshold"]
                    )

    return run


def methods(folder: Path, opened: ExitStack) -> Run:
    """Answer all methods of both protocols but those of predictions; the first byte chooses one."""
    server = Answering(folder, opened)
    services = (server.serving.v1, server.serving.oip)
    chosen = [
        method
        for service in services
        for name, method in service.methods.items()
        if name not in service.predicts
    ]

    def run(data: bytes) -> None:
        server.ask(chosen[data[0] % len(chosen)] if data else chosen[0], data[1:])

    return run


def layout(folder: Path, opened: ExitStack) -> Run:
    """Count the parts of small messages as those of large ones: never fewer than there are."""
    most = 24
    limits = {"_SMALL_BYTES": 0, "MOST_STRINGS": most, "MOST_FIELDS": most, "_MOST_UNKNOWN": most}
    opened.enter_context(patch.multiple(message_size, **limits))

    def run(data: bytes) -> None:
        type_ = ModelInferRequest if data[:1] == b"\1" else PredictRequest
        body = data[1:]
        parts: list[str | bytes | Message] = []
        with suppress(DecodeError):
            parts = [*_parts(type_.FromString(body))]
        message_size.check_layout(body, type_)
        n_messages = sum(isinstance(part, Message) for part in parts)
        assert n_messages <= most, f"{n_messages} messages were let through"
        assert len(parts) - n_messages <= most, f"{len(parts) - n_messages} strings were let through"

    return run


def _parts(message: Message) -> Iterator[str | bytes | Message]:
    """Yield the messages within a message, and the strings of lists; those of maps are left out."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                yield each
                yield from _parts(each)
        elif field.is_repeated and field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            yield from value


TARGETS = {
    "predict": Target(predict, PREDICTING),
    "infer": Target(infer, PREDICTING),
    "infer_json": Target(infer_json, PREDICTING),
    "rows_json": Target(rows_json, PREDICTING),
    "methods": Target(methods, (InvalidRequest, ModelNotFound, NotOffered, NotLoaded)),
    "layout": Target(layout, (InvalidRequest,)),
}
