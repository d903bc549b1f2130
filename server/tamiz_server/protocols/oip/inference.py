"""How the protocol puts a request for predictions, and its answer."""

from __future__ import annotations

import re
import time
from typing import Final
from weakref import WeakKeyDictionary

from tamiz.oip.inference import DESCRIPTOR, ModelInferRequest, ModelInferResponse, ModelStreamInferResponse
from tamiz_server.engine.work import Answer
from tamiz_server.errors import TamizError
from tamiz_server.model.inputs import Inputs
from tamiz_server.protocols.oip.outputs import PROBABILITIES, Labels, add_outputs, requested_outputs
from tamiz_server.protocols.oip.parameters import read_gives_way, read_threshold, read_timeout_s
from tamiz_server.protocols.oip.tensors import read_inputs
from tamiz_server.serving.dialect import Wish, parse
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

    def model(self, request: ModelInferRequest) -> tuple[str, int, str]:
        """Return name, version and label of the model."""
        return request.model_name, *version_or_label(request.model_version)

    def read(self, request: ModelInferRequest, served: Served, deadline_s: float) -> tuple[Inputs, int, Wish]:
        """Return the inputs, how many rows they have, and what is wished."""
        timeout_s = read_timeout_s(request.parameters)
        if timeout_s is not None:
            deadline_s = min(deadline_s, time.monotonic() + timeout_s)
        probabilities = PROBABILITIES in requested_outputs(request)
        inputs, n_rows = read_inputs(request, served.engine.model.specs)
        threshold, gives_way = read_threshold(request.parameters), read_gives_way(request.parameters)
        return inputs, n_rows, Wish(threshold, deadline_s, probabilities, gives_way)

    def write(self, request: ModelInferRequest, served: Served, answer: Answer, threshold: float) -> bytes:
        """Return the answer as a message."""
        return self.respond(request, served, answer, threshold).SerializeToString()

    def respond(
        self, request: ModelInferRequest, served: Served, answer: Answer, threshold: float
    ) -> ModelInferResponse:
        """Return the answer."""
        response = ModelInferResponse(
            model_name=served.name, model_version=str(served.version), id=request.id
        )
        add_outputs(response, requested_outputs(request), self.labels(served), answer, threshold)
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

    def write(self, request: ModelInferRequest, served: Served, answer: Answer, threshold: float) -> bytes:
        """Return the answer as a message of a stream."""
        response = self.respond(request, served, answer, threshold)
        # Triton's clients may ask to be told which answer to a request is the last: here there is one to each.
        if _FINAL_WANTED in request.parameters and request.parameters[_FINAL_WANTED].bool_param:
            response.parameters["triton_final_response"].bool_param = True
        return ModelStreamInferResponse(infer_response=response).SerializeToString()


def failure_on_stream(request: ModelInferRequest | None, error: TamizError) -> bytes:
    """Return an error as a message of a stream."""
    return ModelStreamInferResponse(
        error_message=f"{error.code}: {error}",
        infer_response=ModelInferResponse(id=request.id if request else ""),
    ).SerializeToString()


def version_or_label(version: str) -> tuple[int, str]:
    """Return what the protocol calls a version as the service knows it: a number (0: none was named), or a label."""
    return (int(version), "") if _VERSION.fullmatch(version) else (0, version)
