"""HTTP/1.1 on real sockets, in one process: TLS, sockets of both kinds, ends, slow and silent peers."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
import ssl
import zlib
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from tamiz_server.access.access import CALLER
from tamiz_server.config.config import Config
from tamiz_server.errors import ConfigError, Unavailable
from tamiz_server.serving.endpoints import Endpoint, Reply, json_reply
from tamiz_server.transports.h1.protocol import H1Protocol
from tamiz_server.transports.h1.server import H1Server
from tamiz_server.transports.http import http_server

WAIT_S = 60


class Service:
    """Endpoints that echo, wait, fail, and answer at length."""

    def __init__(self):
        self.begun, self.cancelled, self.go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.endpoints = [
            Endpoint("POST", "/echo", "/echo", self.echo, counts_itself=True),
            Endpoint("GET", "/wait", "/wait", self.wait),
            Endpoint("GET", "/bug", "/bug", self.bug),
            Endpoint("GET", "/down", "/down", self.down),
            Endpoint("GET", "/long", "/long", self.long),
        ]

    async def echo(self, asked):
        assert CALLER.get() is None
        return Reply(asked.body, headers=(("x-asked", dict(asked.metadata()).get("x-request-id", "")),))

    async def wait(self, asked):
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return json_reply({})

    async def bug(self, asked):
        raise ZeroDivisionError

    async def down(self, asked):
        raise Unavailable("stopping")

    async def long(self, asked):
        return Reply(b"x" * 30_000_000)


@pytest.fixture
def serve(tmp_path):
    """`async with serve() as (server, service)` listens on a free port."""

    @asynccontextmanager
    async def serve_(certificates=None, limits=None, **settings):
        service = Service()
        refused = Counter()
        config = Config(model_repository=tmp_path, **{"http_port": 0} | settings)
        server = H1Server(service.endpoints, config, None, certificates, refused)
        server.refused = refused
        if limits:
            shared = server._shared
            shared = dataclasses.replace(shared, limits=dataclasses.replace(shared.limits, **limits))
            server._shared = shared
        await server.start()
        try:
            yield server, service
        finally:
            async with asyncio.timeout(WAIT_S):
                await server.stop(0)

    return serve_


async def until(condition):
    """Wait until it holds."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  the server tells nobody
            await asyncio.sleep(0.02)


async def ask(server, method="GET", path="/wait", body=b"", *headers, **where):
    """Send a request on a connection of its own; return status, header fields and body."""
    reader, writer = await asyncio.open_connection(**where or {"host": "127.0.0.1", "port": server.port})
    fields = "".join(f"{each}\r\n" for each in (*headers, f"content-length: {len(body)}"))
    writer.write(f"{method} {path} HTTP/1.1\r\nhost: h\r\n{fields}\r\n".encode() + body)
    try:
        return await answer(reader)
    finally:
        writer.close()


async def answer(reader):
    async with asyncio.timeout(WAIT_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))


async def test_bodies_go_both_ways_with_the_callers_id(serve):
    async with serve() as (server, _):
        large = bytes(range(256)) * 40_000
        for body in (b"{}", large):
            status, headers, got = await ask(server, "POST", "/echo", body, "X-Request-Id: seven")
            assert (status, got, headers["x-asked"]) == (200, body, "seven")


async def test_bugs_and_errors_are_json_without_a_traceback(serve, caplog):
    async with serve() as (server, _):
        status, _, body = await ask(server, path="/bug")
        assert (status, json.loads(body)["code"]) == (500, "INTERNAL")
        assert "ZeroDivisionError" not in body.decode()
        assert "this is a bug" in caplog.text
        status, headers, body = await ask(server, path="/down")
        assert (status, json.loads(body)) == (503, {"error": "stopping", "code": "UNAVAILABLE"})
        assert headers["retry-after"] == "1"
        assert server.refused == {"INTERNAL": 1, "UNAVAILABLE": 1}


async def test_packed_bodies_are_unpacked_within_bounds_if_that_is_allowed(serve):
    async with serve(take_compressed=True, max_message_bytes=100_000) as (server, _):
        for encoding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
            more = (f"content-encoding: {encoding}",)
            assert (await ask(server, "POST", "/echo", pack(b"a" * 100_000), *more))[2] == b"a" * 100_000
            assert (await ask(server, "POST", "/echo", pack(b"a" * 100_001), *more))[0] == 413
            assert (await ask(server, "POST", "/echo", b"nothing", *more))[0] == 400
            assert (await ask(server, "POST", "/echo", pack(b"a") + b"b", *more))[0] == 400
        assert server.refused == {"RESOURCE_EXHAUSTED": 2, "INVALID_ARGUMENT": 4}, "the service saw none"
        status, headers, _ = await ask(server, "POST", "/echo", b"", "content-encoding: br")
        assert (status, headers["accept-encoding"]) == (415, "deflate, gzip")


async def test_a_peer_that_goes_away_cancels_its_request(serve):
    async with serve() as (server, service):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /wait HTTP/1.1\r\nhost: h\r\n\r\n")
        async with asyncio.timeout(WAIT_S):
            await service.begun.wait()
            writer.close()
            await service.cancelled.wait()


async def test_a_stop_answers_what_is_open_and_no_more(serve):
    async with serve() as (server, service):
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", server.port)
        waiting = asyncio.create_task(ask(server))
        async with asyncio.timeout(WAIT_S):
            await service.begun.wait()
            stopping = asyncio.create_task(server.stop(WAIT_S))
            assert await idle.read() == b"", "an idle connection is closed"
            with pytest.raises(OSError, match="Connect"):
                await ask(server)
            service.go_on.set()
            status, headers, _ = await waiting
            assert (status, headers["connection"]) == (200, "close")
            await stopping
        idle_writer.close()


async def test_a_stop_waits_no_longer_than_it_is_told(serve):
    async with serve() as (server, service):
        waiting = asyncio.create_task(ask(server))
        async with asyncio.timeout(WAIT_S):
            await service.begun.wait()
            await server.stop(0.05)
            with pytest.raises((asyncio.IncompleteReadError, OSError)):
                await waiting
            await service.cancelled.wait()


async def test_who_takes_nothing_of_an_answer_is_cut_off_and_who_takes_it_slowly_is_not(serve):
    async with serve(limits={"stall_s": 1.0}) as (server, _):
        peers = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        for _, writer in peers:
            writer.write(b"GET /long HTTP/1.1\r\nhost: h\r\n\r\n")
        n_read = 0
        async with asyncio.timeout(WAIT_S):
            while n_read < 30_000_000:
                n_read += len(await peers[0][0].read(2**20))
                await asyncio.sleep(0.01)
            await until(lambda: len(server._connections) == 1)
        for _, writer in peers:
            writer.close()


class Peer(asyncio.Transport):
    """A peer that takes what it is told to, and no more."""

    def __init__(self, protocol):
        super().__init__()
        self.protocol, self.n_unsent, self.n_written = protocol, 0, 0
        self.is_paused = self.is_closed = self.is_aborted = False

    def write(self, data):
        self.n_unsent += len(data)
        self.n_written += len(data)
        if self.n_unsent > 65_536 and not self.is_paused:
            self.is_paused = True
            self.protocol.pause_writing()

    def take(self, n_bytes):
        self.n_unsent = max(0, self.n_unsent - n_bytes)
        if self.is_paused and self.n_unsent <= 16_384:
            self.is_paused = False
            self.protocol.resume_writing()

    def get_write_buffer_size(self):
        return self.n_unsent

    def close(self):
        self.is_closed = True

    def abort(self):
        self.is_aborted = True

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


@pytest.fixture
async def connected(tmp_path):
    """`connected(**limits)` returns a peer of a connection, and the service."""
    made = []

    def connect(**limits):
        service = Service()
        shared = H1Server(service.endpoints, Config(model_repository=tmp_path, http_port=0))._shared
        shared = dataclasses.replace(shared, limits=dataclasses.replace(shared.limits, **limits))
        protocol = H1Protocol(shared, lambda _: None, lambda _: None)
        peer = Peer(protocol)
        protocol.connection_made(peer)
        made.append(protocol)
        return peer, service, shared

    yield connect
    for protocol in made:
        protocol.connection_lost(None)


GET = b"GET /%b HTTP/1.1\r\nhost: h\r\n\r\n"


async def test_who_asks_on_and_takes_no_answers_is_answered_no_more(connected):
    peer, _, shared = connected()
    peer.protocol.data_received(GET % b"long" * 20)
    for _ in range(100):
        await asyncio.sleep(0)
    assert peer.n_written <= 2**18, "of one answer, at most so much is written at once"
    assert shared.room.n_bytes > 30_000_000, "and the rest is counted"
    assert shared.room.n_bytes < 30_001_000
    n_turns = 0
    while peer.n_written < 40_000_000:
        peer.take(2**18)
        await asyncio.sleep(0)
        n_turns += 1
        assert shared.room.n_bytes < 30_001_000
    assert n_turns > 100
    peer.protocol.connection_lost(None)
    assert shared.room.n_bytes == 0


async def test_who_takes_a_little_of_a_large_answer_now_and_then_is_not_cut_off(connected):
    peer, _, _ = connected(stall_s=0.2, idle_s=0.1, header_s=0.1)
    peer.protocol.data_received(GET % b"long")
    for _ in range(8):
        await asyncio.sleep(0.1)
        peer.take(1_000)
    assert not peer.is_aborted
    await until(lambda: peer.is_aborted)


async def test_a_silent_peer_is_closed(serve):
    async with serve(limits={"header_s": 0.1}) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with asyncio.timeout(WAIT_S):
            assert await reader.read() == b""
        writer.close()


async def test_so_many_connections_and_no_more(serve):
    async with serve(max_connections=2) as (server, _):
        peers = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        await until(lambda: len(server._connections) == 2)
        with pytest.raises((asyncio.IncompleteReadError, OSError)):
            await ask(server, "POST", "/echo", b"x")
        peers[0][1].close()
        await until(lambda: len(server._connections) == 1)
        assert (await ask(server, "POST", "/echo", b"x"))[0] == 200
        peers[1][1].close()


async def test_both_families_and_unix_sockets(serve, tmp_path):
    async with serve(http_host="::") as (server, _):
        for host in ("127.0.0.1", "::1"):
            assert (await ask(server, "POST", "/echo", b"x", host=host, port=server.port))[2] == b"x"
    path = tmp_path / "http.sock"
    async with serve(http_host=f"unix:{path}") as (server, _):
        assert path.stat().st_mode & 0o777 == 0o660
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx")
        assert (await answer(reader))[2] == b"x"
        writer.close()
    assert not path.exists()


async def test_a_port_that_is_taken_is_named(serve):
    async with serve() as (server, _):
        with pytest.raises(ConfigError, match=r"--http-port: .* cannot be listened on"):
            async with serve(http_port=server.port):
                pass


async def test_h11_missing_is_said_in_words(tmp_path, monkeypatch):
    import builtins  # noqa: PLC0415
    import sys  # noqa: PLC0415

    for name in [name for name in sys.modules if name.startswith("tamiz_server.transports.h1")]:
        monkeypatch.delitem(sys.modules, name)
    original = builtins.__import__

    def without(name, *arguments, **keywords):
        if name == "h11":
            raise ModuleNotFoundError("no h11", name="h11")
        return original(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="--http-port needs the package h11"):
        http_server([], "0", Config(model_repository=tmp_path, http_port=0))


@pytest.fixture
def tls(tmp_path):
    """Makes certificates as `Watched` has them, of our own authority."""
    from tests.server.access.test_tls import Authority  # noqa: PLC0415

    from tamiz_server.access.tls import watch_certificates  # noqa: PLC0415

    authority = Authority(tmp_path / "ours")
    key, certificate = authority.issue("server")

    def make(**more):
        config = Config(model_repository=tmp_path, tls_key=str(key), tls_certificate=str(certificate), **more)
        return authority, watch_certificates(config)

    return make


async def test_tls_with_certificates_of_clients_if_they_are_asked_for(serve, tls):
    authority, certificates = tls()
    client = ssl.create_default_context(cafile=authority.certificate)
    client.set_alpn_protocols(["h2", "http/1.1"])
    async with serve(certificates) as (server, _):
        where = {"host": "localhost", "port": server.port, "ssl": client}
        assert (await ask(server, "POST", "/echo", b"x", **where))[2] == b"x"
        _, writer = await asyncio.open_connection(**where)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.close()
    authority, certificates = tls(tls_client_ca=str(authority.certificate))
    async with serve(certificates) as (server, _):
        where = {"host": "localhost", "port": server.port, "ssl": client}
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await ask(server, "POST", "/echo", b"x", **where)
        key, certificate = authority.issue("caller")
        client.load_cert_chain(certificate, key)
        assert (await ask(server, "POST", "/echo", b"x", **where))[2] == b"x"


async def test_over_tls_an_answer_is_counted_and_waited_for_as_in_plain_text(serve, tls):
    authority, certificates = tls()
    client = ssl.create_default_context(cafile=authority.certificate)
    async with serve(certificates, {"stall_s": 1.0, "idle_s": 0.2}) as (server, _):
        where = {"host": "localhost", "port": server.port, "ssl": client, "limit": 2**16}
        slow, slow_writer = await asyncio.open_connection(**where)
        slow_writer.write(b"GET /long HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        n_read = 0
        async with asyncio.timeout(WAIT_S):
            await until(lambda: server._shared.room.n_bytes > 20_000_000)
            while data := await slow.read(2**18):
                n_read += len(data)
                await asyncio.sleep(0.02)
        assert n_read > 30_000_000, "it took longer than the end of TLS may"
        _, silent_writer = await asyncio.open_connection(**where)
        silent_writer.write(b"GET /long HTTP/1.1\r\nhost: h\r\n\r\n")
        await until(lambda: server._shared.room.n_bytes > 20_000_000)
        await until(lambda: not server._connections)
        assert server._shared.room.n_bytes == 0
        for writer in (slow_writer, silent_writer):
            writer.close()
