"""Access control in front of every service on a gRPC server: ours, health, reflection, and those to come."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from grpc import aio

from tamiz_server.access.access import CALLER, Access
from tamiz_server.errors import MetadataTooLarge, TamizError

_OVERHEAD_BYTES: Final = 32
"""What a field counts besides its name and value (RFC 9113, section 6.5.2)."""


class Gate(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic only in the type stubs
    """The first whom grpc asks for a call's method: it refuses the call, or leaves it to those that are asked next.

    An interceptor would do the same with two more coroutines per call.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return a method that refuses; or None, and the call's method will see its caller as `CALLER`."""
        try:
            CALLER.set(self._access.admit(handler_call_details.method, _authorization(handler_call_details)))
        except TamizError as error:
            return _refusal(error)
        return None


class MetadataLimit(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic only in the type stubs
    """Refuses calls with more metadata than may be.

    gRPC does so itself where a frame ends within a field, as its own clients send them. In frames that hold whole fields it
    limits each field, and lets 16 MB of them pass.
    """

    def __init__(self, max_bytes: int, refused: Counter[str]) -> None:
        self._refusal = _refusal(MetadataTooLarge(f"the metadata is larger than {max_bytes} bytes"))
        self._max_bytes = max_bytes
        self._refused = refused

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return a method that refuses; or None."""
        metadata = handler_call_details.invocation_metadata or ()
        size = sum(len(key) + len(value) + _OVERHEAD_BYTES for key, value in metadata)
        if size <= self._max_bytes:
            return None
        self._refused[MetadataTooLarge.code] += 1
        return self._refusal


def _authorization(details: grpc.HandlerCallDetails) -> str | None:
    for key, value in details.invocation_metadata or ():
        if key == "authorization":
            return str(value)
    return None


def _refusal(error: TamizError) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(_: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]) -> None:
        await context.abort(grpc.StatusCode[error.code], str(error))

    # On the wire a stream of one message looks like any other call; and of a stream nothing is read unasked.
    return grpc.stream_stream_rpc_method_handler(refuse)
