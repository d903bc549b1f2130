"""h11's parser, with patterns that look at each byte of a line only a few times.

Those of h11 0.16 try every way to divide blanks between two parts of a line that both may be blank, if the
line turns out to be wrong after them: `x:`, 16,000 blanks and a zero byte took one and a half seconds, and
250,000 blanks, which one read may bring, minutes. Anybody could send that, in a header, in trailers or after
the length of a chunk.
"""

from __future__ import annotations

import re
from typing import Final

import h11
from h11 import _readers

_TOKEN: Final = rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+"
_FIELD: Final = re.compile(
    rb"(?P<field_name>" + _TOKEN + rb"):[ \t]*+(?P<field_value>(?:[^\x00\s]+(?:[ \t]+[^\x00\s]+)*)?)[ \t]*"
)
_CHUNK: Final = re.compile(rb"(?P<chunk_size>[0-9A-Fa-f]{1,20})(?P<chunk_ext>;[^\r\n]*+)?[ \t]*+\r\n")

_readers.header_field_re = _FIELD
_readers.chunk_header_re = _CHUNK


def parser(header_bytes: int) -> h11.Connection:
    """Return what reads and writes one connection; it holds at most about so many bytes of a header."""
    return h11.Connection(h11.SERVER, max_incomplete_event_size=header_bytes)
