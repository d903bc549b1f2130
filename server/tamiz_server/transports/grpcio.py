"""Calls: the services behind grpcio's asyncio server, with health (`grpc.health.v1`) and reflection."""

from __future__ import annotations

import math
import time
import traceback
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any, Final

import grpc
from grpc import aio
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # has no stubs

from tamiz_server.access.access import OPEN, Access
from tamiz_server.access.tls import Certificates
from tamiz_server.access.watched import Watched
from tamiz_server.config.config import Config
from tamiz_server.config.host import shown, socket_path
from tamiz_server.errors import TamizError
from tamiz_server.serving.methods import Feed, Method, Methods, Stream
from tamiz_server.system.resources import room_for_connections
from tamiz_server.transports.call_refusals import Admission, MetadataLimit, end_with
from tamiz_server.transports.health import Health
from tamiz_server.transports.own_services import with_own_services
from tamiz_server.transports.ports import listening, try_port
from tamiz_server.transports.small_messages import SmallMessages

_Handler = Callable[[bytes, "aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]
_StreamHandler = Callable[[AsyncIterator[bytes], "aio.ServicerContext[bytes, bytes]"], Awaitable[None]]

_FOREVER_MS: Final = 2**31 - 1
# gRPC's default is two minutes, during which it keeps a connection that sends nothing.
_HANDSHAKE_WITHIN_MS: Final = 10_000
_ANSWER_WITHIN_MS: Final = 20_000  # gRPC's default for a keepalive ping

# grpc also prints some stack traces to standard error, where they break a log in JSON. There is no setting.
cygrpc.traceback = SimpleNamespace(**vars(traceback) | {"print_exc": lambda: None})


class GrpcServer:
    """A gRPC server in the running event loop.

    Attributes:
        port: the port that it listens on, once started.
    """

    def __init__(
        self,
        services: Sequence[Methods],
        config: Config,
        access: Access | None = None,
        certificates: Watched[Certificates] | None = None,
        refused: Counter[str] | None = None,
    ) -> None:
        """Build the server; without access control it admits everybody, without certificates it has no TLS.

        `refused` counts, by status, the calls refused here or by methods that do not predict. Access control
        counts its own refusals, and services count their requests for predictions.
        """
        self.port = 0
        refused = Counter() if refused is None else refused
        self._certificates = certificates
        self._config = config
        self._health = Health()
        self._server = aio.server(options=_options(config))
        self._server.add_generic_rpc_handlers((MetadataLimit(config.max_metadata_bytes, refused),))
        if access is not None:
            self._server.add_generic_rpc_handlers((Admission(access),))  # before all services
        offered = with_own_services(services, self._health, config)
        self._server.add_generic_rpc_handlers((_Handlers(offered, refused, SmallMessages(refused)),))

    async def start(self) -> None:
        """Listen. Health says NOT_SERVING until `set_health` changes that.

        Raises:
            ConfigError: if the port cannot be listened on.
        """
        config = self._config
        flag = "--host" if socket_path(config.host) else "--grpc-port"
        where = (flag, config.host, config.grpc_port)
        address = shown(config.host, config.grpc_port)
        try_port(*where)
        with listening(*where):
            try:
                if self._certificates is None:
                    self.port = self._server.add_insecure_port(address)
                else:
                    self.port = self._server.add_secure_port(address, _credentials(self._certificates))
            except RuntimeError as error:
                raise OSError(str(error)) from error
        await self._server.start()

    async def set_health(self, name: str, serving: bool | None) -> None:  # noqa: FBT001  as in a table
        """Set whether a service, a model or a version ("name/version") is served; None: it is not known.

        The empty name means the whole server.
        """
        self._health.set(name, serving)

    async def enter_graceful_shutdown(self) -> None:
        """Report NOT_SERVING for everything from now on; requests are still answered."""
        self._health.say_not_serving()

    async def stop(self, grace_s: float) -> None:
        """Accept no new calls, wait at most `grace_s` seconds for those in flight, and stop."""
        self._health.end()
        await self._server.stop(grace_s)


def _options(config: Config) -> list[tuple[str, int]]:
    keepalive_ms = round(config.keepalive_s * 1e3)
    answer_ms = min(keepalive_ms, _ANSWER_WITHIN_MS)
    age_ms = round(config.max_connection_age_s * 1e3) or _FOREVER_MS
    return [
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        # No compression: gRPC unpacks a message before it checks its size. Half a megabyte became 512 MB.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        # The same value twice: between the two limits gRPC would refuse calls at random.
        ("grpc.max_metadata_size", config.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", config.max_metadata_bytes),
        ("grpc.max_concurrent_streams", config.max_concurrent_streams),
        # It counts calls that have just ended, and so refuses clients that keep within their limit.
        ("grpc.http.overload_protection", 0),
        (
            "grpc.max_allowed_incoming_connections",
            room_for_connections(config.max_connections, 1 + config.has_http),
        ),
        ("grpc.max_connection_age_ms", age_ms),
        ("grpc.max_connection_age_grace_ms", round(config.max_connection_age_grace_s * 1e3)),
        ("grpc.keepalive_time_ms", keepalive_ms),
        # Both are needed: the second defaults to a minute, so a dead connection would stay open that long.
        ("grpc.keepalive_timeout_ms", answer_ms),
        ("grpc.http2.ping_timeout_ms", answer_ms),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_WITHIN_MS),
        # Pings are cheap, but punishing one costs the server 4 kB: half a million (8 MB) took 2 GB.
        ("grpc.http2.max_ping_strikes", 0),
        # A second server on the same port is a mistake, not a second worker.
        ("grpc.so_reuseport", 0),
    ]


def _credentials(certificates: Watched[Certificates]) -> grpc.ServerCredentials:
    """Return credentials. At every handshake gRPC fetches the current ones, in its own threads."""
    served = certificates.current()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal served
        current = certificates.current()
        if current is served:
            return None
        served = current
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(served),
        renewed,  # type: ignore[arg-type]  # the stubs do not know that None means no change
        require_client_authentication=served.client_ca is not None,
    )


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(certificates.key, certificates.chain)], certificates.client_ca
    )


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic only in the type stubs
    """Finds the handler of a call by its path; messages stay bytes."""

    def __init__(
        self, services: Sequence[Methods], refused: Counter[str], small_messages: SmallMessages
    ) -> None:
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for service in services:
            for name, method in service.methods.items():
                handler = _handler(method, None if name in service.predicts else refused)
                path = f"/{service.name}/{name}"
                self._handlers[path] = (
                    _as_stream(_open_handler(handler, small_messages))
                    if path in OPEN
                    else grpc.unary_unary_rpc_method_handler(handler)
                )
            for name, feed in service.feeds.items():
                self._handlers[f"/{service.name}/{name}"] = _as_stream(
                    _feed_handler(feed, refused, small_messages)
                )
            for name, stream in service.streams.items():
                self._handlers[f"/{service.name}/{name}"] = _as_stream(_stream_handler(stream, refused))

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handlers.get(handler_call_details.method)


def _handler(method: Method, refused: Counter[str] | None) -> _Handler:
    async def handle(body: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            return await method(body, _deadline_s(context), context.invocation_metadata)
        except TamizError as error:
            if refused is not None:
                refused[error.code] += 1
            await end_with(error, context)

    return handle


def _open_handler(handler: _Handler, small_messages: SmallMessages) -> _StreamHandler:
    # On the wire, a call with one message looks like a stream with one message; but a stream's is read here.
    async def handle(_: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]) -> None:
        await context.write(await handler(await small_messages.read(context), context))

    return handle


def _as_stream(handler: _StreamHandler) -> grpc.RpcMethodHandler[Any, Any]:
    return grpc.stream_stream_rpc_method_handler(handler)


def _feed_handler(feed: Feed, refused: Counter[str], small_messages: SmallMessages) -> _StreamHandler:
    async def handle(_: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]) -> None:
        body = await small_messages.read(context)
        await _write_all(feed(body, _deadline_s(context), context.invocation_metadata), refused, context)

    return handle


def _stream_handler(stream: Stream, refused: Counter[str]) -> _StreamHandler:
    async def handle(bodies: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]) -> None:
        await _write_all(stream(bodies, _deadline_s(context), context.invocation_metadata), refused, context)

    return handle


async def _write_all(
    answers: AsyncGenerator[bytes, None],
    refused: Counter[str],
    context: aio.ServicerContext[bytes, bytes],
) -> None:
    try:
        # If the caller goes away while an answer is written, this closes the stream and what waits in it.
        async with aclosing(answers):
            async for answer in answers:
                await context.write(answer)
    except TamizError as error:
        refused[error.code] += 1
        await end_with(error, context)


def _deadline_s(context: aio.ServicerContext[bytes, bytes]) -> float:
    """Return the call's deadline on time.monotonic's clock; infinite if it has none."""
    remaining_s = context.time_remaining()
    return math.inf if remaining_s is None else time.monotonic() + remaining_s
