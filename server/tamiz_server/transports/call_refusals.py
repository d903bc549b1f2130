"""Refuses calls before any service sees them: without permission, or with too much metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final, NoReturn

import grpc
from grpc import aio

from tamiz.call_metadata import NOT_TAKEN
from tamiz_server.access.access import CALLER, Access
from tamiz_server.errors import MetadataTooLarge, TamizError, Unavailable

_OVERHEAD_BYTES: Final = 32
"""How many bytes a field counts in addition to its name and value (RFC 9113, section 6.5.2)."""


class Admission(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic only in the type stubs
    """Access control: the first of the server's handlers, so that it can refuse any call.

    It is not an interceptor, because that costs two more coroutines per call.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return a method that refuses the call; or None, with the caller in `CALLER` for its method."""
        try:
            CALLER.set(self._access.admit(handler_call_details.method, _authorization(handler_call_details)))
        except TamizError as error:
            return _refusal(error)
        return None


class MetadataLimit(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic only in the type stubs
    """Refuses calls with too much metadata.

    gRPC itself does so if a frame ends within a field, as with its own clients. If frames hold whole fields,
    gRPC limits each field, but accepts 16 MB of them.
    """

    def __init__(self, max_bytes: int, refused: Counter[str]) -> None:
        self._refusal = _refusal(MetadataTooLarge(f"the metadata is larger than {max_bytes} bytes"))
        self._max_bytes = max_bytes
        self._refused = refused

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return a method that refuses the call; or None."""
        metadata = handler_call_details.invocation_metadata or ()
        size = sum(len(key) + len(value) + _OVERHEAD_BYTES for key, value in metadata)
        if size <= self._max_bytes:
            return None
        self._refused[MetadataTooLarge.code] += 1
        return self._refusal


async def end_with(error: TamizError, context: aio.ServicerContext[Any, Any]) -> NoReturn:
    """End a call with an error, in the words and the status that callers see."""
    metadata = (NOT_TAKEN,) if isinstance(error, Unavailable) else ()
    await context.abort(grpc.StatusCode[error.code], str(error), metadata)


def _authorization(details: grpc.HandlerCallDetails) -> str | None:
    for key, value in details.invocation_metadata or ():
        if key == "authorization":
            return str(value)
    return None


def _refusal(error: TamizError) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(_: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]) -> None:
        await end_with(error, context)

    # On the wire, a call with one message looks like a stream with one message. And grpc does not read a
    # stream until it is asked to.
    return grpc.stream_stream_rpc_method_handler(refuse)
