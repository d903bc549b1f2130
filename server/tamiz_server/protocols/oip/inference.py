"""How the protocol puts a request for predictions, and its answer."""

from __future__ import annotations

import re
import time
from typing import Final
from weakref import WeakKeyDictionary

from tamiz.oip.inference import DESCRIPTOR, ModelInferRequest, ModelInferResponse, ModelStreamInferResponse
from tamiz_server.engine.request import Answer, Request
from tamiz_server.errors import TamizError
from tamiz_server.protocols.oip.outputs import PROBABILITIES, Labels, add_outputs, requested_outputs
from tamiz_server.protocols.oip.parameters import (
    read_inputs_digest,
    read_low_priority,
    read_threshold,
    read_timeout_s,
    require_offered,
)
from tamiz_server.protocols.oip.tensors import read_inputs
from tamiz_server.serving.dialect import parse
from tamiz_server.serving.served import Served

SERVICE_NAME: Final = DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

_VERSION: Final = re.compile("[1-9][0-9]{0,18}")
_FINAL_WANTED: Final = "triton_enable_empty_final_response"


class Inference:
    """The dialect of `inference.GRPCInferenceService`; see `tamiz_server.serving.dialect.Dialect`."""

    method = f"{SERVICE_NAME}/ModelInfer"
    held_back = False

    def __init__(self) -> None:
        self._labels: WeakKeyDictionary[Served, Labels] = WeakKeyDictionary()

    def parse(self, body: bytes) -> ModelInferRequest:
        """Return the message."""
        return parse(ModelInferRequest, body)

    def model(self, message: ModelInferRequest) -> tuple[str, int, str]:
        """Return name, version and label of the model."""
        return message.model_name, *version_or_label(message.model_version)

    def read(self, message: ModelInferRequest, served: Served, deadline_s: float, n_bytes: int) -> Request:
        """Return the request."""
        require_offered(message)
        served.require_inputs(read_inputs_digest(message.parameters))
        timeout_s = read_timeout_s(message.parameters)
        if timeout_s is not None:
            deadline_s = min(deadline_s, time.monotonic() + timeout_s)
        probabilities = PROBABILITIES in requested_outputs(message)
        inputs, n_rows = read_inputs(message, served.engine.model.specs)
        return Request(
            inputs,
            n_rows,
            wanted=read_threshold(message.parameters),
            deadline_s=deadline_s,
            wants_probabilities=probabilities,
            low_priority=read_low_priority(message.parameters),
            held_back=self.held_back,
            n_bytes=n_bytes,
        )

    def write(self, message: ModelInferRequest, served: Served, answer: Answer) -> bytes:
        """Return the answer as a message."""
        return self.respond(message, served, answer).SerializeToString()

    def respond(self, message: ModelInferRequest, served: Served, answer: Answer) -> ModelInferResponse:
        """Return the answer."""
        response = ModelInferResponse(
            model_name=served.name, model_version=str(served.version), id=message.id
        )
        response.parameters["certified"].bool_param = answer.certified
        add_outputs(response, requested_outputs(message), self.labels(served), answer)
        return response

    def labels(self, served: Served) -> Labels:
        """Return the classes of a version as labels; built once."""
        labels = self._labels.get(served)
        if labels is None:
            labels = self._labels[served] = Labels(served.engine.model.manifest.classes)
        return labels


class StreamInference(Inference):
    """The dialect of ModelStreamInfer: the same requests, answers wrapped."""

    method = f"{SERVICE_NAME}/ModelStreamInfer"
    held_back = True

    def write(self, message: ModelInferRequest, served: Served, answer: Answer) -> bytes:
        """Return the answer as a message of a stream."""
        response = self.respond(message, served, answer)
        # Triton's clients may ask which answer to a request is the last one: here there is only one.
        if _FINAL_WANTED in message.parameters and message.parameters[_FINAL_WANTED].bool_param:
            response.parameters["triton_final_response"].bool_param = True
        return ModelStreamInferResponse(infer_response=response).SerializeToString()


def failure_on_stream(message: ModelInferRequest | None, error: TamizError) -> bytes:
    """Return an error as a message of a stream."""
    return ModelStreamInferResponse(
        error_message=f"{error.code}: {error}",
        infer_response=ModelInferResponse(id=message.id if message else ""),
    ).SerializeToString()


def version_or_label(version: str) -> tuple[int, str]:
    """Return the number (0 if none was named) or the label that the protocol's version means."""
    return (int(version), "") if _VERSION.fullmatch(version) else (0, version)
