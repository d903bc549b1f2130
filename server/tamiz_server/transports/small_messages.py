"""Reads the messages of calls that need no token: small ones only, and no more than memory has room for.

gRPC looks at the size of a message when all of it is there. Until then it holds whatever arrives, in as many
calls as it likes: one call took 1.2 GB. It tells nobody how much it holds. So while such messages are
incomplete, the memory of the process is looked at, and if it grows, their calls end.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from grpc import aio

from tamiz_server.access.access import OPEN_MESSAGE_BYTES
from tamiz_server.errors import InvalidRequest, MessageTooLarge, TamizError
from tamiz_server.system.resources import resident_bytes
from tamiz_server.transports.call_refusals import end_with

_STEP_S: Final = 0.05
_MOST_STEPS: Final = 200
"""After so many steps, 10 s, a message that is still incomplete is given up."""

_ROOM_BYTES: Final = 16 * 2**20
"""How much the process may grow while such messages are incomplete."""


class SmallMessages:
    """The messages of these calls that are still incomplete. It lives in the event loop."""

    def __init__(self, refused: Counter[str], resident_bytes: Callable[[], int] = resident_bytes) -> None:
        """Count refused calls by status; `resident_bytes` returns how much memory the process has."""
        self._refused = refused
        self._resident_bytes = resident_bytes
        self._incomplete: dict[asyncio.Future[Any], int] = {}
        self._floor = 0
        self._watching = False

    async def read(self, context: aio.ServicerContext[Any, Any]) -> bytes:
        """Return the only message of a call; end the call if it is too large, or takes too long."""
        try:
            return await self._read(context)
        except TamizError as error:
            self._refused[error.code] += 1
            await end_with(error, context)

    async def _read(self, context: aio.ServicerContext[Any, Any]) -> bytes:
        reading = asyncio.ensure_future(context.read())
        if not self._watching:
            self._watching = True
            self._floor = self._resident_bytes()
            asyncio.get_running_loop().call_later(_STEP_S, self._step)
        self._incomplete[reading] = 0
        try:
            body = await reading
        except asyncio.CancelledError:
            if reading in self._incomplete:  # the caller went away
                raise
            body = None
        finally:
            self._incomplete.pop(reading, None)
        if body is aio.EOF:  # type: ignore[attr-defined]
            raise InvalidRequest("the call has no message: expected one")
        if body is None or len(body) > OPEN_MESSAGE_BYTES:
            raise MessageTooLarge(
                f"the message is larger than {OPEN_MESSAGE_BYTES} bytes, or did not arrive in time: methods"
                " that need no token take no more"
            )
        return bytes(body)

    def _step(self) -> None:
        """Give up messages that are incomplete for too long, or, if memory grows, for more than a step."""
        resident = self._resident_bytes()
        self._floor = min(self._floor, resident)
        most_steps = 1 if resident - self._floor > _ROOM_BYTES else _MOST_STEPS
        for reading, steps in list(self._incomplete.items()):
            self._incomplete[reading] = steps + 1
            if steps >= most_steps:
                del self._incomplete[reading]
                reading.cancel()
                self._floor = resident
        self._watching = bool(self._incomplete)
        if self._watching:
            asyncio.get_running_loop().call_later(_STEP_S, self._step)
