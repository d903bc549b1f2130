"""`grpc.health.v1`: whether the server, a service, a model or a version is serving (Check and Watch).

grpcio-health-checking has a servicer too. In that one, a watcher that leaves makes the other watchers of its
service deaf, and a watcher that does not read blocks everyone who sets a status, such as reloading and
stopping the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from tamiz_server.errors import InvalidRequest, ModelNotFound, Unavailable
from tamiz_server.serving.methods import Feed, Method, Stream
from tamiz_server.telemetry.access_log import Metadata

# The module of the messages is not typed.
_Response: Any = health_pb2.HealthCheckResponse
_SERVICE: Final = "grpc.health.v1.Health"


class Health:
    """What is serving; see `Methods`. Setting a status never waits for a watcher.

    It begins with the whole server, which is not serving, and with the health service itself, which is while
    the event loop runs.
    """

    name = _SERVICE
    predicts: frozenset[str] = frozenset()

    def __init__(self) -> None:
        """Begin."""
        self.methods: dict[str, Method] = {"Check": self.check}
        self.feeds: dict[str, Feed] = {"Watch": self.watch}
        self.streams: dict[str, Stream] = {}
        self._status: dict[str, int] = {"": _Response.NOT_SERVING, _SERVICE: _Response.SERVING}
        self._changed = asyncio.Event()
        self._is_final = False
        self._has_ended = False

    async def check(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:  # noqa: ARG002  a Method
        """Answer with the status of a service; NOT_FOUND if it is not known."""
        service = _asked(body)
        status = self._status.get(service)
        if status is None:
            raise ModelNotFound(f"{service!r} is not served here")
        return _message(status)

    async def watch(self, body: bytes, deadline_s: float, metadata: Metadata) -> AsyncGenerator[bytes, None]:  # noqa: ARG002  a Feed
        """Give the status of a service now and after each change; a slow reader gets only the latest."""
        service = _asked(body)
        said = None
        while not self._has_ended:
            changed = self._changed
            status = self._status.get(service, _Response.SERVICE_UNKNOWN)
            if status != said:
                yield _message(status)
                said = status
            await changed.wait()
        raise Unavailable("the server is stopping; watch another replica")

    def set(self, service: str, serving: bool | None) -> None:  # noqa: FBT001  as in a table
        """Set whether a service, a model or a version ("name/version") is served; None: it is not known.

        The empty name means the whole server. Nothing changes any more once the server is stopping.
        """
        if self._is_final:
            return
        if serving is None:
            self._status.pop(service, None)
        else:
            self._status[service] = _Response.SERVING if serving else _Response.NOT_SERVING
        self._wake()

    def say_not_serving(self) -> None:
        """Set all to NOT_SERVING, permanently."""
        self._is_final = True
        self._status = dict.fromkeys(self._status, _Response.NOT_SERVING)
        self._wake()

    def end(self) -> None:
        """End the calls of watchers, which do not end by themselves."""
        self._has_ended = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _asked(body: bytes) -> str:
    try:
        return str(health_pb2.HealthCheckRequest.FromString(body).service)
    except DecodeError as error:
        raise InvalidRequest(f"the message is not one of this method: {error}") from error


def _message(status: int) -> bytes:
    return bytes(_Response(status=status).SerializeToString())
