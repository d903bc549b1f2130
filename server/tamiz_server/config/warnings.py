"""What settings let others read, ask or change, that an operator should hear of at the start."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from tamiz_server.config.config import Config, flag


def plain_text_warnings(config: Config) -> Iterator[str]:
    """Return what an operator should hear of settings that let others listen, ask or decide what is served."""
    yield from _warnings_of_grpc(config)
    yield from _warnings_of_metrics(config)


def _warnings_of_grpc(config: Config) -> Iterator[str]:
    if _is_loopback(config.host):
        return
    if not config.tls_certificate:
        secrets = ", tokens among it" if config.tokens_file or config.jwt_keys else ""
        yield (
            f"--host {config.host} is reached from other machines, and in plain text: whoever is on the way reads and"
            f" changes everything{secrets}. Give --tls-certificate and --tls-key, or leave TLS to a proxy on this machine"
        )
    if not (config.tokens_file or config.jwt_keys or config.tls_client_ca):
        yield (
            f"--host {config.host} is reached from other machines, and everybody there may ask: give --tokens-file or"
            " --tls-client-ca, or see to it that the network lets in nobody else"
        )
    if config.is_explicit and not (config.tokens_file or config.jwt_keys):
        who = "every client with a certificate" if config.tls_client_ca else "everybody there"
        yield (
            f"--host {config.host} is reached from other machines, and with --model-control-mode explicit and without tokens"
            f" {who} may load and unload models: give --tokens-file, and the right admin to those who may"
        )


def _warnings_of_metrics(config: Config) -> Iterator[str]:
    """Return a warning where nothing else is in plain text beyond this machine: otherwise it has been said."""
    if config.metrics_tls or _is_loopback(config.metrics_host or config.host):
        return
    if not config.tls_certificate and not _is_loopback(config.host):
        return
    name = "metrics_host" if config.metrics_host else "host"
    secret = "; a token for it is sent so too" if config.tokens_file or config.jwt_keys else ""
    yield (
        f"{flag(name)} {getattr(config, name)}: /metrics and /healthz are reached from other machines, and in plain text{secret}."
        " Within a cluster that is usual; elsewhere give --metrics-tls, or --metrics-host 127.0.0.1"
    )


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback
