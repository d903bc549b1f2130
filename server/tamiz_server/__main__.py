"""`tamiz-server`: flags and environment → Config → App."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence

from tamiz_server.config import Config
from tamiz_server.errors import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server until it is told to stop; return the exit status."""
    try:
        config = Config.parse(sys.argv[1:] if argv is None else argv, os.environ)
    except ConfigError as error:
        return _fail(str(error))
    try:
        from tamiz_server.app import App  # noqa: PLC0415  to name the extra when its libraries are missing
    except ModuleNotFoundError as error:
        return _fail(f"{error.name} is not installed; the server needs: pip install 'tamiz[server]'")
    logging.basicConfig(
        level=config.log_level.upper(), format="%(asctime)s %(levelname)-7s %(message)s", stream=sys.stderr
    )

    async def serve() -> None:
        await App(config).run()

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve())
    except ConfigError as error:
        return _fail(str(error))
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory where it is to be had (not on Windows): it saves a third of an RPC's time."""
    try:
        import uvloop  # noqa: PLC0415  it may be missing
    except ModuleNotFoundError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _fail(message: str) -> int:
    print(f"tamiz-server: {message}", file=sys.stderr)  # noqa: T201  before logging is set up
    return 1


if __name__ == "__main__":
    sys.exit(main())
