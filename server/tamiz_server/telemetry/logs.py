"""What a log line looks like: text for people, or one JSON object for programs. Neither can be broken by what is logged."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, Final, TextIO

from tamiz_server.telemetry.repeats import Flood

_FIELDS: Final = "fields"
_OF_GRPC: Final = "grpc._cython.cygrpc"
_NOT_UTF8: Final = "a caller sent metadata, or the name of a method, that are not UTF-8"
_GONE: Final = "a caller went before it could be told why it was refused"
_UNPRINTABLE: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}


def set_up(level: str, format_: str, stream: TextIO = sys.stderr) -> None:
    """Log to a stream from now on.

    Args:
        level: "debug", "info", "warning" or "error".
        format_: one of `Config.log_format`'s; auto is text on a terminal, JSON anywhere else.
        stream: where to.
    """
    as_text = format_ == "text" or (format_ == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    handler.addFilter(GrpcFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def with_fields(**fields: Any) -> dict[str, dict[str, Any]]:
    """Return what a logging method takes as `extra` so that its line carries fields; None ones are left out."""
    return {_FIELDS: {name: value for name, value in fields.items() if value is not None}}


class GrpcFilter(logging.Filter):
    """Says in a line a second what gRPC says in a stack trace for each call, quoting the caller: tokens among it."""

    def __init__(self) -> None:
        super().__init__()
        self._flood = Flood(1)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be written; one that quotes a caller is changed."""
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
        return self._flood.lets_through(said, time.monotonic())


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time (RFC 3339, UTC), level, logger, message, the record's fields, and a stack trace."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        seconds, milliseconds = divmod(int(record.created * 1e3), 1_000)
        line = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03d}Z",
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

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        """Return the line without its stack trace: whatever would end it or move the cursor is written out."""
        fields = "".join(f" {name}={value}" for name, value in getattr(record, _FIELDS, {}).items())
        return (super().formatMessage(record) + fields).translate(_UNPRINTABLE)
