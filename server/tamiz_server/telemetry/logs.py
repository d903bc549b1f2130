"""The format of log lines: text for people, JSON objects for programs. No logged value can break a line."""

from __future__ import annotations

import json
import logging
import time
from typing import Any, Final, TextIO

from tamiz_server.telemetry.log_writer import LogWriter
from tamiz_server.telemetry.repeats import RepeatLimit

_FIELDS: Final = "fields"
_FLUSH_WITHIN_S: Final = 1.0
_OF_GRPC: Final = "grpc._cython.cygrpc"
_NOT_UTF8: Final = "a caller sent metadata or the name of a method that is not UTF-8; the call was refused"
_GONE: Final = "a caller left before it could be told why its call was refused"
_UNPRINTABLE: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}


def set_up(level: str, format_: str, stream: TextIO | LogWriter, *, is_terminal: bool = False) -> None:
    """Log to a stream from now on.

    Args:
        level: "debug", "info", "warning" or "error".
        format_: "text", "json", or "auto": text on a terminal, JSON anywhere else.
        stream: where to write.
        is_terminal: whether people see it as it comes.
    """
    as_text = format_ == "text" or (format_ == "auto" and is_terminal)
    handler = _WriterHandler(stream) if isinstance(stream, LogWriter) else logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    handler.addFilter(GrpcFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class _WriterHandler(logging.Handler):
    """Hands lines to a writer. They are formatted at once: what a line quotes may change later."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record written."""
        try:
            self._writer.put(self.format(record))
        except Exception:  # noqa: BLE001  logging's own rule: what is logged never fails who logs
            self.handleError(record)

    def flush(self) -> None:
        """Wait for what waits, but not for a reader that does not read."""
        self._writer.flush(_FLUSH_WITHIN_S)


def with_fields(**fields: Any) -> dict[str, dict[str, Any]]:
    """Return the argument `extra` of a logging method that adds these fields to its line, except None."""
    return {_FIELDS: {name: value for name, value in fields.items() if value is not None}}


class GrpcFilter(logging.Filter):
    """Replaces stack traces of gRPC, which quote a caller and its token, by one line per second."""

    def __init__(self) -> None:
        super().__init__()
        self._repeats = RepeatLimit(1)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write a record; one that quotes a caller is changed first."""
        error = record.exc_info[1] if record.exc_info else None
        if record.name != _OF_GRPC:
            return True
        if isinstance(error, UnicodeDecodeError):
            said = _NOT_UTF8
        elif str(record.msg).startswith("Failed sending error status"):
            said = _GONE
        else:
            return True
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args, record.exc_info, record.exc_text = said, (), None, None
        return self._repeats.lets_through(said, time.monotonic())


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, the record's fields, and a stack trace."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": _rfc_3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)  # in ASCII, which no value can break


class TextFormatter(logging.Formatter):
    """A line for people: time, level, message, and the record's fields as name=value."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802  logging's
        """Return the time of a record."""
        return _rfc_3339(record.created)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        """Return the line without stack trace. Characters that end a line or move the cursor are escaped."""
        fields = "".join(f" {name}={value}" for name, value in getattr(record, _FIELDS, {}).items())
        return (super().formatMessage(record) + fields).translate(_UNPRINTABLE)


def _rfc_3339(created_s: float) -> str:
    """Return a time in UTC, to the millisecond, such as 2026-11-24T20:31:07.412Z."""
    seconds, milliseconds = divmod(int(created_s * 1e3), 1_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03d}Z"
