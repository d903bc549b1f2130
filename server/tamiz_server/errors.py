"""What can go wrong in the server, and what a caller and an operator learn of it.

    TamizError
    ├── InvalidRequest     INVALID_ARGUMENT    the request cannot be right
    ├── ModelNotFound      NOT_FOUND           no such model or version
    ├── QueueFull          RESOURCE_EXHAUSTED  too many rows are waiting
    ├── DeadlineExceeded   DEADLINE_EXCEEDED   it waited too long, and was not computed
    ├── Unavailable        UNAVAILABLE         starting, stopping, or resting after failures
    ├── NotOffered         UNIMPLEMENTED       the protocol knows the method, this server does not do it
    ├── NotLoaded          FAILED_PRECONDITION what lies in the repository cannot be served
    ├── Unauthenticated    UNAUTHENTICATED     no token, or one that is not known
    ├── NotPermitted       PERMISSION_DENIED   the token does not give this right
    ├── RateExceeded       RESOURCE_EXHAUSTED  this caller asks more often than its token allows
    ├── MetadataTooLarge   RESOURCE_EXHAUSTED  the call has more metadata than may be
    └── ModelFailed        INTERNAL            the model failed on these rows

    BundleError            a file that cannot be served (reaches a caller only in a NotLoaded)
    SettingsError          a model's settings that cannot be right (reaches a caller only in a NotLoaded)
    ConfigError            settings that cannot be right (never reaches a caller)

Each class names its gRPC status, because there is no clearer vocabulary for it; nothing here imports grpc.
"""

from __future__ import annotations

from typing import ClassVar, Final

# gRPC sends a message in a header, percent-encoded (three bytes for one), and its clients take 8 KiB of headers: beyond, they
# see RESOURCE_EXHAUSTED instead of the status. Names that a caller made up are part of messages.
_MAX_CHARACTERS: Final = 2_000
_MAX_CHARACTERS_BEYOND_ASCII: Final = 600
_MAX_CHARACTERS_IN_THE_LOG: Final = 2_000


class TamizError(Exception):
    """A request that was not answered. The message is for the caller; the middle of a very long one is left out."""

    code: ClassVar[str] = "INTERNAL"
    """The name of the gRPC status, as in `grpc.StatusCode`, and the label `code` of the metrics."""

    def __init__(self, message: str = "") -> None:
        """Take the message."""
        most = _MAX_CHARACTERS if message.isascii() else _MAX_CHARACTERS_BEYOND_ASCII
        super().__init__(_shortened(message, most))


class InvalidRequest(TamizError):
    """The request cannot be right, however often it is sent."""

    code = "INVALID_ARGUMENT"


class ModelNotFound(TamizError):
    """No such model, or no such version of it."""

    code = "NOT_FOUND"


class QueueFull(TamizError):
    """Too many rows are waiting.

    Not UNAVAILABLE: clients retry that by themselves, which feeds the overload.
    """

    code = "RESOURCE_EXHAUSTED"


class DeadlineExceeded(TamizError):
    """The deadline passed while the request waited; it was not computed."""

    code = "DEADLINE_EXCEEDED"


class Unavailable(TamizError):
    """The server is starting or stopping, or the model rests after failures; another replica may answer."""

    code = "UNAVAILABLE"


class NotOffered(TamizError):
    """The protocol knows the method, and this server does not do it."""

    code = "UNIMPLEMENTED"


class NotLoaded(TamizError):
    """What lies in the repository of a model cannot be served: it is to be put right before it is asked for again."""

    code = "FAILED_PRECONDITION"


class Unauthenticated(TamizError):
    """The call carries no token, or one that is not known."""

    code = "UNAUTHENTICATED"


class NotPermitted(TamizError):
    """The caller is known, and its token does not give the right to this."""

    code = "PERMISSION_DENIED"


class RateExceeded(TamizError):
    """The caller asks more often than its token allows; others are answered."""

    code = "RESOURCE_EXHAUSTED"


class MetadataTooLarge(TamizError):
    """A call has more metadata than `--max-metadata-bytes`."""

    code = "RESOURCE_EXHAUSTED"


class ModelFailed(TamizError):
    """The model failed on these rows.

    Attributes:
        where: where in its graph, for the server's log, not for the wire; nothing of the rows is in it.
        overdue: whether it was stopped because it took too long.
    """

    code = "INTERNAL"

    def __init__(self, message: str = "", where: str = "", *, overdue: bool = False) -> None:
        """Take the message, and what is known of the failure."""
        super().__init__(message)
        self.where = where
        self.overdue = overdue


class _FileError(Exception):
    """What is in the message may come from the file: it is one line, and not too long for a log."""

    def __init__(self, message: str) -> None:
        super().__init__(_shortened(" ".join(message.split()), _MAX_CHARACTERS_IN_THE_LOG))


class BundleError(_FileError):
    """A file that cannot be served: the message says why, and what to do."""


class SettingsError(_FileError):
    """A model's `settings.toml` that cannot be right: the message names section, key and what was expected."""


class ConfigError(Exception):
    """Settings that cannot be right: the message names flag, value and what was expected."""


def _shortened(text: str, length: int) -> str:
    """Return a text without its middle where it is too long: what was wrong begins it, what to do ends it."""
    kept = length // 2
    return text if len(text) <= length else f"{text[:kept]} … {text[-kept:]}"


REFUSALS: Final = (Unauthenticated.code, NotPermitted.code, RateExceeded.code)
"""What a call can be refused with before it is looked at."""
