"""`/metrics` and `/healthz` over HTTP, in threads of their own: a scrape must not hold up the event loop."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final, NamedTuple

from tamiz_server.errors import ConfigError, TamizError

Admit = Callable[[str, str | None], object]
"""Path and header `authorization` → nothing that matters here, or TamizError."""

_PATIENCE_S: Final = 10  # a client that says nothing does not keep its thread

_STATUS: Final = {
    "UNAUTHENTICATED": HTTPStatus.UNAUTHORIZED,
    "PERMISSION_DENIED": HTTPStatus.FORBIDDEN,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
}


class Page(NamedTuple):
    """What one path answers."""

    status: HTTPStatus
    content_type: str
    body: bytes


class HttpServer:
    """Serves a few pages, each made by a function at the time of the request.

    Attributes:
        port: the port that it listens on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        pages: dict[str, Callable[[], Page]],
        admit: Admit | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """Listen; every request is shown to `admit` first, and `tls` gives every connection its certificate.

        Raises:
            ConfigError: if the port cannot be had.
        """
        try:
            self._server = _server_class(host, tls)((host, port), _handler(pages, admit))
        except OSError as error:
            raise ConfigError(
                f"--metrics-port: {host}:{port} cannot be listened on ({error.strerror}); is another server running"
                " there?"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="tamiz-http", daemon=True)

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer none any more."""
        self._server.shutdown()
        self._server.server_close()


def _server_class(host: str, tls: Callable[[], ssl.SSLContext] | None) -> type[ThreadingHTTPServer]:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

        def server_bind(self) -> None:
            """Bind without http.server's look-up of the host's name, which can hang where there is no name service."""
            TCPServer.server_bind(self)
            self.server_name, self.server_port = host, self.server_address[1]

        def finish_request(self, request: Any, client_address: Any) -> None:
            """Answer a connection, in its thread; a handshake that never ends holds up nobody else."""
            request.settimeout(_PATIENCE_S)
            with suppress(OSError):  # a client that went away is no news
                if tls is None:
                    super().finish_request(request, client_address)
                    return
                with tls().wrap_socket(request, server_side=True) as secured:
                    super().finish_request(secured, client_address)
                    secured.unwrap()

    return Server


def _handler(pages: dict[str, Callable[[], Page]], admit: Admit | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE_S

        def do_GET(self) -> None:
            page = self._page(self.path.partition("?")[0])
            self.send_response(page.status)
            if page.status == HTTPStatus.UNAUTHORIZED:
                self.send_header("WWW-Authenticate", "Bearer")
            self.send_header("Content-Type", page.content_type)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(page.body)

        def _page(self, path: str) -> Page:
            if admit is not None:
                try:
                    admit(path, self.headers["authorization"])
                except TamizError as error:
                    return Page(_STATUS[error.code], "text/plain", f"{error}\n".encode())
            make = pages.get(path)
            known = f"not found; there are: {', '.join(pages)}\n"
            return make() if make else Page(HTTPStatus.NOT_FOUND, "text/plain", known.encode())

        do_HEAD = do_GET  # noqa: N815  http.server's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
            """Say nothing: a scrape every few seconds is no news."""

    return Handler
