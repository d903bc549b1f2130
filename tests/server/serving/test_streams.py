"""Streams without a transport: order, limits, and that nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamiz_server.serving.streams import OrderedStream


class Answering:
    """Answers each request after as many turns as its length says, and counts what is in flight."""

    def __init__(self, bodies: list[bytes]) -> None:
        self.bodies = bodies
        self.n_read = self.n_taken = self.most = self.most_bytes = self.n_cancelled = 0

    async def read(self) -> AsyncIterator[bytes]:
        for body in self.bodies:
            self.n_read += 1
            self.most = max(self.most, self.n_read - self.n_taken)
            before = sum(map(len, self.bodies[self.n_taken : self.n_read - 1]))
            self.most_bytes = max(self.most_bytes, before)
            yield body

    async def answer(self, body: bytes) -> bytes:
        try:
            for _ in range(len(body)):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.n_cancelled += 1
            raise
        return body[::-1]


sizes = st.lists(st.integers(0, 9), max_size=40)


@settings(deadline=None)
@given(sizes, st.integers(1, 8), st.integers(1, 30), st.lists(st.integers(0, 3), min_size=1))
async def test_answers_keep_the_order_and_no_more_is_read_than_there_is_room_for(
    sizes, max_requests, max_bytes, pauses
):
    bodies = [bytes([number]) + bytes(size) for number, size in enumerate(sizes)]

    work = Answering(bodies)
    stream = OrderedStream(work.read(), work.answer, max_requests=max_requests, max_bytes=max_bytes)
    answers = []
    async for answer in stream.answers():
        answers.append(answer)
        for _ in range(pauses[len(answers) % len(pauses)]):  # a reader that is slow now and then
            await asyncio.sleep(0)
        work.n_taken += 1
    assert answers == [body[::-1] for body in bodies]
    assert work.most <= max_requests
    assert work.most_bytes < max_bytes, "it was read on though as many bytes were in flight as may be"
    assert stream.ended.is_set()
    assert not stream.was_ended
    assert len(asyncio.all_tasks()) == 1


@settings(deadline=None)
@given(sizes.filter(bool), st.integers(1, 8), st.integers(0, 10), st.booleans())
async def test_left_early_it_leaves_nothing_at_work(sizes, max_requests, n_taken, ended):
    bodies = [bytes(size + 1) for size in sizes]

    work = Answering(bodies)
    stream = OrderedStream(work.read(), work.answer, max_requests=max_requests, max_bytes=1_000)
    async with aclosing(stream.answers()) as answers:
        position = 0
        async for _ in answers:
            position += 1
            if position > n_taken:
                if not ended:
                    break
                stream.end()
    assert len(asyncio.all_tasks()) == 1
    if ended:  # what was read is answered all the same
        assert work.n_cancelled == 0
        assert position >= min(work.n_read, len(bodies)) - 1
        assert stream.was_ended or position == len(bodies)


async def test_an_error_of_reading_comes_after_the_answers_to_what_was_read():
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise ConnectionResetError

    work = Answering([])
    stream = OrderedStream(broken(), work.answer, max_requests=4, max_bytes=100)
    answers = stream.answers()
    assert await anext(answers) == b"a"
    with pytest.raises(ConnectionResetError):
        await anext(answers)


async def test_a_stream_that_is_ended_before_it_began_to_read_ends():
    work = Answering([b"a"])
    stream = OrderedStream(work.read(), work.answer, max_requests=4, max_bytes=100)
    stream.end()
    async with asyncio.timeout(10):
        assert [answer async for answer in stream.answers()] == []
    assert stream.was_ended
    assert stream.ended.is_set()
    assert work.n_read == 0
