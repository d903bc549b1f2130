"""Composition and lifecycle: load, warm up, serve, drain, stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from http import HTTPStatus
from importlib.metadata import version
from typing import Final

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from tamiz_server.access import access_control
from tamiz_server.certificates import watch_certificates
from tamiz_server.config import Config, plain_text_warnings
from tamiz_server.engine import Engine
from tamiz_server.metrics import Metrics
from tamiz_server.repository import LoadResult, load_all
from tamiz_server.service import SERVICE_NAME, Service
from tamiz_server.signature import trusted_keys
from tamiz_server.transports.grpcio import GrpcServer
from tamiz_server.transports.http import HttpServer, Page

_log = logging.getLogger(__name__)

_LOOP_ANSWERS_WITHIN_S: Final = 2.0


class App:
    """A server from start to stop, in the running event loop."""

    def __init__(self, config: Config) -> None:
        """Take the ports; nothing is answered yet.

        Raises:
            ConfigError: if a port cannot be had, or a file of keys, certificates or tokens cannot be used.
        """
        trusted_keys(config.require_signature)
        for warning in plain_text_warnings(config):
            _log.warning(warning)
        access = access_control(config)
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._metrics = Metrics(version("tamiz"))
        self._service = Service(config, self._metrics)
        self._engines: list[Engine] = []
        certificates = watch_certificates(config)
        self._grpc = GrpcServer(self._service, config, access, certificates)
        self._http = HttpServer(
            config.metrics_host or config.host,
            config.metrics_port,
            {"/metrics": self._metrics_page, "/healthz": self._health_page},
            access.admit if access else None,
            (lambda: certificates.current().context) if certificates and config.metrics_tls else None,
        )
        if access is not None:
            self._metrics.refused = access.refused
        self._stop = asyncio.Event()
        self._stop_at_once = asyncio.Event()

    async def run(self) -> None:
        """Load, say ready, serve until a signal comes, drain."""
        with self._signals():
            self._http.start()
            try:
                await self._grpc.start()
                await self._load()
                await self._stop.wait()
                await self._drain()
            finally:
                await self._grpc.stop(0)
                self._http.stop()
                for engine in self._engines:
                    engine.close()

    async def _load(self) -> None:
        """Load all versions, in a thread, so that health is answered meanwhile; then say ready."""
        results = await asyncio.to_thread(lambda: list(load_all(self._config)))
        for result in results:
            self._add(result)
        # What was loaded lives as long as the process: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        served = [f"{result.name}/{result.version}" for result in results if result.model]
        self._service.ready = bool(served)
        names = {result.name for result in results}
        for name in ("", SERVICE_NAME, *names):
            serving = self._service.serves(name) if name in names else bool(served)
            await self._grpc.set_health(name, serving=serving)
        self._announce(served)

    def _add(self, result: LoadResult) -> None:
        self._metrics.loads[result.name, "loaded" if result.model else "failed"] += 1
        if result.model is None:
            _log.error("model %s version %d is not served: %s", result.name, result.version, result.error)
            return
        metrics = self._metrics.model(result.name, result.version, result.model.manifest)
        engine = Engine(result.model, metrics, self._config)
        self._engines.append(engine)
        self._service.add(result.name, result.version, engine)
        threshold = result.model.manifest.threshold
        _log.info(
            "model %s version %d: threshold %.6g%s (%s), %.0f µs per %d rows on %d thread(s), %s",
            result.name,
            result.version,
            threshold.value,
            f", the strictest of {len(threshold.subsets)}" if threshold.subsets else "",
            "certified" if threshold.HasField("certificate") else "not certified",
            result.model.batch_seconds * 1e6,
            result.model.max_batch_size,
            result.model.n_threads,
            "in the event loop" if engine.inline else "in a thread of its own",
        )

    def _announce(self, served: list[str]) -> None:
        host, metrics_host = map(_in_url, (self._config.host, self._config.metrics_host or self._config.host))
        scheme = "https" if self._config.metrics_tls else "http"
        where = f"gRPC on {host}:{self._grpc.port}, metrics on {scheme}://{metrics_host}:{self._http.port}/metrics"
        if served:
            _log.info("ready: serving %s; %s", ", ".join(served), where)
        else:
            _log.error(
                "no model is served: none could be loaded from %s; %s", self._config.model_repository, where
            )

    async def _drain(self) -> None:
        """Say NOT_SERVING, go on serving until load balancers have noticed, finish what is in flight."""
        delay_s, timeout_s = self._config.drain_delay_s, self._config.drain_timeout_s
        _log.info(
            "stopping: NOT_SERVING from now on, requests are still answered; a second signal stops at once"
        )
        await self._grpc.enter_graceful_shutdown()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop_at_once.wait(), delay_s)
        drained = asyncio.create_task(self._grpc.stop(timeout_s))
        cut_short = asyncio.create_task(self._stop_at_once.wait())
        await asyncio.wait({drained, cut_short}, return_when=asyncio.FIRST_COMPLETED)
        cut_short.cancel()
        if not drained.done():
            await self._grpc.stop(0)
        await drained
        _log.info("stopped: %d requests received, %d answered", *self._metrics.conservation())

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Stop at SIGTERM; at SIGINT without the delay; at a second signal at once."""

        def on_signal(number: signal.Signals) -> None:
            if self._stop.is_set() or number == signal.SIGINT:
                self._stop_at_once.set()
            self._stop.set()

        handled = (signal.SIGTERM, signal.SIGINT)
        for number in handled:
            self._loop.add_signal_handler(number, on_signal, number)
        try:
            yield
        finally:
            for number in handled:
                self._loop.remove_signal_handler(number)

    def _in_loop(self, function: Callable[[], None]) -> bool:
        """Call a function in the event loop, from another thread; return whether it was called in time."""
        done: Future[None] = Future()

        def call() -> None:
            function()
            done.set_result(None)

        try:
            self._loop.call_soon_threadsafe(call)
            done.result(_LOOP_ANSWERS_WITHIN_S)
        except (TimeoutError, RuntimeError):  # too busy, or closed
            return False
        return True

    def _metrics_page(self) -> Page:
        self._in_loop(self._metrics.flush)
        return Page(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, self._metrics.text())

    def _health_page(self) -> Page:
        alive = self._in_loop(lambda: None)
        if alive and self._service.ready and not self._stop.is_set():
            return Page(HTTPStatus.OK, "text/plain", b"SERVING\n")
        return Page(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"NOT_SERVING\n")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
