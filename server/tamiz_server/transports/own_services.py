"""The services that every transport offers besides those of the protocols: health and reflection."""

from __future__ import annotations

from collections.abc import Sequence

from tamiz_server.config.config import Config
from tamiz_server.serving.methods import Methods
from tamiz_server.transports.health import Health
from tamiz_server.transports.reflection import reflection


def with_own_services(services: Sequence[Methods], health: Health, config: Config) -> tuple[Methods, ...]:
    """Return these services with health and, if the settings ask for it, reflection."""
    offered = (*services, health)
    return (*offered, *reflection(offered)) if config.reflection else offered
