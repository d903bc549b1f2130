"""Ports: whether one can be listened on, and what to say when it cannot."""

from __future__ import annotations

import errno
import socket
from typing import Final

from tamiz_server.errors import ConfigError

_ADVICE: Final = {
    errno.EADDRINUSE: "is another server running there? Stop it, or choose another port",
    errno.EADDRNOTAVAIL: "this machine does not have that address; choose one that it has, or 0.0.0.0",
    errno.EACCES: "ports below 1024 need a privilege; choose a higher one",
}


def refused(flag: str, host: str, port: int, error: OSError) -> ConfigError:
    """Return the error for a port that cannot be listened on: which flag, why, and what to do."""
    advice = _ADVICE.get(error.errno or 0, "choose another host or port")
    return ConfigError(f"{flag}: {host}:{port} cannot be listened on ({error.strerror}); {advice}")


def try_port(flag: str, host: str, port: int) -> None:
    """Take a port and let go of it again, because gRPC does not say why it cannot listen, and logs C++ lines.

    Raises:
        ConfigError: if the port cannot be listened on.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As gRPC does: a port that was just closed is free at once.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise refused(flag, host, port, error) from error
