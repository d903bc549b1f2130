"""What a call says and how its answer is read, without I/O: both clients drive the same steps.

A method of `Calls` is a generator: it yields (path, request bytes) and is sent the answer's bytes, or has the error of
the call thrown into it; what it returns is the result.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from tamiz.v1.prediction_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    PredictResponse,
)
from tamiz_client.channel import GET_MODEL, HEALTH, LIST_MODELS, PREDICT
from tamiz_client.encoding import build_request
from tamiz_client.errors import DeadlineExceeded, InvalidRequest, ModelNotFound, ServerUnavailable
from tamiz_client.messages import health_request, is_serving
from tamiz_client.result import ModelInfo, Result, to_result

T = TypeVar("T")
Version = int | str | None
"""A version, the label of one, or None for the highest."""

Steps = Generator[tuple[str, bytes], bytes, T]


class Calls:
    """The calls of one client, and what it remembers of the models: their inputs, looked up once."""

    def __init__(self) -> None:
        self._infos: dict[tuple[str, Version], ModelInfo] = {}

    def predict(self, model: str, rows: Any, *, version: Version, **wishes: Any) -> Steps[Result]:
        """Ask for predictions; `wishes` are those of `encoding.build_request`."""
        info = yield from self._info(model, version)

        def ask(info: ModelInfo) -> Steps[Result]:
            request = build_request(model, rows, info.manifest.inputs, version=version, **wishes)
            body = yield PREDICT, request.SerializeToString()
            return to_result(PredictResponse.FromString(body))

        try:
            result = yield from ask(info)
        except InvalidRequest:
            # The model may have been replaced by one with other inputs since they were looked up.
            self._forget(model, version)
            fresh = yield from self._info(model, version)
            if fresh.manifest.inputs == info.manifest.inputs:
                raise
            result = yield from ask(fresh)
        if result.model_version != info.version:
            self._forget(model, version)
        return result

    def info(self, model: str, version: Version) -> Steps[ModelInfo]:
        """Return what a version says of itself, as far as it is known; ask otherwise."""
        return self._info(model, version)

    def models(self) -> Steps[dict[str, list[int]]]:
        """Ask for the served models."""
        body = yield LIST_MODELS, ListModelsRequest().SerializeToString()
        return {each.name: list(each.versions) for each in ListModelsResponse.FromString(body).models}

    def model(self, name: str, version: Version) -> Steps[ModelInfo]:
        """Ask what a served version says of itself."""
        request = GetModelRequest(name=name)
        if isinstance(version, str):
            request.model_label = version
        else:
            request.version = version or 0
        body = yield GET_MODEL, request.SerializeToString()
        return ModelInfo.of(GetModelResponse.FromString(body))

    def health(self, model: str) -> Steps[bool]:
        """Ask whether the server or a model is serving; no answer counts as no."""
        try:
            body = yield HEALTH, health_request(model)
        except (DeadlineExceeded, ModelNotFound, ServerUnavailable):
            return False
        return is_serving(body)

    def _info(self, model: str, version: Version) -> Steps[ModelInfo]:
        key = (model, version or None)
        if key not in self._infos:
            self._infos[key] = yield from self.model(model, version)
        return self._infos[key]

    def _forget(self, model: str, version: Version) -> None:
        self._infos.pop((model, version or None), None)
