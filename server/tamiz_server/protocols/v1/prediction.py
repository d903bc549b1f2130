"""How the typed protocol puts a request for predictions, and its answer."""

from __future__ import annotations

import math
import time
from typing import Final

import numpy as np

from tamiz.v1.prediction_pb2 import (
    DESCRIPTOR,
    PredictRequest,
    PredictResponse,
    Priority,
    StreamPredictResponse,
)
from tamiz.wire_fields import write_varint
from tamiz_server.engine.request import Answer, Request
from tamiz_server.model.inputs import read_inputs
from tamiz_server.serving.dialect import parse
from tamiz_server.serving.served import Served

SERVICE_NAME: Final = DESCRIPTOR.services_by_name["PredictionService"].full_name

_LOW: Final = Priority.Value("PRIORITY_LOW")  # as a number: an enum's look-up by name takes a microsecond
_RESPONSE_TAG: Final = bytes([StreamPredictResponse.RESPONSE_FIELD_NUMBER << 3 | 2])
"""Field `response` of StreamPredictResponse, of protobuf's wire type 2: a length and as many bytes."""


class Typed:
    """The dialect of `tamiz.v1.PredictionService`; see `Dialect`."""

    method = f"{SERVICE_NAME}/Predict"
    held_back = False

    def parse(self, body: bytes) -> PredictRequest:
        """Return the message."""
        return parse(PredictRequest, body)

    def model(self, message: PredictRequest) -> tuple[str, int, str]:
        """Return name, version and label of the model."""
        return message.model_name, message.model_version, message.model_label

    def read(self, message: PredictRequest, served: Served, deadline_s: float, n_bytes: int) -> Request:
        """Return the request."""
        served.require_inputs(message.inputs_digest)
        inputs, n_rows = read_inputs(message.inputs, served.engine.model.specs)
        if message.timeout_us:
            deadline_s = min(deadline_s, time.monotonic() + message.timeout_us * 1e-6)
        return Request(
            inputs,
            n_rows,
            wanted=message.threshold if message.HasField("threshold") else None,
            deadline_s=deadline_s,
            wants_probabilities=message.return_probabilities,
            low_priority=message.priority == _LOW,
            held_back=self.held_back,
            n_bytes=n_bytes,
        )

    def write(self, message: PredictRequest, served: Served, answer: Answer) -> bytes:  # noqa: ARG002
        """Return the answer as a message."""
        return _serialize(served, answer)


TYPED: Final = Typed()


class TypedStream(Typed):
    """The same for the requests of a stream."""

    method = f"{SERVICE_NAME}/StreamPredict"
    held_back = True


TYPED_STREAM: Final = TypedStream()


def _serialize(served: Served, answer: Answer) -> bytes:
    probabilities = np.concatenate(answer.probabilities).tobytes() if answer.probabilities else b""
    columns = PredictResponse(
        accepted=answer.accepted,
        reasons=answer.reasons,
        class_index=answer.class_index,
        confidence=answer.confidence,
        threshold=answer.threshold,
        certified=answer.certified,
        probabilities=probabilities,
        queue_duration_us=math.ceil(answer.queue_s * 1e6),
        compute_duration_us=math.ceil(answer.compute_s * 1e6),
    )
    if answer.thresholds:
        columns.thresholds.extend(answer.thresholds)
        columns.rows_certified.extend(answer.rows_certified)
        columns.threshold = max(answer.thresholds)
    return served.prefix + columns.SerializeToString()


def on_stream(id_: str, response: bytes) -> bytes:
    """Return a StreamPredictResponse around a serialized PredictResponse.

    Its bytes are used as they are, instead of building the inner message again.
    """
    head = StreamPredictResponse(id=id_).SerializeToString()
    return b"".join((head, _RESPONSE_TAG, write_varint(len(response)), response))
