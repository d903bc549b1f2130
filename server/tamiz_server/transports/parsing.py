"""Protects gRPC's own services (health, reflection) from bytes that are not their messages.

By itself, grpcio answers such bytes with UNKNOWN ("this is a bug") and logs a stack trace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from inspect import isasyncgenfunction
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from tamiz_server.access.access import paced

_Context = aio.ServicerContext[Any, Any]
_Parse = Callable[[bytes, _Context], Awaitable[Any]]
_Read = Callable[[_Context], Awaitable[bytes]]


class ParsingServer:
    """Stands in for a server when a generated function adds a service to it."""

    def __init__(self, server: aio.Server, refused: Counter[str], read: _Read) -> None:
        """Wrap a server, and count refused calls by status; `read` returns the message of a call with one."""
        self._server = server
        self._refused = refused
        self._read = read

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler[Any, Any]]) -> None:
        """Add handlers; a message that they cannot read is refused with INVALID_ARGUMENT."""
        self._server.add_generic_rpc_handlers(
            [_Parsing(each, self._refused, self._read) for each in handlers]
        )

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Ignore these: the same handlers also come as generic ones."""


class _Parsing(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic only in the type stubs
    def __init__(
        self, handlers: grpc.GenericRpcHandler[Any, Any], refused: Counter[str], read: _Read
    ) -> None:
        self._handlers = handlers
        self._refused = refused
        self._read = read

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        found = self._handlers.service(handler_call_details)
        return found and _parsing(found, self._refused, self._read)


def _parsing(handler: Any, refused: Counter[str], read: _Read) -> grpc.RpcMethodHandler[Any, Any]:
    """Return a handler that parses its requests itself."""
    deserialize, serialize = handler.request_deserializer, handler.response_serializer

    async def parse(body: bytes, context: _Context) -> Any:
        try:
            return deserialize(body)
        except DecodeError as error:
            refused[grpc.StatusCode.INVALID_ARGUMENT.name] += 1
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"the message is not one of this method: {error}"
            )

    if handler.request_streaming:
        answers = _on_streams(handler.stream_stream, parse)
    else:
        answers = _on_message(handler.unary_stream or handler.unary_unary, parse, read)
    return grpc.stream_stream_rpc_method_handler(answers, response_serializer=serialize)


def _on_message(answer: Callable[..., Any], parse: _Parse, read: _Read) -> Any:
    assert not isasyncgenfunction(answer)  # noqa: S101  health's methods are plain coroutines

    async def handle(_: AsyncIterator[bytes], context: _Context) -> None:
        answered = await answer(await parse(await read(context), context), context)
        if answered is not None:  # a method that answers with a stream has written it
            await context.write(answered)

    return handle


def _on_streams(answer: Callable[..., Any], parse: _Parse) -> Any:
    async def requests(bodies: AsyncIterator[bytes], context: _Context) -> AsyncIterator[Any]:
        async for body in paced(bodies):
            yield await parse(body, context)

    async def handle(bodies: AsyncIterator[bytes], context: _Context) -> AsyncIterator[Any]:
        async with aclosing(answer(requests(bodies, context), context)) as answers:
            async for each in answers:
                yield each

    return handle
