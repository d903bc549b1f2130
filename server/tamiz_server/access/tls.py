"""The certificates for TLS: the server's own, and those of client authorities, checked before use."""

from __future__ import annotations

import logging
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tamiz_server.access.validity import Validity, validity
from tamiz_server.access.watched import Watched
from tamiz_server.config.config import Config
from tamiz_server.errors import ConfigError
from tamiz_server.system.files import MAX_OPERATORS_BYTES, read_regular_file

_log = logging.getLogger(__name__)


class Certificates(NamedTuple):
    """The server's key and certificate, and the authorities of its clients.

    Attributes:
        key: the server's private key, PEM-encoded like the others.
        chain: its certificate and the intermediate ones.
        client_ca: the authorities whose clients may connect; None: clients need no certificate.
        context: key and chain as an SSLContext, for HTTP.
        calls: the same for HTTP/2, with the clients' authorities.
        requests: the same for HTTP/1.1.
        valid: when all certificates of the chain are valid; None if that cannot be told.
    """

    key: bytes
    chain: bytes
    client_ca: bytes | None
    context: ssl.SSLContext
    calls: ssl.SSLContext
    requests: ssl.SSLContext
    valid: Validity | None


def watch_certificates(config: Config) -> Watched[Certificates] | None:
    """Return the certificates that the settings name; None for plain text.

    Raises:
        ConfigError: if a file cannot be read, holds no certificate or key, or if certificate and key do not
            belong together.
    """
    if not config.tls_certificate:
        return None
    paths = [Path(name) for name in (config.tls_key, config.tls_certificate, config.tls_client_ca) if name]
    return Watched(paths, lambda: _read(config))


def _read(config: Config) -> Certificates:
    """Return the checked content of the files. They are read twice: they may change during the check."""
    content = _content(config)
    context = _checked(config)
    calls, requests = (_for_callers(_checked(config), each, config) for each in ("h2", "http/1.1"))
    if _content(config) != content:
        raise ConfigError("the files for TLS are being changed right now; they are read again later")
    key, chain, client_ca = content
    valid = validity(chain)
    _warn_of_dates(config.tls_certificate, valid)
    return Certificates(key, chain, client_ca, context, calls, requests, valid)


def _warn_of_dates(path: str, valid: Validity | None) -> None:
    """Say when clients refuse the certificate. It is used all the same: this machine's clock may be wrong."""
    now_s = time.time()
    if valid is not None and now_s < valid.from_s:
        _log.error(
            "--tls-certificate: %s holds a certificate that is not valid before %s: clients refuse it;"
            " replace it, or set the clock of this machine",
            *(path, _shown(valid.from_s)),
        )
    if valid is not None and valid.until_s < now_s:
        _log.error(
            "--tls-certificate: %s holds a certificate that has expired at %s: clients refuse it; replace it,"
            " and the server reads it again",
            *(path, _shown(valid.until_s)),
        )


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _content(config: Config) -> tuple[bytes, bytes, bytes | None]:
    return (
        _bytes("--tls-key", config.tls_key),
        _bytes("--tls-certificate", config.tls_certificate),
        _bytes("--tls-client-ca", config.tls_client_ca) if config.tls_client_ca else None,
    )


def _bytes(flag: str, path: str) -> bytes:
    try:
        return read_regular_file(Path(path), MAX_OPERATORS_BYTES)
    except OSError as error:
        raise ConfigError(f"{flag}: {path} cannot be read: {error.strerror}") from error


def _checked(config: Config) -> ssl.SSLContext:
    """Let OpenSSL check the files. gRPC would only say later that a handshake failed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(config.tls_certificate, config.tls_key, password=_no_password)
    except OSError as error:
        raise ConfigError(_problem(config, error)) from error
    if not config.tls_client_ca:
        return context
    try:
        context.load_verify_locations(config.tls_client_ca)
    except OSError as error:  # ssl.SSLError among them
        raise ConfigError(
            f"--tls-client-ca: {config.tls_client_ca} holds no certificate in PEM format ({_reason(error)})"
        ) from error
    return context


def _for_callers(context: ssl.SSLContext, protocol: str, config: Config) -> ssl.SSLContext:
    """Return a context for HTTP/2 (RFC 9113, section 9.2) or HTTP/1.1 over TLS."""
    context.set_alpn_protocols([protocol])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0  # a resumed session would not show its certificate again
    if config.tls_client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _problem(config: Config, error: OSError) -> str:
    if _reason(error) == "KEY_VALUES_MISMATCH":
        return (
            f"--tls-key: {config.tls_key} is not the key of the certificate {config.tls_certificate}; give"
            " the two that were made together"
        )
    return (
        f"--tls-certificate, --tls-key: {config.tls_certificate} and {config.tls_key} are not a"
        f" certificate and a private key in PEM format ({_reason(error)})"
    )


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or str(error)


def _no_password() -> str:
    """Refuse an encrypted key: OpenSSL would ask for its passphrase on the terminal."""
    raise ConfigError(
        "--tls-key: the private key is encrypted; give it without a passphrase, in a file that only the"
        " server's user can read"
    )
