"""What a call says and how its answer is read, without I/O: both clients drive the same steps.

A method of `Calls` is a generator. It yields a path and the request's bytes, and gets the answer's bytes
sent, or the error of the call thrown in. Its return value is the result.
"""

from __future__ import annotations

import reprlib
from collections.abc import Generator
from typing import Any, Final, TypeVar

from tamiz.v1.prediction_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    PredictResponse,
)
from tamiz_client.channel import GET_MODEL, HEALTH, LIST_MODELS, PREDICT
from tamiz_client.encoding import build_request, number_and_label
from tamiz_client.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    ServerUnavailable,
    TamizClientError,
)
from tamiz_client.messages import health_request, is_serving
from tamiz_client.result import ModelInfo, Result, to_result

T = TypeVar("T")
Version = int | str | None
"""A version, the label of one, or None for the highest."""

NOT_READY: Final = (DeadlineExceeded, ModelNotFound, ServerUnavailable)
"""What a health check raises where nothing is serving (yet)."""

Steps = Generator[tuple[str, bytes], bytes, T]


class Calls:
    """The calls of one client, and what it remembers of the models: their inputs, looked up once."""

    def __init__(self) -> None:
        self._infos: dict[tuple[str, tuple[int, str]], ModelInfo] = {}

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
        """Return a version's description; ask the server only if it is not known yet."""
        return self._info(model, version)

    def models(self) -> Steps[dict[str, list[int]]]:
        """Ask for the served models."""
        body = yield LIST_MODELS, ListModelsRequest().SerializeToString()
        return {each.name: list(each.versions) for each in ListModelsResponse.FromString(body).models}

    def model(self, name: str, version: Version) -> Steps[ModelInfo]:
        """Ask for the description of a served version."""
        number, label = number_and_label(version)
        request = GetModelRequest(name=_named(name), version=number, model_label=label)
        body = yield GET_MODEL, request.SerializeToString()
        return ModelInfo.of(GetModelResponse.FromString(body))

    def health(self, model: str) -> Steps[bool]:
        """Ask whether the server or a model is serving."""
        body = yield HEALTH, health_request(model)
        return is_serving(body)

    def _info(self, model: str, version: Version) -> Steps[ModelInfo]:
        key = (_named(model), number_and_label(version))
        if key not in self._infos:
            self._infos[key] = yield from self.model(model, version)
        return self._infos[key]

    def _forget(self, model: str, version: Version) -> None:
        self._infos.pop((model, number_and_label(version)), None)


def _named(model: Any) -> str:
    """Return a model's name.

    Raises:
        TamizClientError: if it is not one.
    """
    if isinstance(model, str) and model:
        return model
    raise TamizClientError(
        f"the model is named by a string, such as 'churn', not by {type(model).__name__}"
        f" {reprlib.repr(model)}"
    )
