"""Which requests get a line, and what it says."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tamiz_server.errors import InvalidRequest, QueueFull
from tamiz_server.telemetry.access_log import LINES_PER_SECOND, AccessLog, Ended


def ended(code: str = "OK", **fields: object) -> Ended:
    return Ended("s/M", "m", "1", code, 1.0, 1.25, **fields)


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [record.fields for record in caplog.records]


@pytest.fixture(autouse=True)
def all_levels(caplog):
    caplog.set_level(logging.INFO)


def test_an_even_share_of_what_succeeds_is_written():
    access_log = AccessLog(0.25)
    assert [access_log.wants("OK") for _ in range(9)] == [True, *[False] * 3, True, *[False] * 3, True]
    assert not any(AccessLog(0.0).wants("OK") for _ in range(9))


def test_a_line_says_who_when_and_how_long(caplog):
    metadata = [
        ("x-request-id", "r" * 500),
        ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"),
        ("authorization", "Bearer secret"),
        ("some-bin", b"\x00"),
    ]
    AccessLog(1.0).request_ended(ended(n_rows=3, n_accepted=2, queue_s=0.1, compute_s=0.05), lambda: metadata)
    assert lines(caplog) == [
        {
            "request_id": "r" * 128,
            "trace_id": "a" * 32,
            "method": "s/M",
            "model": "m",
            "version": "1",
            "code": "OK",
            "rows": 3,
            "accepted": 2,
            "duration_ms": 250.0,
            "queue_ms": 100.0,
            "compute_ms": 50.0,
        }
    ]


def test_what_fails_is_always_written_and_quotes_nobody(caplog):
    access_log = AccessLog(0.0)
    for code, error in (
        ("INVALID_ARGUMENT", InvalidRequest("a row holds 4711")),
        ("RESOURCE_EXHAUSTED", QueueFull("64 rows wait")),
        ("CANCELLED", None),
    ):
        assert access_log.wants(code)
        access_log.request_ended(ended(code, error=error), lambda: None)
    assert [line.get("error") for line in lines(caplog)] == ["InvalidRequest", "64 rows wait", None]
    assert "4711" not in caplog.text


async def test_a_flood_of_failures_is_summed_up(caplog):
    access_log = AccessLog(0.0)
    for _ in range(LINES_PER_SECOND + 7):
        access_log.request_ended(ended("RESOURCE_EXHAUSTED"), lambda: None)
    access_log.close()
    assert len(caplog.records) == LINES_PER_SECOND + 1
    assert lines(caplog)[-1] == {"model": "m", "version": "1", "code": "RESOURCE_EXHAUSTED", "count": 7}


async def test_the_sum_is_written_also_when_nothing_follows(caplog):
    access_log = AccessLog(0.0)
    for _ in range(LINES_PER_SECOND + 1):
        access_log.request_ended(ended("INTERNAL"), lambda: None)
    for _ in range(300):
        if len(caplog.records) > LINES_PER_SECOND:
            break
        await asyncio.sleep(0.02)
    assert lines(caplog)[-1]["count"] == 1
