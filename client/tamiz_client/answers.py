"""What a server answers is checked before it is believed: a proxy may mix answers up, a server be broken.

Whatever cannot be an answer to what was asked is an InvalidAnswer, and none of it is returned.
"""

from __future__ import annotations

from itertools import repeat
from typing import Final, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from tamiz.gate import NO_CLASS, TOLERANCE
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz.v1.prediction_pb2 import GetModelRequest, GetModelResponse, PredictRequest, PredictResponse, Reason
from tamiz_client.errors import InvalidAnswer, ModelChanged
from tamiz_client.result import ModelInfo, Result, to_result

_COLUMNS: Final = ("accepted", "reasons", "class_index", "confidence")
_IF_THRESHOLDS_DIFFER: Final = ("thresholds", "rows_certified")
_MIN_CLASSES: Final = 2
_MOST: Final = 1.0 + TOLERANCE
# As numbers: an enum's look-up by name takes a microsecond.
_NO_REASON: Final = Reason.Value("REASON_NONE")
_WITHOUT_CLASS: Final = (Reason.Value("REASON_INVALID_INPUT"), Reason.Value("REASON_INVALID_OUTPUT"))

_Message = TypeVar("_Message", bound=Message)


def parse(type_: type[_Message], body: bytes) -> _Message:
    """Return an answer's bytes as a message.

    Raises:
        InvalidAnswer: if they are not one.
    """
    try:
        return type_.FromString(body)
    except DecodeError as error:
        raise InvalidAnswer(f"it is not a {type_.DESCRIPTOR.full_name}: {error}") from error


def read_info(body: bytes, asked: GetModelRequest) -> ModelInfo:
    """Return the model that a GetModelResponse describes.

    Raises:
        InvalidAnswer: if it is about another model or version, or nobody could encode rows for it.
    """
    response = parse(GetModelResponse, body)
    _require_model((response.name, response.version), (asked.name, asked.version))
    manifest = response.manifest
    if not manifest.inputs:
        raise InvalidAnswer("the description of the model names no input")
    for spec in manifest.inputs:
        _require_input(spec)
    if len({spec.name for spec in manifest.inputs}) < len(manifest.inputs):
        raise InvalidAnswer("the description of the model names an input twice")
    classes = manifest.classes
    if bool(classes.strings) == bool(classes.integers) or len(classes.strings or classes.integers) < (
        _MIN_CLASSES
    ):
        raise InvalidAnswer("the description of the model does not name its classes")
    return ModelInfo.of(response)


def _require_input(spec: InputSpec) -> None:
    if spec.dtype == DataType.DATA_TYPE_UNSPECIFIED or spec.dtype not in DataType.values():
        raise InvalidAnswer(
            f"input {spec.name!r} has the dtype number {spec.dtype}, which this client does not know; use"
            " a newer one"
        )
    if not spec.name or not spec.shape or spec.shape[0] != -1 or min(spec.shape) < -1:
        raise InvalidAnswer(f"input {spec.name!r} has the shape {list(spec.shape)}: expected -1 rows first")


def read_result(response: PredictResponse, asked: PredictRequest, n_rows: int, info: ModelInfo) -> Result:
    """Return the answer to a request.

    Args:
        response: what was answered.
        asked: what was asked; its inputs are not looked at.
        n_rows: for how many rows.
        info: the model that the rows were encoded for.

    Raises:
        InvalidAnswer: if it is not about these rows or this model, or contradicts itself.
        ModelChanged: if the version has other classes than it had when it was looked up.
    """
    _require_model((response.model_name, response.model_version), (asked.model_name, asked.model_version))
    if response.model_version == info.version and response.classes != info.manifest.classes:
        raise ModelChanged(
            f"{info.name}/{info.version} answered with other classes than it was looked up with",
            "FAILED_PRECONDITION",
        )
    _require_lengths(response, n_rows, wants_probabilities=asked.return_probabilities)
    _require_decisions(response, asked)
    if asked.return_probabilities:
        _require_probabilities(response)
    return to_result(response)


def _require_model(got: tuple[str, int], asked: tuple[str, int]) -> None:
    if got[0] != asked[0] or got[1] < 1 or asked[1] not in (0, got[1]):
        version = f" version {asked[1]}" if asked[1] else ""
        raise InvalidAnswer(
            f"model {asked[0]!r}{version} was asked, model {got[0]!r} version {got[1]} answered"
        )


def _require_lengths(response: PredictResponse, n_rows: int, *, wants_probabilities: bool) -> None:
    """Require one entry per row in every column."""
    for name in (*_COLUMNS, *_IF_THRESHOLDS_DIFFER):
        length = len(getattr(response, name))
        if length != n_rows and not (name in _IF_THRESHOLDS_DIFFER and length == 0):
            raise InvalidAnswer(f"{n_rows} rows were asked, {name} has {length} entries")
    n_classes = len(response.classes.strings or response.classes.integers)
    expected = n_rows * n_classes * 8 if wants_probabilities else 0
    if len(response.probabilities) != expected:
        raise InvalidAnswer(
            f"the probabilities have {len(response.probabilities)} bytes: expected {expected} for {n_rows}"
            f" rows and {n_classes} classes"
        )


def _require_decisions(response: PredictResponse, asked: PredictRequest) -> None:
    """Require of each row what every gate does; see `tamiz.gate`."""
    n_classes = len(response.classes.strings or response.classes.integers)
    wanted = asked.threshold if asked.HasField("threshold") else 0.0
    rows = zip(
        response.accepted,
        response.reasons,
        response.class_index,
        response.confidence,
        response.thresholds or repeat(response.threshold),
        strict=False,  # the lengths were compared
    )
    for number, (accepted, reason, index, confidence, threshold) in enumerate(rows):
        if accepted:
            decided = index < n_classes and confidence >= threshold  # a reason says nothing then
        else:
            hidden = index == NO_CLASS
            shown = index < n_classes and reason not in _WITHOUT_CLASS  # the operator may reveal it
            decided = reason != _NO_REASON and (hidden or shown)
        if not (decided and 0.0 <= confidence <= _MOST and threshold >= wanted):
            raise InvalidAnswer(
                f"row {number} is {'accepted' if accepted else 'abstained'} with the reason {reason}, class"
                f" {index} of {n_classes}, confidence {confidence:g} and threshold {threshold:g} (asked:"
                f" {wanted:g}): no gate decides so"
            )


def _require_probabilities(response: PredictResponse) -> None:
    """Require probabilities of each accepted row."""
    n_rows = len(response.accepted)
    values = np.frombuffer(response.probabilities, dtype="<f8").reshape(n_rows, -1)
    proper = ((values >= -TOLERANCE) & (values <= _MOST)).all(axis=1)
    lacking = np.array(response.accepted, dtype=bool) & ~proper
    if lacking.any():
        raise InvalidAnswer(f"row {int(lacking.argmax())} is accepted and has no probabilities")
