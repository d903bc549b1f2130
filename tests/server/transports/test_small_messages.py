"""The messages of calls that need no token, with a transport and a memory that the test makes up."""

from __future__ import annotations

import asyncio
from collections import Counter

import grpc
import pytest
from grpc import aio

from tamiz_server.access.access import OPEN_MESSAGE_BYTES
from tamiz_server.transports.small_messages import SmallMessages


class Aborted(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code.name}: {text}")


class Call:
    """A call whose message comes when the test says so."""

    def __init__(self, message=None):
        self.arrived = asyncio.get_running_loop().create_future()
        if message is not None:
            self.arrived.set_result(message)

    async def read(self):
        return await self.arrived

    async def abort(self, code, text, metadata=()):
        raise Aborted(code, text)


class Memory:
    """How much the process has, and how often that was looked at."""

    def __init__(self):
        self.resident, self.n_looks = 100 * 2**20, 0

    def __call__(self):
        self.n_looks += 1
        return self.resident

    async def seen(self, times):
        until = self.n_looks + times
        while self.n_looks < until:  # noqa: ASYNC110  the code under test tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("size", [0, 1, 100, OPEN_MESSAGE_BYTES])
async def test_a_small_message_is_read(size):
    assert await SmallMessages(Counter()).read(Call(bytes(size))) == bytes(size)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (bytes(OPEN_MESSAGE_BYTES + 1), "RESOURCE_EXHAUSTED: the message is larger than 16384 bytes"),
        (bytes(60_000_000), "RESOURCE_EXHAUSTED: the message is larger than 16384 bytes"),
        (aio.EOF, "INVALID_ARGUMENT: the call has no message"),
    ],
)
async def test_a_large_message_or_none_ends_the_call_and_is_counted(message, words):
    refused = Counter()
    with pytest.raises(Aborted, match=words):
        await SmallMessages(refused).read(Call(message))
    assert refused == {words.partition(":")[0]: 1}


@pytest.mark.parametrize("n_calls", [1, 3, 300])
async def test_calls_whose_messages_fill_the_memory_end_and_the_next_ones_are_read(n_calls):
    refused, memory = Counter(), Memory()
    messages = SmallMessages(refused, memory)
    reading = [asyncio.create_task(messages.read(Call())) for _ in range(n_calls)]
    await memory.seen(2)
    assert not any(each.done() for each in reading)
    memory.resident += 17 * 2**20
    ended = await asyncio.gather(*reading, return_exceptions=True)
    assert all(isinstance(each, Aborted) for each in ended)
    assert refused == {grpc.StatusCode.RESOURCE_EXHAUSTED.name: n_calls}
    # The process is as large as before, but they are not what it is large with.
    late = Call()
    reading_late = asyncio.create_task(messages.read(late))
    await memory.seen(3)
    late.arrived.set_result(b"m")
    assert await reading_late == b"m"


async def test_memory_that_grows_slowly_is_noticed_too():
    memory = Memory()
    reading = asyncio.create_task(SmallMessages(Counter(), memory).read(Call()))
    for _ in range(5):
        await memory.seen(1)
        memory.resident += 4 * 2**20
    with pytest.raises(Aborted):
        await reading


async def test_a_caller_who_goes_away_is_not_refused():
    refused, memory = Counter(), Memory()
    reading = asyncio.create_task(SmallMessages(refused, memory).read(Call()))
    await memory.seen(1)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not refused


async def test_nothing_is_looked_at_while_no_message_is_incomplete():
    memory = Memory()
    messages = SmallMessages(Counter(), memory)
    for _ in range(100):
        await messages.read(Call(b""))
    assert memory.n_looks == 1
    await memory.seen(1)
    await asyncio.sleep(0.2)
    assert memory.n_looks == 2
