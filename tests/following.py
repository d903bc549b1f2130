"""A server that follows a folder, in the test's own process: all of a real one except its transports."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.serving_parts import Serving

from tamiz_server.model.trial import Trial
from tamiz_server.repository.reloader import Reloader


class KeptTrial(Trial):
    """Goes on from server to server, and ends with the tests: starting its process takes longer than most."""

    def rest(self) -> None:
        pass

    def close(self) -> None:
        pass


TRIAL = KeptTrial()
atexit.register(Trial.close, TRIAL)


class Server:
    """What answers requests, and what keeps it in step with a folder."""

    def __init__(self, repository: Path, **settings: Any) -> None:
        self.repository = repository
        self.serving = serving = Serving(repository, **settings)
        self.metrics, self.registry, self.readiness = serving.metrics, serving.registry, serving.readiness
        self.health: dict[str, bool | None] = {}
        self.reloader = Reloader(
            serving.config, serving.registry, serving.readiness, serving.metrics, self._set_health
        )
        self.reloader._trial = TRIAL

    async def _set_health(self, name: str, serving: bool | None) -> None:  # noqa: FBT001
        self.health[name] = serving

    async def look(self) -> None:
        """Follow the folder, and load new files without a pause."""
        await self.reloader.look(patient=False)


AnyServer = TypeVar("AnyServer", bound=Server)


@asynccontextmanager
async def running(server: AnyServer) -> AsyncIterator[AnyServer]:
    """End the server's shadows and close its engines at the end, within a minute."""
    try:
        async with asyncio.timeout(60):
            yield server
    finally:
        await server.reloader.end_shadows()
        server.reloader.close()
