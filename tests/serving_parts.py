"""Everything that answers requests, without a transport and without a disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tamiz.v1.manifest_pb2 import DataType
from tamiz.v1.prediction_pb2 import PredictRequest, PredictResponse, Tensor
from tamiz_server.config.config import Config
from tamiz_server.engine.engine import Engine
from tamiz_server.model.bundle import read_bundle
from tamiz_server.model.model import Model
from tamiz_server.protocols.oip import endpoints as oip_over_http
from tamiz_server.protocols.oip.repository import ModelControl
from tamiz_server.protocols.oip.service import OipService
from tamiz_server.protocols.v1 import endpoints as v1_over_http
from tamiz_server.protocols.v1.service import PredictionService
from tamiz_server.serving.endpoints import Endpoint
from tamiz_server.serving.readiness import Readiness
from tamiz_server.serving.requests import Requests
from tamiz_server.serving.served import Registry
from tamiz_server.serving.streams import Streams
from tamiz_server.telemetry.metrics import Metrics


def predict_request(*margins: float, model_name: str = "m", **fields: Any) -> bytes:
    """A PredictRequest for `softmax_graph`; each row's margin is the log-odds of its class."""
    rows = np.array([[0.0, margin] for margin in margins], dtype="<f4")
    features = Tensor(
        name="features", dtype=DataType.DATA_TYPE_FLOAT32, shape=[len(margins), 2], raw=rows.tobytes()
    )
    return PredictRequest(model_name=model_name, inputs=[features], **fields).SerializeToString()


class Serving:
    """The parts of a server between transports and repository. It serves nothing yet, and is not ready."""

    def __init__(self, repository: Path, **settings: Any) -> None:
        self.config = Config(model_repository=repository, **settings)
        self.metrics = Metrics("0")
        self.readiness = Readiness()
        self.registry = Registry(self.readiness)
        self.requests = Requests(self.registry, self.metrics)
        self.streams = Streams(self.config, self.metrics)
        self.v1 = PredictionService(self.registry, self.requests, self.streams)
        self.oip = self.make_oip()

    def make_oip(self, control: ModelControl | None = None) -> OipService:
        return OipService(self.registry, self.readiness, self.requests, self.streams, "0", control)

    def endpoints(self) -> list[Endpoint]:
        """Return what is answered over HTTP."""
        return [
            *v1_over_http.endpoints(self.v1, self.requests),
            *oip_over_http.endpoints(self.oip, self.requests),
        ]

    def serve(self, paths: Mapping[tuple[str, int], Path]) -> None:
        """Serve these bundles, by name and version, in the running loop, and be ready."""
        for (name, version), path in paths.items():
            model = Model(
                read_bundle(path),
                max_batch_size=self.config.max_batch_size,
                n_threads=1,
                cpus=1,
                slow_above_s=9.0,
            )
            metrics = self.metrics.model(name, version, model.manifest)
            self.registry.add(name, version, Engine(model, metrics, self.config))
        self.readiness.publish(ready=True)

    async def predict(self, body: bytes, deadline_s: float = math.inf) -> PredictResponse:
        """Answer a PredictRequest."""
        return PredictResponse.FromString(await self.v1.predict(body, deadline_s, lambda: ()))

    def ended(self) -> int:
        """Return how many requests for predictions were counted as ended."""
        models = self.metrics._models.values()
        return sum(self.metrics.unattributed.values()) + sum(sum(model.requests.values()) for model in models)
