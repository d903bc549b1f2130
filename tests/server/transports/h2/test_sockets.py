"""The fast transport on real sockets, where only they can tell: TLS, and connections that say nothing."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from unittest.mock import Mock

import pytest
from tests.faults.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    SETTINGS,
    call_headers,
    frame,
)
from tests.server.access.test_tls import Authority
from tests.server.transports.h2.in_memory import ROUTES, Pair, message

from tamiz_server.access.tls import watch_certificates
from tamiz_server.config.config import Config
from tamiz_server.transports.h2.protocol import H2Protocol
from tamiz_server.transports.h2.routes import Route
from tamiz_server.transports.h2.server import H2Server


@pytest.fixture
def serving(tmp_path):
    @asynccontextmanager
    async def serving_(*, tls=False, **settings):
        if tls:
            authority = Authority(tmp_path / "ca")
            key, certificate = authority.issue("server")
            settings |= {"tls_key": str(key), "tls_certificate": str(certificate)}
        config = Config(model_repository=tmp_path, grpc_port=0, transport="h2", **settings)
        server = H2Server((), config, None, watch_certificates(config))
        await server.start()
        try:
            async with asyncio.timeout(60):
                yield server
        finally:
            await server.stop(0)

    return serving_


def client_context(*protocols):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@pytest.mark.parametrize("protocols", [(), ("http/1.1",)])
async def test_over_tls_only_http2_is_spoken(serving, protocols):
    async with serving(tls=True) as server:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=client_context(*protocols)
        )
        with suppress(OSError):
            assert await reader.read(100) == b""
        writer.close()


async def test_over_tls_the_server_greets_and_goes_with_a_goaway(serving):
    async with serving(tls=True) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context("h2"))
        writer.write(PREFACE + frame(SETTINGS))
        assert (await reader.readexactly(9))[3] == SETTINGS
        await server.stop(0)
        try:
            assert bytes([GOAWAY, 0, 0, 0, 0, 0]) in await reader.read()
        finally:
            writer.close()


async def test_old_versions_of_tls_are_refused(serving):
    context = client_context("h2")
    async with serving(tls=True) as server:
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):  # noqa: PT031
            context.maximum_version = ssl.TLSVersion.TLSv1_1
            context.minimum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", server.port, ssl=context)


async def test_connections_that_never_finish_their_handshake_count(serving):
    async with serving(tls=True, max_connections=2) as server:
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
        assert await silent[2][0].read(1) == b""
        silent[0][1].close()
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context("h2"))
            except OSError:
                await asyncio.sleep(0.05)
            else:
                break
        else:
            pytest.fail("the place of the one that left was not given to another")
        for each in (writer, silent[1][1], silent[2][1]):
            each.close()


async def test_what_is_not_http2_loses_its_connection(serving):
    async with serving() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        try:
            while await reader.read(100):
                pass
        except OSError:
            pass
        writer.close()


async def test_a_second_stop_does_not_take_away_the_socket_of_another_server(serving, tmp_path):
    path = tmp_path / "s"
    where = {"host": f"unix:{path}", "metrics_host": "127.0.0.1"}
    async with serving(**where) as first:
        await first.stop(0)
        async with serving(**where):
            await first.stop(0)
            assert path.is_socket()


async def test_answers_to_a_peer_that_reads_nothing_from_its_socket_take_room_too(monkeypatch):
    async def large(body, deadline_s, metadata):
        return bytes(700_000)

    monkeypatch.setitem(ROUTES, b"/s/Large", Route(large, None, None, counts_itself=False, message_bytes=9))
    shared = Pair(all_bytes=1_000_000).shared
    peer = Mock(is_closing=Mock(return_value=False), get_extra_info=Mock(return_value=None))
    protocol = H2Protocol(shared, lambda _: None, lambda _: None)
    protocol.connection_made(peer)
    protocol.data_received(PREFACE + frame(SETTINGS))
    protocol.pause_writing()
    for number in (1, 3):
        protocol.data_received(
            frame(HEADERS, END_HEADERS, number, call_headers("/s/Large"))
            + frame(DATA, END_STREAM, number, message(b""))
        )
        peer.abort.assert_not_called()
        for _ in range(5):
            await asyncio.sleep(0)
        assert number == 3 or shared.outgoing.n_bytes == 700_005
    peer.abort.assert_called_once_with()
    protocol.connection_lost(None)
    assert shared.outgoing.n_bytes == 0


async def test_a_peer_that_reads_nothing_from_its_socket_is_cut_off_whatever_it_sends():
    shared = Pair(stall_s=0.2).shared
    for reads in (False, True):
        peer = Mock(is_closing=Mock(return_value=False), get_extra_info=Mock(return_value=None))
        protocol = H2Protocol(shared, lambda _: None, lambda _: None)
        protocol.connection_made(peer)
        protocol.data_received(PREFACE + frame(SETTINGS))
        protocol.pause_writing()
        if reads:
            protocol.resume_writing()
        for _ in range(3):
            await asyncio.sleep(0.1)
            protocol.data_received(frame(PING, payload=bytes(8)))
        assert peer.abort.called != reads
        protocol.connection_lost(None)


async def test_a_peer_that_does_not_take_the_last_bytes_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("tamiz_server.transports.h2.protocol._TAKEN_WITHIN_S", 0.01)
    peer = Mock(is_closing=Mock(return_value=False), get_extra_info=Mock(return_value=None))
    peer.close.side_effect = lambda: peer.is_closing.configure_mock(return_value=True)
    protocol = H2Protocol(Pair().shared, lambda _: None, lambda _: None)
    protocol.connection_made(peer)
    protocol.data_received(PREFACE + frame(SETTINGS))
    while not peer.close.called:
        protocol.data_received(frame(SETTINGS) * 500)  # soon more than is borne
    peer.close.assert_called_once_with()
    protocol.drain(0.0)
    peer.abort.assert_not_called()
    aborted = asyncio.Event()
    peer.abort.side_effect = aborted.set
    async with asyncio.timeout(60):
        await aborted.wait()
    protocol.connection_lost(None)
