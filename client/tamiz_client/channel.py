"""How a client reaches its server: options, TLS, load balancing and retries."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from tamiz_client.errors import TamizClientError

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024

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
        root_certificates: whom to believe; None for the usual authorities.
        private_key, certificate_chain: who the client is, for mutual TLS; both or none.
        server_name: the name to expect in the server's certificate, if it is not the one that is dialed.

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
        """Return gRPC's form of it.

        Raises:
            TamizClientError: if a file cannot be read.
        """
        return grpc.ssl_channel_credentials(
            _content(self.root_certificates), _content(self.private_key), _content(self.certificate_chain)
        )


@dataclass(frozen=True)
class RetryPolicy:
    """When a failed call is tried again: only where no server was reached or it stopped, within the call's deadline.

    A prediction changes nothing, so that trying again is safe. A busy server is not asked again: that would feed the
    overload. CANCELLED is how grpc ends the calls that a stopping server received and did not take; a call that the
    caller cancels is over.

    Attributes:
        max_attempts: tries in all, from 1 (none again) to 5.
        initial_backoff_s, max_backoff_s: the first and the longest pause; gRPC doubles them and adds jitter.
    """

    max_attempts: int = 4
    initial_backoff_s: float = 0.05
    max_backoff_s: float = 1.0


def channel_options(
    retry: RetryPolicy, tls: TlsOptions | None, max_message_bytes: int
) -> list[tuple[str, Any]]:
    """Return a channel's options: calls go round all addresses of the name, as a headless service gives them.

    An address that was lost is dialed again after a tenth of a second, and then every second or so (gRPC's default goes up to
    two minutes), and the name is asked for its addresses again after a second at the earliest (gRPC's default: 30): while
    replicas are replaced one after the other, the first has to be found again before the next one goes.
    """
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if retry.max_attempts > 1:
        config["methodConfig"] = [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": retry.max_attempts,
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
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    ]
    if tls is not None and tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options


def bearer(token: str | None) -> tuple[tuple[str, str], ...]:
    """Return the metadata that carry a token (RFC 6750, section 2.1); empty without one.

    Raises:
        TamizClientError: if it has characters that no token has; the message does not repeat it.
    """
    if token is None:
        return ()
    if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):  # gRPC would end with a message that shows it
        raise TamizClientError(
            "the token is empty, or has characters that a bearer token cannot have, such as spaces"
        )
    return (("authorization", f"Bearer {token}"),)


def _content(file: str | Path | bytes | None) -> bytes | None:
    if file is None or isinstance(file, bytes):
        return file
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise TamizClientError(f"{file} cannot be read: {error.strerror}") from error
