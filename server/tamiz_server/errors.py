"""The errors of the server, with what a caller and an operator learn about each.

    TamizError
    ├── InvalidRequest     INVALID_ARGUMENT    the request is wrong, however often it is sent
    ├── ModelNotFound      NOT_FOUND           no such model or version
    ├── InputsChanged      FAILED_PRECONDITION the rows were encoded for other inputs
    ├── QueueFull          RESOURCE_EXHAUSTED  too many rows are waiting
    ├── DeadlineExceeded   DEADLINE_EXCEEDED   it waited too long, and was not computed
    ├── Unavailable        UNAVAILABLE         starting, stopping, or resting after failures
    ├── NotOffered         UNIMPLEMENTED       the protocol has the method, this server does not
    ├── NotLoaded          FAILED_PRECONDITION the repository has a model that cannot be served
    ├── Unauthenticated    UNAUTHENTICATED     no token, or an unknown one
    ├── NotPermitted       PERMISSION_DENIED   the token does not give this right
    ├── RateExceeded       RESOURCE_EXHAUSTED  the caller asks for more than its token allows
    ├── MetadataTooLarge   RESOURCE_EXHAUSTED  the call has more metadata than is allowed
    └── ModelFailed        INTERNAL            the model failed
        └── RowsFailed     INVALID_ARGUMENT    it failed on these rows, and computes others

    BundleError            a bundle cannot be served (reaches a caller only in a NotLoaded)
    SettingsError          a model's settings are wrong (reaches a caller only in a NotLoaded)
    ConfigError            settings of the server are wrong (never reaches a caller)

Each class names its gRPC status, which is the clearest vocabulary for this; nothing here imports grpc.
"""

from __future__ import annotations

from typing import ClassVar, Final

# gRPC sends a message in a header, percent-encoded (three bytes for one), and its clients take 8 KiB of
# headers: beyond, they see RESOURCE_EXHAUSTED instead of the status. Names that a caller made up are part of
# messages.
_MAX_CHARACTERS: Final = 2_000
_MAX_CHARACTERS_BEYOND_ASCII: Final = 600
_MAX_CHARACTERS_IN_THE_LOG: Final = 2_000


class TamizError(Exception):
    """A request that was not answered. The message is for the caller; a very long one loses its middle."""

    code: ClassVar[str] = "INTERNAL"
    """The name of the gRPC status, as in `grpc.StatusCode`, and the label `code` of the metrics."""

    def __init__(self, message: str = "") -> None:
        """Take the message."""
        most = _MAX_CHARACTERS if message.isascii() else _MAX_CHARACTERS_BEYOND_ASCII
        super().__init__(_shortened(message, most))


class InvalidRequest(TamizError):
    """The request is wrong, however often it is sent."""

    code = "INVALID_ARGUMENT"


class ModelNotFound(TamizError):
    """No such model, or no such version of it."""

    code = "NOT_FOUND"


class InputsChanged(TamizError):
    """The rows were encoded for other inputs than those of the version that would answer."""

    code = "FAILED_PRECONDITION"


class QueueFull(TamizError):
    """Too many rows are waiting.

    Not UNAVAILABLE: clients retry that by themselves, which would add to the overload.
    """

    code = "RESOURCE_EXHAUSTED"


class DeadlineExceeded(TamizError):
    """The deadline passed while the request was waiting; it was not computed."""

    code = "DEADLINE_EXCEEDED"


class Unavailable(TamizError):
    """The server is starting or stopping, or the model rests after failures; another replica may answer."""

    code = "UNAVAILABLE"


class NotOffered(TamizError):
    """The protocol has this method, but this server does not offer it."""

    code = "UNIMPLEMENTED"


class NotLoaded(TamizError):
    """A model in the repository cannot be served: it must be put right before it is asked for again."""

    code = "FAILED_PRECONDITION"


class Unauthenticated(TamizError):
    """The call has no token, or an unknown one."""

    code = "UNAUTHENTICATED"


class NotPermitted(TamizError):
    """The caller is known, but its token does not give the right to this."""

    code = "PERMISSION_DENIED"


class RateExceeded(TamizError):
    """The caller asks for more than its token allows; others are answered."""

    code = "RESOURCE_EXHAUSTED"


class MessageTooLarge(TamizError):
    """A call that needs no token has a message that is too large for that."""

    code = "RESOURCE_EXHAUSTED"


class MetadataTooLarge(TamizError):
    """A call has more metadata than `--max-metadata-bytes`."""

    code = "RESOURCE_EXHAUSTED"


class ModelFailed(TamizError):
    """The model failed.

    Attributes:
        where: where in its graph, for the server's log, not for the wire; it quotes no rows.
        overdue: whether it was stopped because it took too long.
    """

    code = "INTERNAL"

    def __init__(self, message: str = "", where: str = "", *, overdue: bool = False) -> None:
        """Take the message, and what is known about the failure."""
        super().__init__(message)
        self.where = where
        self.overdue = overdue


class RowsFailed(ModelFailed):
    """The model failed on these rows, and right afterwards computed others: the fault is the rows'."""

    code = "INVALID_ARGUMENT"


class FileError(Exception):
    """A file of the repository cannot be used.

    The message may quote the file: it is made one line, and not too long for a log.

    Attributes:
        may_pass: whether something else than the file's own content may be to blame, such as a lack of memory
            or time: then it is worth another try.
    """

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        """Take the message, and whether another try may succeed."""
        super().__init__(_shortened(" ".join(message.split()), _MAX_CHARACTERS_IN_THE_LOG))
        self.may_pass = may_pass


class BundleError(FileError):
    """A bundle cannot be served: the message says why, and what to do."""


class SettingsError(FileError):
    """A model's `settings.toml` is wrong: the message names section, key and what was expected."""


class ConfigError(Exception):
    """A setting of the server is wrong: the message names flag, value and what was expected."""


def _shortened(text: str, length: int) -> str:
    """Return a text, without its middle if it is too long: what was wrong begins it, what to do ends it."""
    kept = length // 2
    return text if len(text) <= length else f"{text[:kept]} … {text[-kept:]}"


REFUSALS: Final = (Unauthenticated.code, NotPermitted.code, RateExceeded.code)
"""The statuses with which a call can be refused before it is read."""
