"""How a protocol puts a request for predictions to a served version, and its answer."""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from tamiz_server.engine.work import Answer
from tamiz_server.errors import InvalidRequest
from tamiz_server.model.inputs import Inputs
from tamiz_server.serving.message_size import check_layout
from tamiz_server.serving.served import Served

_Message = TypeVar("_Message", bound=Message)
_Request = TypeVar("_Request")


class Wish(NamedTuple):
    """What a request for predictions says besides its rows, in any protocol.

    Attributes:
        threshold: the smallest confidence that the caller accepts; None where it says nothing.
        deadline_s: when it stops waiting, on time.monotonic's clock; infinite when never.
        probabilities: whether the answer shall hold them.
        gives_way: whether others go first while it waits.
    """

    threshold: float | None
    deadline_s: float
    probabilities: bool
    gives_way: bool = False


class Dialect(Protocol[_Request]):
    """How one protocol puts a request for predictions, and its answer. All but `write` raise InvalidRequest.

    Attributes:
        method: the method that it is put to, "package.Service/Method".
        held_back: whether it comes on streams, which send no more than so many requests at a time; see `shedding`.
    """

    method: str
    held_back: bool

    def parse(self, body: bytes) -> _Request:
        """Return the message."""

    def model(self, request: _Request) -> tuple[str, int, str]:
        """Return name, version and label of the model, as `Registry.find` takes them."""

    def read(self, request: _Request, served: Served, deadline_s: float) -> tuple[Inputs, int, Wish]:
        """Return the inputs, how many rows they have, and what is wished; the call itself ends at `deadline_s`."""

    def write(self, request: _Request, served: Served, answer: Answer, threshold: float) -> bytes:
        """Return the answer as a message; `threshold` is the one that all rows had to reach, unless the answer says."""


def parse(type_: type[_Message], body: bytes) -> _Message:
    """Return bytes as a message.

    Raises:
        InvalidRequest: if they are none, or have too many parts; see `layout`.
    """
    check_layout(body, type_)
    try:
        return type_.FromString(body)
    except DecodeError as error:
        raise InvalidRequest(f"the message is no {type_.DESCRIPTOR.full_name}: {error}") from error
