"""`grpc.health.v1`: whether the server, a service, a model or a version is serving, for those who ask and those who watch.

Not grpcio-health-checking's servicer: there a watcher that leaves makes the others of its service deaf, and one that does
not read holds up whoever wants to say something new, the reloading and the stop of the server among them.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

# The module of the messages is not typed.
_Response: Any = health_pb2.HealthCheckResponse
_Context = aio.ServicerContext[Any, Any]


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # that module neither
    """What is serving. Saying something never waits for anybody."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._status: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._is_final = False
        self._has_ended = False

    async def Check(self, request: Any, context: _Context) -> Any:  # noqa: N802  the contract's name
        """Answer with the status of a service; NOT_FOUND for one that is not known."""
        status = self._status.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"{request.service!r} is not served here")
        return _Response(status=status)

    async def Watch(self, request: Any, context: _Context) -> None:  # noqa: N802  as above
        """Send the status of a service, and again when it has changed; what changed twice meanwhile is sent once."""
        said = None
        while not self._has_ended:
            changed = self._changed
            status = self._status.get(request.service, _Response.SERVICE_UNKNOWN)
            if status != said:
                await context.write(_Response(status=status))
                said = status
            await changed.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping; watch another replica")

    def set(self, service: str, status: int) -> None:
        """Say how a service is, unless the last word was said."""
        if not self._is_final:
            self._status[service] = status
            self._wake()

    def forget(self, service: str) -> None:
        """Say of a service that it is not known any more, unless the last word was said."""
        if not self._is_final:
            self._status.pop(service, None)
            self._wake()

    def say_not_serving(self) -> None:
        """Say NOT_SERVING of all; it is the last word."""
        self._is_final = True
        self._status = dict.fromkeys(self._status, _Response.NOT_SERVING)
        self._wake()

    def end(self) -> None:
        """End the calls of those who watch: they would not end by themselves."""
        self._has_ended = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
