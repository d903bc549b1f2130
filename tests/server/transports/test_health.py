"""Health over a real socket: every watcher is told, even if others leave or do not read."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from tamiz_server.config.config import Config
from tamiz_server.transports.transport import Transport
from tamiz_server.transports.transport import transport as make_transport

SERVING, NOT_SERVING, UNKNOWN = (
    health_pb2.HealthCheckResponse.ServingStatus.Value(name)
    for name in ("SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
)


@pytest.fixture
def running(tmp_path, transport) -> Callable[[], AbstractAsyncContextManager[tuple[Transport, HealthStub]]]:
    """`async with running() as (server, stub)` stops the server at the end."""

    @asynccontextmanager
    async def running_() -> AsyncIterator[tuple[Transport, HealthStub]]:
        config = Config(model_repository=tmp_path, grpc_port=0, reflection=False, transport=transport)
        server = make_transport((), config)
        await server.start()
        try:
            async with asyncio.timeout(30), aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                yield server, HealthStub(channel)
        finally:
            await server.stop(0)

    return running_


def asked(service: str = "") -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


async def test_who_asks_or_watches_is_told_of_each_service(running):
    async with running() as (server, stub):
        watching = stub.Watch(asked("m"))
        assert (await watching.read()).status == UNKNOWN
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.Check(asked("m"))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        await server.set_health("m", True)
        assert (await watching.read()).status == SERVING
        assert (await stub.Check(asked("m"))).status == SERVING
        assert (await stub.Check(asked())).status == NOT_SERVING
        await server.enter_graceful_shutdown()
        await server.set_health("m", True)
        assert (await watching.read()).status == NOT_SERVING
        assert (await stub.Check(asked("m"))).status == NOT_SERVING


async def test_what_is_not_known_any_more_is_not_found(running):
    async with running() as (server, stub):
        await server.set_health("m", True)
        watching = stub.Watch(asked("m"))
        assert (await watching.read()).status == SERVING
        await server.set_health("m", None)
        assert (await watching.read()).status == UNKNOWN
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.Check(asked("m"))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_watcher_that_leaves_does_not_make_the_others_deaf(running):
    async with running() as (server, stub):
        leaving, staying = stub.Watch(asked()), stub.Watch(asked())
        for watching in (leaving, staying):
            assert (await watching.read()).status == NOT_SERVING
        leaving.cancel()
        await asyncio.sleep(0.2)  # until the server knows
        await server.set_health("", True)
        assert (await staying.read()).status == SERVING


async def test_who_watches_does_not_hold_up_the_stop_of_the_server(running):
    async with running() as (server, stub):
        watching = stub.Watch(asked())
        await watching.read()
        async with asyncio.timeout(20):
            await server.stop(60)
        assert await watching.code() == grpc.StatusCode.UNAVAILABLE


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


async def test_who_watches_and_does_not_read_holds_up_nobody(running):
    """The watcher speaks HTTP/2 by hand: it opens a window of 0 bytes, so nothing can be written to it."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Watch",
        ":authority": "x",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    block = b"".join(
        bytes([0, len(key)]) + key.encode() + bytes([len(value)]) + value.encode()
        for key, value in headers.items()
    )
    no_window = struct.pack(">HI", 4, 0)
    sent = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(4, 0, 0, no_window)
        + frame(4, 1, 0, b"")
        + frame(1, 4, 1, block)
        + frame(0, 1, 1, bytes(5))
    )

    async with running() as (server, stub):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(0.5)  # until the server writes, in vain
        async with asyncio.timeout(10):
            await server.set_health("", True)
            assert (await stub.Check(asked())).status == SERVING
            await server.enter_graceful_shutdown()
        assert (await stub.Check(asked())).status == NOT_SERVING
        writer.close()
