"""How a protocol puts a request for predictions to a served version, and its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from tamiz_server.engine.request import Answer, Request
from tamiz_server.errors import InvalidRequest
from tamiz_server.model.message_size import check_layout
from tamiz_server.serving.served import Served

_Message = TypeVar("_Message", bound=Message)
_Asked = TypeVar("_Asked")
_Written_co = TypeVar("_Written_co", covariant=True)


class Dialect(Protocol[_Asked, _Written_co]):
    """How one protocol puts a request for predictions, and its answer. All but `write` raise InvalidRequest.

    Attributes:
        method: the method that is called, "package.Service/Method".
        held_back: whether requests come on streams, which send only so many at a time; see `shedding`.
    """

    method: str
    held_back: bool

    def parse(self, body: bytes) -> _Asked:
        """Return the message."""

    def model(self, message: _Asked) -> tuple[str, int, str]:
        """Return name, version and label of the model, as `Registry.find` takes them."""

    def read(self, message: _Asked, served: Served, deadline_s: float, n_bytes: int) -> Request:
        """Return the request.

        Args:
            message: what `parse` returned.
            served: the version that answers it.
            deadline_s: when the call ends; the message may set an earlier deadline.
            n_bytes: how large the message was on the wire.
        """

    def write(self, message: _Asked, served: Served, answer: Answer) -> _Written_co:
        """Return the answer as it is sent."""


def parse_or_say_why(parse: Callable[[bytes], _Message], body: bytes) -> _Message | InvalidRequest:
    """Return what `parse` makes of a message; or its refusal, for `Requests.answer` to say and count."""
    try:
        return parse(body)
    except InvalidRequest as error:
        return error


def given(parsed: _Asked | InvalidRequest) -> _Asked:
    """Return what `parse_or_say_why` returned, or raise it."""
    if isinstance(parsed, InvalidRequest):
        raise parsed
    return parsed


def parse(type_: type[_Message], body: bytes) -> _Message:
    """Return bytes as a message.

    Raises:
        InvalidRequest: if they are not one, or if it has too many parts; see `message_size`.
    """
    check_layout(body, type_)
    try:
        return type_.FromString(body)
    except DecodeError as error:
        raise InvalidRequest(f"the message is not a valid {type_.DESCRIPTOR.full_name}: {error}") from error
