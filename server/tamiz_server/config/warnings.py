"""Warnings about settings that let others read, ask or change something, for the log at the start."""

from __future__ import annotations

from collections.abc import Iterator

from tamiz_server.config.config import Config
from tamiz_server.config.host import is_local
from tamiz_server.config.setting import flag


def plain_text_warnings(config: Config) -> Iterator[str]:
    """Return a warning for each way in which others may listen, ask, or decide what is served."""
    yield from _warnings_of_requests("host", config)
    if config.has_http and config.http_host:
        yield from _warnings_of_requests("http_host", config)
    yield from _warnings_of_metrics(config)


def _warnings_of_requests(name: str, config: Config) -> Iterator[str]:
    host = getattr(config, name)
    where = f"{flag(name)} {host} can be reached from other machines"
    if is_local(host):
        return
    if not config.tls_certificate:
        secrets = ", tokens included" if config.tokens_file or config.jwt_keys else ""
        yield (
            f"{where}, in plain text: anyone on the network"
            f" path can read and change all traffic{secrets}. Give --tls-certificate and --tls-key, or leave"
            " TLS to a proxy on this machine"
        )
    if not (config.tokens_file or config.jwt_keys or config.tls_client_ca):
        yield (
            f"{where}, and anyone there may send requests:"
            " give --tokens-file or --tls-client-ca, or make sure that only your callers can reach this"
            " network"
        )
    if config.is_explicit and not (config.tokens_file or config.jwt_keys):
        who = "every client with a certificate" if config.tls_client_ca else "anyone there"
        yield (
            f"{where}. With --model-control-mode explicit and"
            f" without tokens, {who} may load and unload models: give --tokens-file, and the right admin to"
            " those who may do that"
        )


def _warnings_of_metrics(config: Config) -> Iterator[str]:
    """Warn about the pages only if gRPC has no warning about plain text already."""
    if config.metrics_tls or is_local(config.pages_host):
        return
    if not config.tls_certificate and not is_local(config.host):
        return
    name = "metrics_host" if config.metrics_host else "host"
    secret = ", as are the tokens for them" if config.tokens_file or config.jwt_keys else ""
    yield (
        f"{flag(name)} {getattr(config, name)}: /metrics and /healthz can be reached from other machines, in"
        f" plain text{secret}. Within a cluster that is usual; elsewhere give --metrics-tls, or"
        " --metrics-host 127.0.0.1"
    )
