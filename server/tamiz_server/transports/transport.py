"""What a transport is, and which there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from tamiz_server.access.access import Access
from tamiz_server.access.tls import Certificates
from tamiz_server.access.watched import Watched
from tamiz_server.config.config import Config
from tamiz_server.errors import ConfigError
from tamiz_server.serving.methods import Methods


class Transport(Protocol):
    """Carries calls to services and their answers back, in the running event loop. It knows no model."""

    @property
    def port(self) -> int:
        """The port that it listens on, once started."""

    async def start(self) -> None:
        """Listen. Health says NOT_SERVING until `set_health` changes that.

        Raises:
            ConfigError: if the port cannot be listened on.
        """

    async def set_health(self, name: str, serving: bool | None) -> None:  # noqa: FBT001  as in a table
        """Set whether a service, a model or a version ("name/version") is served; None: it is not known.

        The empty name means the whole server.
        """

    async def enter_graceful_shutdown(self) -> None:
        """Report NOT_SERVING for everything from now on; requests are still answered."""

    async def stop(self, grace_s: float) -> None:
        """Accept no new calls, wait at most `grace_s` seconds for those in flight, and stop."""


def transport(
    services: Sequence[Methods],
    config: Config,
    access: Access | None = None,
    certificates: Watched[Certificates] | None = None,
    refused: Counter[str] | None = None,
) -> Transport:
    """Return the transport that the settings ask for; only its libraries are imported.

    Args:
        services: what is called, besides health and reflection.
        config: the settings.
        access: access control; None admits everybody.
        certificates: for TLS; None for plain text.
        refused: counts, by status, the calls refused by the transport or by methods that do not predict.
            Access control counts its own refusals, and services count their requests for predictions.

    Raises:
        ConfigError: if its libraries are missing.
    """
    if config.transport == "h2":
        try:
            from tamiz_server.transports.h2.server import H2Server  # noqa: PLC0415  see above
        except ModuleNotFoundError as error:
            if error.name != "ngh2":
                raise
            raise ConfigError(
                "--transport h2 needs the package ngh2: pip install 'tamiz[fast]', or choose grpcio"
            ) from error
        return H2Server(services, config, access, certificates, refused)
    from tamiz_server.transports.grpcio import GrpcServer  # noqa: PLC0415  see above

    return GrpcServer(services, config, access, certificates, refused)
