"""What any transport does for a service of bytes: gRPC's interoperability cases, with its asyncio client.

The cases are those of grpc/doc/interop-test-descriptions.md that apply, and a few of our own.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tamiz_server.access.tls import watch_certificates
from tamiz_server.config.config import Config
from tamiz_server.errors import InvalidRequest, NotLoaded
from tamiz_server.transports.transport import transport as make_transport

SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"


class Echo:
    """A service that answers with what it was told, late, or with an error."""

    name = "test.Echo"
    predicts = frozenset({"Counted"})

    def __init__(self):
        self.methods = {
            "Unary": self.unary,
            "Metadata": self.metadata,
            "Deadline": self.deadline,
            "Sleep": self.sleep,
            "Fail": self.fail,
            "Counted": self.fail,
            "Bug": self.bug,
            "Giant": self.giant,
        }
        self.feeds = {"Count": self.count}
        self.streams = {"Stream": self.stream, "Sum": self.sum, "Break": self.break_, "Sleeps": self.sleeps}
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.written = 0

    async def unary(self, body, deadline_s, metadata):
        return body

    async def metadata(self, body, deadline_s, metadata):
        return repr([(key, value) for key, value in metadata() if key.startswith("x-")]).encode()

    async def deadline(self, body, deadline_s, metadata):
        return str(deadline_s - time.monotonic()).encode()

    async def sleep(self, body, deadline_s, metadata):
        try:
            await asyncio.sleep(60)
        finally:
            self.ended.put_nowait("sleep")

    async def fail(self, body, deadline_s, metadata):
        raise NotLoaded(body.decode())

    async def bug(self, body, deadline_s, metadata):
        raise ZeroDivisionError("secret")

    async def giant(self, body, deadline_s, metadata):
        return bytes(int(body))

    async def count(self, body, deadline_s, metadata):
        for number in range(int(body)):
            yield b"%d" % number

    async def stream(self, bodies, deadline_s, metadata):
        try:
            async for body in bodies:
                self.written += 1
                yield body
        finally:
            self.ended.put_nowait("stream")

    async def sum(self, bodies, deadline_s, metadata):
        yield b"%d" % sum([len(body) async for body in bodies])

    async def break_(self, bodies, deadline_s, metadata):
        async for _ in bodies:
            yield b"one"
            raise InvalidRequest("broken")

    async def sleeps(self, bodies, deadline_s, metadata):
        try:
            await asyncio.sleep(60)
            yield b""
        finally:
            self.ended.put_nowait("sleeps")


class Served:
    def __init__(self, server, echo, channel, refused):
        self.server, self.echo, self.channel, self.refused = server, echo, channel, refused

    def unary(self, method, body=b"", timeout=30, **more):
        return self.channel.unary_unary(f"/test.Echo/{method}")(body, timeout=timeout, **more)

    def stream(self, method, *arguments, timeout=30):
        return self.channel.stream_stream(f"/test.Echo/{method}")(*arguments, timeout=timeout)


@pytest.fixture
def serving(tmp_path, transport):
    """`async with serving() as served`: a transport in this process, and a client of it."""

    @asynccontextmanager
    async def serving_(**settings) -> AsyncIterator[Served]:
        config = Config(**{"model_repository": tmp_path, "grpc_port": 0, "transport": transport, **settings})
        echo, refused = Echo(), Counter()
        server = make_transport((echo,), config, None, watch_certificates(config), refused)
        await server.start()
        where = config.host if config.host.startswith("unix:") else f"127.0.0.1:{server.port}"
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        try:
            async with asyncio.timeout(60), aio.insecure_channel(where, options=options) as channel:
                yield Served(server, echo, channel, refused)
        finally:
            await server.stop(0)

    return serving_


async def failure(call):
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize("size", [0, 1, 16_384, 271_828, 3_000_000])
async def test_empty_and_large_unary(serving, size):
    async with serving() as served:
        body = bytes(range(256)) * (size // 256) + bytes(size % 256)
        assert await served.unary("Unary", body) == body


async def test_client_streaming(serving):
    async with serving() as served:
        sizes = (27_182, 8, 1_828, 45_904)
        call = served.stream("Sum", iter([bytes(size) for size in sizes]))
        assert [answer async for answer in call] == [b"74922"]


@pytest.mark.parametrize("number", [0, 1, 500])
async def test_server_streaming(serving, number):
    async with serving() as served:
        call = served.channel.unary_stream("/test.Echo/Count")(b"%d" % number, timeout=30)
        assert [int(answer) async for answer in call] == list(range(number))


async def test_ping_pong(serving):
    async with serving() as served:
        call = served.stream("Stream")
        for size in (31_415, 9, 2_653, 58_979):
            await call.write(bytes(size))
            assert await call.read() == bytes(size)
        await call.done_writing()
        assert await call.read() is aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_empty_stream(serving):
    async with serving() as served:
        call = served.stream("Stream")
        await call.done_writing()
        assert await call.read() is aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_many_calls_at_once_on_one_connection(serving):
    async with serving() as served:
        bodies = [b"%d" % number * 100 for number in range(600)]
        assert await asyncio.gather(*(served.unary("Unary", body) for body in bodies)) == bodies


@pytest.mark.parametrize(("kind", "method"), [("unary", "Sleep"), ("stream", "Sleeps")])
async def test_cancel_after_begin(serving, kind, method):
    async with serving() as served:
        call = served.unary(method) if kind == "unary" else served.stream(method, iter([b""]))
        await asyncio.sleep(0.3)
        call.cancel()
        assert await served.echo.ended.get() == method.lower()
        assert await call.code() is grpc.StatusCode.CANCELLED


async def test_cancel_after_first_response(serving):
    async with serving() as served:
        call = served.stream("Stream")
        await call.write(b"first")
        assert await call.read() == b"first"
        call.cancel()
        assert await served.echo.ended.get() == "stream"


@pytest.mark.parametrize(("kind", "method"), [("unary", "Sleep"), ("stream", "Sleeps")])
async def test_timeout_on_sleeping_server(serving, kind, method):
    async with serving() as served:
        call = (
            served.unary(method, timeout=0.3)
            if kind == "unary"
            else served.stream(method, iter([b""]), timeout=0.3)
        )
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert await served.echo.ended.get() == method.lower()


@pytest.mark.parametrize("within_s", [None, 5, 3_600])
async def test_a_method_knows_its_deadline(serving, within_s):
    async with serving() as served:
        left = float(await served.unary("Deadline", timeout=within_s))
        assert left == math.inf if within_s is None else within_s - 4 < left <= within_s


@pytest.mark.parametrize("words", ["test status message", "", SPECIAL, "100 % of 200 %41"])
async def test_status_code_and_special_status_message(serving, words):
    async with serving() as served:
        assert await failure(served.unary("Fail", words.encode())) == (
            grpc.StatusCode.FAILED_PRECONDITION, words
        )  # fmt: skip
        assert served.refused == {"FAILED_PRECONDITION": 1}
        await failure(served.unary("Counted", words.encode()))
        assert served.refused == {"FAILED_PRECONDITION": 1}


async def test_a_status_after_answers(serving):
    async with serving() as served:
        call = served.stream("Break", iter([b"a"]))
        assert await call.read() == b"one"
        assert await failure(call.read()) == (grpc.StatusCode.INVALID_ARGUMENT, "broken")


async def test_a_bug_is_told_without_its_words(serving):
    async with serving() as served:
        code, words = await failure(served.unary("Bug"))
        assert code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
        assert "secret" not in words or served.server.__class__.__name__ == "GrpcServer"
        assert await served.unary("Unary", b"on") == b"on"


async def test_custom_metadata(serving):
    async with serving() as served:
        sent = (("x-text", "a b"), ("x-text", "c"), ("x-some-bin", b"\x00\xff\xab"))
        told = await served.unary("Metadata", metadata=sent)
        assert eval(told) == list(sent)


@pytest.mark.parametrize("path", ["/test.Echo/None", "/none.Service/Unary", "/none"])
async def test_unimplemented_method_and_service(serving, path):
    async with serving() as served:
        code, _ = await failure(served.channel.unary_unary(path)(b"", timeout=30))
        assert code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("size", [1_000_001, 5_000_000])
async def test_messages_beyond_the_limit_are_refused_both_ways(serving, size):
    async with serving(max_message_bytes=1_000_000) as served:
        for call in (served.unary("Unary", bytes(size)), served.unary("Giant", b"%d" % size)):
            assert (await failure(call))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(await served.unary("Giant", b"1000000")) == 1_000_000
        assert len(await served.unary("Unary", bytes(1_000_000))) == 1_000_000


async def test_a_sender_is_held_back_while_nobody_takes_the_answers(serving):
    async with serving() as served:
        call = served.stream("Stream")
        sent = 0
        try:
            async with asyncio.timeout(2):
                while True:
                    await call.write(bytes(60_000))
                    sent += 1
        except TimeoutError:
            pass
        assert served.echo.written <= sent < 2_000


async def test_reflection_tells_the_services(serving):
    async with serving() as served:
        request = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
        for version in ("v1", "v1alpha"):
            path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
            call = served.channel.stream_stream(path)(iter([request]), timeout=30)
            (answer,) = [reflection_pb2.ServerReflectionResponse.FromString(each) async for each in call]
            assert {each.name for each in answer.list_services_response.service} >= {
                "test.Echo",
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
            }
            for symbol in (f"grpc.reflection.{version}.ServerReflection", "grpc.health.v1.Health.Check"):
                asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
                call = served.channel.stream_stream(path)(iter([asked.SerializeToString()]), timeout=30)
                (answer,) = [reflection_pb2.ServerReflectionResponse.FromString(each) async for each in call]
                assert answer.file_descriptor_response.file_descriptor_proto
        await served.server.set_health("test.Echo", True)
        check = served.channel.unary_unary("/grpc.health.v1.Health/Check")
        asked = health_pb2.HealthCheckRequest(service="test.Echo").SerializeToString()
        assert await check(asked, timeout=30)


async def test_messages_that_are_none_are_refused_and_counted(serving):
    async with serving() as served:
        code, _ = await failure(
            served.channel.unary_unary("/grpc.health.v1.Health/Check")(b"\xff", timeout=30)
        )
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        call = served.channel.stream_stream(path)(iter([b"\xff"]), timeout=30)
        assert (await failure(call.read()))[0] is grpc.StatusCode.INVALID_ARGUMENT
        assert served.refused == {"INVALID_ARGUMENT": 2}


async def test_calls_over_a_unix_domain_socket(serving, tmp_path):
    async with serving(host=f"unix:{tmp_path}/s", metrics_host="127.0.0.1") as served:
        assert await served.unary("Unary", b"a") == b"a"
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o660
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1"])
async def test_both_families_on_a_wildcard_address(serving, host):
    async with serving(host=host) as served:
        for address in {"::": ["127.0.0.1", "[::1]"], "0.0.0.0": ["127.0.0.1", "[::1]"]}.get(host, ["[::1]"]):
            async with aio.insecure_channel(f"{address}:{served.server.port}") as channel:
                assert await channel.unary_unary("/test.Echo/Unary")(b"a", timeout=30) == b"a"


async def test_calls_in_flight_are_answered_while_the_server_stops_and_new_ones_are_not_taken(serving):
    async with serving() as served:
        call = served.stream("Stream")
        await call.write(b"a")
        assert await call.read() == b"a"
        stopping = asyncio.create_task(served.server.stop(30))
        await asyncio.sleep(0.3)
        await call.write(b"b")
        assert await call.read() == b"b"
        async with aio.insecure_channel(f"127.0.0.1:{served.server.port}") as late:
            code, _ = await failure(late.unary_unary("/test.Echo/Unary")(b"", timeout=2))
            assert code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
        await call.done_writing()
        assert await call.read() is aio.EOF
        await stopping


async def test_calls_that_outlast_the_grace_are_ended(serving):
    async with serving() as served:
        call = served.unary("Sleep")
        await asyncio.sleep(0.3)
        await served.server.stop(0.2)
        assert await served.echo.ended.get() == "sleep"
        assert await call.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
