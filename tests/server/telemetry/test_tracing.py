"""Spans of requests, with OpenTelemetry's own exporter in memory."""

from __future__ import annotations

import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import SpanKind, StatusCode

from tamiz_server.telemetry.access_log import Ended
from tamiz_server.telemetry.tracing import Tracing

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def traced(code: str = "OK", *, flags: str | None = "01", share: float = 0.0, **fields: object):
    exporter = InMemorySpanExporter()
    provider = TracerProvider(ParentBasedTraceIdRatio(share))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider, exporter)
    now_s = time.monotonic()
    ended = Ended("p.S/M", "m", "2", code, now_s - 0.4, now_s, **fields)
    tracing.request_ended(ended, {"traceparent": f"00-{TRACE}-{PARENT}-{flags}"} if flags else {})
    tracing.close()
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_request_joins_its_callers_trace_with_queue_and_inference_inside():
    asked_s = time.monotonic() - 0.3
    spans = traced(asked_s=asked_s, queue_s=0.1, compute_s=0.15, n_rows=4, n_accepted=3)
    request = spans["p.S/M"]
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT
    assert request.kind is SpanKind.SERVER
    assert request.attributes == {
        "rpc.system": "grpc",
        "rpc.service": "p.S",
        "rpc.method": "M",
        "rpc.grpc.status_code": 0,
        "tamiz.model": "m",
        "tamiz.version": "2",
        "tamiz.rows": 4,
        "tamiz.rows_accepted": 3,
    }
    queue, inference = spans["queue"], spans["inference"]
    assert queue.parent.span_id == inference.parent.span_id == request.context.span_id
    for span, seconds in ((request, 0.4), (queue, 0.1), (inference, 0.15)):
        assert (span.end_time - span.start_time) * 1e-9 == pytest.approx(seconds, abs=1e-6)
    assert queue.end_time == pytest.approx(inference.start_time, abs=1_000)
    assert request.start_time < queue.start_time < inference.end_time < request.end_time
    assert request.end_time * 1e-9 == pytest.approx(time.time(), abs=5)


def test_who_is_not_traced_by_its_caller_is_not_traced_here():
    assert traced(flags="00", share=1.0) == {}


def test_without_a_caller_that_says_a_share_is_traced():
    assert set(traced(flags=None, share=1.0)) == {"p.S/M"}
    assert traced(flags=None, share=0.0) == {}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("INTERNAL", StatusCode.ERROR),
        ("DEADLINE_EXCEEDED", StatusCode.ERROR),
        ("INVALID_ARGUMENT", StatusCode.UNSET),
        ("RESOURCE_EXHAUSTED", StatusCode.UNSET),
    ],
)
def test_only_what_the_server_did_not_do_is_an_error(code, status):
    assert traced(code)["p.S/M"].status.status_code is status


def test_a_traceparent_that_is_none_begins_a_trace():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider, exporter)
    tracing.request_ended(Ended("p.S/M", "", "", "OK", 0.0, 1.0), {"traceparent": "garbage"})
    (span,) = exporter.get_finished_spans()
    assert span.parent is None
    tracing.close()
