"""gRPC on libnghttp2: the services behind one listening socket, all in the running event loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tamiz_server.access.access import Access
from tamiz_server.access.tls import Certificates
from tamiz_server.access.watched import Watched
from tamiz_server.config.config import Config
from tamiz_server.serving.methods import Methods
from tamiz_server.transports.connections import GONE_WITHIN_S, Connections
from tamiz_server.transports.h2.connection import Shared
from tamiz_server.transports.h2.limits import Limits
from tamiz_server.transports.h2.protocol import H2Protocol
from tamiz_server.transports.h2.reception import Reception
from tamiz_server.transports.h2.routes import routes
from tamiz_server.transports.health import Health
from tamiz_server.transports.own_services import with_own_services
from tamiz_server.transports.room import Room


class H2Server:
    """See `Transport`."""

    def __init__(
        self,
        services: Sequence[Methods],
        config: Config,
        access: Access | None = None,
        certificates: Watched[Certificates] | None = None,
        refused: Counter[str] | None = None,
    ) -> None:
        """Take services; see `Transport`."""
        self._config = config
        self._certificates = certificates
        self._health = Health()
        limits = Limits.of(config)
        offered = with_own_services(services, self._health, config)
        self._shared = Shared(
            Reception(routes(offered, limits), limits, access),
            limits,
            Room(limits.all_bytes),
            Room(limits.all_bytes),
            Counter() if refused is None else refused,
        )
        self._connections = Connections("--host", config.host, "--grpc-port", config.grpc_port)

    @property
    def port(self) -> int:
        """The port that it listens on, once started; 0 for a Unix domain socket."""
        return self._connections.port

    async def start(self) -> None:
        """Listen; see `Transport`."""
        certificates = self._certificates
        self._connections.listen(
            self._connection,
            most=self._config.max_connections,
            n_sockets=1 + self._config.has_http,
            handshake_s=self._shared.limits.handshake_s,
            tls=None if certificates is None else lambda: certificates.current().calls,
        )

    async def set_health(self, name: str, serving: bool | None) -> None:  # noqa: FBT001  as in a table
        """Set whether a service, a model or a version is served; see `Transport`."""
        self._health.set(name, serving)

    async def enter_graceful_shutdown(self) -> None:
        """Report NOT_SERVING for everything from now on; requests are still answered."""
        self._health.say_not_serving()

    async def stop(self, grace_s: float) -> None:
        """Accept no new calls, wait at most `grace_s` seconds for those in flight, and stop."""
        self._health.end()
        await self._connections.stop(grace_s, late_s=GONE_WITHIN_S)

    def _connection(self) -> H2Protocol:
        return H2Protocol(self._shared, self._connections.arrived, self._connections.left)
