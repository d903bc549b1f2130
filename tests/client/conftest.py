"""A small real gRPC server that answers from the contract, one behavior per model."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from tamiz.call_metadata import NOT_TAKEN
from tamiz.gate import NO_CLASS
from tamiz.v1.manifest_pb2 import Classes, DataType, InputSpec, Manifest, Threshold
from tamiz.v1.prediction_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsResponse,
    ModelVersions,
    PredictRequest,
    PredictResponse,
    Reason,
)

SERVICE = "/tamiz.v1.PredictionService/"


class Stub:
    """Answers class 1 for rows whose first value is positive, abstains on others.

    Models: `plain`; `slow` takes half a second; `busy` is full; `flaky` says twice that it is starting, then
    answers; `proxied` is behind a proxy that lost its server;
    `ended` is cancelled once by the server, then answers; `moved` has other inputs from the second look on;
    `unnamed` has no column names; `partial` has no confidence in a row that it does not accept.
    """

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.calls: Counter[str] = Counter()
        self.metadata: dict[str, str] = {}
        self.named: list[tuple[int, str]] = []
        """Version and label of each GetModel and Predict."""
        self.lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(8))
        handlers = {
            "Predict": self.predict,
            "GetModel": self.get_model,
            "ListModels": lambda _body, _context: ListModelsResponse(
                models=[ModelVersions(name="plain", versions=[1, 3])]
            ).SerializeToString(),
        }
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "tamiz.v1.PredictionService",
                    {
                        name: grpc.unary_unary_rpc_method_handler(handler)
                        for name, handler in handlers.items()
                    },
                ),
                grpc.method_handlers_generic_handler(
                    "grpc.health.v1.Health",
                    {"Check": grpc.unary_unary_rpc_method_handler(self.health)},
                ),
            )
        )
        address = "127.0.0.1:0"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self._server.start()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.stop(0).wait()

    def health(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        if b"unknown" in body or b"nobody" in body:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return b"\x08\x02" if b"stopping" in body or b"closed" in body else b"\x08\x01"

    def get_model(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        request = GetModelRequest.FromString(body)
        self.named.append((request.version, request.model_label))
        with self.lock:
            self.calls[f"GetModel {request.name}"] += 1
        if request.name == "nobody":
            context.abort(grpc.StatusCode.NOT_FOUND, "no model 'nobody'; served: plain")
        if request.name == "closed":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "a token is needed")
        width = 3 if request.name == "moved" and self.calls["GetModel moved"] > 1 else 2
        manifest = Manifest(
            inputs=[
                InputSpec(
                    name="features",
                    dtype=DataType.DATA_TYPE_FLOAT32,
                    shape=[-1, width],
                    column_names=[] if request.name == "unnamed" else ["a", "b", "c"][:width],
                )
            ],
            classes=Classes(strings=["no", "yes"]),
            threshold=Threshold(value=0.8, not_certified="fixed by the caller"),
        )
        version = request.version or 3
        return GetModelResponse(
            name=request.name,
            version=version,
            manifest=manifest,
            labels=["canary", "stable"] if version == 1 else [],
            shadow=request.version == 3,
        ).SerializeToString()

    def predict(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        request = PredictRequest.FromString(body)
        self.named.append((request.model_version, request.model_label))
        name = request.model_name
        with self.lock:
            self.calls[name] += 1
            count = self.calls[name]
        self.metadata = dict(context.invocation_metadata())
        if name == "slow":
            time.sleep(0.5)
        if name == "busy":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full")
        if name == "flaky" and count <= 2:
            context.set_trailing_metadata((NOT_TAKEN,))
            context.abort(grpc.StatusCode.UNAVAILABLE, "starting")
        if name == "proxied":
            context.abort(grpc.StatusCode.UNAVAILABLE, "upstream connect error or disconnect/reset")
        if name == "ended" and count == 1:
            context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        if name == "moved" and request.inputs[0].shape[1] != 3:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "expected 3 columns")
        rows = np.frombuffer(request.inputs[0].raw, "<f4").reshape(request.inputs[0].shape)
        accepted = rows[:, 0] > request.threshold
        probabilities = np.where(accepted[:, None], [0.1, 0.9], np.nan)
        abstained = Reason.REASON_INVALID_INPUT if name == "partial" else Reason.REASON_LOW_CONFIDENCE
        return PredictResponse(
            model_name=name,
            model_version=3,
            accepted=accepted.tolist(),
            reasons=[Reason.REASON_NONE if ok else abstained for ok in accepted],
            class_index=[1 if ok else NO_CLASS for ok in accepted],
            confidence=[0.9 if ok else 0.0 if name == "partial" else 0.6 for ok in accepted],
            classes=Classes(strings=["no", "yes"]),
            threshold=max(0.8, request.threshold),
            probabilities=probabilities.astype("<f8").tobytes() if request.return_probabilities else b"",
            queue_duration_us=5,
            compute_duration_us=7,
        ).SerializeToString()


@pytest.fixture
def make_stub() -> Iterator[Callable[..., Stub]]:
    """`make_stub(credentials)` starts a server that is stopped after the test."""
    made: list[Stub] = []

    def make(credentials: grpc.ServerCredentials | None = None) -> Stub:
        made.append(Stub(credentials))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def stub(make_stub: Callable[..., Stub]) -> Stub:
    return make_stub()
