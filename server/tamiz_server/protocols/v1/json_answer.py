"""The answer to a request for predictions in JSON: a record for each row, or columns, as rows were sent."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from tamiz.gate import NO_CLASS
from tamiz.v1.prediction_pb2 import Reason
from tamiz_server.engine.request import Answer
from tamiz_server.protocols.v1.json_request import JsonRequest
from tamiz_server.serving.endpoints import Reply, json_reply
from tamiz_server.serving.json_text import finite
from tamiz_server.serving.served import Served

_REASONS: Final = {
    reason: None if reason == Reason.REASON_NONE else Reason.Name(reason).removeprefix("REASON_")
    for reason in Reason.values()
}


def reply(asked: JsonRequest, served: Served, answer: Answer) -> Reply:
    """Return an answer. The label of an abstained row is null, and so are its probabilities."""
    classes = served.engine.model.manifest.classes
    labels: list[Any] = list(classes.strings or classes.integers)
    about: dict[str, Any] = {
        "model_name": served.name,
        "model_version": served.version,
        "threshold": finite(max(answer.thresholds) if answer.thresholds else answer.threshold),
        "certified": answer.certified,
        "queue_duration_us": math.ceil(answer.queue_s * 1e6),
        "compute_duration_us": math.ceil(answer.compute_s * 1e6),
    }
    if asked.id:
        about["id"] = asked.id
    columns = _columns(answer, labels)
    if asked.return_probabilities:
        about["classes"] = labels
    if asked.in_columns:
        return json_reply(about | {"outputs": columns})
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return json_reply(about | {"predictions": rows})


def _columns(answer: Answer, labels: list[Any]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        "accepted": answer.accepted,
        "label": [None if index == NO_CLASS else labels[index] for index in answer.class_index],
        "confidence": [*map(finite, answer.confidence)],
        "reason": [_REASONS[reason] for reason in answer.reasons],
    }
    if answer.thresholds:
        columns["threshold"] = [*map(finite, answer.thresholds)]
        columns["certified"] = answer.rows_certified
    if answer.probabilities:
        rows = np.concatenate(answer.probabilities).tolist()
        columns["probabilities"] = [row if all(map(math.isfinite, row)) else None for row in rows]
    return columns
