"""Access control in front of every service on a gRPC server: ours, health, reflection, and those to come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from tamiz_server.access import CALLER, Access
from tamiz_server.errors import TamizError


class AccessInterceptor(aio.ServerInterceptor):  # type: ignore[type-arg]  # generic only in the type stubs
    """Lets a call through to its method, or ends it before its first message is read."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Return the method's handler, or one that refuses; the method sees its caller as `CALLER`."""
        try:
            caller = self._access.admit(handler_call_details.method, _authorization(handler_call_details))
        except TamizError as error:
            return _refusal(error)
        CALLER.set(caller)
        return await continuation(handler_call_details)


def _authorization(details: grpc.HandlerCallDetails) -> str | None:
    return next(
        (str(value) for key, value in details.invocation_metadata or () if key == "authorization"), None
    )


def _refusal(error: TamizError) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(_: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]) -> None:
        await context.abort(grpc.StatusCode[error.code], str(error))

    # On the wire a stream of one message looks like any other call; and of a stream nothing is read unasked.
    return grpc.stream_stream_rpc_method_handler(refuse)
