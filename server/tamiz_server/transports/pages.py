"""Pages: `/metrics` and `/healthz` over HTTP, in threads of their own that do not block the event loop."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final, NamedTuple

from tamiz_server.config.host import socket_path
from tamiz_server.errors import TamizError
from tamiz_server.system.threads import none_is_left
from tamiz_server.telemetry.offers import takes_gzip
from tamiz_server.transports.ports import bound, listening, remove_socket

Admit = Callable[[str, str | None], object]
"""Takes a path and the header `authorization`; raises TamizError to refuse."""

# How long a connection may last, so that a client that sends nothing, or a byte now and then, does not keep
# its thread.
_PATIENCE_S: Final = 10
_PACKED_FROM_BYTES: Final = 1_000
_FAST: Final = 1
_MOST_CONNECTIONS: Final = 64
"""How many connections are open at once; each has a thread, and gRPC needs the open files."""

_STATUS: Final = {
    "UNAUTHENTICATED": HTTPStatus.UNAUTHORIZED,
    "PERMISSION_DENIED": HTTPStatus.FORBIDDEN,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
}


class Page(NamedTuple):
    """The answer of one path."""

    status: HTTPStatus
    content_type: str
    body: bytes


MakePage = Callable[[str], Page]
"""Takes the header `Accept`."""


class PageServer:
    """Serves a few pages, each made by a function at the time of the request.

    Attributes:
        port: the port that it listens on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        pages: dict[str, MakePage],
        admit: Admit | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """Listen. `admit` checks every request first; `tls` gives the certificate for each connection.

        Raises:
            ConfigError: if the port cannot be listened on.
        """
        self._host = host
        with listening("--metrics-host" if socket_path(host) else "--metrics-port", host, port):
            taken = bound(host, port)
            self._server = _server_class(tls)(
                taken, _handler(pages, admit or (lambda _path, _authorization: None))
            )
        self.port = port if isinstance(taken.getsockname(), str) else int(taken.getsockname()[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="tamiz-http", daemon=True)

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        remove_socket(self._host)


class _Connection:
    """An open connection. It has its own thread.

    Attributes:
        socket: the socket to read and write; with TLS it is not the accepted one.
        began_s: when it was accepted, on time.monotonic's clock.
        asked: whether its request is complete.
    """

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.began_s = time.monotonic()
        self.asked = False

    def end(self) -> None:
        """Close the connection, even while its thread waits for it."""
        with suppress(OSError):
            # Not the method of an SSL socket: it would take away the TLS state that the thread is using.
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


class _Connections:
    """The open connections, oldest first: few, and none stays for long. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Any, _Connection] = {}

    def add(self, accepted: Any) -> None:
        """Add a connection. If there are too many, close the oldest without a request, or else the oldest.

        A scrape sends its request at once; a connection without one holds a thread for nothing.
        """
        with self._lock:
            if len(self._open) >= _MOST_CONNECTIONS:
                silent = (key for key, each in self._open.items() if not each.asked)
                self._open.pop(next(silent, next(iter(self._open)))).end()
            self._open[accepted] = _Connection(accepted)

    def get(self, accepted: Any) -> _Connection:
        """Return a connection; if it was already closed, a new object that is not in the list."""
        with self._lock:
            return self._open.get(accepted) or _Connection(accepted)

    def remove(self, accepted: Any) -> None:
        """Forget a connection that is closed."""
        with self._lock:
            self._open.pop(accepted, None)

    def end_old(self) -> None:
        """End the connections that have lasted too long."""
        until_s = time.monotonic() - _PATIENCE_S
        with self._lock:
            for each in self._open.values():
                if each.began_s < until_s:
                    each.end()


def _server_class(
    tls: Callable[[], ssl.SSLContext] | None,
) -> Callable[[socket.socket, type[BaseHTTPRequestHandler]], TCPServer]:
    class Server(ThreadingMixIn, TCPServer):
        daemon_threads = True
        request_queue_size = 128

        def __init__(self, taken: socket.socket, handler: type[BaseHTTPRequestHandler]) -> None:
            self.connections = _Connections()
            super().__init__(taken.getsockname(), handler, bind_and_activate=False)
            self.socket.close()
            self.socket = taken
            self.server_activate()

        def process_request(self, request: Any, client_address: Any) -> None:
            self.connections.add(request)
            try:
                super().process_request(request, client_address)
            except RuntimeError as error:
                if not none_is_left(error):
                    raise
                self.process_request_thread(request, client_address)  # one after the other, but answered

        def shutdown_request(self, request: Any) -> None:
            self.connections.remove(request)
            super().shutdown_request(request)

        def service_actions(self) -> None:
            """End old connections; http.server calls this twice a second and after each new connection."""
            self.connections.end_old()

        def finish_request(self, request: Any, client_address: Any) -> None:
            """Answer a connection in its thread; a handshake that never ends blocks nobody else."""
            request.settimeout(_PATIENCE_S)
            connection: Any = self.connections.get(request)
            with suppress(OSError):  # a client that went away is not worth a line
                if tls is None:
                    super().finish_request(connection, client_address)
                    return
                with tls().wrap_socket(request, server_side=True, do_handshake_on_connect=False) as secured:
                    connection.socket = secured
                    secured.do_handshake()
                    super().finish_request(connection, client_address)
                    secured.unwrap()

    return Server


def _packed(body: bytes, accept_encoding: str) -> bytes:
    """Return a page as it is sent; zlib leaves the event loop its turn meanwhile."""
    is_packed = len(body) > _PACKED_FROM_BYTES and takes_gzip(accept_encoding)
    return gzip.compress(body, _FAST) if is_packed else body


def _not_found(paths: Iterable[str]) -> MakePage:
    known = f"not found; there are: {', '.join(paths)}\n".encode()
    return lambda _: Page(HTTPStatus.NOT_FOUND, "text/plain", known)


def _handler(pages: dict[str, MakePage], admit: Admit) -> type[BaseHTTPRequestHandler]:
    missing = _not_found(pages)

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE_S

        def setup(self) -> None:
            """Read and write the connection's socket."""
            self._connection: _Connection = self.request
            self.request = self._connection.socket
            super().setup()

        def do_GET(self) -> None:
            self._connection.asked = True
            page = self._page(self.path.partition("?")[0])
            self.send_response(page.status)
            if page.status == HTTPStatus.UNAUTHORIZED:
                self.send_header("WWW-Authenticate", "Bearer")
            self.send_header("Content-Type", page.content_type)
            self.send_header("Vary", "Accept, Accept-Encoding")
            body = _packed(page.body, self._header("accept-encoding"))
            if body is not page.body:
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _header(self, name: str) -> str:
            return ",".join(self.headers.get_all(name, []))

        def _page(self, path: str) -> Page:
            try:
                admit(path, self.headers["authorization"])
            except TamizError as error:
                return Page(_STATUS[error.code], "text/plain", f"{error}\n".encode())
            return pages.get(path, missing)(self._header("accept"))

        do_HEAD = do_GET  # noqa: N815  http.server's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
            """Log nothing: a scrape every few seconds is not worth a line."""

    return Handler
