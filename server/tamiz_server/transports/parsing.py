"""Services that come with gRPC (health, reflection), kept from bytes that are no message of theirs.

By itself grpcio answers such bytes with UNKNOWN, "this is a bug", and writes a traceback into the log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from inspect import isasyncgenfunction
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

_Context = aio.ServicerContext[Any, Any]


class ParsingServer:
    """Stands in a server's place when a generated function adds a service to it."""

    def __init__(self, server: aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler[Any, Any]]) -> None:
        """Add handlers; what they cannot read is refused with INVALID_ARGUMENT."""
        self._server.add_generic_rpc_handlers([_Parsing(each) for each in handlers])

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Pass over: the same handlers come as generic ones."""


class _Parsing(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic only in the type stubs
    def __init__(self, handlers: grpc.GenericRpcHandler[Any, Any]) -> None:
        self._handlers = handlers

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        found = self._handlers.service(handler_call_details)
        return found and _parsing(found)


def _parsing(handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
    """Return a handler that reads its requests itself."""
    parse, serialize = handler.request_deserializer, handler.response_serializer
    if handler.request_streaming:
        answers = _on_streams(handler.stream_stream, parse)
        return grpc.stream_stream_rpc_method_handler(answers, response_serializer=serialize)
    if handler.response_streaming:
        answer = _on_messages(handler.unary_stream, parse)
        return grpc.unary_stream_rpc_method_handler(answer, response_serializer=serialize)
    answer = _on_messages(handler.unary_unary, parse)
    return grpc.unary_unary_rpc_method_handler(answer, response_serializer=serialize)


def _on_messages(answer: Callable[..., Any], parse: Callable[[bytes], Any]) -> Any:
    assert not isasyncgenfunction(answer)  # noqa: S101  health's methods are none

    async def handle(body: bytes, context: _Context) -> Any:
        try:
            request = parse(body)
        except DecodeError as error:
            await _refuse(context, error)
        return await answer(request, context)

    return handle


def _on_streams(answer: Callable[..., Any], parse: Callable[[bytes], Any]) -> Any:
    async def requests(bodies: AsyncIterator[bytes], context: _Context) -> AsyncIterator[Any]:
        async for body in bodies:
            try:
                request = parse(body)
            except DecodeError as error:
                await _refuse(context, error)
            yield request

    async def handle(bodies: AsyncIterator[bytes], context: _Context) -> AsyncIterator[Any]:
        async with aclosing(answer(requests(bodies, context), context)) as answers:
            async for each in answers:
                yield each

    return handle


async def _refuse(context: _Context, error: DecodeError) -> NoReturn:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"the message is none of this method: {error}")
    raise AssertionError  # abort raises
