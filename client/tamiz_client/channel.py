"""How a client reaches its server: options, TLS and load balancing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from tamiz.proxies import WITHOUT, is_on_this_machine
from tamiz_client.errors import TamizClientError, reason
from tamiz_client.retry import RetryPolicy

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024

# Calls are made by path, because generated stubs would tie the client to a version of grpcio.
PREDICT: Final = "/tamiz.v1.PredictionService/Predict"
STREAM_PREDICT: Final = "/tamiz.v1.PredictionService/StreamPredict"
LIST_MODELS: Final = "/tamiz.v1.PredictionService/ListModels"
GET_MODEL: Final = "/tamiz.v1.PredictionService/GetModel"
HEALTH: Final = "/grpc.health.v1.Health/Check"
PATHS: Final = (PREDICT, LIST_MODELS, GET_MODEL, HEALTH)


@dataclass(frozen=True)
class TlsOptions:
    """What a client needs for TLS. Each file is a path, or its content as bytes.

    Attributes:
        root_certificates: the authorities to trust; None for those that gRPC trusts by default.
        private_key, certificate_chain: the client's own, for mutual TLS; both or none.
        server_name: the name to expect in the server's certificate, if it differs from the address.

    Raises:
        TamizClientError: if only one of key and certificate is given.
    """

    root_certificates: str | Path | bytes | None = None
    private_key: str | Path | bytes | None = None
    certificate_chain: str | Path | bytes | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.private_key is None) != (self.certificate_chain is None):  # gRPC would end the process
            raise TamizClientError("for mutual TLS give both the private key and its certificate, or neither")

    def credentials(self) -> grpc.ChannelCredentials:
        """Return gRPC's form of these options.

        Raises:
            TamizClientError: if a file cannot be read.
        """
        return grpc.ssl_channel_credentials(
            _content(self.root_certificates), _content(self.private_key), _content(self.certificate_chain)
        )


def channel_options(
    target: str, retry: RetryPolicy, tls: TlsOptions | None, max_message_bytes: int
) -> list[tuple[str, Any]]:
    """Return a channel's options; calls go round all addresses of the name, as a headless service gives them.

    Raises:
        TamizClientError: if `retry` or `tls` has the wrong type.
    """
    if not isinstance(retry, RetryPolicy):
        raise TamizClientError(
            f"retry is {retry!r}: expected a RetryPolicy, such as RetryPolicy(max_attempts=1)"
        )
    if not isinstance(tls, TlsOptions | None):
        raise TamizClientError(f"tls is {tls!r}: expected TlsOptions() for TLS, or None for plain text")
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if retry.max_attempts > 1:
        # Other calls are made again by `Attempts`, which can tell their failures apart. The requests of a
        # stream come from the caller and exist once: gRPC keeps them until the first answer.
        config["methodConfig"] = [
            {
                "name": [dict(zip(("service", "method"), STREAM_PREDICT[1:].split("/"), strict=True))],
                "retryPolicy": {
                    "maxAttempts": 2,
                    "initialBackoff": f"{retry.initial_backoff_s}s",
                    "maxBackoff": f"{retry.max_backoff_s}s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                },
            }
        ]
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        # gRPC tries a call again only as long as it has kept its messages. Its default of 256 KiB gave up on
        # larger requests: while replicas were replaced, one in seven failed.
        ("grpc.per_rpc_retry_buffer_size", max_message_bytes if max_message_bytes >= 0 else 2**31 - 1),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # While replicas are replaced one after the other, a client has to find the first one again before the
        # next one stops. gRPC's defaults are too slow for that: up to two minutes before a lost address is
        # dialed again, 30 seconds before the name is looked up again.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    ]
    if is_on_this_machine(target):
        options.append(WITHOUT)
    if tls is not None and tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options


def call_metadata(metadata: Sequence[tuple[str, str]], token: str | None) -> tuple[tuple[str, str], ...]:
    """Return what goes with every call: the caller's metadata, and the token (RFC 6750, section 2.1).

    Raises:
        TamizClientError: if gRPC would refuse either. The message does not repeat the token.
    """
    pairs = tuple(metadata.items() if isinstance(metadata, Mapping) else metadata)
    for pair in pairs:
        if not _is_metadata(pair):
            raise TamizClientError(
                f"metadata has {pair!r}: expected pairs of printable ASCII strings, the name in lower case,"
                " such as ('x-request-id', '7')"
            )
    if token is None:
        return pairs
    if not isinstance(token, str) or not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):
        raise TamizClientError(
            "the token is not a string, is empty, or has characters that a bearer token cannot have, such"
            " as spaces"
        )
    return (*pairs, ("authorization", f"Bearer {token}"))


def _is_metadata(pair: Any) -> bool:
    """Return whether gRPC sends this name and value."""
    if not (isinstance(pair, tuple) and len(pair) == 2):  # noqa: PLR2004  a pair
        return False
    name, value = pair
    if not (isinstance(name, str) and re.fullmatch(r"[0-9a-z_.-]+", name)):
        return False
    if name.endswith("-bin"):
        return isinstance(value, bytes)
    return isinstance(value, str) and value.isascii() and value.isprintable()


def _content(file: str | Path | bytes | None) -> bytes | None:
    if file is None or isinstance(file, bytes):
        return file
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise TamizClientError(f"{file} cannot be read: {reason(error)}") from error
