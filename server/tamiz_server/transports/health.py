"""`grpc.health.v1`: whether the server, a service, a model or a version is serving (Check and Watch).

grpcio-health-checking has a servicer too. In that one, a watcher that leaves makes the other watchers of its
service deaf, and a watcher that does not read blocks everyone who sets a status, such as reloading and
stopping the server.
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


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # that module is not typed either
    """What is serving. Setting a status never waits for a watcher."""

    def __init__(self) -> None:
        """Begin without any service."""
        self._status: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._is_final = False
        self._has_ended = False

    async def Check(self, request: Any, context: _Context) -> Any:  # noqa: N802  the contract's name
        """Answer with the status of a service; NOT_FOUND if it is not known."""
        status = self._status.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"{request.service!r} is not served here")
        return _Response(status=status)

    async def Watch(self, request: Any, context: _Context) -> None:  # noqa: N802  as above
        """Send the status of a service now and after each change; a slow reader gets only the latest."""
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
        """Set the status of a service, unless the server is stopping."""
        if not self._is_final:
            self._status[service] = status
            self._wake()

    def forget(self, service: str) -> None:
        """Forget a service, unless the server is stopping."""
        if not self._is_final:
            self._status.pop(service, None)
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
