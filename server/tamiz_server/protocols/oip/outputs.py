"""Decisions as output tensors, always raw: tritonclient reads nothing else but raw and bytes_contents."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from tamiz.gate import NO_CLASS
from tamiz.oip.inference import ModelInferRequest, ModelInferResponse
from tamiz.v1.manifest_pb2 import Classes
from tamiz.v1.prediction_pb2 import Reason
from tamiz_server.engine.request import Answer
from tamiz_server.errors import InvalidRequest
from tamiz_server.protocols.oip.tensors import BYTES

LABEL: Final = "label"
PROBABILITIES: Final = "probabilities"
_BY_DEFAULT: Final = (LABEL, "confidence", "accepted", "reason")
_ALL: Final = (*_BY_DEFAULT, PROBABILITIES, "threshold", "certified")
_INT64_MIN: Final = -(2**63)


def _element(value: bytes) -> bytes:
    """Return an element of a BYTES tensor: its length in four bytes, then itself."""
    return struct.pack("<I", len(value)) + value


_REASONS: Final = {
    reason: _element(
        b"" if reason == Reason.REASON_NONE else Reason.Name(reason).removeprefix("REASON_").encode()
    )
    for reason in Reason.values()
}


class Labels:
    """The classes of a model as elements of the output `label`.

    Attributes:
        datatype: BYTES or INT64.
        abstained: what stands in the place of an abstained row's label: no class of the model.
        n_classes: how many there are.
    """

    def __init__(self, classes: Classes) -> None:
        self.abstained: str | int
        if classes.integers:
            self.datatype = "INT64"
            self.abstained = next(
                value
                for value in range(_INT64_MIN, _INT64_MIN + len(classes.integers) + 1)
                if value not in set(classes.integers)
            )
            elements = [struct.pack("<q", each) for each in (*classes.integers, self.abstained)]
        else:
            self.datatype = BYTES
            self.abstained = next(
                text
                for text in ("_" * n for n in range(len(classes.strings) + 1))
                if text not in set(classes.strings)
            )
            elements = [_element(each.encode()) for each in (*classes.strings, self.abstained)]
        self.n_classes = len(elements) - 1
        self._elements = dict(enumerate(elements[:-1])) | {NO_CLASS: elements[-1]}

    def raw(self, class_index: Iterable[int]) -> bytes:
        """Return the labels of rows, by class index, as a raw tensor."""
        return b"".join(map(self._elements.__getitem__, class_index))


def output_tensors(labels: Labels) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return name, datatype and shape without rows of every output of a model."""
    tails = {PROBABILITIES: (labels.n_classes,)}
    return [(name, _datatype(name, labels), tails.get(name, ())) for name in _ALL]


def requested_outputs(request: ModelInferRequest) -> Sequence[str]:
    """Return the names of the outputs that a request asks for.

    Raises:
        InvalidRequest: for one that is not there, or asked for twice.
    """
    if not request.outputs:
        return _BY_DEFAULT
    names = [each.name for each in request.outputs]
    for name in names:
        if name not in _ALL:
            raise InvalidRequest(f"unknown output {name!r}: there are {', '.join(_ALL)}")
    if len(set(names)) != len(names):
        raise InvalidRequest(f"an output was requested twice: {', '.join(names)}")
    return names


def add_outputs(response: ModelInferResponse, names: Iterable[str], labels: Labels, answer: Answer) -> None:
    """Put the outputs of these names into a response."""
    n_rows = len(answer.accepted)
    for name in names:
        shape = (n_rows, labels.n_classes) if name == PROBABILITIES else (n_rows,)
        response.outputs.add(name=name, datatype=_datatype(name, labels), shape=shape)
        response.raw_output_contents.append(_raw(name, labels, answer))


def _datatype(name: str, labels: Labels) -> str:
    return {LABEL: labels.datatype, "accepted": "BOOL", "reason": BYTES, "certified": "BOOL"}.get(
        name, "FP64"
    )


def _raw(name: str, labels: Labels, answer: Answer) -> bytes:
    """Return one output as bytes."""
    n_rows = len(answer.accepted)
    match name:
        case "label":
            return labels.raw(answer.class_index)
        case "confidence":
            return struct.pack(f"<{n_rows}d", *answer.confidence)
        case "accepted" | "certified":
            return bytes(answer.accepted if name == "accepted" else _certified(answer))
        case "reason":
            return b"".join(map(_REASONS.__getitem__, answer.reasons))
        case "probabilities":
            return np.concatenate(answer.probabilities).tobytes()
        case _:
            return struct.pack(f"<{n_rows}d", *(answer.thresholds or [answer.threshold] * n_rows))


def _certified(answer: Answer) -> list[bool]:
    """Return whether the promise holds at the threshold of each row."""
    return answer.rows_certified or [answer.has_promise] * len(answer.accepted)
