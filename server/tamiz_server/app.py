"""Composition and lifecycle: load, warm up, serve, drain, stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from http import HTTPStatus
from importlib.metadata import version
from typing import Final

from tamiz_server.access.access import Access, access_control
from tamiz_server.access.tls import Certificates, watch_certificates
from tamiz_server.access.watched import Watched
from tamiz_server.config.config import Config
from tamiz_server.config.host import shown, socket_path
from tamiz_server.config.warnings import plain_text_warnings
from tamiz_server.model.signature import trusted_keys
from tamiz_server.protocols.oip import endpoints as oip_over_http
from tamiz_server.protocols.oip.service import OipService
from tamiz_server.protocols.v1 import endpoints as v1_over_http
from tamiz_server.protocols.v1.service import PredictionService
from tamiz_server.repository.reloader import Reloader
from tamiz_server.serving.readiness import Readiness
from tamiz_server.serving.requests import Requests
from tamiz_server.serving.served import Registry
from tamiz_server.serving.streams import Streams
from tamiz_server.system.signals import Signals
from tamiz_server.telemetry.access_log import AccessLog
from tamiz_server.telemetry.exposition import exposition
from tamiz_server.telemetry.metrics import Metrics
from tamiz_server.telemetry.tracing import trace_to
from tamiz_server.transports.http import HttpServer, http_server
from tamiz_server.transports.pages import Page, PageServer
from tamiz_server.transports.transport import transport

_log = logging.getLogger(__name__)

_LOOP_ANSWERS_WITHIN_S: Final = 2.0
_MEAN_NOTHING: Final = (signal.SIGUSR1, signal.SIGUSR2)
_NOTHING_FOLLOWS: Final = (
    "%s means nothing to this server, which keeps no log file open; SIGHUP looks at the repository"
)
_SHARE_OF_STREAMS: Final = 0.75
"""The share of the drain timeout for streams; one whose caller takes no answers would use up all of it."""

_ENDS_WITHIN_S: Final = 5.0
"""An end in order takes a fraction of this, once the time for draining is over."""
_STUCK: Final = "a model has held up the server for longer than it may take to stop"


class App:
    """A server from start to stop, in the running event loop."""

    def __init__(self, config: Config, signals: Signals, log_lines_dropped: Callable[[], int] = int) -> None:
        """Take the ports; nothing is answered yet.

        Args:
            config: the settings.
            signals: the signals of the process, which tell the server when to stop.
            log_lines_dropped: returns how many lines the log has lost.

        Raises:
            ConfigError: if a port cannot be listened on, or a file of keys, certificates or tokens cannot be
                used.
        """
        trusted_keys(config.require_signature)
        for warning in plain_text_warnings(config):
            _log.warning(warning)
        access = access_control(config)
        self._has_access_control = access is not None
        self._config = config
        self._signals = signals
        self._loop = asyncio.get_running_loop()
        certificates = watch_certificates(config)
        self._metrics = Metrics(
            version("tamiz"),
            access.refused if access else {},
            log_lines_dropped,
            lambda: certificates.current().valid if certificates else None,
        )
        self._tracing = (
            trace_to(config.otlp_endpoint, config.trace_share, version("tamiz"))
            if config.otlp_endpoint
            else None
        )
        self._access_log = AccessLog(config.access_log_share, self._tracing)
        self._readiness = Readiness()
        registry = Registry(self._readiness)
        requests = Requests(registry, self._metrics, self._access_log)
        self._streams = Streams(config, self._metrics)
        self._reloader = Reloader(config, registry, self._readiness, self._metrics, self._set_health)
        self._services = (
            PredictionService(registry, requests, self._streams),
            OipService(
                registry,
                self._readiness,
                requests,
                self._streams,
                version("tamiz"),
                self._reloader if config.is_explicit else None,
            ),
        )
        self._grpc = transport(self._services, config, access, certificates, self._metrics.refused)
        self._http = self._requests_over_http(requests, access, certificates)
        self._pages = PageServer(
            config.pages_host,
            config.metrics_port,
            {"/metrics": self._metrics_page, "/healthz": self._health_page, "/livez": self._live_page},
            access.admit if access else None,
            (lambda: certificates.current().context) if certificates and config.metrics_tls else None,
        )
        self._stop = asyncio.Event()
        self._skip_delay = asyncio.Event()
        self._stop_at_once = asyncio.Event()
        self._signalled = False

    async def run(self) -> None:
        """Load, serve until a signal comes, drain. A signal during loading ends it: nobody is served yet."""
        self._signals.give_to(self._heed)
        self._pages.start()
        try:
            await self._grpc.start()
            if self._http is not None:
                await self._http.start()
            if await self._load():
                await self._serve()
                await self._drain()
        finally:
            self._signals.give_to(lambda _: None)  # an orderly end must not look like a crash
            await self._stop_answering(0)
            await self._reloader.end_shadows()
            self._pages.stop()
            self._reloader.close()
            self._access_log.close()
            if self._tracing is not None:
                self._tracing.close()

    async def _load(self) -> bool:
        """Load what is there in a thread, while health is answered; then log that the server is ready.

        Return whether that was done before a signal came. A thread that is still loading is not waited for.
        """
        loading = asyncio.create_task(self._reloader.look(patient=False))
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({loading, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not loading.done():
            loading.cancel()
            _log.info("stopped before the models were loaded; no request was answered")
            return False
        await loading
        # The loaded objects live long: the garbage collector need not visit them again and again.
        gc.collect()
        gc.freeze()
        self._announce(self._reloader.served())
        return True

    async def _serve(self) -> None:
        """Serve until a signal comes, in step with what is on disk."""
        watching = asyncio.create_task(self._reloader.watch())
        await self._stop.wait()
        watching.cancel()

    async def _set_health(self, name: str, serving: bool | None) -> None:  # noqa: FBT001  a SetHealth
        await self._grpc.set_health(name, serving)
        if not name:
            for service in self._services:
                await self._grpc.set_health(service.name, serving)

    def _announce(self, served: list[str]) -> None:
        pages = shown(self._config.pages_host, self._pages.port)
        if not socket_path(self._config.pages_host):
            pages = f"{'https' if self._config.metrics_tls else 'http'}://{pages}/metrics"
        where = f"gRPC on {shown(self._config.host, self._grpc.port)}, metrics on {pages}"
        if self._http is not None:
            requests = shown(self._config.requests_host, self._http.port)
            where += f", HTTP on {'https' if self._config.tls_certificate else 'http'}://{requests}"
        if served or self._readiness.ready:
            _log.info("ready: serving %s; %s", ", ".join(served) or "no model until one is loaded", where)
        else:
            _log.error("no model is served: %s; %s", self._reloader.why_nothing_is_served(), where)

    async def _drain(self) -> None:
        """Say NOT_SERVING, go on serving until load balancers have noticed, then finish what is in flight."""
        delay_s, timeout_s = self._config.drain_delay_s, self._config.drain_timeout_s
        _log.info(
            "stopping: health says NOT_SERVING, requests are still answered; a second signal stops at once"
        )
        self._readiness.stop()
        await self._grpc.enter_graceful_shutdown()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._skip_delay.wait(), delay_s)
        drained = asyncio.create_task(self._finish(timeout_s))
        cut_short = asyncio.create_task(self._stop_at_once.wait())
        await asyncio.wait({drained, cut_short}, return_when=asyncio.FIRST_COMPLETED)
        cut_short.cancel()
        if not drained.done():
            await self._stop_answering(0)
        await drained
        _log.info("stopped: %d requests received, %d answered", *self._metrics.conservation())

    async def _finish(self, timeout_s: float) -> None:
        """Wait for what is in flight, streams first, because they do not end by themselves.

        A stream whose caller takes no answers never ends: the last quarter of the time is for the other
        calls.
        """
        until_s = self._loop.time() + timeout_s
        with suppress(TimeoutError):
            await asyncio.wait_for(self._streams.end(), _SHARE_OF_STREAMS * timeout_s)
        await self._stop_answering(max(0.0, until_s - self._loop.time()))

    async def _stop_answering(self, grace_s: float) -> None:
        """Accept no new requests, wait at most `grace_s` seconds for those in flight, and stop."""
        http = [] if self._http is None else [self._http.stop(grace_s)]
        await asyncio.gather(self._grpc.stop(grace_s), *http)

    def _requests_over_http(
        self, requests: Requests, access: Access | None, certificates: Watched[Certificates] | None
    ) -> HttpServer | None:
        """Return what answers the same requests over HTTP; None if that is not asked for."""
        if not self._config.has_http:
            return None
        typed, oip = self._services
        endpoints = [*v1_over_http.endpoints(typed, requests), *oip_over_http.endpoints(oip, requests)]
        return http_server(
            endpoints, version("tamiz"), self._config, access, certificates, self._metrics.refused
        )

    def _heed(self, number: signal.Signals) -> None:
        """SIGTERM stops; SIGINT without the delay; a second signal at once. SIGHUP looks at the disk.

        Called in another thread. The process ends in time though the event loop may be stuck in a model.
        """
        with suppress(RuntimeError):  # the loop is closed: the end is near
            if number == signal.SIGHUP:
                self._loop.call_soon_threadsafe(self._reloader.nudge)
                return
            if number in _MEAN_NOTHING:  # sent by tools that rotate logs
                _log.warning(_NOTHING_FOLLOWS, number.name)
                return
            delay_s = self._config.drain_delay_s if number == signal.SIGTERM else 0.0
            within_s = 0.0 if self._signalled else delay_s + self._config.drain_timeout_s
            self._signalled = True
            self._signals.end_within(within_s + _ENDS_WITHIN_S, _STUCK)
            self._loop.call_soon_threadsafe(self._on_stop, number)

    def _on_stop(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            self._stop_at_once.set()
        if self._stop.is_set() or number == signal.SIGINT:
            self._skip_delay.set()
        self._stop.set()

    def _in_loop(self, function: Callable[[], None]) -> bool:
        """Call a function in the event loop, from another thread; return whether it was called in time."""
        done: Future[None] = Future()

        def call() -> None:
            function()
            done.set_result(None)

        try:
            self._loop.call_soon_threadsafe(call)
            done.result(_LOOP_ANSWERS_WITHIN_S)
        except (TimeoutError, RuntimeError):  # the loop is too busy, or closed
            return False
        return True

    def _metrics_page(self, accept: str) -> Page:
        self._in_loop(self._metrics.flush)
        return Page(HTTPStatus.OK, *exposition(self._metrics.text(), accept))

    def _live_page(self, accept: str) -> Page:  # noqa: ARG002  there is one form of it
        """Say whether the event loop runs, whatever is served: only a restart helps if it does not."""
        if self._in_loop(lambda: None):
            return Page(HTTPStatus.OK, "text/plain", b"ALIVE\n")
        return Page(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"the event loop is held up\n")

    def _health_page(self, accept: str) -> Page:  # noqa: ARG002  there is one form of it
        alive = self._in_loop(lambda: None)
        serving = alive and self._readiness.ready and not self._stop.is_set()
        status = HTTPStatus.OK if serving else HTTPStatus.SERVICE_UNAVAILABLE
        problems = [
            f"not loaded{' yet' * (where in self._metrics.retried)}: {where}; the log says why\n"
            for where in sorted(self._metrics.problems)
        ]
        if problems and self._has_access_control:  # this page needs no token, and names are not for everybody
            problems = [f"not loaded: {len(problems)} model(s) or version(s); the log says why\n"]
        says = "".join(("SERVING\n" if serving else "NOT_SERVING\n", *problems))
        return Page(status, "text/plain", says.encode())
