"""Whoever logs never waits for whoever reads the log."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

import pytest

from tamiz_server.telemetry.log_writer import LogWriter


@pytest.fixture
def pipe():
    out, into = os.pipe()
    yield out, into
    for descriptor in (out, into):
        with suppress(OSError):  # a test has closed it
            os.close(descriptor)


def read_all(out: int, n_bytes: int) -> bytes:
    text = b""
    while len(text) < n_bytes:
        text += os.read(out, 65_536)
    return text


def test_lines_are_written_in_their_order(pipe):
    out, into = pipe
    writer = LogWriter(into)
    for number in range(1_000):
        writer.put(f"line {number} é\udcff")
    writer.close(5)
    assert os.read(out, 1_000_000).decode().splitlines() == [f"line {n} é\\udcff" for n in range(1_000)]
    assert writer.n_dropped == 0


def test_a_log_that_nobody_reads_holds_nobody_up_and_what_is_lost_is_counted(pipe):
    out, into = pipe
    writer = LogWriter(into, most_lines=10)
    for _ in range(500):
        writer.put("x" * 1_000)
    begin_s = time.monotonic()
    writer.flush(0.05)
    assert time.monotonic() - begin_s < 20
    assert writer.n_dropped > 300
    n_kept = 500 - writer.n_dropped
    reader = threading.Thread(target=read_all, args=(out, 1_001 * n_kept))
    reader.start()
    writer.close(10)
    reader.join(10)
    assert not reader.is_alive(), "the lines that were kept come whole once somebody reads"
    writer.put("late")
    assert writer.n_dropped == 501 - n_kept


def test_a_closed_log_loses_lines_and_nothing_else(pipe):
    out, into = pipe
    os.close(out)
    writer = LogWriter(into)
    for _ in range(5):
        writer.put("nobody")
    writer.close(5)
    assert writer.n_dropped == 5


def test_a_descriptor_that_does_not_wait_gets_all_lines(pipe):
    out, into = pipe
    os.set_blocking(into, False)
    writer = LogWriter(into)
    for _ in range(200):
        writer.put("y" * 999)
    assert len(read_all(out, 200_000)) == 200_000
    writer.close(5)
    assert writer.n_dropped == 0
