"""Which form of the metrics a scrape gets, and whether it is packed."""

from __future__ import annotations

import gzip
import http.client
from http import HTTPStatus

import pytest
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tamiz.v1.manifest_pb2 import Classes, Manifest
from tamiz_server.telemetry.exposition import exposition
from tamiz_server.telemetry.metrics import Metrics
from tamiz_server.telemetry.offers import takes_gzip
from tamiz_server.transports.pages import Page, PageServer

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;"
    "version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


def process_apart(text: bytes) -> list[bytes]:
    return [line for line in text.splitlines() if not line.startswith(b"process_")]


def test_open_metrics_are_what_prometheus_client_writes_and_its_parser_reads():
    metrics = Metrics('a "quoted" \\ version')
    model = metrics.model('m"\\\n', 1, Manifest(classes=Classes(strings=['"', "_total"])))
    model.batch_done(0.001, 3)
    metrics.received += 1
    kind, text = exposition(metrics.text(), "application/openmetrics-text")
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert process_apart(text) == process_apart(generate_latest(metrics.registry))
    names = {family.name for family in text_string_to_metric_families(text.decode())}
    assert {"tamiz_requests_received", "tamiz_requests", "process_cpu_seconds"} <= names


def test_quotes_in_a_description_are_escaped():
    text = b'# HELP a_total says "so"\n# TYPE a_total counter\na_total{b="_total"} 1.0\n'
    assert exposition(text, "application/openmetrics-text")[1] == (
        b'# HELP a says \\"so\\"\n# TYPE a counter\na_total{b="_total"} 1.0\n# EOF\n'
    )


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        (PROMETHEUS_3, True),
        ("application/openmetrics-text", True),
        ('Application/OpenMetrics-Text; Version="1.0.0"; charset=utf-8', True),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.5", True),
        ("text/plain, application/openmetrics-text;q=0.9", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=nan", False),
        ("application/openmetrics-text;q=x, */*", False),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;version=x.y", False),
        ("*/*", False),
        ("", False),
        (",;=;,q=1;;\x00é,application", False),
    ],
)
def test_open_metrics_are_for_those_who_ask_for_them(accept, is_open):
    kind, text = exposition(b"# TYPE a gauge\na 1.0\n", accept)
    assert text.endswith(b"# EOF\n") == is_open == ("openmetrics" in kind)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.1", True),
        ("x-gzip", True),
        ("*", True),
        ("identity;q=0, *;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("identity, gzip;q=0.5", False),
        ("gzip;q=one", False),
        ("br", False),
        ("", False),
    ],
)
def test_gzip_is_for_those_who_take_it(header, expected):
    assert takes_gzip(header) is expected


def test_pages_are_answered_where_no_thread_can_be_started(no_more_threads, capfd):
    server = PageServer("127.0.0.1", 0, {"/healthz": lambda _: Page(HTTPStatus.OK, "a", b"SERVING")})
    server.start()
    try:
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            with no_more_threads():
                connection.request("GET", "/healthz")
                assert connection.getresponse().read() == b"SERVING"
            connection.close()
    finally:
        server.stop()
    assert capfd.readouterr().err == ""


def test_a_page_is_packed_and_its_length_is_that_of_what_is_sent():
    body = 5_000 * b"tamiz "
    pages = {
        "/large": lambda accept: Page(HTTPStatus.OK, accept, body),
        "/small": lambda _: Page(HTTPStatus.OK, "a", b"x"),
    }
    server = PageServer("127.0.0.1", 0, pages)
    server.start()
    try:
        for path, encoding in (("/large", "gzip"), ("/large", "identity"), ("/small", "gzip")):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("GET", path, headers={"Accept-Encoding": encoding, "Accept": "a"})
            answer = connection.getresponse()
            sent = answer.read()
            is_packed = answer.headers["content-encoding"] == "gzip"
            assert is_packed == (path == "/large" and encoding == "gzip")
            assert (gzip.decompress(sent) if is_packed else sent) == (body if path == "/large" else b"x")
            assert answer.headers["content-type"] == "a"
            assert answer.headers["vary"] == "Accept, Accept-Encoding"
            connection.close()
    finally:
        server.stop()
