"""JSON as it travels: read strictly and within bounds, written so that every reader takes it."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf.message import Message

from tamiz_server.errors import InvalidRequest

MOST_PARTS: Final = 2**19
"""How many elements a text may have. A list of two bytes becomes an object of 56, and takes its time."""

_MOST_DIGITS: Final = 1_000
"""How many digits a whole number may have: the time to read one grows with their square."""

_SHOWN: Final = 60


def read_json(body: bytes) -> Any:
    """Return what a text says. NaN and Infinity are read as Python writes them, though JSON has none.

    Raises:
        InvalidRequest: if it is not JSON in UTF-8 (RFC 8259), names a member twice, is nested too deep or has
            too many elements.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_PARTS:
        raise InvalidRequest(
            f"the JSON has more than {MOST_PARTS} elements: send its rows in several requests, or as binary"
            " tensors of the Open Inference Protocol"
        )
    try:
        found = _DECODER.decode(body.decode())
        if b"\\ud" in body or b"\\uD" in body:
            _require_whole_characters(found)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8, which JSON is written in: {error.reason}") from error
    except RecursionError as error:
        raise InvalidRequest("the JSON is nested too deep") from error
    except ValueError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from error
    return found


def write_json(value: Any) -> bytes:
    """Return a value as JSON. The caller has put None in the place of what JSON does not have."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def members(value: Any, what: str, known: Iterable[str]) -> Mapping[str, Any]:
    """Return an object whose members are known.

    Raises:
        InvalidRequest: if it is something else, or has another member.
    """
    if not isinstance(value, dict):
        raise InvalidRequest(f"{what} is {shown(value)}: expected an object")
    unknown = next(iter(value.keys() - set(known)), None)
    if unknown is not None:
        raise InvalidRequest(f"{what} has the unknown member {unknown!r}: expected {', '.join(known)}")
    return value


def member(value: Mapping[str, Any], name: str, type_: type | tuple[type, ...], expected: str) -> Any:
    """Return a member of an object; None if it is missing or null.

    Raises:
        InvalidRequest: if it is of another type.
    """
    found = value.get(name)
    if found is None:
        return None
    # In Python, true and false are whole numbers.
    if not isinstance(found, type_) or (isinstance(found, bool) and type_ is not bool):
        raise InvalidRequest(f"{name} is {shown(found)}: expected {expected}")
    return found


def shown(value: Any) -> str:
    """Return the begin of a value, for people."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = str(value).lower() if isinstance(value, bool) else "null" if value is None else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def finite(value: float) -> float | None:
    """Return a number, or None for NaN and the infinities, which JSON does not have."""
    return value if math.isfinite(value) else None


def message_json(message: Message) -> dict[str, Any]:
    """Return a message as JSON has it, with the names of the contract. 64-bit numbers stay numbers.

    Protobuf's own mapping writes them as text, which clients of the Open Inference Protocol do not take.
    """
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"]
            found[field.name] = {str(key): _plain(inner, value[key]) for key in sorted(value)}
        elif field.is_repeated:
            found[field.name] = [_plain(field, each) for each in value]
        elif not field.has_presence or message.HasField(field.name):
            found[field.name] = _plain(field, value)
    return found


def _plain(field: Any, value: Any) -> Any:
    """Return the value of a field, which is a protobuf FieldDescriptor."""
    if field.message_type is not None:
        return message_json(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return finite(value) if isinstance(value, float) else value


def _require_whole_characters(value: Any) -> None:
    """Refuse an escape that is half of a surrogate pair: such a text has no encoding."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest("the JSON has an escape that is half of a surrogate pair") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object. Which of two members counts would be anybody's guess."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InvalidRequest(f"the JSON has the member {shown(twice)} twice in one object")
    return found


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise InvalidRequest(
            f"the JSON has a number of {len(digits)} digits: expected at most {_MOST_DIGITS}"
        )
    return int(digits)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole)
