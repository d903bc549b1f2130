"""OpenTelemetry: one span per request for predictions, with spans for its queue and inference inside.

The spans are made when the request has ended, from the times that were measured anyway: a request that is not
traced costs one decision, and the engine knows nothing about tracing.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tamiz.proxies import WITHOUT, is_on_this_machine, proxy_in_the_way
from tamiz.v1.prediction_pb2 import StatusCode
from tamiz_server.errors import ConfigError
from tamiz_server.telemetry.access_log import Ended

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

_log = logging.getLogger(__name__)

_NS: Final = 1e9
_SHUTDOWN_S: Final = 2.0
_ENDED_ON_OUR_SIDE: Final = {
    "INTERNAL",
    "UNKNOWN",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "DATA_LOSS",
}
"""The statuses that OpenTelemetry's conventions call errors of the server; the others are the caller's."""


class Tracing:
    """Makes spans of requests that ended, and exports them."""

    def __init__(self, provider: TracerProvider, exporter: SpanExporter) -> None:
        """Give spans to a provider, which samples them and passes them on to an exporter."""
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415  an extra
            TraceContextTextMapPropagator,
        )

        self._provider, self._exporter = provider, exporter
        self._tracer = provider.get_tracer("tamiz_server")
        self._propagator = TraceContextTextMapPropagator()

    def request_ended(self, ended: Ended, metadata: Mapping[str, str]) -> None:
        """Make the spans of a request; `metadata` is that of its call, with `traceparent`."""
        from opentelemetry import trace  # noqa: PLC0415  an extra

        # Spans have times since the epoch; requests are timed on the monotonic clock, which nobody can set.
        epoch_s = time.time() - time.monotonic()
        span = self._tracer.start_span(
            ended.method,
            self._propagator.extract(metadata),
            trace.SpanKind.SERVER,
            start_time=_ns(epoch_s + ended.started_s),
        )
        if span.is_recording():
            service, _, method = ended.method.partition("/")
            span.set_attributes(
                {
                    "rpc.system": "grpc",
                    "rpc.service": service,
                    "rpc.method": method,
                    "rpc.grpc.status_code": StatusCode.Value(f"STATUS_CODE_{ended.code}"),
                    "tamiz.model": ended.model,
                    "tamiz.version": ended.version,
                    "tamiz.rows": ended.n_rows,
                    "tamiz.rows_accepted": ended.n_accepted,
                }
            )
            if ended.code in _ENDED_ON_OUR_SIDE:
                span.set_status(trace.StatusCode.ERROR, ended.code)
            if ended.asked_s and ended.code == "OK":
                inside = trace.set_span_in_context(span)
                computed_s = ended.asked_s + ended.queue_s
                for name, from_s, to_s in (
                    ("queue", ended.asked_s, computed_s),
                    ("inference", computed_s, computed_s + ended.compute_s),
                ):
                    part = self._tracer.start_span(name, inside, start_time=_ns(epoch_s + from_s))
                    part.end(_ns(epoch_s + to_s))
        span.end(_ns(epoch_s + ended.ended_s))

    def close(self) -> None:
        """Export what is left; a collector that does not answer delays this by two seconds at most."""
        # The SDK does not keep its own limits: force_flush sends a full queue in batches that take ten
        # seconds each.
        flushing = threading.Thread(target=self._provider.force_flush, daemon=True)
        flushing.start()
        flushing.join(_SHUTDOWN_S)
        if flushing.is_alive():
            self._exporter.shutdown()
        self._provider.shutdown()


def trace_to(endpoint: str, share: float, server_version: str) -> Tracing:
    """Return tracing over OTLP.

    Args:
        endpoint: where the collector listens for OTLP over gRPC: "http://host:4317", or https.
        share: the share of requests that is traced, 0 to 1, among those whose callers do not decide it.
        server_version: for the resource's service.version.

    Raises:
        ConfigError: if the libraries are not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  an extra
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--otlp-endpoint needs {error.name}, which is not installed: pip install 'tamiz[tracing]'"
        ) from error
    # The standard variables (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) win over our own values.
    named = Resource.create({"service.name": "tamiz-server", "service.version": server_version})
    resource = named.merge(OTELResourceDetector().detect())
    provider = TracerProvider(ParentBasedTraceIdRatio(share), resource, shutdown_on_exit=False)
    target = urlsplit(endpoint).netloc
    if proxy := proxy_in_the_way(target, os.environ):
        _log.warning("traces go to %s through the proxy in %s; no_proxy can spare the host", target, proxy)
    exporter = OTLPSpanExporter(endpoint, channel_options=(WITHOUT,) if is_on_this_machine(target) else None)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider, exporter)


def _ns(seconds: float) -> int:
    return int(seconds * _NS)
