"""Ports and sockets: how one is taken, and what to say when it cannot be."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from tamiz_server.config.host import is_wildcard, shown, socket_path
from tamiz_server.errors import ConfigError

_ADVICE: Final = {
    errno.EADDRINUSE: "is another server running there? Stop it, or choose another port",
    errno.EADDRNOTAVAIL: "this machine does not have that address; choose one that it has, or 0.0.0.0",
    errno.EACCES: "ports below 1024 need a privilege; choose a higher one",
}
_ADVICE_ON_PATHS: Final = {
    errno.ENOENT: "make the folder first",
    errno.EACCES: "the server needs the right to write to the folder",
    errno.EROFS: "choose a folder that can be written to",
}
_OTHERS_MAY_NOT: Final = 0o117
_PATIENCE_S: Final = 1.0


@contextmanager
def listening(flag: str, host: str, port: int) -> Iterator[None]:
    """Say of an error what could not be listened on, why, and what to do.

    A socket that is made meanwhile is for its owner and group only (mode 660).

    Raises:
        ConfigError: for the block's OSError.
    """
    before = os.umask(_OTHERS_MAY_NOT)
    try:
        yield
    except OSError as error:
        why = f"{flag}: {shown(host, port)} cannot be listened on ({error.strerror or error})"
        raise ConfigError(f"{why}; {_advice(host, error)}") from error
    finally:
        os.umask(before)


def bound(host: str, port: int) -> socket.socket:
    """Return a socket with an address; nobody listens there yet.

    Raises:
        OSError: if it cannot have that address.
    """
    if path := socket_path(host):
        _remove_stale(path)
        return _bound(socket.AF_UNIX, str(path))
    if not is_wildcard(host):
        return _bound(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port))
    try:
        return _bound(socket.AF_INET6, ("::", port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise
        return _bound(socket.AF_INET, ("0.0.0.0", port))  # noqa: S104  what was asked for, without IPv6


def try_port(flag: str, host: str, port: int) -> None:
    """Take a port and let go of it again, because gRPC does not say why it cannot listen, and logs C++ lines.

    gRPC would also take away the socket of another server that is running.

    Raises:
        ConfigError: if the port cannot be listened on.
    """
    with listening(flag, host, port), closing(bound(host, port)):
        pass
    remove_socket(host)


def remove_socket(host: str) -> None:
    """Remove the file of a Unix domain socket, if the host is one."""
    if path := socket_path(host):
        with suppress(OSError):
            path.unlink()


def _bound(family: socket.AddressFamily, address: str | tuple[str, int]) -> socket.socket:
    new = socket.socket(family)
    try:
        if family != socket.AF_UNIX:
            # As gRPC does: a port that was just closed is free at once, and :: is for both families.
            new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            new.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        new.bind(address)
    except OSError:
        new.close()
        raise
    return new


def _remove_stale(path: Path) -> None:
    """Remove a socket that a killed server has left: nobody listens there."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PATIENCE_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:  # it cannot be told; the attempt to take it says why not
            pass


def _advice(host: str, error: OSError) -> str:
    number = error.errno or 0
    path = socket_path(host)
    if path is None:
        return _ADVICE.get(number, "choose another host or port")
    if number == errno.EADDRINUSE and not path.is_socket():
        return "there is a file of that name; choose another path"
    if number == errno.EADDRINUSE:
        return "is another server running there? Stop it, or choose another path"
    return _ADVICE_ON_PATHS.get(number, "choose another path")
