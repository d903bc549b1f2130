"""What can go wrong for a caller.

    TamizClientError
    ├── InvalidRows          the rows do not fit the model; nothing was sent
    └── CallFailed           the server did not answer; carries gRPC's code
        ├── InvalidRequest   INVALID_ARGUMENT
        ├── ModelNotFound    NOT_FOUND
        ├── ModelChanged     FAILED_PRECONDITION; it was looked up again, and changed again
        ├── ServerBusy       RESOURCE_EXHAUSTED
        ├── DeadlineExceeded DEADLINE_EXCEEDED
        ├── ServerUnavailable UNAVAILABLE
        ├── NotAllowed       UNAUTHENTICATED, PERMISSION_DENIED
        └── InvalidAnswer    the server answered, but not what was asked, or with something impossible

An abstained row is none of these: it is an answer.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import Any, Final

import grpc

from tamiz.call_metadata import NOT_TAKEN
from tamiz.proxies import proxy_in_the_way


class TamizClientError(Exception):
    """Something went wrong; the message says what, and what to do."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the error come back whole from a worker process.

        Python's own way calls the class with the message alone. A class that takes more fails there, and
        `multiprocessing.Pool` then waits for ever.
        """
        return type(self).__new__, (type(self), *self.args), vars(self)


class InvalidRows(TamizClientError, ValueError):
    """The rows do not fit the model. Nothing was sent."""


class Fate(Enum):
    """What became of a call that failed."""

    ANSWERED = "a server answered it with an error"
    UNREACHED = "no server was reached"
    NOT_TAKEN = "a server said that it did not compute it"
    BROKEN = "it was under way when the connection broke; nobody knows whether it was computed"


class CallFailed(TamizClientError):
    """The server did not answer.

    Attributes:
        code: the name of gRPC's status, such as "UNAVAILABLE".
        fate: what became of the call.
    """

    def __init__(self, message: str, code: str, fate: Fate = Fate.ANSWERED) -> None:
        super().__init__(message)
        self.code = code
        self.fate = fate


class InvalidRequest(CallFailed):
    """The request is wrong; sending it again does not help."""


class ModelNotFound(CallFailed):
    """The server does not serve this model, or not this version of it."""


class ModelChanged(CallFailed):
    """The rows were encoded for another model than the one that answers, however often it was looked up.

    Some replicas of the server may have a new model and others not yet: try again when they all have it.
    """


class ServerBusy(CallFailed):
    """The queue is full, or a message is too large. Nothing was computed; try later, or with fewer rows."""


class DeadlineExceeded(CallFailed):
    """No answer came in time; give a longer `timeout_s`, or fewer rows."""


class ServerUnavailable(CallFailed):
    """The server cannot be reached, is starting or is stopping."""


class NotAllowed(CallFailed):
    """The credentials are missing or wrong, or do not allow this call."""


class InvalidAnswer(CallFailed):
    """The server, or something before it, answered with what cannot be an answer to this call.

    None of it is returned. The message says which server that was, and what was wrong.
    """

    def __init__(self, message: str, code: str = "INTERNAL") -> None:
        super().__init__(f"the answer cannot be used: {message}", code)

    def by(self, target: str) -> InvalidAnswer:
        """Return this error with the server's address in its message."""
        self.args = (f"{target}: {self.args[0]}",)
        return self


_BY_CODE: Final[dict[str, type[CallFailed]]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "NOT_FOUND": ModelNotFound,
    "FAILED_PRECONDITION": ModelChanged,
    "RESOURCE_EXHAUSTED": ServerBusy,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNAVAILABLE": ServerUnavailable,
    "UNAUTHENTICATED": NotAllowed,
    "PERMISSION_DENIED": NotAllowed,
}


_NOT_IN_TIME: Final = "Deadline Exceeded"
_UNRESOLVED: Final = "DNS resolution failed"
_UNREACHED: Final = ("failed to connect to all addresses", "connections to all backends failing")
"""How gRPC's details begin when it reached no server. A server that refuses a call uses its own words."""
_CERTIFICATES: Final = {
    "certificate has expired": "its certificate has expired, and has to be replaced on the server",
    "certificate is not yet valid": "its certificate is not valid yet; check the clocks of both machines",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not from an authority that the client trusts; name the"
    " authority by root_certificates of TlsOptions, or --tls-ca",
    "Hostname Verification Check failed": "its certificate is for other names than this address; use a name"
    " in the certificate, or server_name of TlsOptions",
}
"""gRPC's words for a certificate that the client refuses, and what to do; the more certain ones first."""
_PERHAPS_UNREACHED: Final = (_NOT_IN_TIME, _UNRESOLVED, *_UNREACHED)


def call_failed(error: grpc.RpcError, target: str, timeout_s: float | None) -> CallFailed:
    """Return gRPC's error as one of ours; `timeout_s` is what the call was given, None for any time."""
    code, details = error.code().name, error.details() or "no details"
    failed = failed_with(code, details, target, timeout=("timeout_s", timeout_s))
    failed.fate = _fate(code, details, error)
    return failed


def _fate(code: str, details: str, error: grpc.RpcError) -> Fate:
    # CANCELLED is how grpc ends calls that a stopping server received and did not take. A call that the
    # caller cancels does not come here.
    if code not in ("UNAVAILABLE", "CANCELLED"):
        return Fate.ANSWERED
    if details.startswith((_UNRESOLVED, *_UNREACHED)):
        return Fate.UNREACHED
    trailing: Any = error.trailing_metadata() or ()  # pairs, whatever grpc's type stubs say
    told = any((key, value) == NOT_TAKEN for key, value in trailing)
    return Fate.NOT_TAKEN if told else Fate.BROKEN


def failed_with(code: str, details: str, target: str, *, timeout: tuple[str, float | None]) -> CallFailed:
    """Return the error for a status.

    Args:
        code: its name.
        details: the server's own words, or gRPC's.
        target: the server's address.
        timeout: the name of the time-out that applied to the call, and its length in seconds; None if there
            was none.
    """
    # A server's words go to terminals and logs: without line breaks and control characters.
    details = "".join(each if each.isprintable() else " " for each in details)
    explained = _explained(code, details, timeout)
    if details.startswith(_PERHAPS_UNREACHED):
        explained += _proxy_hint(target)
    return _BY_CODE.get(code, CallFailed)(f"{target}: {code}: {explained}", code)


def _explained(code: str, details: str, timeout: tuple[str, float | None]) -> str:
    """Return the details, and what to do where gRPC's own do not say it."""
    if code == "DEADLINE_EXCEEDED":
        name, seconds = timeout
        details = "no answer in time" if details == _NOT_IN_TIME else details
        length = "" if seconds is None else f" ({name} was {seconds:g} s)"
        return f"{details}{length}; allow more time, or send fewer rows at a time"
    if code == "UNAVAILABLE" and details.startswith(_UNRESOLVED):
        return f"the host name was not resolved ({details.rpartition(': ')[2]}); check its spelling"
    if code == "UNAVAILABLE" and details.startswith(_UNREACHED):
        return f"no server was reached{_why_unreached(details)} ({details})"
    # grpc marks its own refusals with "CLIENT: ".
    if code == "RESOURCE_EXHAUSTED" and details.startswith("CLIENT: "):
        return f"{details}; send fewer rows at a time, or give the client a larger max_message_bytes"
    if code == "UNIMPLEMENTED":
        return f"{details}; check that this is the gRPC port of a Tamiz server"
    return details


def _why_unreached(details: str) -> str:
    for words, advice in _CERTIFICATES.items():
        if words in details:
            return f": {advice}"
    return (
        "; check that tamiz-server runs there, that the port is its gRPC port, and that both sides use TLS or"
        " neither does"
    )


def _proxy_hint(target: str) -> str:
    """Return what to do about a proxy that is in the way."""
    name = proxy_in_the_way(target, os.environ)
    return name and f"; {name} is set: to go past that proxy, put the host into no_proxy"


def reason(error: Exception) -> str:
    """Return why a file cannot be read or written, without Python's error number and the path."""
    number = error.errno if isinstance(error, OSError) else None
    return str(error) if number is None else os.strerror(number)
