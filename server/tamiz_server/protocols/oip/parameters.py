"""What the parameters of a request say: `threshold`, `timeout`, `priority`, `inputs_digest`.

Parameters with which Triton would answer something else are refused. Others that are not known, such as those
for a proxy on the way, change nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from tamiz.oip.inference import InferParameter, ModelInferRequest
from tamiz_server.errors import InvalidRequest

_KNOWN: Final = ("threshold", "timeout", "priority", "inputs_digest")
_ALIKE: Final = 0.8  # of difflib's ratio, from 0 to 1
_SHARED_MEMORY: Final = "tensors travel in the message, not in shared memory"
_NOT_OFFERED: Final[Mapping[str, str]] = dict.fromkeys(
    ("sequence_id", "sequence_start", "sequence_end"), "models have no state, so there are no sequences"
) | {
    "classification": "the output label holds the class, and probabilities that of every class",
    "shared_memory_region": _SHARED_MEMORY,
    "shared_memory_byte_size": _SHARED_MEMORY,
    "shared_memory_offset": _SHARED_MEMORY,
}
"""Parameters of Triton, and what there is instead. 0, false and "" mean that they are not used."""


def require_offered(message: ModelInferRequest) -> None:
    """Check that a request, its inputs and its outputs ask for nothing that the server does not do.

    Raises:
        InvalidRequest: for a parameter that is not offered, or is probably misspelt.
    """
    inputs = [(f" of {each.name!r}", each.parameters) for each in message.inputs]
    outputs = [(f" of {each.name!r}", each.parameters) for each in message.outputs]
    for whose, parameters in (("", message.parameters), *inputs, *outputs):
        for name in parameters:
            if name in _NOT_OFFERED and _value(parameters[name])[1]:
                raise InvalidRequest(f"parameter {name}{whose} is not offered: {_NOT_OFFERED[name]}")
            if not whose and (meant := _meant(name)):
                raise InvalidRequest(f"unknown parameter {name!r}: did you mean {meant}?")


@lru_cache(maxsize=256)
def _meant(name: str) -> str:
    """Return the parameter that a misspelt one is like; empty for one that is known, or like none."""
    near = () if name in _KNOWN else difflib.get_close_matches(name[:100], _KNOWN, 1, _ALIKE)
    return next(iter(near), "")


def read_threshold(parameters: Mapping[str, InferParameter]) -> float | None:
    """Return the smallest confidence that the caller accepts; None if it does not say.

    Clients differ in what they can send: KServe's cannot send a double. An integer other than 0 and 1 could
    be percent or per mille; the server does not guess.

    Raises:
        InvalidRequest: if it is not a number, or an ambiguous one.
    """
    if "threshold" not in parameters:
        return None
    kind, value = _value(parameters["threshold"])
    if kind == "double_param":
        return float(value)
    if kind in ("int64_param", "uint64_param") and value in (0, 1):
        return float(value)
    if kind == "string_param":
        try:
            return float(value)
        except ValueError:
            pass
    raise InvalidRequest(
        f"parameter threshold is {value!r} as {kind}: expected a confidence from 0 to 1, as a double, or as a"
        " string such as '0.9'"
    )


def read_timeout_s(parameters: Mapping[str, InferParameter]) -> float | None:
    """Return how many seconds the request may wait, as the parameter says in microseconds; None for no limit.

    Raises:
        InvalidRequest: if it is not a duration.
    """
    expected = "expected microseconds, as an integer that is not negative"
    return _whole(parameters, "timeout", expected) * 1e-6 or None


def read_low_priority(parameters: Mapping[str, InferParameter]) -> bool:
    """Return whether others go first while the request waits: its priority is 2 or more.

    Raises:
        InvalidRequest: if it is not a priority.
    """
    expected = "expected an integer, 1 or nothing for the higher, 2 for the lower"
    return _whole(parameters, "priority", expected) > 1


def _whole(parameters: Mapping[str, InferParameter], name: str, expected: str) -> int:
    """Return a parameter that is a whole number from 0; 0 if the request does not have it."""
    if name not in parameters:
        return 0
    kind, value = _value(parameters[name])
    if kind not in ("int64_param", "uint64_param") or int(value) < 0:
        raise InvalidRequest(f"parameter {name} is {value!r} as {kind}: {expected}")
    return int(value)


def read_inputs_digest(parameters: Mapping[str, InferParameter]) -> str:
    """Return what the rows were encoded for; empty if the caller does not say.

    Raises:
        InvalidRequest: if it is not a string.
    """
    if "inputs_digest" not in parameters:
        return ""
    kind, value = _value(parameters["inputs_digest"])
    if kind != "string_param":
        raise InvalidRequest(
            f"parameter inputs_digest is {value!r} as {kind}: expected a string, as ModelMetadata gives it"
        )
    return str(value)


def _value(parameter: InferParameter) -> tuple[str, float | str]:
    """Return which of its fields is filled, and with what."""
    kind = parameter.WhichOneof("parameter_choice")
    return (kind, getattr(parameter, kind)) if kind else ("nothing", "")
